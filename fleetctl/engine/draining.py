"""Servers that go: no new request, then no session, then out of the file (SEMANTICS section 5)."""

from __future__ import annotations

from collections.abc import Callable, Collection

from fleetctl.engine.balancing import (
    LOCK_WAIT,
    Place,
    await_drained,
    change_section,
    poll,
    servers_of,
)
from fleetctl.engine.floor import await_others_in_balancers
from fleetctl.engine.session import Session
from fleetctl.haproxy.section import drain, withdraw
from fleetctl.model.observed import ObservedBalancer, ObservedServer

AT_ONCE = 5.0
"""Seconds in which a balancer has ended the sessions that it was told to end."""


def drain_out(session: Session, names: Collection[str], leaves: int) -> str:
    """Takes the servers of the instances ``names`` out of all balancers, while ``leaves``
    others serve. What is still connected at the drain limit is cut. Returns words for the
    event. Raises TooFewServe, BalancerFailed, HostError."""
    if session.section is None:
        return "no balancer knows it"
    await_others_in_balancers(session, names, leaves)
    limit = session.section.drain_limit
    change_section(session, drain(session.section, names))
    clock = session.world.clock
    deadline = clock.monotonic() + limit
    left = await_drained(session, names, limit)
    places = servers_of(session.section, names)
    change_section(session, withdraw(session.section, names))
    # A client with a cookie may come to a server that drains, up to here.
    poll(session, _open_at(places), deadline - clock.monotonic(), session.lease.check)
    cut = _end_sessions(session, places)
    if cut:
        left = f"{cut} connection{'s' if cut > 1 else ''} cut" + (f"; {left}" if left else "")
    if left:
        session.note(f"drain limit of {limit:g} s passed: {left}", warning=True)
    return left


def _end_sessions(session: Session, places: Collection[Place]) -> int:
    """Cuts what is connected to ``places`` on any balancer. Returns how many that were."""
    cut = 0
    for balancer in session.fleet.balancers:
        port = session.world.balancer(balancer.name)
        if not _busy(port.observe(), places):
            continue
        scope = f"balancer-{balancer.name}"
        lease = session.world.locks.acquire(scope, LOCK_WAIT, session.lease.check)
        try:
            busy = _busy(port.observe(), places)
            port.end_sessions([(line.backend, line.name) for line in busy], lease.fence)
        finally:
            lease.release()
        cut += sum(line.sessions + line.queue for line in busy)
    if cut:
        poll(session, _open_at(places), AT_ONCE, session.lease.check)
    return cut


def _busy(seen: ObservedBalancer, places: Collection[Place]) -> list[ObservedServer]:
    """Servers that have a session and are still where they were: a slot may have another
    instance by now, and a new worker none."""
    return [
        line
        for line in seen.servers
        if (line.sessions or line.queue)
        and (line.backend, line.name, line.address, line.port) in places
    ]


def _open_at(places: Collection[Place]) -> Callable[[ObservedBalancer], str]:
    def open_still(seen: ObservedBalancer) -> str:
        return ", ".join(f"{line.backend}/{line.name}" for line in _busy(seen, places))

    return open_still
