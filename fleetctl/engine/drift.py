"""Where fleet, record and plays differ: fleet from record, and plays from record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields

from fleetctl.engine.deploy import resolve
from fleetctl.engine.goal import reconcile_goal
from fleetctl.engine.options import RunOptions
from fleetctl.engine.ports import Emit, World
from fleetctl.engine.preview import Preview
from fleetctl.engine.situation import Match
from fleetctl.engine.view import View
from fleetctl.errors import Refused
from fleetctl.model.drift import PlayState, ServiceDrift
from fleetctl.model.fleet import Fleet
from fleetctl.model.material import NOTHING_NEW, Material
from fleetctl.model.record import ServiceRecord
from fleetctl.model.spec import ServiceSpec

KEYS = {"ports": "expose", "stop_grace": "stop_grace_period"}
"""Fields of a spec that a play calls something else."""
NO_MATERIAL: Mapping[str, Material] = {}


def drift(
    world: World,
    fleet: Fleet,
    match: Match,
    plays: Mapping[str, ServiceSpec],
    services: tuple[str, ...],
    options: RunOptions,
    emit: Emit,
    material: Mapping[str, Material] = NO_MATERIAL,
) -> tuple[ServiceDrift, ...]:
    """``services`` empty: all that are recorded or declared. Without any play none is
    compared. ``material`` is what a deploy of each play would bring along. Raises Refused for
    a service that is neither."""
    preview = Preview(world, fleet, options, emit)
    recorded = preview.view.services
    unknown = sorted(set(services) - set(recorded) - set(plays))
    if unknown:
        known = ", ".join(sorted({*recorded, *plays})) or "none"
        raise Refused(
            f"{', '.join(unknown)}: neither declared nor deployed", hint=f"services: {known}"
        )
    names = services or tuple(sorted({*recorded, *plays}))
    return tuple(
        _service(preview, name, match, plays, material.get(name, NOTHING_NEW)) for name in names
    )


def _service(
    preview: Preview,
    name: str,
    match: Match,
    plays: Mapping[str, ServiceSpec],
    material: Material,
) -> ServiceDrift:
    record = preview.view.service(name)
    number = record.open.target if record.open else record.current
    play, differs = _play(preview, record, number, match, plays)
    if play == "same" and (brought := _brought(preview.view, name, material)):
        play, differs = "differs", brought
    held = _held(preview.view, name)
    if not number:
        return ServiceDrift(name, 0, None, play, differs)
    if record.open is not None and record.open.paused:
        why = record.message or "paused"
        return ServiceDrift(name, number, None, play, differs, why, held)
    fleet = preview.plan(name, reconcile_goal, match)
    return ServiceDrift(name, number, fleet, play, differs, held=held)


def _held(view: View, service: str) -> tuple[tuple[str, str, float], ...]:
    section = view.sections.get(service)
    servers = [s for b in (section.backends if section else ()) for s in b.servers if s.held]
    return tuple(sorted({(s.instance, str(s.held), s.held_until) for s in servers}))


def _play(
    preview: Preview,
    record: ServiceRecord,
    number: int,
    match: Match,
    plays: Mapping[str, ServiceSpec],
) -> tuple[PlayState, tuple[str, ...]]:
    spec = plays.get(record.name)
    if spec is None:
        return ("undeclared" if plays else "not_compared"), ()
    committed = record.revision(number)
    if committed is None:
        return "differs", ()
    resolved = resolve(preview.world, spec, match(spec.hosts))
    if resolved == committed.spec:
        return "same", ()
    differs = tuple(
        KEYS.get(f.name, f.name)
        for f in fields(ServiceSpec)
        if getattr(resolved, f.name) != getattr(committed.spec, f.name)
    )
    given_up = [r for r in record.revisions if r.spec == resolved]
    left = any(r.successful is False or r.number == record.left for r in given_up)
    return ("rolled_back" if left else "differs"), differs


def _brought(view: View, service: str, material: Material) -> tuple[str, ...]:
    """What a deploy of the very spec would change: it is no part of a revision."""
    section = view.sections.get(service)
    if section is None:
        return ()
    certificates = [c for c in material.certificates if section.certificate(c.name) != c]
    found = tuple(f"certificate {certificate.name}" for certificate in certificates)
    changed = material.templates and material.templates != view.templates
    return (*found, "templates") if changed else found
