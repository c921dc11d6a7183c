"""One service's run: lock, look, plan, open, carry out, and the way back when it fails.

Deploy, rollback and reconcile are this with another goal.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from fleetctl.engine.committing import carry_through
from fleetctl.engine.failure import after_failure
from fleetctl.engine.goal import Choose, Goal
from fleetctl.engine.lineage import ensure_lineage, refuse_claimed
from fleetctl.engine.opening import Opening
from fleetctl.engine.options import RunOptions
from fleetctl.engine.outcome import Outcome, ended, leave_open
from fleetctl.engine.ports import Emit, World
from fleetctl.engine.rest import AtRest
from fleetctl.engine.session import Session
from fleetctl.engine.situation import Match, look
from fleetctl.engine.takeover import fence_off
from fleetctl.engine.view import view_of
from fleetctl.errors import ExitCode, FleetError, Interrupted, LockLost, Mixed
from fleetctl.model.fleet import Fleet
from fleetctl.model.material import NOTHING_NEW, Material
from fleetctl.model.plan import Prune


def run_service(
    world: World,
    fleet: Fleet,
    service: str,
    choose: Choose,
    match: Match,
    options: RunOptions,
    emit: Emit,
    rest: AtRest | None = None,
    material: Material = NOTHING_NEW,
) -> Outcome:
    """Raises what keeps the run from starting; what it came to is in the Outcome. With
    ``rest`` a service that has nothing to be done need not be looked at anew; ``material`` is
    what a deploy brings along."""
    with under_lock(world, fleet, service, options, emit, material) as session:
        nothing = rest.outcome(session, match) if rest else None
        try:
            return nothing or _run(session, choose, match)
        finally:
            if rest and session.touched:
                rest.forget()


@contextmanager
def under_lock(
    world: World,
    fleet: Fleet,
    service: str,
    options: RunOptions,
    emit: Emit,
    material: Material = NOTHING_NEW,
) -> Iterator[Session]:
    """A run's session: the service's lock, and a record that is level wherever it can be.
    Raises LockHeld, Interrupted, HostError, RecordLost."""
    world.connect(fleet.record_hosts)
    lease = world.locks.acquire(
        f"service-{service}",
        options.wait,
        lambda: options.stop.check(f"while waiting for the lock of {service}", service),
    )
    try:
        view = view_of(world.record.read())
        session = Session(world, fleet, service, options, emit, lease, view, view.lineage, material)
        _level_record(session)
        yield session
    finally:
        lease.release()


def _level_record(session: Session) -> None:
    record = session.world.record
    if record.behind and session.lineage:
        levelled = record.level(session.fence)
        if levelled:
            session.note(f"the record on {', '.join(levelled)} was behind and is level again")
    for host, why in sorted(record.behind.items()):
        session.note(f"its record is behind: {why}", host=host, warning=True)
    for warning in session.world.journal.warnings:
        session.note(warning, warning=True)


def _run(session: Session, choose: Choose, match: Match) -> Outcome:
    before = session.record
    was = before.current
    if not session.lineage:
        refuse_claimed(look(session).hosts)
    elif session.lease.over:
        fence_off(session)
    goal = choose(before)
    observed = look(session, match(goal.target.spec.hosts))
    if not session.lineage:
        ensure_lineage(session, observed)
        if session.view.services:  # another's first deploy came before: look for what is its
            observed = look(session, match(goal.target.spec.hosts))
    opening = Opening(session, match, before.open.id if before.open else session.world.new_id())
    plan = opening.draft(goal, observed)
    if plan.nothing:
        return ended(session, "nothing_to_do", ExitCode.DONE, goal.target.number, was)
    session.check()
    if all(isinstance(step, Prune) for step in plan.steps):
        carry_through(session, plan)  # a deploy need not be open for what none is in need of
        return ended(session, "ok", ExitCode.DONE, goal.target.number, was)
    plan = opening.opened(goal, plan, observed)
    try:
        carry_through(session, plan)
    except (Interrupted, LockLost):
        raise
    except FleetError as error:
        session.lease.check()  # who was taken over has failed at nothing, and changes nothing
        return after_failure(session, opening, goal, error, before)
    if session.record.open is not None:
        return _partial(session, goal, was)
    return ended(session, "ok", ExitCode.DONE, goal.target.number, was)


def _partial(session: Session, goal: Goal, was: int) -> Outcome:
    """The plan had no commit: slots that it may not, or can't, touch are left."""
    number = goal.target.number
    if number == was and not goal.failed:
        session.edit_record(lambda record: replace(record, open=None))
        return ended(session, "ok", ExitCode.DONE, number, was)
    if session.options.limit is None:
        leave_open(session, Mixed("slots on hosts that don't answer were left"), paused=False)
        return ended(session, "mixed", ExitCode.MIXED, number, was)
    leave_open(session, Mixed(f"revision {number} is on the hosts of --limit only"), paused=True)
    return ended(session, "paused", ExitCode.DONE, number, was)
