"""What balancers serve, beside what the record has them serve. Changes nothing."""

from __future__ import annotations

import difflib
from dataclasses import replace

from fleetctl.engine.observe import observe
from fleetctl.engine.ports import World
from fleetctl.engine.view import View, view_of
from fleetctl.errors import BalancerFailed, FleetError, Refused
from fleetctl.haproxy.render import render
from fleetctl.haproxy.rendered import Rendered
from fleetctl.haproxy.side_files import certificate_path
from fleetctl.haproxy.sync import differences
from fleetctl.model.balancing import Backend, Section, Server, backend_name, server_name
from fleetctl.model.fleet import Balancer, Fleet
from fleetctl.model.lb import (
    BalancerView,
    CertificateStatus,
    Gap,
    LbStatus,
    ServerState,
    ServerStatus,
)
from fleetctl.model.observed import ObservedBalancer, ObservedServer


def show(world: World, fleet: Fleet, services: tuple[str, ...], parallel: int) -> LbStatus:
    """``services`` empty: all that have a part of the balancers. Raises FleetError for one
    that has none, HostError when no record host answers."""
    world.connect(fleet.record_hosts)
    view = view_of(world.record.read())
    _must_be_there(services, view)
    shown = [view.sections[name] for name in sorted(services or view.sections)]
    seen = {one.name: one for one in observe(world, fleet, view.lineage, (), parallel).balancers}
    return LbStatus(tuple(_balancer(b, seen[b.name], view, shown) for b in fleet.balancers))


def file_of(balancer: Balancer, view: View) -> Rendered:
    """What the record gives a balancer. Raises BalancerFailed, Refused."""
    return render(balancer, list(view.sections.values()), view.templates)


def gaps(rendered: Rendered, seen: ObservedBalancer) -> tuple[Gap, ...]:
    """How a balancer that is up differs; nothing where it is in line."""
    return tuple(Gap(one.kind, one.what) for one in differences(rendered, seen))


def _must_be_there(services: tuple[str, ...], view: View) -> None:
    for name in services:
        if name in view.sections:
            continue
        known = sorted(view.sections)
        near = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"services: {', '.join(known) or 'none'}"
        raise FleetError(f"{name} has no part of the balancers", hint=hint)


def _balancer(
    balancer: Balancer, seen: ObservedBalancer, view: View, sections: list[Section]
) -> BalancerView:
    found: tuple[Gap, ...] = ()
    used: tuple[CertificateStatus, ...] = ()
    try:
        rendered = file_of(balancer, view)
    except (BalancerFailed, Refused) as error:
        found = (Gap("record", error.message),)
    else:
        found, used = gaps(rendered, seen), _certificates(rendered, sections, seen)
    return BalancerView(
        name=seen.name,
        state=seen.state,
        version=seen.version,
        in_sync=seen.up and not found,
        differences=found if seen.up else (),
        old_workers=seen.old_workers,
        certificates=used,
        servers=tuple(
            _server(section, backend, server, seen)
            for section in sections
            for backend in section.backends
            for server in backend.servers
        ),
        error=seen.error,
    )


def _certificates(
    rendered: Rendered, sections: list[Section], seen: ObservedBalancer
) -> tuple[CertificateStatus, ...]:
    """Those of ``sections`` that this balancer needs: the ones inside have no TLS."""
    loaded = dict(seen.certificates)
    return tuple(
        CertificateStatus(
            section.service,
            found.name,
            found.names,
            found.expires,
            loaded.get(path) == found.fingerprint,
        )
        for section in sections
        for path, found in rendered.certificates
        if path in {certificate_path(section, r) for r in section.routes if r.tls is not None}
    )


def _server(
    section: Section, backend: Backend, server: Server, seen: ObservedBalancer
) -> ServerStatus:
    names = backend_name(section.service, backend.port), server_name(server.slot)
    found = next((s for s in seen.servers if (s.backend, s.name) == names), None)
    known = ServerStatus(
        service=section.service,
        backend=names[0],
        server=names[1],
        instance=server.instance,
        host=server.host,
        address=server.address,
        port=server.port,
        revision=server.revision,
        state=_state(server, found) if seen.up else "UNKNOWN",
        held=server.held,
        held_until=server.held_until,
    )
    return known if found is None else _with_figures(known, found)


def _state(wanted: Server, found: ObservedServer | None) -> ServerState:
    if found is None or (found.address, found.port) != (wanted.address, wanted.port):
        return "NONE"
    if found.admin != "ready":
        return "MAINT" if found.admin == "maint" else "DRAIN"
    return "UP" if found.up else "DOWN"


def _with_figures(known: ServerStatus, found: ObservedServer) -> ServerStatus:
    return replace(
        known,
        status=found.status,
        weight=found.weight,
        sessions=found.sessions,
        queue=found.queue,
        rate=found.rate,
        requests=found.requests,
        errors=found.errors,
        check=found.check,
    )
