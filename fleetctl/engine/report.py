"""A run from its first event to its last: the journal's entry, and what a script reads."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fleetctl.engine.options import RunOptions
from fleetctl.engine.outcome import Outcome
from fleetctl.engine.ports import Emit, World
from fleetctl.errors import ExitCode, FleetError, Interrupted
from fleetctl.model.events import (
    Event,
    Failed,
    PlanMade,
    Result,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from fleetctl.model.fleet import Fleet
from fleetctl.model.status import HistoryEntry

RESULTS: dict[ExitCode, Result] = {
    ExitCode.BUSY: "busy",
    ExitCode.REFUSED: "refused",
    ExitCode.STALE_PLAN: "refused",
    ExitCode.CANCELLED: "cancelled",
    ExitCode.SIGINT: "cancelled",
    ExitCode.SIGTERM: "cancelled",
}


def serialised(emit: Emit) -> Emit:
    """``emit`` for many threads: one event at a time."""
    mutex = threading.Lock()

    def one(event: Event) -> None:
        with mutex:
            emit(event)

    return one


def result_of(error: FleetError) -> tuple[Result, int]:
    """The result and exit code of a run that ended with ``error``."""
    code = int(error.exit_code)
    if isinstance(error, Interrupted):
        code = 128 + error.signal_number
    return RESULTS.get(error.exit_code, "failed"), code


class Audit:
    """``emit``, with plan and steps written into the journal on their way: a step's intent
    before anybody hears of it. ``why`` is what went wrong first."""

    def __init__(self, world: World, fleet: Fleet, run: str, emit: Emit) -> None:
        self._journal = world.journal
        self._fleet = fleet
        self._run = run
        self._emit = emit
        self.why = ""

    def __call__(self, event: Event) -> None:
        match event:
            case PlanMade():
                self._journal.planned(self._run, event.plan)
            case StepStarted():
                hosts = (event.host,) if event.host else self._everywhere(event.action)
                self._journal.intent(self._run, event.step, event.action, event.instance, hosts)
            case StepFinished():
                self._journal.outcome(self._run, event.step, event.outcome, event.detail)
            case Failed():
                self.why = self.why or event.message.splitlines()[0]
        self._emit(event)

    def _everywhere(self, action: str) -> tuple[str, ...]:
        """Hosts of a step that has no single one."""
        if action == "commit" or not self._fleet.balancers:
            return self._fleet.record_hosts
        return tuple(balancer.name for balancer in self._fleet.balancers)


def reported(
    world: World,
    fleet: Fleet,
    options: RunOptions,
    emit: Emit,
    service: str,
    work: Callable[[Emit], Outcome],
) -> Outcome:
    """Does ``work`` with an audit entry before and an outcome after. What ``work`` raises goes
    on, once it is written down."""
    run = world.new_id()
    world.journal.begin(HistoryEntry(run, options.command, service, options.by, world.clock.now()))
    audit = Audit(world, fleet, run, emit)
    try:
        outcome = work(audit)
    except FleetError as error:
        result, _ = result_of(error)
        world.journal.end(run, result, world.clock.now(), error.message.splitlines()[0])
        raise
    except BaseException as error:
        world.journal.end(run, "failed", world.clock.now(), repr(error)[:200])
        raise
    world.journal.end(run, outcome.result, world.clock.now(), audit.why)
    return outcome


def one_run(
    world: World,
    fleet: Fleet,
    options: RunOptions,
    emit: Emit,
    service: str,
    work: Callable[[Emit], Outcome],
) -> RunFinished:
    """A command about one service, from RunStarted to RunFinished."""
    began = world.clock.monotonic()
    emit(RunStarted(options.command, (service,), fleet.name, options.by))
    outcome = reported(world, fleet, options, emit, service, work)
    finished = RunFinished(
        options.command,
        outcome.result,
        int(outcome.exit_code),
        (outcome.service,),
        world.clock.monotonic() - began,
    )
    emit(finished)
    return finished
