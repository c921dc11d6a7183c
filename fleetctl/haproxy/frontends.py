"""Where the balancer listens, and what for. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from fleetctl.errors import BalancerFailed, Refused
from fleetctl.haproxy import checks, routes
from fleetctl.haproxy.routes import ByHeader, Guard
from fleetctl.haproxy.side_files import CERTIFICATES, live
from fleetctl.model.balancing import Section
from fleetctl.model.fleet import Balancer
from fleetctl.model.routing import Mode, Route


@dataclass(frozen=True, slots=True)
class Bind:
    """``where`` is ADDRESS:PORT in HAProxy's writing; ``crt_list`` the file that names its
    certificates, empty without TLS."""

    address: str
    port: int
    crt_list: str = ""

    @property
    def where(self) -> str:
        return checks.bind(self.address, self.port)


@dataclass(frozen=True, slots=True)
class Frontend:
    """With http, requests go by the map of routes, looked up under ``prefix``, and by
    ``headers``; with tcp, all go to ``backend``, past ``guard``. ``proxies`` are the networks whose
    connections begin with the PROXY protocol, in groups of one line each."""

    name: str
    mode: Mode
    binds: tuple[Bind, ...]
    prefix: str = ""
    internal: bool = False
    headers: ByHeader = field(default_factory=ByHeader)
    backend: str = ""
    guard: Guard | None = None
    proxies: tuple[tuple[str, ...], ...] = ()


def frontends(balancer: Balancer, sections: Sequence[Section]) -> tuple[Frontend, ...]:
    """All of this balancer. Raises Refused when two want one port."""
    found = [*_public(balancer, sections), *_internal(balancer, sections)]
    _no_clash(balancer, found)
    return tuple(found)


def binds(balancer: Balancer, found: Sequence[Frontend]) -> tuple[tuple[str, int], ...]:
    """(address, port) of all that is listened on, with the one for figures."""
    all_of_them = {(bind.address, bind.port) for frontend in found for bind in frontend.binds}
    if balancer.stats is not None:
        all_of_them.add(balancer.stats)
    return tuple(sorted(all_of_them))


def _public(balancer: Balancer, sections: Sequence[Section]) -> list[Frontend]:
    if not balancer.listen:
        return []
    proxies = routes.by_line(sorted({checks.network(n) for n in balancer.trusted_proxies}))
    listed = live(balancer.paths, CERTIFICATES)
    plain = [Bind(address, port) for address, port in balancer.listen]
    tls = [Bind(address, port, crt_list=listed) for address, port in balancer.listen_tls]
    wanted = any(route.tls for section in sections for route in section.routes)
    public = Frontend(
        "public",
        "http",
        (*plain, *(tls if wanted else [])),
        headers=routes.by_header(sections, 0),
        proxies=proxies,
    )
    own: dict[int, list[tuple[Section, Route]]] = {}
    for section in sections:
        for route in section.routes:
            if route.listen:
                own.setdefault(checks.port(route.listen), []).append((section, route))
            elif route.mode == "tcp":
                raise BalancerFailed(f"{section.service}: a tcp route without a port to listen on")
    ports = [_own(balancer, sections, port, own[port], proxies) for port in sorted(own)]
    return [public, *ports]


def _own(
    balancer: Balancer,
    sections: Sequence[Section],
    port: int,
    users: Sequence[tuple[Section, Route]],
    proxies: tuple[tuple[str, ...], ...],
) -> Frontend:
    """The frontend of a port that one tcp route has, or http routes have together."""
    binds = tuple(Bind(address, port) for address in sorted({a for a, _ in balancer.listen}))
    (section, route), *others = users
    names = ", ".join(sorted({section.service for section, _ in users}))
    if any(r.tls for _, r in users):
        raise BalancerFailed(f"TLS is on the public ports alone, not on {port} ({names})")
    if others and any(r.mode == "tcp" for _, r in users):
        raise Refused(
            f"port {port} has a tcp route, and other routes besides ({names})",
            hint="give the tcp route a port of its own",
        )
    if route.mode == "http":
        return Frontend(
            f"port-{port}",
            "http",
            binds,
            prefix=f"{port}|",
            headers=routes.by_header(sections, port),
            proxies=proxies,
        )
    return Frontend(
        f"port-{port}",
        "tcp",
        binds,
        backend=routes.target(section, route.port, "tcp", "a route"),
        guard=routes.guard(section.service, route),
        proxies=proxies,
    )


def _internal(balancer: Balancer, sections: Sequence[Section]) -> list[Frontend]:
    if not balancer.internal:
        return []
    inside = [(s, s.internal) for s in sections if s.internal is not None]
    ports = sorted({checks.port(i.listen) for _, i in inside if i.mode == "http"})
    http = Frontend(
        "internal",
        "http",
        tuple(Bind(balancer.internal, port) for port in ports),
        prefix=routes.INTERNAL,
        internal=True,
    )
    tcp = [
        Frontend(
            f"internal-{checks.name(section.service)}",
            "tcp",
            (Bind(balancer.internal, checks.port(internal.listen)),),
            internal=True,
            backend=routes.target(section, internal.port, "tcp", "its name inside"),
        )
        for section, internal in inside
        if internal.mode == "tcp"
    ]
    return [*([http] if ports else []), *tcp]


def _no_clash(balancer: Balancer, found: Sequence[Frontend]) -> None:
    """An internal address beside ``*`` is no clash: the kernel prefers the exact one."""
    taken = {balancer.stats: "statistics"} if balancer.stats else {}
    for frontend in found:
        for bind in frontend.binds:
            other = taken.setdefault((bind.address, bind.port), frontend.name)
            if other != frontend.name:
                raise Refused(
                    f"the frontends {other} and {frontend.name} both want to listen on "
                    f"{bind.where}",
                    hint="give one of the routes another port (listen)",
                )
