"""What follows on a roll that failed (SEMANTICS section 2, "Failure"): what ``on_failure`` says,
from a fresh look."""

from __future__ import annotations

from dataclasses import replace

from fleetctl.engine.committing import carry_through
from fleetctl.engine.goal import Goal, emptied, fall_back
from fleetctl.engine.opening import Opening
from fleetctl.engine.outcome import Outcome, ended, leave_open
from fleetctl.engine.session import Session
from fleetctl.errors import ExitCode, FleetError, Interrupted, LockLost, Mixed
from fleetctl.model.events import Failed
from fleetctl.model.record import ServiceRecord


def after_failure(
    session: Session, opening: Opening, goal: Goal, error: FleetError, before: ServiceRecord
) -> Outcome:
    """``error`` kept ``goal`` from its commit; ``before`` is the record before the run. Raises
    Interrupted and LockLost."""
    was = before.current
    if not session.touched and before.open is None:
        return _abandoned(session, error, before)
    policy = goal.target.spec.rollout.on_failure
    healing = goal.target.number == was and not goal.failed
    back = _as_it_was(session, goal) if healing else _way_back(goal, was)
    _tell(session, error, _then(session.service, policy, back, healing))
    if back is not None:
        return _back_or_mixed(session, opening, goal, back, error, was)
    if healing:
        session.edit_record(lambda record: replace(record, open=None))
        return ended(session, "failed", ExitCode.FAILED, was, was)
    leave_open(session, error, paused=policy != "rollback")
    return ended(session, "mixed", ExitCode.MIXED, goal.target.number, was)


def _way_back(goal: Goal, was: int) -> Goal | None:
    if goal.target.spec.rollout.on_failure != "rollback":
        return None
    if goal.fallback is not None:
        return fall_back(goal)
    return emptied(goal) if not was and not goal.failed else None


def _as_it_was(session: Session, goal: Goal) -> Goal | None:
    """Templates that no balancer can run are in the record by now, and would keep every later
    change of any service from them."""
    if not session.former:
        return None
    return replace(goal, fallback=None, reason="the templates as they were")


def _abandoned(session: Session, error: FleetError, before: ServiceRecord) -> Outcome:
    """Nothing but pulls had begun: the record becomes what it was, and the revision is none
    that failed."""
    _tell(session, error, "nothing was touched; mend it, and the same command tries again")
    was = before.current
    try:
        session.write_record(before)
        if session.section and not session.section.backends:
            session.write_section(None)
    except FleetError as unwritten:
        session.note(f"the deploy stays open: {unwritten.message}", warning=True)
        return ended(session, "mixed", ExitCode.MIXED, session.record.current, was)
    return ended(session, "failed", error.exit_code, was, was)


def _back_or_mixed(
    session: Session, opening: Opening, goal: Goal, back: Goal, error: FleetError, was: int
) -> Outcome:
    try:
        return _go_back(session, opening, back, error, was)
    except (Interrupted, LockLost):
        raise
    except FleetError as again:
        _tell(session, again, "the fleet is mixed: mend it, then `fleetctl reconcile`")
        leave_open(session, again, paused=False)
        return ended(session, "mixed", ExitCode.MIXED, goal.target.number, was)


def _go_back(
    session: Session, opening: Opening, back: Goal, error: FleetError, was: int
) -> Outcome:
    session.go_back()
    opening.decide(back)  # first: this run may get no further, and the next one goes back too
    observed = opening.look(back)
    draft = opening.draft_back(back, observed)
    carry_through(session, opening.opened(back, draft, observed))
    if session.record.open is not None:
        raise Mixed("the way back left the deploy open")
    line = error.message.splitlines()[0]
    session.edit_record(lambda record: replace(record, message=line))
    if not was:
        return ended(session, "failed", ExitCode.FAILED, 0, 0)
    return ended(session, "rolled_back", ExitCode.ROLLED_BACK, was, back.failed or was)


def _then(service: str, policy: str, back: Goal | None, healing: bool) -> str:
    if healing and back is not None:
        return "going back to the templates as they were"
    if healing:
        return "what serves goes on serving; the next reconcile tries again"
    if back is not None and back.failed == back.target.number:
        return "what this first deploy started is removed"
    if back is not None:
        return f"going back to revision {back.target.number} (rollout.on_failure: rollback)"
    if policy == "rollback":
        return f"the fleet is mixed: mend it, then `fleetctl reconcile {service}`"
    return (
        f"stays as it is (rollout.on_failure: {policy}): `fleetctl rollback {service}` "
        f"goes back, the same deploy goes on"
    )


def _tell(session: Session, error: FleetError, then: str) -> None:
    session.emit(Failed(session.service, error.id, error.message, error.hint, error.host, then))
