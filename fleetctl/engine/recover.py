"""Certificates of a section that was lost, from what balancers still have."""

from __future__ import annotations

from dataclasses import replace

from fleetctl.engine.ports import World
from fleetctl.haproxy.side_files import certificate_path
from fleetctl.model.balancing import Section
from fleetctl.model.fleet import Fleet
from fleetctl.model.routing import Certificate, Route
from fleetctl.secrets.certificates import as_held


def with_certificates(world: World, fleet: Fleet, section: Section) -> Section:
    """``section`` with the certificates that its routes name. A route whose certificate no
    balancer has is left out: no file can be made with it, of any service. Raises HostError,
    CommandFailed."""
    wanted = {
        route.tls.certificate: certificate_path(section, route)
        for route in section.routes
        if route.tls and section.certificate(route.tls.certificate) is None
    }
    found = _found(world, fleet, wanted) if wanted else {}
    certificates = {c.name: c for c in (*section.certificates, *found.values())}

    def usable(route: Route) -> bool:
        return route.tls is None or route.tls.certificate in certificates

    return replace(
        section,
        routes=tuple(filter(usable, section.routes)),
        certificates=tuple(certificates[name] for name in sorted(certificates)),
    )


def _found(world: World, fleet: Fleet, wanted: dict[str, str]) -> dict[str, Certificate]:
    found: dict[str, Certificate] = {}
    for balancer in fleet.balancers:
        files = world.machine(balancer.name).side_files()
        for name, path in wanted.items():
            if name in found or path not in files:
                continue
            pem = world.balancer(balancer.name).certificate(files[path])
            if pem is not None:
                found[name] = as_held(name, pem)
    return found
