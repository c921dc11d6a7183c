"""What plays take from each other or from the balancers: ways in, ports, names of secrets."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterator
from typing import Any

from fleetctl.config.balancer_vars import meets_public, shown_bind
from fleetctl.config.playbook import Evaluated
from fleetctl.config.routes import shown
from fleetctl.config.secrets_file import NAME
from fleetctl.errors import Diagnostic, Span
from fleetctl.model.fleet import Fleet
from fleetctl.model.routing import Internal, Route


def between(
    evaluated: tuple[Evaluated, ...], fleet: Fleet | None, secrets: Collection[str]
) -> list[Diagnostic]:
    """All that doesn't go together. ``fleet`` is None when the inventory has mistakes of its
    own; ``secrets`` are the names that secrets.yml defines."""
    found = [*_same_routes(evaluated), *_same_ports(evaluated), *_same_inside(evaluated)]
    if fleet is not None:
        found += _with_balancers(evaluated, fleet)
    found += _undefined(evaluated, secrets)
    return found


def _same_routes(evaluated: tuple[Evaluated, ...]) -> Iterator[Diagnostic]:
    first: dict[Any, tuple[Evaluated, Span | None]] = {}
    for one, route in _routes(evaluated):
        span = _at(one, route)
        other, where = first.setdefault(route.key, (one, span))
        if other is not one:
            message = f"route {shown(route)} is {other.play.service}'s too, at {where}"
            yield Diagnostic("same-route", message, span, "change one of the two")


def _same_ports(evaluated: tuple[Evaluated, ...]) -> Iterator[Diagnostic]:
    """A port of its own carries http or tcp."""
    first: dict[int, tuple[Evaluated, Route]] = {}
    for one, route in _routes(evaluated):
        other, has = first.setdefault(route.listen, (one, route))
        if route.listen and has.mode != route.mode:
            where = _at(other, has)
            message = f"port {route.listen} is {has.mode} of {other.play.service}, at {where}"
            yield Diagnostic("same-route", message, _at(one, route), "listen on another port")


def _same_inside(evaluated: tuple[Evaluated, ...]) -> Iterator[Diagnostic]:
    """Names share a port with http; with tcp it is one service's alone."""
    first: dict[int, tuple[Evaluated, Internal]] = {}
    for one, inside in _inside(evaluated):
        other, has = first.setdefault(inside.listen, (one, inside))
        if other is not one and "tcp" in (has.mode, inside.mode):
            message = (
                f"internal: port {inside.listen} is {other.play.service}'s too, "
                f"at {_key(other, 'internal')}"
            )
            hint = "with mode tcp a port is one service's alone: listen on another"
            yield Diagnostic("same-route", message, _key(one, "internal"), hint)


def _with_balancers(evaluated: tuple[Evaluated, ...], fleet: Fleet) -> Iterator[Diagnostic]:
    """What the balancers' own ports and addresses leave no room for."""
    for one, route in _routes(evaluated):
        taken = _taken(route.listen, fleet) if route.listen else None
        if taken:
            message = f"listen: {route.listen} is taken: {taken}"
            hint = "listen on another port; without listen, http is on the public one"
            yield Diagnostic("same-route", message, _at(one, route), hint)
    listens = {route.listen for _, route in _routes(evaluated) if route.listen}
    for one, inside in _inside(evaluated):
        span = _key(one, "internal")
        if not any(balancer.internal for balancer in fleet.balancers):
            message = f"internal: no balancer of inventory {fleet.name} has an address inside"
            hint = "give them fleetctl_internal_address, or set fleetctl_internal: every_host"
            yield Diagnostic("no-balancer", message, span, hint)
        elif problem := _no_room_inside(inside.listen, listens, fleet):
            hint = "listen on another port, or at an address that only the fleet comes to"
            yield Diagnostic("same-route", f"internal: {problem}", span, hint)


def _taken(port: int, fleet: Fleet) -> str:
    """Which public balancer listens on ``port`` anyway; empty for none."""
    for balancer in fleet.balancers:
        stats = (balancer.stats,) if balancer.stats else ()
        for bind in (*balancer.listen, *balancer.listen_tls, *stats):
            if balancer.listen and bind[1] == port:
                return f"{balancer.name} has {shown_bind(bind)}"
    return ""


def _no_room_inside(port: int, listens: Collection[int], fleet: Fleet) -> str:
    """Why no service can listen on ``port`` inside the fleet; empty for nothing."""
    for balancer in fleet.balancers:
        host = fleet.host(balancer.name)
        public = meets_public(balancer, (host.address, host.login.address), port, listens)
        if public:
            where = f"{balancer.internal}:{port} of {balancer.name}"
            return f"public requests to {where} would get there, as {shown_bind(public)} is public"
        first, last = host.port_range
        if not balancer.listen and first <= port <= last:
            return f"port {port} is in {first}-{last}, which instances on {host.name} have"
    return ""


def _undefined(evaluated: tuple[Evaluated, ...], secrets: Collection[str]) -> Iterator[Diagnostic]:
    for one in evaluated:
        for wanted in one.wanted:
            for reference in filter(None, (wanted.reference, wanted.key)):
                name = reference.words[0]
                if reference.kind == "secret" and name not in secrets:
                    near = difflib.get_close_matches(name, secrets, 1)
                    hint = f'did you mean "{near[0]}"?' if near else f"define it in {NAME}"
                    message = f'{NAME} defines no secret "{name}"'
                    yield Diagnostic("secret-missing", message, reference.span, hint)


def _routes(evaluated: tuple[Evaluated, ...]) -> Iterator[tuple[Evaluated, Route]]:
    for one in evaluated:
        for route in one.spec.routes if one.spec else ():
            yield one, route


def _inside(evaluated: tuple[Evaluated, ...]) -> Iterator[tuple[Evaluated, Internal]]:
    for one in evaluated:
        if one.spec is not None and one.spec.internal is not None:
            yield one, one.spec.internal


def _at(one: Evaluated, route: Route) -> Span | None:
    return one.places.get(route.key) or _key(one, "routes")


def _key(one: Evaluated, key: str) -> Span:
    return one.play.data.span(key, of_key=True)
