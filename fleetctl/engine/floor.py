"""Before anything is taken away: do as many others serve as the plan counts on?

A plan is made from one look; a host may fall silent, or instances fail, between it and the
step (SEMANTICS section 4, I2).
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import replace

from fleetctl.engine.balancing import POLL
from fleetctl.engine.observe import observe
from fleetctl.engine.session import Session
from fleetctl.errors import TooFewServe, Unreachable
from fleetctl.model.balancing import Section, backend_name, server_name
from fleetctl.model.instance import Container
from fleetctl.model.observed import ObservedBalancer
from fleetctl.model.plan import Stop

PATIENCE = 10.0
"""Seconds for checks to speak of servers that a reload has just made anew, at least."""
RECENT = 1.0
"""Seconds for which the stops of one batch, which all wait for the same, share a look."""


def await_others_in_balancers(session: Session, names: Collection[str], leaves: int) -> None:
    """Until ``leaves`` instances beside ``names`` are UP by a check, and on no balancer none.

    Nothing is asked where none of ``names`` gets requests: taking them away costs nothing.
    One that only some balancers report UP is counted, as the planner counts it. Raises
    TooFewServe, or Unreachable for a balancer that doesn't say.
    """
    if not leaves:
        return
    clock = session.world.clock
    deadline = clock.monotonic() + _patience(session)
    while True:
        session.check()
        seen = [session.world.balancer(lb.name).observe() for lb in session.fleet.balancers]
        serving = {balancer.name: up_on(session.section, balancer) for balancer in seen}
        # A new worker sends requests to servers that no check has spoken of yet.
        asked = [up_on(session.section, balancer, unchecked=True) for balancer in seen]
        going = {name for up in asked for name in up if name in names}
        others = {name for up in serving.values() for name in up if name not in names}
        bare = sorted(lb for lb, up in serving.items() if not up.difference(names))
        if not going or (len(others) >= leaves and not bare):
            return
        if clock.monotonic() >= deadline:
            for balancer in seen:
                if not balancer.up:
                    raise Unreachable(
                        f"the balancer {balancer.name} is {balancer.state}: {balancer.error}",
                        hint="every balancer has to follow a roll",
                        host=balancer.name,
                    )
            where = f"; {', '.join(bare)} would have none" if bare else ""
            raise too_few(session.service, names, len(others), leaves, where)
        clock.sleep(POLL)


def _patience(session: Session) -> float:
    """A new worker spreads its first checks over the longest interval of any service, and one
    that is not answered lasts as long again."""
    longest = max((s.healthcheck.interval for s in session.view.sections.values()), default=0.0)
    return max(PATIENCE, 2 * longest)


def up_on(section: Section | None, seen: ObservedBalancer, *, unchecked: bool = False) -> set[str]:
    """The instances whose every server is ready and UP on this balancer: by a check, and held by
    nobody, unless ``unchecked``."""
    lines = {(line.backend, line.name): line for line in seen.servers}
    up: set[str] = set()
    down: set[str] = set()
    if section is None:
        return up
    for backend in section.backends:
        for server in backend.servers:
            line = lines.get(
                (backend_name(section.service, backend.port), server_name(server.slot))
            )
            serves = (
                line is not None
                and (line.address, line.port) == (server.address, server.port)
                and (line.up and line.admin == "ready")
                and (unchecked or (line.checked and not server.held))
            )
            (up if serves else down).add(server.instance)
    return up - down


@contextmanager
def others_running(session: Session, step: Stop) -> Iterator[None]:
    """The same around a stop where requests don't come through balancers, by the hosts'
    engines. Raises TooFewServe."""
    try:
        if step.leaves:
            _need_running(session, step)
        yield
    except BaseException:
        session.leaving.discard(step.container.id)
        raise


def _need_running(session: Session, step: Stop) -> None:
    container, leaves = step.container, step.leaves
    with session.looking:
        session.leaving.add(container.id)
        now = session.world.clock.monotonic()
        at, needs, found = session.looked
        if needs != step.needs or now - at > RECENT:
            found = _running(session)
            session.looked = (now, step.needs, found)
        others = {c.name for c in found if c.id not in session.leaving}
    if any(c.id == container.id for c in found) and len(others) < leaves:
        raise too_few(session.service, {container.name}, len(others), leaves, "")


def _running(session: Session) -> tuple[Container, ...]:
    names = sorted(session.record.hosts & {host.name for host in session.fleet.hosts})
    hosts_only = replace(session.fleet, balancers=())
    seen = observe(session.world, hosts_only, session.lineage, names, session.options.parallel)
    return tuple(
        container
        for host in seen.hosts
        for container in host.containers
        if container.service == session.service
        and container.running
        and container.health not in ("starting", "unhealthy")
    )


def too_few(
    service: str, names: Collection[str], others: int, leaves: int, where: str, hint: str = ""
) -> TooFewServe:
    """That ``names`` must stay in service. ``hint`` in the place of a roll's."""
    gone = ", ".join(sorted(names))
    return TooFewServe(
        f"taking {gone} away would leave {others} of {service} in service, "
        f"and {leaves} have to stay{where}",
        hint=hint
        or "something else fell away meanwhile: see `fleetctl status`; a rollout with a "
        "larger max_unavailable may go on with fewer",
    )
