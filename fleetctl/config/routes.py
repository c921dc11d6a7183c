"""A play's public ways in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from fleetctl.config.lowering import Lowering, Wanted, port_of
from fleetctl.config.positions import place
from fleetctl.config.schema import RoutePart, TlsPart
from fleetctl.config.source import escaped
from fleetctl.config.sources import name_of
from fleetctl.model.reference import Reference
from fleetctl.model.routing import Rate, Route, Tls

NOBODY = (("basic_auth", "!"),)
"""Users of a route until its own have been read: no password has that hash."""
MOST_HSTS = 2 * 365 * 86400
MOST_PER = 86400
_HTTP_ONLY = ("host", "path", "headers", "basic_auth")
MOST_HEADERS = 8


def routes(work: Lowering) -> tuple[Route, ...]:
    """Sorted, paths without a slash at their end. What they take from secrets is added to
    ``work.wanted``."""
    found: list[Route] = []
    for index, part in enumerate(work.play.routes):
        path = ("routes", index)
        route = _route(work, path, part)
        if any(other.key == route.key for other in found):
            work.note(path, f"routes: {shown(route)} is there twice")
        found.append(route)
        if at := place(work.written, path):
            work.places[route.key] = at
    return tuple(sorted(found, key=lambda route: route.key))


def shown(route: Route) -> str:
    """The way in, for people."""
    if route.mode == "tcp":
        return f"port {route.listen}"
    listen = f":{route.listen}" if route.listen else ""
    headers = "".join(f", {name}: {value}" for name, value in route.headers)
    host = f"{route.host or 'any host'}{listen}"
    return f"{host}{'' if route.host else ' '}{route.path}{headers}"


def _route(work: Lowering, path: tuple[Any, ...], part: RoutePart) -> Route:
    _check_given(work, path, part)
    if part.mode == "tcp":
        _check_tcp(work, path, part)
    route = Route(
        port=port_of(work, path, part.port),
        host=(part.host or "").lower(),
        path=(part.path or "").rstrip("/") or "/",
        headers=_headers(work, path, part),
        mode=part.mode,
        listen=part.listen or 0,
        allow=tuple(sorted(set(part.allow))),
        rate=_rate(work, path, part),
    )
    if part.tls is not None:
        route = replace(route, tls=_tls(work, path, part.tls, route))
    if part.basic_auth is not None:
        reference = part.basic_auth.reference
        at = place(work.written, (*path, "basic_auth"))
        work.wanted.append(Wanted(route.key, replace(reference, span=at)))
        route = replace(route, users=NOBODY)
    return route


def _check_given(work: Lowering, path: tuple[Any, ...], part: RoutePart) -> None:
    """A guard that is written and empty would let everybody in."""
    for key in ("allow", "basic_auth", "rate_limit", "tls"):
        if key in part.model_fields_set and not getattr(part, key):
            message = f"routes: {key} is empty, and guards nothing"
            work.note_key((*path, key), message, "take it out, or fill it in")


def _check_tcp(work: Lowering, path: tuple[Any, ...], part: RoutePart) -> None:
    if part.listen is None:
        hint = "add listen: PORT, which is then this route's alone"
        work.note(path, "routes: mode tcp needs a port of its own", hint)
    for key in _HTTP_ONLY:
        if getattr(part, key):
            message = f"routes: {key} is of HTTP; with mode tcp nothing looks at requests"
            work.note_key((*path, key), message, "take it out, or use mode: http")


def _headers(work: Lowering, path: tuple[Any, ...], part: RoutePart) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    if len(part.headers) > MOST_HEADERS:
        work.note((*path, "headers"), f"routes: more than {MOST_HEADERS} headers")
    for name, value in part.headers.items():
        at = (*path, "headers", name)
        if name.lower() == "host":
            work.note_key(at, "routes: the host has a key of its own", "write host: NAME")
        if name.lower() in found:
            work.note_key(at, f"routes: the header {escaped(name)} is there twice")
        if value != value.strip():
            work.note(at, "routes: blanks around a header's value are never seen", "take them out")
        found[name.lower()] = value
    return tuple(sorted(found.items()))


def _rate(work: Lowering, path: tuple[Any, ...], part: RoutePart) -> Rate | None:
    if part.rate_limit is None:
        return None
    if not 0.001 <= part.rate_limit.per <= MOST_PER:
        at = (*path, "rate_limit", "per")
        work.note(at, "routes: per is above 0 and at most 24h", "per: 10s")
    return Rate(part.rate_limit.requests, part.rate_limit.per)


def _tls(work: Lowering, path: tuple[Any, ...], part: TlsPart, route: Route) -> Tls | None:
    """None where TLS isn't for this route."""
    where = (*path, "tls")
    if route.mode == "tcp":
        message = "routes: tls is not supported with mode tcp by this version"
        work.note_key(where, message, "let the service speak TLS itself, on this very port")
        return None
    if route.listen:
        message = "routes: tls is on the public port (443) alone, not on a port of its own"
        work.note_key(where, message, "take out listen, or tls")
        return None
    if part.hsts != int(part.hsts) or part.hsts > MOST_HSTS:
        work.note((*where, "hsts"), "routes: hsts is whole seconds, at most 730d", "hsts: 180d")
    at = place(work.written, (*where, "certificate"))
    reference = replace(part.certificate.reference, span=at)
    key = part.certificate.key and replace(part.certificate.key, span=at)
    try:
        name = name_of(reference)
    except ValueError as error:
        hint = "name it in secrets.yml, and write {secret: NAME}"
        work.note((*where, "certificate"), f"routes: {error}", hint)
        return None
    _check_same(work, (*where, "certificate"), name, (reference, key))
    work.wanted.append(Wanted(route.key, reference, name, key, route.host))
    return Tls(name, part.redirect, part.hsts)


def _check_same(
    work: Lowering,
    path: tuple[Any, ...],
    name: str,
    from_: tuple[Reference, Reference | None],
) -> None:
    """One name is one certificate."""
    for other in work.wanted:
        if other.certificate == name and (other.reference, other.key) != from_:
            message = f"routes: two certificates are called {name}"
            hint = "name one of them in secrets.yml, and write {secret: NAME}"
            work.note(path, message, hint)
            return
