"""From a goal to a plan that may be carried out: planned, told, guarded, written as open.

From the open record on any controller can finish the deploy: nothing needed is only here.
"""

from __future__ import annotations

from dataclasses import replace

from fleetctl.engine.balancing import await_checked, change_section
from fleetctl.engine.execute import told
from fleetctl.engine.goal import Goal
from fleetctl.engine.guard import guard, left_out
from fleetctl.engine.observe import Observed
from fleetctl.engine.session import Session
from fleetctl.engine.situation import Match, look, situation, without_success
from fleetctl.errors import DoesNotFit
from fleetctl.haproxy.section import merged
from fleetctl.model.balancing import Section
from fleetctl.model.events import PlanMade, StepStarted
from fleetctl.model.plan import Drain, Plan, Stop
from fleetctl.model.record import OpenDeploy, Reservation
from fleetctl.planner.inputs import Situation
from fleetctl.planner.plan import make_plan
from fleetctl.planner.settings import lagging

PLACEMENT_WAIT = 300.0
CHECKS_WAIT = 10.0
"""Seconds for checks to speak of servers that were just brought in line."""


class Opening:
    """The plans of one run's deploy, whose id is ``deploy``: there, and where that fails, back."""

    def __init__(self, session: Session, match: Match, deploy: str) -> None:
        self._session = session
        self._match = match
        self._deploy = deploy
        self._told: Plan | None = None
        self._noted: set[str] = set()

    def look(self, goal: Goal) -> Observed:
        return look(self._session, self._match(goal.target.spec.hosts))

    def draft(self, goal: Goal, observed: Observed) -> Plan:
        """A plan, told. Raises what ``guard`` raises, and DoesNotFit."""
        given = self._given(goal, observed)
        self._guard(given)
        plan = make_plan(given)
        self.tell(plan, goal)
        for warning in plan.warnings:
            self._session.note(warning, warning=True)
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

    def decide(self, goal: Goal) -> None:
        """Writes that the open deploy goes to ``goal`` from here on, with what is reserved as
        it is: whoever carries it on goes there too. Raises what writing the record raises."""
        opened = self._session.record.open
        self._write(goal, opened.reservations if opened else (), ())

    def draft_back(self, goal: Goal, observed: Observed) -> Plan:
        """The same of a way back, which ``opened`` guards."""
        plan = make_plan(self._given(goal, observed))
        self.tell(plan, goal)
        return plan

    def tell(self, plan: Plan, goal: Goal) -> None:
        """Once for each plan that differs from the one told last."""
        if plan != self._told:
            self._session.emit(PlanMade(plan, goal.reason))
        self._told = plan

    def opened(self, goal: Goal, draft: Plan, observed: Observed) -> Plan:
        """Under the placement lock: plans against what is reserved by now, and writes the open
        deploy with what the plan reserves. Raises what ``draft`` does."""
        self._bring_certificates()
        observed = self._settled(goal, draft, observed)
        session = self._session
        before = session.view.service_generations()
        lock = session.world.locks.acquire("placement", PLACEMENT_WAIT, session.check)
        try:
            session.refresh()
            if session.view.service_generations() != before:
                observed = self.look(goal)
            given = self._given(goal, observed)
            self._guard(given)
            plan = make_plan(given)
            if plan.unplaced:
                return self.draft(goal, observed)
            self.tell(plan, goal)
            self._write(goal, plan.reservations, plan.placed)
            return plan
        finally:
            lock.release()

    def _guard(self, given: Situation) -> None:
        """Tells of each host that is left out once, however often it is asked."""
        guard(self._session, given)
        for note in left_out(self._session, given):
            if note.host not in self._noted:
                self._noted.add(note.host)
                self._session.emit(note)

    def _given(self, goal: Goal, observed: Observed) -> Situation:
        return situation(self._session, goal, self._match, observed, self._deploy)

    def _bring_certificates(self) -> None:
        """Onto the balancers, before anything is open that names them: whoever carries it on has
        no working tree."""
        session = self._session
        names = session.new_certificates
        if not names:
            return
        cause = f"certificate {', '.join(names)} is new"
        brought = merged(session.section, session.material.certificates)
        section = replace(session.section or Section(session.service), certificates=brought)
        step = StepStarted(session.service, "certificates", "admit", "", "", cause)
        told(session, step, lambda: change_section(session, section))

    def _settled(self, goal: Goal, plan: Plan, observed: Observed) -> Observed:
        """Balancers as recorded, before what serves is counted. One that a dead run left
        halfway, or that came back with an older file, makes it look like more or less than
        every client sees, and a plan made from that could stop too many."""
        if not any(isinstance(step, Drain | Stop) for step in plan.steps):
            return observed
        given = self._given(goal, observed)
        if not given.behind:
            return observed
        self._guard(given)
        session = self._session
        settle = StepStarted(session.service, "settle", "admit", "", "", lagging(given))
        told(session, settle, lambda: change_section(session, session.section))
        await_checked(session, CHECKS_WAIT)
        return self.look(goal)

    def _write(
        self, goal: Goal, reservations: tuple[Reservation, ...], placed: tuple[tuple[int, str], ...]
    ) -> None:
        session = self._session
        record = session.record
        opened = OpenDeploy(
            id=self._deploy,
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
            reservations=reservations,
        )
        if goal.failed != goal.target.number:
            record = record.with_revision(goal.target)
        record = without_success(record, goal.failed)
        looked_for = tuple(sorted({*record.placed, *placed}))
        session.write_record(replace(record, open=opened, placed=looked_for))
