"""A run from its first event to its last: the journal's entry, and what a script reads."""

from __future__ import annotations

from collections.abc import Callable

from fleetctl.engine.options import RunOptions
from fleetctl.engine.ports import Emit, World
from fleetctl.engine.run import Outcome
from fleetctl.errors import ExitCode, FleetError, Interrupted
from fleetctl.model.codec import digest
from fleetctl.model.events import Event, PlanMade, Result, RunFinished, RunStarted
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


def result_of(error: FleetError) -> tuple[Result, int]:
    """The result and exit code of a run that ended with ``error``."""
    code = int(error.exit_code)
    if isinstance(error, Interrupted):
        code = 128 + error.signal_number
    return RESULTS.get(error.exit_code, "failed"), code


def audited(world: World, run: str, emit: Emit) -> Emit:
    """``emit``, with each plan written into the journal on its way."""

    def one(event: Event) -> None:
        if isinstance(event, PlanMade):
            plan = event.plan
            world.journal.planned(
                run, plan.service, plan.revision.number, plan.previous, digest(plan)
            )
        emit(event)

    return one


def reported(
    world: World,
    options: RunOptions,
    emit: Emit,
    service: str,
    work: Callable[[Emit], Outcome],
) -> Outcome:
    """Does ``work`` with an audit entry before and an outcome after. What ``work`` raises goes
    on, once it is written down."""
    began, run = world.clock.now(), world.new_id()
    world.journal.begin(
        HistoryEntry(run, options.command, service, 0, 0, options.by, began, 0.0, "", "")
    )
    try:
        outcome = work(audited(world, run, emit))
    except FleetError as error:
        result, _ = result_of(error)
        detail = error.message.splitlines()[0]
        world.journal.end(run, service, result, world.clock.now(), detail)
        raise
    except BaseException as error:
        world.journal.end(run, service, "failed", world.clock.now(), repr(error)[:200])
        raise
    detail = f"revision {outcome.service.revision}"
    world.journal.end(run, service, outcome.result, world.clock.now(), detail)
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
    outcome = reported(world, options, emit, service, work)
    finished = RunFinished(
        options.command,
        outcome.result,
        int(outcome.exit_code),
        (outcome.service,),
        world.clock.monotonic() - began,
    )
    emit(finished)
    return finished
