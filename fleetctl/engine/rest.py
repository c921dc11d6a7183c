"""Services that have nothing to be done, told from one look at the fleet that all share."""

from __future__ import annotations

from fleetctl.engine.goal import reconcile_goal
from fleetctl.engine.guard import guard, left_out
from fleetctl.engine.observe import Observed
from fleetctl.engine.outcome import Outcome, ended
from fleetctl.engine.ports import Emit
from fleetctl.engine.preview import NO_DEPLOY
from fleetctl.engine.session import Session
from fleetctl.engine.situation import Match, look, situation
from fleetctl.engine.takeover import fence_off
from fleetctl.engine.view import View
from fleetctl.errors import ExitCode, FleetError
from fleetctl.model.events import Note, PlanMade
from fleetctl.model.record import ServiceRecord, section_key, service_key
from fleetctl.planner.plan import make_plan


def left_alone(record: ServiceRecord, emit: Emit) -> bool:
    """A service that nothing is committed of, or that waits for a person, who is told so."""
    if record.open is not None and record.open.paused:
        emit(Note(f"{record.name} is paused: {record.message}", record.name))
        return True
    return record.open is None and not record.current


class AtRest:
    """The look is taken for the first service that is asked for, and anew after one that isn't
    at rest: its run may take long, and changes the fleet."""

    def __init__(self) -> None:
        self._look: tuple[View, Observed] | None = None

    def forget(self) -> None:
        """The fleet isn't what was looked at any more."""
        self._look = None

    def outcome(self, session: Session, match: Match) -> Outcome | None:
        """Under the service's lock: what the run comes to, where that is nothing to do, or
        nothing without a person. None where only a look of the run's own can tell: something is
        open, was written since the look, or is to be done. Raises Interrupted, LockLost."""
        session.options.stop.check(f"before {session.service}", session.service)
        if left_alone(session.record, session.emit):  # it came to that since this run began
            if session.lease.over:
                fence_off(session)
            number = session.record.current
            return ended(session, "nothing_to_do", ExitCode.DONE, number, number)
        if session.lease.over or not session.lineage or session.record.open is not None:
            self.forget()
            return None
        try:
            return self._nothing(session, match)
        except FleetError:
            return None  # the run meets it too, and tells of it

    def _nothing(self, session: Session, match: Match) -> Outcome | None:
        if self._look is None or _written(session, self._look[0]):
            self._look = session.view, look(session)
        goal = reconcile_goal(session.record)
        given = situation(session, goal, match, self._look[1], NO_DEPLOY)
        guard(session, given)
        plan = make_plan(given)
        if not plan.nothing or plan.unplaced or plan.warnings:
            self.forget()
            return None
        for note in left_out(session, given):
            session.emit(note)
        session.emit(PlanMade(plan, goal.reason))
        number = goal.target.number
        return ended(session, "nothing_to_do", ExitCode.DONE, number, number)


def _written(session: Session, then: View) -> bool:
    """Another run of the service has been at work since."""
    keys = service_key(session.service), section_key(session.service)
    return any(session.view.generation(key) != then.generation(key) for key in keys)
