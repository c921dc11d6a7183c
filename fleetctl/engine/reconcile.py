"""reconcile: every service back to what is recorded, from nothing but inventory and fleet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from fleetctl.engine.goal import reconcile_goal
from fleetctl.engine.lineage import refuse_claimed
from fleetctl.engine.observe import instance_hosts, observe
from fleetctl.engine.options import RunOptions
from fleetctl.engine.outcome import Outcome
from fleetctl.engine.ports import Emit, World
from fleetctl.engine.preview import Preview
from fleetctl.engine.report import reported, result_of, serialised
from fleetctl.engine.rest import AtRest, left_alone
from fleetctl.engine.run import run_service
from fleetctl.engine.situation import Match
from fleetctl.engine.view import View, view_of
from fleetctl.errors import ExitCode, FleetError, Interrupted, LockHeld, Refused
from fleetctl.model.events import (
    Failed,
    Note,
    PlanMade,
    Result,
    RunFinished,
    RunStarted,
    ServiceResult,
)
from fleetctl.model.fleet import Fleet

WORST_FIRST: tuple[Result, ...] = ("mixed", "failed", "refused", "rolled_back", "busy", "ok")


@dataclass(slots=True)
class _Tally:
    """What the services came to."""

    outcomes: list[tuple[Result, int]]
    services: list[ServiceResult]

    def worst(self) -> tuple[Result, int]:
        """One result for the run: the gravest; busy only when every service was."""
        for result in WORST_FIRST:
            codes = [code for found, code in self.outcomes if found == result]
            if not codes or (result == "busy" and len(codes) < len(self.outcomes)):
                continue
            return result, codes[0]
        return "nothing_to_do", 0


def reconcile(
    world: World,
    fleet: Fleet,
    match: Match,
    services: tuple[str, ...],
    options: RunOptions,
    emit: Emit,
) -> RunFinished:
    """Finishes what is open, restores what is missing. ``services`` empty: all recorded ones.
    A service whose lock is held is skipped and named. One service's failure doesn't keep
    the next from its turn. Those at rest share one look at the fleet. Raises what keeps the
    run from starting, and Interrupted."""
    emit = serialised(emit)
    began = world.clock.monotonic()
    world.connect(fleet.record_hosts)
    view = view_of(world.record.read())
    if not view.lineage:
        hosts = instance_hosts(fleet, view)
        refuse_claimed(observe(world, fleet, "", hosts, options.parallel).hosts)
    names = _named(view, services)
    emit(RunStarted(options.command, names, fleet.name, options.by))
    tally = _Tally([], [])
    rest = AtRest()

    def work(name: str, emit: Emit) -> Outcome:
        return run_service(world, fleet, name, reconcile_goal, match, options, emit, rest)

    for name in names:
        if not left_alone(view.service(name), emit):
            _one(world, fleet, name, partial(work, name), options, emit, tally)
    result, code = tally.worst()
    seconds = world.clock.monotonic() - began
    finished = RunFinished(options.command, result, code, tuple(tally.services), seconds)
    emit(finished)
    return finished


def preview(look: Preview, services: tuple[str, ...], match: Match) -> tuple[PlanMade, ...]:
    """The first plan of each service that ``reconcile`` would work on. Locks that others
    hold are not looked at."""
    names = _named(look.view, services)
    records = [look.view.service(name) for name in names]
    return tuple(
        look.plan(record.name, reconcile_goal, match)
        for record in records
        if not left_alone(record, look.emit)
    )


def _named(view: View, services: tuple[str, ...]) -> tuple[str, ...]:
    names = services or tuple(sorted(view.services))
    unknown = sorted(set(names) - set(view.services))
    if unknown:
        raise Refused(
            f"the record knows no service {', '.join(unknown)}",
            hint="it was never deployed here; recorded: "
            + (", ".join(sorted(view.services)) or "none"),
        )
    return names


def _one(
    world: World,
    fleet: Fleet,
    name: str,
    work: Callable[[Emit], Outcome],
    options: RunOptions,
    emit: Emit,
    tally: _Tally,
) -> None:
    try:
        outcome = reported(world, fleet, options, emit, name, work)
    except Interrupted:
        raise
    except LockHeld as error:
        emit(Note(f"{name} is left alone: {error.message}", name))
        tally.outcomes.append(("busy", int(ExitCode.BUSY)))
        return
    except FleetError as error:
        emit(Failed(name, error.id, error.message, error.hint, error.host, "nothing was started"))
        tally.outcomes.append(result_of(error))
        return
    tally.outcomes.append((outcome.result, int(outcome.exit_code)))
    tally.services.append(outcome.service)
