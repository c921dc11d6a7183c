"""One change of a service's section: record first, then every balancer, then read back.

SEMANTICS section 5: all balancers are prepared before any is committed; each is changed
under its own lock and fence, with all sections as they are at that moment, so that what
another deploy is in the middle of stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import ExitStack
from typing import TypeAlias

from fleetctl.engine.applying import apply_all, prepare_all
from fleetctl.engine.observe import observe_balancers
from fleetctl.engine.pems import lacking_texts
from fleetctl.engine.ports import Lease
from fleetctl.engine.session import Session
from fleetctl.errors import BalancerFailed, Refused
from fleetctl.haproxy.render import MARGIN, render
from fleetctl.haproxy.sync import Difference, differences
from fleetctl.model.balancing import Backend, Section, backend_name, server_name
from fleetctl.model.observed import ObservedBalancer, ObservedServer

LOCK_WAIT = 300.0
POLL = 0.1
LATE = 5.0
"""Seconds by which an old worker may outlive its hard-stop-after."""
Place: TypeAlias = tuple[str, str, str, int]
"""(backend, server, address, port) as in HAProxy's file."""


def change_section(session: Session, section: Section | None) -> str:
    """Commits ``section``, and the templates that this run brings, and brings all balancers in
    line. Returns how, for the event.

    Raises BalancerFailed, HostError, or Refused for what no file can say. What a balancer
    refuses is never in the record, where it would fail another service's deploy.
    """
    with ExitStack() as stack:
        leases: dict[str, Lease] = {}
        for balancer in session.fleet.balancers:
            scope = f"balancer-{balancer.name}"
            lease = session.world.locks.acquire(scope, LOCK_WAIT, session.check)
            stack.callback(lease.release)
            leases[balancer.name] = lease
        wanted = {**session.refresh().sections, session.service: section}
        sections = [found for _, found in sorted(wanted.items()) if found is not None]
        templates = session.templates
        rendered = {b.name: render(b, sections, templates) for b in session.fleet.balancers}
        pems = lacking_texts(session, rendered)
        ways = prepare_all(session, rendered, leases, pems)
        if leases:
            session.write_templates(templates)
        if section != session.section:
            session.write_section(section)
        return apply_all(session, rendered, leases, ways)


def behind(
    session: Session, balancers: Collection[ObservedBalancer]
) -> tuple[tuple[str, str], ...]:
    """The balancers that are up and aren't as recorded, each with what differs first. Nothing is
    said of any while another service's deploy may be changing them."""
    view = session.view
    for name, record in view.services.items():
        if name != session.service and record.open is not None and not record.open.paused:
            return ()
    sections = [view.sections[name] for name in sorted(view.sections)]
    by_name = {balancer.name: balancer for balancer in session.fleet.balancers}
    try:
        found = {
            seen.name: differences(render(by_name[seen.name], sections, view.templates), seen)
            for seen in balancers
            if seen.up
        }
    except (BalancerFailed, Refused):
        return ()  # what no file can say is told by the change that is to bring it
    return tuple((name, _first(what)) for name, what in found.items() if what)


def _first(found: Sequence[Difference]) -> str:
    more = len(found) - 1
    return found[0].what + (
        f", and {more} more difference{'s' if more > 1 else ''}" if more else ""
    )


def servers_of(section: Section | None, names: Collection[str]) -> tuple[Place, ...]:
    """Where the instances ``names`` are."""
    if section is None:
        return ()
    return tuple(
        (backend_name(section.service, backend.port), server_name(s.slot), s.address, s.port)
        for backend in section.backends
        for s in backend.servers
        if s.instance in names
    )


def _backends(section: Section | None) -> tuple[Backend, ...]:
    return section.backends if section else ()


def _find(balancer: ObservedBalancer, backend: str, name: str) -> ObservedServer | None:
    return next((s for s in balancer.servers if s.backend == backend and s.name == name), None)


def await_up(session: Session, names: Collection[str], seconds: float) -> None:
    """Until every balancer reports these servers UP by a check, those that a person holds left
    out. Raises BalancerFailed."""
    held = {s.instance for b in _backends(session.section) for s in b.servers if s.held}
    names = set(names) - held

    def lacking(balancer: ObservedBalancer) -> str:
        for backend, name, address, port in servers_of(session.section, names):
            server = _find(balancer, backend, name)
            if server is None or (server.address, server.port) != (address, port):
                return f"{backend}/{name} is not {address}:{port} on {balancer.name}"
            if not (server.up and server.checked and server.admin == "ready"):
                return (
                    f"{backend}/{name} ({address}:{port}) is {server.status} "
                    f"on {balancer.name}, last check {server.check or 'none yet'}"
                )
        return ""

    left = poll(session, lacking, seconds, session.check)
    if left:
        raise BalancerFailed(
            f"not UP after {seconds:g} s: {left}",
            hint="the balancer can't reach what the controller can: look at addresses, "
            "firewalls and the check's path",
        )


def await_checked(session: Session, seconds: float) -> None:
    """Until a check has spoken of every ready server of the service on every balancer, or the
    time is over: what no check has spoken of by then counts as its balancer says."""

    def unchecked(balancer: ObservedBalancer) -> str:
        for backend in _backends(session.section):
            for server in backend.servers:
                names = backend_name(session.service, backend.port), server_name(server.slot)
                seen = _find(balancer, *names)
                if server.wanted == "ready" and not (seen and seen.checked):
                    return f"{names[0]}/{names[1]}"
        return ""

    poll(session, unchecked, seconds, session.check)


def await_drained(session: Session, names: Collection[str], seconds: float) -> str:
    """Until no balancer has a session with these servers, or the limit of ``seconds``; and
    until no old worker is left, which may send requests there without end: HAProxy ends them
    itself. Returns what was still open, empty when nothing was."""
    clock = session.world.clock
    longest = max((s.drain_limit for s in session.view.sections.values()), default=seconds)
    end_of_workers = clock.monotonic() + longest + MARGIN + LATE

    def workers(balancer: ObservedBalancer) -> str:
        old = balancer.old_workers
        return f"{old} old worker{'s' if old > 1 else ''} on {balancer.name}" if old else ""

    def open_still(balancer: ObservedBalancer) -> str:
        for backend, name, _, _ in servers_of(session.section, names):
            server = _find(balancer, backend, name)
            if server is not None and (server.sessions or server.queue):
                return f"{server.sessions} sessions of {backend}/{name} on {balancer.name}"
        return ""

    check = session.lease.check
    left = poll(session, open_still, seconds, check)
    lasting = poll(session, workers, end_of_workers - clock.monotonic(), check)
    return "; ".join(dict.fromkeys(filter(None, (left, lasting))))


def poll(
    session: Session,
    lacking: Callable[[ObservedBalancer], str],
    seconds: float,
    check: Callable[[], None],
) -> str:
    """Asks all balancers until none lacks anything; the last lack at the deadline."""
    clock = session.world.clock
    deadline = clock.monotonic() + seconds
    while True:
        check()
        found = observe_balancers(session.world, session.fleet, session.options.parallel)
        told = (lacking(b) if b.up else f"{b.name} is {b.state}: {b.error}" for b in found)
        left = next(filter(None, told), "")
        if not left or clock.monotonic() >= deadline:
            return left
        clock.sleep(POLL)
