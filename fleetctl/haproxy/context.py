"""What the template is given of backends: sections as checked, ready-made values. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import checks, snippet
from fleetctl.haproxy.routes import Guard, guard
from fleetctl.haproxy.side_files import live, page_path
from fleetctl.model.balancing import Backend, Section, Server, backend_name, server_name
from fleetctl.model.fleet import Balancer
from fleetctl.model.routing import Balancing, Mode
from fleetctl.model.spec import Healthcheck

FREE = "127.0.0.1:1"
"""Where a free slot points: nobody listens there, and it is disabled besides."""
WIDTH = len("255.255.255.255:65535")
RISE = 1
FAST = 0.2
ALGORITHMS = ("roundrobin", "leastconn", "source", "random", "first")


@dataclass(frozen=True, slots=True)
class ServerLine:
    """One server slot. ``line`` is all of it."""

    name: str
    line: str


@dataclass(frozen=True, slots=True)
class Check:
    """The health check of a backend; without a ``path`` it is a TCP connection. Times are
    as HAProxy writes them."""

    path: str
    interval: str
    fast: str
    timeout: str
    fall: int
    rise: int


@dataclass(frozen=True, slots=True)
class BackendLines:
    """One port of a service. ``timeouts`` are (name, time) of those that aren't the usual;
    ``guards`` stand before it, ``lists`` are those whose users and tables are declared with it;
    ``page`` is the file of what clients get while no server is ready; ``options`` are further
    ones of all its servers."""

    name: str
    service: str
    mode: Mode
    algorithm: str
    check: Check
    servers: tuple[ServerLine, ...]
    guards: tuple[Guard, ...] = ()
    lists: tuple[Guard, ...] = ()
    sticky: str = ""
    timeouts: tuple[tuple[str, str], ...] = ()
    maintenance: bool = False
    page: str = ""
    options: tuple[str, ...] = ()
    snippet: tuple[str, ...] = ()


def backends(
    balancer: Balancer, sections: Sequence[Section], *, blank: bool
) -> tuple[BackendLines, ...]:
    """All backends by name. With ``blank`` every slot is written as free: that text is the
    skeleton."""
    found = [backend for section in sections for backend in _of(balancer, section, blank)]
    names = [b.name for b in found]
    if len(set(names)) != len(names):
        raise BalancerFailed("two backends have one name in HAProxy's file: " + ", ".join(names))
    return tuple(sorted(found, key=lambda b: b.name))


def _of(balancer: Balancer, section: Section, blank: bool) -> list[BackendLines]:
    service, settings = checks.name(section.service), section.balancing
    if settings.algorithm not in ALGORITHMS:
        raise BalancerFailed(f"{service}: {settings.algorithm!r} is no way to balance")
    if any(backend.mode not in ("http", "tcp") for backend in section.backends):
        raise BalancerFailed(f"{service}: a port is neither http nor tcp")
    found, declared = [], set()
    for backend in sorted(section.backends, key=lambda b: b.port):
        guards = _guards(section, backend.port) if balancer.listen else {}
        lists = [g for g in guards.values() if (g.users or g.rate) and g.name not in declared]
        declared.update(g.name for g in lists)
        http = backend.mode == "http"
        found.append(
            BackendLines(
                name=checks.backend(backend_name(service, checks.name(backend.port))),
                service=service,
                mode=backend.mode,
                algorithm=settings.algorithm,
                check=_check(section.healthcheck, backend.port),
                servers=_servers(section, backend, blank),
                guards=tuple(g for g in guards.values() if http),
                lists=tuple(lists),
                sticky=checks.cookie(settings.sticky) if settings.sticky and http else "",
                timeouts=_timeouts(settings),
                maintenance=settings.maintenance,
                page=live(balancer.paths, page_path(section)) if settings.maintenance_page else "",
                options=_options(settings),
                snippet=snippet.lines(service, settings.snippet),
            )
        )
    return found


def _guards(section: Section, port: str) -> dict[str, Guard]:
    """Those of the routes to ``port``, by name."""
    found = [guard(section.service, route) for route in section.routes if route.port == port]
    return {g.name: g for g in sorted(filter(None, found), key=lambda g: g.name)}


def _timeouts(settings: Balancing) -> tuple[tuple[str, str], ...]:
    """What is as usual stands in the defaults."""
    usual = Balancing()
    wanted = {
        "queue": (settings.queue_timeout, usual.queue_timeout),
        "server": (settings.server_timeout, usual.server_timeout),
        "tunnel": (settings.tunnel_timeout, usual.tunnel_timeout),
    }
    return tuple(
        (name, checks.duration(value, most=7 * 86400.0))
        for name, (value, default) in wanted.items()
        if value != default
    )


def _options(settings: Balancing) -> tuple[str, ...]:
    found = []
    if settings.slowstart:
        found.append(f"slowstart {checks.duration(settings.slowstart)}")
    if settings.send_proxy:
        proxy = {"v1": "send-proxy", "v2": "send-proxy-v2"}
        if settings.send_proxy not in proxy:
            raise BalancerFailed(f"{settings.send_proxy!r} is no version of the PROXY protocol")
        found.append(proxy[settings.send_proxy])
    return tuple(found)


def _check(check: Healthcheck, port: str) -> Check:
    """The service's own check, by HTTP where it is asked at this very port."""
    return Check(
        path=checks.check_path(check.path) if check.http_at(port) else "",
        interval=checks.duration(check.interval),
        fast=checks.duration(min(FAST, check.interval)),
        timeout=checks.duration(check.timeout),
        fall=checks.count(check.retries),
        rise=RISE,
    )


def _servers(section: Section, backend: Backend, blank: bool) -> tuple[ServerLine, ...]:
    held = {server.slot: server for server in backend.servers}
    if len(held) != len(backend.servers) or not all(1 <= slot <= backend.size for slot in held):
        raise BalancerFailed(
            f"{section.service}: the server slots of port {backend.port} don't add up"
        )
    settings, taken = section.balancing, {} if blank else held
    cookie = backend.mode == "http" and bool(settings.sticky)
    size = checks.slot(backend.size)
    return tuple(
        ServerLine(server_name(slot), _line(slot, size, taken.get(slot), cookie, settings.maxconn))
        for slot in range(1, size + 1)
    )


def _line(slot: int, size: int, server: Server | None, cookie: bool, maxconn: int) -> str:
    """Weight 0 keeps a draining server drained through a reload; one held in maintenance is
    disabled, at its address. Columns are as wide as any of ``size`` slots may need."""
    name, digits = server_name(slot), len(str(size))
    first = f"server {name:<{len(server_name(size))}}"
    same = f"id {slot:<{digits}}" + (f" cookie {name}" if cookie else "")
    if server is None:
        return f"{first} {FREE:<{WIDTH}} {same} disabled"
    where = f"{checks.endpoint(server.address, server.port):<{WIDTH}}"
    weight = 0 if server.wanted == "drain" else checks.weight(server.weight)
    limit = f" maxconn {checks.requests(maxconn)}" if maxconn else ""
    out = " disabled" if server.wanted == "maint" else ""
    return f"{first} {where} {same} weight {weight}{limit}{out}  # {checks.name(server.instance)}"
