"""Ways in: the map that says which backend has a request, and what guards it there. Pure.

A key of the map is PREFIX + HOST + PATH + "/". HOST is a name, ``*.NAME`` or ``*``; PREFIX is
empty on the public ports, ``PORT|`` on one of a route's own, ``internal|`` inside the fleet. A
value is BACKEND, or BACKEND|GUARD.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fleetctl.errors import BalancerFailed, Refused
from fleetctl.haproxy import checks
from fleetctl.model.balancing import Section, backend_name
from fleetctl.model.codec import digest
from fleetctl.model.fleet import Balancer
from fleetctl.model.names import internal_name
from fleetctl.model.routing import Mode, Pairs, Rate, Route

INTERNAL = "internal|"
PER_LINE = 16
"""Networks in one line: HAProxy takes at most 64 words."""
MOST_HEADERS = 8
MOST_HSTS = 10 * 365 * 86400.0


@dataclass(frozen=True, slots=True)
class Guard:
    """What stands before a backend, or before a tcp port, for those who come by a route that
    has it. ``allow`` are the networks in groups of one line each; ``per`` is HAProxy's own
    text of the time of ``rate``; ``hsts`` are seconds, 0 for no header."""

    name: str
    redirect: bool
    hsts: int
    allow: tuple[tuple[str, ...], ...]
    rate: Rate | None
    per: str
    users: Pairs


@dataclass(frozen=True, slots=True)
class HeaderRoute:
    """A route that also asks for headers. ``to`` is a value as the map has them; ``deeper``
    are paths that the map has a route of its own for, in groups of one line each."""

    name: str
    to: str
    conditions: tuple[str, ...]
    deeper: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class ByHeader:
    """Those of one frontend, by what they say of the host: its name, ``*.NAME`` or nothing. Each
    goes before the map is asked for that; the first that fits wins."""

    host: tuple[HeaderRoute, ...] = ()
    wild: tuple[HeaderRoute, ...] = ()
    any: tuple[HeaderRoute, ...] = ()


@functools.lru_cache(maxsize=4096)
def guard(service: str, route: Route) -> Guard | None:
    """The guard of ``route``, None for one that lets everybody in. Its name says what it is:
    equal guards of a service are one."""
    tls = route.tls
    redirect = bool(tls and tls.redirect)
    hsts = checks.milliseconds(tls.hsts, most=MOST_HSTS) // 1000 if tls else 0
    allow = tuple(sorted({checks.network(network) for network in route.allow}))
    users = tuple(sorted((checks.user(n), checks.crypt_hash(h)) for n, h in route.users))
    if users and route.mode == "tcp":
        raise BalancerFailed(f"{service}: users can't log in to a tcp route")
    if len(dict(users)) != len(users):
        raise BalancerFailed(f"{service}: a route has one user twice")
    if not (redirect or hsts or allow or route.rate or users):
        return None
    rate = route.rate
    per = checks.duration(rate.per) if rate else ""
    limit = (checks.requests(rate.requests), per) if rate else None
    parts = [route.mode, redirect, hsts, list(allow), limit, [list(user) for user in users]]
    return Guard(
        name=checks.name(f"{service}-{digest(parts)[:8]}"),
        redirect=redirect,
        hsts=hsts,
        allow=by_line(allow),
        rate=rate,
        per=per,
        users=users,
    )


def by_line(networks: Sequence[str]) -> tuple[tuple[str, ...], ...]:
    """``networks`` in groups that fit in a line each."""
    return tuple(tuple(networks[at : at + PER_LINE]) for at in range(0, len(networks), PER_LINE))


def target(section: Section, port: str, mode: Mode, what: str) -> str:
    """The name of the backend that ``what`` goes to."""
    backend = section.backend(port)
    if backend is None:
        raise BalancerFailed(
            f"{section.service}: {what} goes to port {port!r}, which has no backend"
        )
    if backend.mode != mode:
        raise BalancerFailed(
            f"{section.service}: {what} is {mode}, and port {port!r} is balanced as {backend.mode}",
            hint="one port of a service is http or tcp, not both",
        )
    return checks.backend(backend_name(section.service, port))


def table(balancer: Balancer, sections: Sequence[Section]) -> Pairs:
    """The map of this balancer, sorted. Raises Refused when two services want one route."""
    entries = {}
    for section, route in _http(sections):
        if not route.headers and balancer.listen:
            key = f"{_prefix(route)}{_host(route)}{checks.path(route.path)}/"
            entries[key] = _to(section, route)
    for section in sections:
        inside = section.internal
        if inside is not None and inside.mode == "http" and balancer.internal:
            key = f"{INTERNAL}{internal_name(section.service)}/"
            entries[key] = target(section, inside.port, "http", "its name inside")
    return tuple(sorted(entries.items()))


def by_header(sections: Sequence[Section], listen: int) -> ByHeader:
    """The routes of this port (0: the public ones) that ask for headers: a long path before a
    short one, more headers before fewer. Where the map has a longer path of the same host, that
    wins: a header is no way around a guard."""
    routes = [(s, r) for s, r in _http(sections) if r.listen == listen]
    plain = [(_host(r), checks.path(r.path)) for _, r in routes if not r.headers]
    asking = sorted(((s, r) for s, r in routes if r.headers), key=lambda item: _rank(item[1]))
    found: dict[str, list[HeaderRoute]] = {"host": [], "wild": [], "any": []}
    for number, (section, route) in enumerate(asking, 1):
        host, path = _host(route), checks.path(route.path)
        deeper = sorted(f"{p}/" for h, p in plain if h == host and p.startswith(f"{path}/"))
        kind = "any" if host == "*" else "wild" if host.startswith("*") else "host"
        found[kind].append(
            HeaderRoute(
                f"deeper-{number}", _to(section, route), _conditions(route), by_line(deeper)
            )
        )
    return ByHeader(**{kind: tuple(those) for kind, those in found.items()})


def _rank(route: Route) -> tuple[object, ...]:
    return (-len(checks.path(route.path)), -len(route.headers), route.key)


def _conditions(route: Route) -> tuple[str, ...]:
    if len(route.headers) > MOST_HEADERS:
        raise BalancerFailed(f"a route asks for more than {MOST_HEADERS} headers")
    tests = []
    if route.host:
        label = "wild" if route.host.startswith("*") else "host"
        tests.append(f"{{ var(txn.{label}) -m str {_host(route)} }}")
    if path := checks.path(route.path):
        tests.append(f"{{ var(txn.path) -m beg {path}/ }}")
    tests += [
        f'{{ req.hdr({checks.header(name)}) -- "{checks.header_value(value)}" }}'
        for name, value in route.headers
    ]
    return tuple(tests)


def _http(sections: Sequence[Section]) -> Iterator[tuple[Section, Route]]:
    """All http routes. Raises Refused for two that no request can be told apart by."""
    owners: dict[tuple[object, ...], tuple[Section, Route]] = {}
    for section in sections:
        for route in section.routes:
            if route.mode == "tcp":
                continue
            key = (route.listen, _host(route), checks.path(route.path), _named(route))
            known, twin = owners.setdefault(key, (section, route))
            if _to(known, twin) != _to(section, route):
                raise Refused(
                    f"{known.service} and {section.service} both want the route {_shown(route)}",
                    hint="give one of them another host or path",
                )
    yield from owners.values()


def _to(section: Section, route: Route) -> str:
    backend = target(section, route.port, route.mode, "a route")
    found = guard(section.service, route)
    return f"{backend}|{found.name}" if found else backend


def _prefix(route: Route) -> str:
    return f"{checks.port(route.listen)}|" if route.listen else ""


def _host(route: Route) -> str:
    return checks.host(route.host) if route.host else "*"


def _named(route: Route) -> Pairs:
    return tuple(sorted((name.lower(), value) for name, value in route.headers))


def _shown(route: Route) -> str:
    where = f"{route.host or 'any host'}{checks.path(route.path) or '/'}"
    headers = "".join(f", {name}: {value}" for name, value in route.headers)
    return f"{where}{headers}" + (f" on port {route.listen}" if route.listen else "")
