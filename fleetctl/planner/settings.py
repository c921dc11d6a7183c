"""Where a service's section differs from what its revision wants, servers left aside."""

from __future__ import annotations

from dataclasses import fields

from fleetctl.model.balancing import Section
from fleetctl.model.routing import Balancing
from fleetctl.planner.inputs import Situation


def changed_settings(situation: Situation, section: Section) -> str:
    """The first cause to make the files of all balancers anew; empty where there is none."""
    spec = situation.target.spec
    if set(section.routes) != set(spec.routes):
        return "routes changed"
    if section.internal != spec.internal:
        return "the name inside the fleet changed"
    if section.healthcheck != section.check_for(spec.healthcheck):
        return "the health check changed"
    if section.drain_timeout != spec.rollout.drain_timeout:
        return "drain_timeout changed"
    if section.balancing != spec.balancing:
        return f"balancing changed: {_differing(section.balancing, spec.balancing)}"
    for port, mode in spec.balanced:
        backend = section.backend(port)
        if backend is None:
            return f"port {port} has no backend yet"
        if backend.mode != mode:
            return f"port {port} is {mode} now"
    return _certificates(situation, section) or _weights(situation, section) or situation.resettle


def lagging(situation: Situation) -> str:
    """Which balancers aren't as recorded, and in what; empty where all are."""
    return "; ".join(
        f"{name} is not as recorded: {what}"
        for name, what in zip(situation.behind, situation.differences, strict=True)
    )


def _differing(one: Balancing, other: Balancing) -> str:
    names = [f.name for f in fields(one) if getattr(one, f.name) != getattr(other, f.name)]
    return ", ".join(names)


def _certificates(situation: Situation, section: Section) -> str:
    for certificate in situation.certificates:
        known = section.certificate(certificate.name)
        if known is None:
            return f"certificate {certificate.name} is new"
        if known != certificate:
            return f"certificate {certificate.name} was renewed"
    return ""


def _weights(situation: Situation, section: Section) -> str:
    weights = {host.name: host.weight for host in situation.hosts}
    changed = {
        server.host
        for backend in section.backends
        for server in backend.servers
        if weights.get(server.host, server.weight) != server.weight
    }
    if not changed:
        return ""
    return f"weight changed: {', '.join(sorted(changed))}"
