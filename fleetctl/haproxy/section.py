"""Edits of a service's section: instances come in, drain, and go. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

from fleetctl.model.balancing import Backend, Section, Server
from fleetctl.model.instance import Instance, port_of
from fleetctl.model.routing import Route
from fleetctl.model.spec import ServiceSpec

LEAST_SPARE = 2


def admit(section: Section | None, spec: ServiceSpec, instances: Sequence[Instance]) -> Section:
    """``section`` (None: there is none yet) with the settings of ``spec`` and with
    ``instances`` as ready servers.

    There is one backend for each port that ``spec`` routes to; another port's backend stays
    as long as it has servers. An instance that has a slot keeps it; a new one gets the next
    free slot after the one given out last. Slots are at least enough for all replicas, the
    surge, and two more, and double when none is free. They never become fewer. Of the health
    check only a connection is asked while servers of another check are in.
    """
    old = section or Section(spec.name)
    size = _size(spec)
    ports = sorted({route.port for route in spec.routes})
    backends = []
    for port in ports:
        backend = old.backend(port) or Backend(port, size)
        backend = replace(backend, size=max(backend.size, size))
        backends.append(_admit(backend, spec, instances))
    backends += [b for b in old.backends if b.port not in ports and b.servers]
    section = Section(
        service=spec.name,
        routes=_routes(old, spec.routes, backends),
        drain_timeout=spec.rollout.drain_timeout,
        backends=tuple(sorted(backends, key=lambda b: b.port)),
    )
    return replace(section, healthcheck=section.check_for(spec.healthcheck))


def drain(section: Section, names: Collection[str]) -> Section:
    """``section`` in which the servers of these instances get no new request."""
    return _each_backend(
        section,
        lambda server: replace(server, state="drain") if server.instance in names else server,
    )


def withdraw(section: Section, names: Collection[str]) -> Section:
    """``section`` without the servers of these instances."""
    return _each_backend(section, lambda server: None if server.instance in names else server)


def _each_backend(section: Section, edit: Callable[[Server], Server | None]) -> Section:
    return replace(
        section,
        backends=tuple(
            replace(b, servers=tuple(s for s in map(edit, b.servers) if s is not None))
            for b in section.backends
        ),
    )


def _admit(backend: Backend, spec: ServiceSpec, instances: Sequence[Instance]) -> Backend:
    servers = {server.instance: server for server in backend.servers}
    last, size = backend.last, backend.size
    for instance in sorted(instances, key=lambda i: (i.slot, i.name)):
        port = port_of(instance.bindings, backend.port)
        if not port:
            continue
        known = servers.get(instance.name)
        if known:
            slot = known.slot
        else:
            slot, size = _free_slot({s.slot for s in servers.values()}, last, size)
            last = slot
        server = Server(
            slot=slot,
            instance=instance.name,
            container_slot=instance.slot,
            revision=instance.revision,
            host=instance.host,
            address=instance.address,
            port=port,
            check=spec.healthcheck.path_at(backend.port),
        )
        servers[instance.name] = replace(server, weight=known.weight) if known else server
    ordered = tuple(sorted(servers.values(), key=lambda s: s.slot))
    return replace(backend, size=size, servers=ordered, last=last)


def _free_slot(taken: set[int], last: int, size: int) -> tuple[int, int]:
    """The next slot after ``last``, round and round, that is not taken; and the size, doubled
    if all were."""
    for step in range(1, size + 1):
        slot = (last + step - 1) % size + 1
        if slot not in taken:
            return slot, size
    return size + 1, size * 2


def _routes(
    old: Section, wanted: Sequence[Route], backends: Sequence[Backend]
) -> tuple[Route, ...]:
    """``wanted``, but a host and path that is served stays with the port that serves it until
    the port it is to go to has a ready server."""
    ready = {b.port for b in backends if any(s.state == "ready" for s in b.servers)}
    served = {(r.host, r.path): r for r in old.routes if r.port in ready}
    routes = {
        route if route.port in ready else served.get((route.host, route.path), route)
        for route in wanted
    }
    return tuple(sorted(routes, key=lambda r: (r.host, r.path, r.port)))


def _size(spec: ServiceSpec) -> int:
    surge = spec.rollout.max_surge.strip()
    if surge.endswith("%"):
        extra = math.ceil(float(surge[:-1]) * spec.replicas / 100)
    else:
        extra = int(surge)
    needed = spec.replicas + max(LEAST_SPARE, extra)
    return 1 << (needed - 1).bit_length()
