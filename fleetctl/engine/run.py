"""One service's run: lock, look, plan, open, carry out, and the way back when it fails.

Deploy, rollback and reconcile are this with another goal.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from fleetctl.engine.balancing import await_checked, behind, change_section
from fleetctl.engine.execute import execute, told
from fleetctl.engine.goal import Choose, Goal, emptied, fall_back
from fleetctl.engine.guard import guard
from fleetctl.engine.lineage import ensure_lineage, refuse_claimed
from fleetctl.engine.observe import Observed, instance_hosts, observe
from fleetctl.engine.options import RunOptions
from fleetctl.engine.ports import Emit, World
from fleetctl.engine.session import Session
from fleetctl.engine.steps import retained
from fleetctl.engine.takeover import fence_off
from fleetctl.engine.view import view_of
from fleetctl.errors import (
    DoesNotFit,
    ExitCode,
    FleetError,
    Interrupted,
    LockLost,
    Mixed,
)
from fleetctl.model.events import Event, Failed, PlanMade, Result, ServiceResult, StepStarted
from fleetctl.model.fleet import Fleet
from fleetctl.model.plan import Drain, Plan, Stop
from fleetctl.model.record import OpenDeploy
from fleetctl.planner.inputs import Situation
from fleetctl.planner.plan import make_plan

PLACEMENT_WAIT = 300.0
CHECKS_WAIT = 10.0
Match = Callable[[str], tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one service's run came to."""

    result: Result
    exit_code: ExitCode
    service: ServiceResult


def serialised(emit: Emit) -> Emit:
    """``emit`` for many threads: one event at a time."""
    mutex = threading.Lock()

    def one(event: Event) -> None:
        with mutex:
            emit(event)

    return one


def run_service(
    world: World,
    fleet: Fleet,
    service: str,
    choose: Choose,
    match: Match,
    options: RunOptions,
    emit: Emit,
) -> Outcome:
    """Raises what keeps the run from starting; what it came to is in the Outcome."""
    world.connect(fleet.record_hosts)
    lease = world.locks.acquire(
        f"service-{service}",
        options.wait,
        lambda: options.stop.check(f"while waiting for the lock of {service}", service),
    )
    try:
        view = view_of(world.record.read())
        session = Session(world, fleet, service, options, emit, lease, view, view.lineage)
        _level_record(session)
        return _Run(session, choose, match).run()
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


def look(session: Session, hosts: tuple[str, ...] = ()) -> Observed:
    """A fresh observation, with the fence raised over all that hosts have seen."""
    names = instance_hosts(session.fleet, session.view, hosts)
    observed = observe(
        session.world, session.fleet, session.lineage, names, session.options.parallel
    )
    scope = session.fence.scope
    seen = max((n for h in observed.hosts for s, n in h.fences if s == scope), default=0)
    if seen > session.fence.number:
        session.lease.raise_to(seen + 1)
    return observed


def situation(
    session: Session, goal: Goal, match: Match, observed: Observed, deploy: str
) -> Situation:
    """The planner's input, from what the session knows and what was just seen."""
    record = session.record
    kept = record.with_revision(replace(goal.target, successful=True))
    return Situation(
        service=session.service,
        target=goal.target,
        current=record.current,
        open=record.open is not None,
        deploy=deploy,
        hosts=session.fleet.hosts,
        candidates=match(goal.target.spec.hosts),
        observed=observed.hosts,
        balancers=observed.balancers,
        section=session.section,
        reserved=session.view.reserved(session.service),
        revisions=record.revisions,
        retained=retained(kept.revisions, goal.target.number),
        limit=session.options.limit,
        behind=behind(session, observed.balancers) if session.section is not None else (),
    )


class _Run:
    def __init__(self, session: Session, choose: Choose, match: Match) -> None:
        self.session = session
        self.choose = choose
        self.match = match
        self.deploy = ""
        self.told: Plan | None = None
        self.before = session.record

    def run(self) -> Outcome:
        session = self.session
        record = self.before = session.record
        was = record.current
        if not session.lineage:
            refuse_claimed(look(session).hosts)
        elif session.lease.over:
            look(session)  # which raises the fence over what the hosts have seen
            fence_off(session)
        goal = self.choose(record)
        observed = self._look(goal)
        if not session.lineage:
            ensure_lineage(session, observed)
            if session.view.services:  # another's first deploy came before: look for what is its
                observed = self._look(goal)
        self.deploy = record.open.id if record.open else session.world.new_id()
        plan = self._plan(goal, observed)
        if plan.nothing:
            return self._ended("nothing_to_do", ExitCode.DONE, goal.target.number, was)
        session.check()
        plan = self._open(goal, self._settled(goal, plan, observed))
        try:
            self._carry_out(plan)
        except (Interrupted, LockLost):
            raise
        except FleetError as error:
            session.lease.check()  # who was taken over has failed at nothing, and changes nothing
            return self._failed(goal, error, was)
        if session.record.open is not None:
            return self._partial(goal, was)
        return self._ended("ok", ExitCode.DONE, goal.target.number, was)

    def _look(self, goal: Goal) -> Observed:
        return look(self.session, self.match(goal.target.spec.hosts))

    def _settled(self, goal: Goal, plan: Plan, observed: Observed) -> Observed:
        """Balancers as recorded, before what serves is counted. One that a dead run left
        halfway, or that came back with an older file, makes it look like more or less than
        every client sees, and a plan made from that could stop too many."""
        session = self.session
        stops = any(isinstance(step, Drain | Stop) for step in plan.steps)
        late = behind(session, observed.balancers) if session.section is not None else ()
        if not stops or not late:
            return observed
        guard(session, situation(session, goal, self.match, observed, self.deploy))
        cause = f"{', '.join(late)}: not as recorded"
        settle = StepStarted(session.service, "settle", "admit", "", "", cause)
        told(session, settle, lambda: change_section(session, session.section))
        await_checked(session, CHECKS_WAIT)
        return self._look(goal)

    def _carry_out(self, plan: Plan) -> None:
        """Raises what kept ``plan`` from its commit. What fails after it takes nothing back."""
        try:
            execute(self.session, plan)
        except (Interrupted, LockLost):
            raise
        except FleetError as error:
            if not self._committed(plan):
                raise
            text = f"the deploy is done, and not all behind it is cleared away: {error.message}"
            self.session.note(text, host=error.host, warning=True)

    def _committed(self, plan: Plan) -> bool:
        """By a fresh reading: the answer to the commit may have been lost."""
        try:
            self.session.refresh()
        except FleetError:
            return False
        record = self.session.record
        given_up = plan.revision.successful is False and not record.current
        return record.open is None and (given_up or record.current == plan.revision.number)

    def _partial(self, goal: Goal, was: int) -> Outcome:
        """The plan had no commit: slots that it may not, or can't, touch are left."""
        number = goal.target.number
        if number == was and not goal.failed:
            self.session.edit_record(lambda record: replace(record, open=None))
            return self._ended("ok", ExitCode.DONE, number, was)
        if self.session.options.limit is None:
            self._mark(Mixed("slots on hosts that don't answer were left"), paused=False)
            return self._ended("mixed", ExitCode.MIXED, number, was)
        self._mark(Mixed(f"revision {number} is on the hosts of --limit only"), paused=True)
        return self._ended("paused", ExitCode.DONE, number, was)

    def _plan(self, goal: Goal, observed: Observed) -> Plan:
        given = situation(self.session, goal, self.match, observed, self.deploy)
        guard(self.session, given)
        plan = make_plan(given)
        self._tell_plan(plan, goal)
        for warning in plan.warnings:
            self.session.note(warning, warning=True)
        if plan.unplaced:
            raise DoesNotFit(
                "; ".join(
                    f"{u.count} of {u.service} fit nowhere: "
                    + ", ".join(f"{hosts} {why}" for why, hosts in u.reasons)
                    for u in plan.unplaced
                ),
                hint=next((u.hint for u in plan.unplaced if u.hint), ""),
            )
        return plan

    def _tell_plan(self, plan: Plan, goal: Goal) -> None:
        """Once for each plan that differs from the one told last."""
        if plan != self.told:
            self.session.emit(PlanMade(plan, goal.reason))
        self.told = plan

    def _open(self, goal: Goal, observed: Observed) -> Plan:
        """Under the placement lock: plans against what is reserved by now, and writes the open
        deploy with what the plan reserves."""
        session = self.session
        before = session.view.service_generations()
        lock = session.world.locks.acquire("placement", PLACEMENT_WAIT, session.check)
        try:
            session.refresh()
            if session.view.service_generations() != before:
                observed = look(session)
            given = situation(session, goal, self.match, observed, self.deploy)
            guard(session, given)
            plan = make_plan(given)
            if plan.unplaced:
                return self._plan(goal, observed)
            self._tell_plan(plan, goal)
            self._write_open(goal, plan)
            return plan
        finally:
            lock.release()

    def _write_open(self, goal: Goal, plan: Plan) -> None:
        session = self.session
        record = session.record
        opened = OpenDeploy(
            id=self.deploy,
            target=goal.target.number,
            previous=record.current,
            started=record.open.started if record.open else session.world.clock.now(),
            by=session.options.by,
            holder=session.fence.holder,
            failed=goal.failed,
            # No reconcile may carry a part on beyond --limit, should this run die.
            paused=session.options.limit is not None
            and not goal.failed
            and goal.target.number != record.current,
            reservations=plan.reservations,
        )
        if goal.failed != goal.target.number:
            record = record.with_revision(goal.target)
        known = record.revision(goal.failed)
        if known is not None and known.successful is None:
            record = record.with_revision(replace(known, successful=False))
        placed = tuple(sorted({*record.placed, *plan.placed}))
        session.write_record(replace(record, open=opened, placed=placed))

    def _failed(self, goal: Goal, error: FleetError, was: int) -> Outcome:
        """SEMANTICS section 2, "Failure": a fresh look, then what ``on_failure`` says."""
        session = self.session
        if not session.touched and self.before.open is None:
            return self._abandoned(error, was)
        policy = goal.target.spec.rollout.on_failure
        healing = goal.target.number == was and not goal.failed
        back: Goal | None = None
        if policy == "rollback" and not healing:
            if goal.fallback is not None:
                back = fall_back(goal)
            elif not was and not goal.failed:
                back = emptied(goal)
        self._tell(error, self._then(policy, back, healing))
        if back is None:
            if healing:
                session.edit_record(lambda record: replace(record, open=None))
                return self._ended("failed", ExitCode.FAILED, was, was)
            self._mark(error, paused=policy != "rollback")
            return self._ended("mixed", ExitCode.MIXED, goal.target.number, was)
        try:
            return self._go_back(back, error, was)
        except (Interrupted, LockLost):
            raise
        except FleetError as again:
            self._tell(again, "the fleet is mixed: mend it, then `fleetctl reconcile`")
            self._mark(again, paused=False)
            return self._ended("mixed", ExitCode.MIXED, goal.target.number, was)

    def _abandoned(self, error: FleetError, was: int) -> Outcome:
        """Nothing but pulls had begun: the record becomes what it was, and the revision is none
        that failed."""
        session = self.session
        self._tell(error, "nothing was touched; mend it, and the same command tries again")
        try:
            session.write_record(self.before)
        except FleetError as unwritten:
            session.note(f"the deploy stays open: {unwritten.message}", warning=True)
            return self._ended("mixed", ExitCode.MIXED, session.record.current, was)
        return self._ended("failed", error.exit_code, was, was)

    def _go_back(self, back: Goal, error: FleetError, was: int) -> Outcome:
        session = self.session
        observed = self._look(back)
        draft = make_plan(situation(session, back, self.match, observed, self.deploy))
        self._tell_plan(draft, back)
        plan = self._open(back, self._settled(back, draft, observed))
        self._carry_out(plan)
        if session.record.open is not None:
            raise Mixed("the way back left the deploy open")
        line = error.message.splitlines()[0]
        session.edit_record(lambda record: replace(record, message=line))
        if not was:
            return self._ended("failed", ExitCode.FAILED, 0, 0)
        return self._ended("rolled_back", ExitCode.ROLLED_BACK, was, back.failed)

    def _mark(self, error: FleetError, *, paused: bool) -> None:
        """Leaves the deploy open, with what went wrong. A record that can't be written keeps
        what it has: the deploy is open there too."""
        line = error.message.splitlines()[0]
        session = self.session
        try:
            record = session.record
            if record.open is not None:
                opened = replace(record.open, paused=paused)
                session.write_record(replace(record, open=opened, message=line))
        except LockLost:
            raise
        except FleetError as unwritten:
            session.note(f"the record was not updated: {unwritten.message}", warning=True)

    def _then(self, policy: str, back: Goal | None, healing: bool) -> str:
        service = self.session.service
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

    def _tell(self, error: FleetError, then: str) -> None:
        self.session.emit(
            Failed(self.session.service, error.id, error.message, error.hint, error.host, then)
        )

    def _ended(self, result: Result, code: ExitCode, revision: int, previous: int) -> Outcome:
        s = self.session
        changed = s.started + s.stopped + s.balanced
        done = ServiceResult(s.service, revision, previous, changed, s.started, s.stopped)
        return Outcome(result, code, done)
