"""Whether HAProxy's file can be made of a service, found out before any host is touched."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from fleetctl.config.positions import place
from fleetctl.errors import BalancerFailed, Diagnostic, FleetError, Refused
from fleetctl.haproxy.render import render
from fleetctl.haproxy.section import admit
from fleetctl.haproxy.snippet import lines
from fleetctl.model.fleet import Balancer
from fleetctl.model.routing import Certificate, Pairs
from fleetctl.model.spec import ServiceSpec

if TYPE_CHECKING:
    from fleetctl.config.playbook import Evaluated

_BALANCER = Balancer("trial", internal="127.0.0.1")
_USERS = (("somebody", f"$5$salt${'x' * 43}"),)
_DIGEST, _FINGERPRINT = "0" * 64, "0" * 40


def try_templates(templates: Pairs) -> Diagnostic | None:
    """What is wrong with them when there is no service."""
    try:
        render(_BALANCER, (), templates)
    except BalancerFailed as error:
        return Diagnostic("bad-template", error.message, hint=error.hint)
    return None


def try_service(play: Evaluated, spec: ServiceSpec, templates: Pairs) -> Diagnostic | None:
    """What keeps ``spec`` out of a balancer's file. Certificates and users need not be known."""
    try:
        lines(spec.name, spec.balancing.snippet)
    except BalancerFailed as error:
        return _diagnostic(play, ("balancing", "snippet"), error)
    routes = tuple(replace(r, users=_USERS) if r.users else r for r in spec.routes)
    names = sorted({route.tls.certificate for route in routes if route.tls})
    certificates = [Certificate(name, _DIGEST, _FINGERPRINT) for name in names]
    section = admit(None, replace(spec, routes=routes), (), certificates)
    try:
        render(_BALANCER, (section,), templates)
    except (BalancerFailed, Refused) as error:
        return _diagnostic(play, ("routes",) if spec.routes else ("internal",), error)
    return None


def _diagnostic(play: Evaluated, path: tuple[str, ...], error: FleetError) -> Diagnostic:
    return Diagnostic("bad-value", error.message, place(play.play.data, path), error.hint)
