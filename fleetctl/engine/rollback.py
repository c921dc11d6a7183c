"""rollback: towards a revision that exists already."""

from __future__ import annotations

from fleetctl.engine.goal import Choose, Goal, rollback_goal
from fleetctl.engine.options import RunOptions
from fleetctl.engine.outcome import Outcome
from fleetctl.engine.ports import Emit, World
from fleetctl.engine.preview import Preview
from fleetctl.engine.report import one_run, serialised
from fleetctl.engine.run import run_service
from fleetctl.engine.situation import Match
from fleetctl.model.events import PlanMade, RunFinished
from fleetctl.model.fleet import Fleet
from fleetctl.model.record import ServiceRecord


def towards(to: int | None) -> Choose:
    """The goal of a rollback."""

    def choose(record: ServiceRecord) -> Goal:
        return rollback_goal(record, to)

    return choose


def rollback(
    world: World,
    fleet: Fleet,
    service: str,
    match: Match,
    to: int | None,
    options: RunOptions,
    emit: Emit,
) -> RunFinished:
    """Every slot to revision ``to``, or to the last good one. Needs no playbook: revisions
    are kept whole. Raises FleetError when the run could not start."""

    choose = towards(to)

    def work(emit: Emit) -> Outcome:
        return run_service(world, fleet, service, choose, match, options, emit)

    return one_run(world, fleet, options, serialised(emit), service, work)


def preview(look: Preview, service: str, match: Match, to: int | None) -> PlanMade:
    """The plan that ``rollback`` would carry out now."""
    return look.plan(service, towards(to), match)
