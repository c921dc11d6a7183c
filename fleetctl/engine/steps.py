"""Carries out one step. A step that finds its effect already there does nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from fleetctl.engine.balancing import await_up, change_section
from fleetctl.engine.beside import keep_before_start, keep_committed
from fleetctl.engine.draining import drain_out
from fleetctl.engine.floor import others_running, up_on
from fleetctl.engine.health import await_healthy
from fleetctl.engine.lingering import lingering
from fleetctl.engine.session import Session
from fleetctl.haproxy.section import admit, expired, release
from fleetctl.model.instance import Container
from fleetctl.model.names import named_services, names_inside
from fleetctl.model.plan import (
    Admit,
    AnyStep,
    Commit,
    Create,
    Drain,
    Health,
    Plan,
    Prune,
    Pull,
    Remove,
    Start,
    Stop,
)
from fleetctl.model.record import Revision, service_key

RETAINED = 10
"""Successful revisions that are kept (SEMANTICS section 2)."""


def carry_out(session: Session, plan: Plan, step: AnyStep, progress: Callable[[str], None]) -> str:
    """Returns words for the event. Raises FleetError when the step's effect isn't there."""
    match step:
        case Pull():
            return _pull(session, plan, step, progress)
        case Create():
            return _create(session, plan, step)
        case Start():
            return _start(session, step)
        case Health():
            return _health(session, plan, step)
        case Admit():
            return _admit(session, plan, step)
        case Drain():
            return _drain(session, step)
        case Stop():
            with others_running(session, step):
                return _stop(session, plan, step.container)
        case Commit():
            return _commit(session, plan, step)
        case Remove():
            session.world.engine(step.container.host).remove(step.container.id, session.fence)
            return ""
        case Prune():
            return _prune(session, step)


def _pull(session: Session, plan: Plan, step: Pull, progress: Callable[[str], None]) -> str:
    engine = session.world.engine(step.host)
    engine.claim(session.lineage, session.fence)
    keep_before_start(session, plan.revision, step.host)
    if engine.has_image(step.image):
        said = "already there"
    else:
        engine.pull(step.image, session.fence, progress)
        said = ""
    engine.tag(step.image, plan.service, plan.revision.number, session.fence)
    return said


def _create(session: Session, plan: Plan, step: Create) -> str:
    engine = session.world.engine(step.instance.host)
    services = named_services(session.view.services.values(), session.material.names)
    engine.create(
        step.instance,
        plan.revision.spec,
        session.lineage,
        session.view.generation(service_key(session.service)),
        session.fence,
        names_inside(session.fleet, step.instance.host, services),
    )
    return ""


def _start(session: Session, step: Start) -> str:
    engine = session.world.engine(step.instance.host)
    container = engine.find(session.lineage, step.instance.name)
    engine.start(container.id if container else step.instance.name, session.fence)
    return ""


def _health(session: Session, plan: Plan, step: Health) -> str:
    spec = plan.revision.spec
    engine = session.world.engine(step.instance.host)
    container = await_healthy(
        engine, step.instance, spec, session.lineage, session.world.clock, session.check
    )
    if container.restart_policy != spec.restart:
        engine.set_restart(container.id, spec.restart, session.fence)
    return ""


def _admit(session: Session, plan: Plan, step: Admit) -> str:
    spec = plan.revision.spec
    before = session.section
    certificates = session.material.certificates
    weights = {host.name: host.weight for host in session.fleet.hosts}
    names = {instance.name for instance in step.instances}
    if before is not None:
        before = release(before, names.intersection(expired(before, session.world.clock.now())))
    busy = lingering(session) if names else ()
    section = admit(before, spec, step.instances, certificates, weights, busy)
    if spec.balanced and not names:
        names = _up_everywhere(session)
    said = change_section(session, section if section.backends or spec.balanced else None)
    await_up(session, names, spec.rollout.healthy_deadline)
    return said


def _up_everywhere(session: Session) -> set[str]:
    """What other settings could put DOWN: by another check, or by a protocol that it does not
    speak. Without a look after them the run would end well."""
    seen = [session.world.balancer(lb.name).observe() for lb in session.fleet.balancers]
    found = [up_on(session.section, balancer) for balancer in seen]
    return set.intersection(*found) if found else set()


def _drain(session: Session, step: Drain) -> str:
    names = {container.name for container in step.containers}
    return drain_out(session, names, step.leaves)


def _stop(session: Session, plan: Plan, container: Container) -> str:
    engine = session.world.engine(container.host)
    if container.restart_policy != "no":
        engine.set_restart(container.id, "no", session.fence)
    record = session.record.revision(container.revision)
    spec = record.spec if record else plan.revision.spec
    engine.stop(container.id, spec.stop_grace, session.fence)
    return ""


def _commit(session: Session, plan: Plan, step: Commit) -> str:
    record = session.record
    was_open = record.open
    if was_open is not None and was_open.failed == step.revision:
        given_up = replace(record, current=0, previous=0, open=None, left=0, placed=(), message="")
        session.write_record(given_up)
        return "nothing is left of it"
    left = record.left
    if was_open is not None:
        left = was_open.failed or (0 if step.revision != record.current else left)
    target = replace(plan.revision, successful=True)
    committed = replace(
        record.with_revision(target),
        current=step.revision,
        previous=record.current if step.revision != record.current else record.previous,
        open=None,
        left=left,
        placed=plan.placed,
        message="",
    )
    kept = retained(committed.revisions, committed.current)
    if plan.revision.successful is not False:
        keep_committed(session, target)
    session.write_record(
        replace(committed, revisions=tuple(r for r in committed.revisions if r.number in kept))
    )
    return ""


def _prune(session: Session, step: Prune) -> str:
    engine = session.world.engine(step.host)
    engine.untag(session.service, step.revisions, session.fence)
    engine.drop_specs(session.service, step.revisions, session.fence)
    return ""


def retained(revisions: tuple[Revision, ...], current: int) -> tuple[int, ...]:
    """Numbers of the revisions to keep: the newest successful ones, the committed one, and
    the newest that failed (so that its spec is known when it is deployed again)."""
    successful = [r.number for r in revisions if r.successful]
    failed = [r.number for r in revisions if r.successful is False]
    return tuple(sorted({*successful[-RETAINED:], *failed[-1:], current} - {0}))
