"""What the template is given: sections as checked, ready-made values. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from fleetctl.errors import BalancerFailed, Refused
from fleetctl.haproxy import checks
from fleetctl.model.balancing import Backend, Section, Server, backend_name, server_name
from fleetctl.model.routing import Route
from fleetctl.model.spec import Healthcheck

FREE = "127.0.0.1:1"
"""Where a free slot points: nobody listens there, and it is disabled besides."""
RISE = 1
FAST_MS = 200


@dataclass(frozen=True, slots=True)
class RouteLine:
    """A way from the public frontend to ``backend``: any of ``conditions``, always if none."""

    backend: str
    conditions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ServerLine:
    """One server slot. ``line`` is all of it."""

    name: str
    line: str


@dataclass(frozen=True, slots=True)
class Check:
    """The health check of a backend; without a ``path`` it is a TCP connection."""

    path: str
    interval_ms: int
    fast_ms: int
    timeout_ms: int
    fall: int
    rise: int


@dataclass(frozen=True, slots=True)
class BackendLines:
    name: str
    service: str
    check: Check
    servers: tuple[ServerLine, ...]


def backends(sections: Sequence[Section], *, blank: bool) -> tuple[BackendLines, ...]:
    """All backends by name. With ``blank`` every slot is written as free: that text is the
    skeleton."""
    found = [
        BackendLines(
            name=checks.backend(backend_name(checks.name(section.service), checks.name(b.port))),
            service=checks.name(section.service),
            check=_check(section.healthcheck, b.port),
            servers=_servers(section.service, b, blank),
        )
        for section in sections
        for b in section.backends
    ]
    names = [b.name for b in found]
    if len(set(names)) != len(names):
        raise BalancerFailed("two backends have one name in HAProxy's file: " + ", ".join(names))
    return tuple(sorted(found, key=lambda b: b.name))


def routes(sections: Sequence[Section]) -> tuple[RouteLine, ...]:
    """All routes, the first that fits wins: a host before any host, a long path before a short
    one. Raises Refused when two services want one host and path."""
    owners: dict[tuple[str, str], tuple[str, Route]] = {}
    for section in sections:
        for route in section.routes:
            key = (checks.host(route.host) if route.host else "", _path(route.path))
            known = owners.setdefault(key, (section.service, route))
            if (known[0], known[1].port) != (section.service, route.port):
                raise Refused(
                    f"{known[0]} and {section.service} both want the route "
                    f"{key[0] or 'any host'}{key[1]}",
                    hint="give one of them another host or path",
                )
            if section.backend(route.port) is None:
                raise BalancerFailed(
                    f"{section.service}: a route goes to port {route.port!r}, which has no backend"
                )
    order = sorted(owners, key=lambda key: (not key[0], -len(key[1]), key))
    return tuple(
        RouteLine(backend_name(owners[key][0], owners[key][1].port), _conditions(*key))
        for key in order
    )


def _path(path: str) -> str:
    return checks.path(path).rstrip("/") or "/"


def _conditions(host: str, path: str) -> tuple[str, ...]:
    who = f"{{ var(txn.host) -m str {host} }}" if host else ""
    if path == "/":
        return (who,) if who else ()
    where = (f"{{ path {path} }}", f"{{ path_beg {path}/ }}")
    return tuple(f"{who} {test}".strip() for test in where)


def _check(check: Healthcheck, port: str) -> Check:
    """The service's own check, by HTTP where it is asked at this very port."""
    interval = checks.milliseconds(check.interval)
    return Check(
        path=checks.check_path(check.path) if check.http_at(port) else "",
        interval_ms=interval,
        fast_ms=min(FAST_MS, interval),
        timeout_ms=checks.milliseconds(check.timeout),
        fall=checks.count(check.retries),
        rise=RISE,
    )


def _servers(service: str, backend: Backend, blank: bool) -> tuple[ServerLine, ...]:
    held = {server.slot: server for server in backend.servers}
    if len(held) != len(backend.servers) or not all(1 <= slot <= backend.size for slot in held):
        raise BalancerFailed(f"{service}: the server slots of port {backend.port} don't add up")
    return tuple(
        ServerLine(server_name(slot), _line(slot, None if blank else held.get(slot)))
        for slot in range(1, checks.slot(backend.size) + 1)
    )


def _line(slot: int, server: Server | None) -> str:
    name = f"server {server_name(checks.slot(slot))}"
    if server is None:
        return f"{name} {FREE} id {slot} disabled"
    # Weight 0 keeps a draining server drained through a reload.
    weight = 0 if server.state == "drain" else checks.weight(server.weight)
    where = checks.endpoint(server.address, server.port)
    return f"{name} {where} id {slot} weight {weight}  # {checks.name(server.instance)}"
