"""The planner's input: a fresh look at the fleet beside what the record says."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fleetctl.engine.balancing import behind
from fleetctl.engine.goal import Goal
from fleetctl.engine.observe import Observed, instance_hosts, observe
from fleetctl.engine.session import Session
from fleetctl.engine.steps import retained
from fleetctl.haproxy.section import merged
from fleetctl.model.record import ServiceRecord
from fleetctl.planner.inputs import Situation

Match = Callable[[str], tuple[str, ...]]
"""The hosts of a pattern of the inventory."""


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
    section = session.section  # before the first Admit it has certificates alone
    lag = behind(session, observed.balancers) if section is not None else ()
    kept = without_success(record, goal.failed).with_revision(replace(goal.target, successful=True))
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
        section=section if section and section.backends else None,
        reserved=session.view.reserved(session.service),
        revisions=record.revisions,
        retained=retained(kept.revisions, goal.target.number),
        limit=session.options.limit,
        behind=tuple(name for name, _ in lag),
        differences=tuple(what for _, what in lag),
        certificates=merged(section, session.material.certificates),
        resettle=_resettle(session),
        now=session.world.clock.now(),
    )


def _resettle(session: Session) -> str:
    recorded, given = session.view.templates, session.material.templates
    if not session.fleet.balancers:
        return ""
    if not recorded:
        return "no templates are recorded yet"
    if not given or given == recorded:
        return ""
    names = {name.rpartition("/")[2] for name, _ in set(recorded) ^ set(given)}
    return f"templates changed: {', '.join(sorted(names))}"


def without_success(record: ServiceRecord, failed: int) -> ServiceRecord:
    """``record`` with the revision ``failed`` (0: none) as one that had no success."""
    known = record.revision(failed)
    if known is None or known.successful is not None:
        return record
    return record.with_revision(replace(known, successful=False))
