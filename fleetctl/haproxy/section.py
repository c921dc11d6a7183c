"""Edits of a service's section: instances come in, drain, are held, and go. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal

from fleetctl.model.balancing import Backend, Section, Server
from fleetctl.model.instance import Instance, port_of
from fleetctl.model.routing import Certificate, Internal, Route
from fleetctl.model.spec import ServiceSpec

LEAST_SPARE = 2
NO_WEIGHTS: Mapping[str, int] = MappingProxyType({})


def admit(
    section: Section | None,
    spec: ServiceSpec,
    instances: Sequence[Instance],
    certificates: Sequence[Certificate] = (),
    weights: Mapping[str, int] = NO_WEIGHTS,
    busy: Collection[tuple[str, int]] = (),
) -> Section:
    """``section`` (None: there is none yet) with the settings of ``spec`` and with
    ``instances`` as ready servers.

    There is one backend for each port that ``spec`` has balanced; another port's backend stays
    as long as it has servers. An instance that has a slot keeps it; a new one gets the next
    free slot after the one given out last. Slots are at least enough for all replicas, the
    surge, and two more, and double when none is free. They never become fewer. Of the health
    check only a connection is asked while servers of another check are in.

    Of ``certificates`` each takes the place of the one of its name; the others stay: another
    revision may name them. ``weights`` are those of hosts, for all servers there. What a person
    holds stays held, at every port. ``busy`` are (port, slot) that a new instance gets only where
    no other slot is free: they have connections of a former one.
    """
    old = section or Section(spec.name)
    size = _size(spec)
    modes = dict(spec.balanced)
    backends = []
    for port, mode in modes.items():
        backend = old.backend(port) or Backend(port, size)
        backend = replace(backend, size=max(backend.size, size), mode=mode)
        lasting = {slot for at, slot in busy if at == port}
        backends.append(_admit(backend, spec, instances, _held(old), lasting))
    backends += [b for b in old.backends if b.port not in modes and b.servers]
    admitted = replace(
        old,
        routes=_routes(old, spec.routes, backends),
        drain_timeout=spec.rollout.drain_timeout,
        backends=tuple(sorted(backends, key=lambda b: b.port)),
        internal=_internal(old, spec.internal, backends),
        balancing=spec.balancing,
        certificates=merged(old, certificates),
    )
    admitted = _each_server(admitted, lambda s: replace(s, weight=weights.get(s.host, s.weight)))
    return replace(admitted, healthcheck=admitted.check_for(spec.healthcheck))


def merged(section: Section | None, given: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """The certificates of ``section`` and those ``given``, which come before others of their
    name."""
    known = {c.name: c for c in (*(section.certificates if section else ()), *given)}
    return tuple(known[name] for name in sorted(known))


def drain(section: Section, names: Collection[str]) -> Section:
    """``section`` in which the servers of these instances get no new request."""
    return _each_server(section, lambda s: replace(s, state="drain") if s.instance in names else s)


def withdraw(section: Section, names: Collection[str]) -> Section:
    """``section`` without the servers of these instances."""
    return _each_server(section, lambda s: None if s.instance in names else s)


def hold(
    section: Section, names: Collection[str], state: Literal["drain", "maint"], until: float = 0.0
) -> Section:
    """``section`` in which a person has the servers of these instances in ``state``, until then
    (seconds since the epoch, 0: until a person ends it)."""
    return _each_server(
        section,
        lambda s: replace(s, held=state, held_until=until) if s.instance in names else s,
    )


def release(section: Section, names: Collection[str]) -> Section:
    """``section`` in which nobody holds the servers of these instances any more."""
    return _each_server(
        section, lambda s: replace(s, held="", held_until=0.0) if s.instance in names else s
    )


def expired(section: Section, now: float) -> tuple[str, ...]:
    """Names of the instances that were to be held until ``now`` or earlier."""
    return tuple(
        sorted(
            {
                server.instance
                for backend in section.backends
                for server in backend.servers
                if server.held and 0.0 < server.held_until <= now
            }
        )
    )


def _each_server(section: Section, edit: Callable[[Server], Server | None]) -> Section:
    return replace(
        section,
        backends=tuple(
            replace(b, servers=tuple(s for s in map(edit, b.servers) if s is not None))
            for b in section.backends
        ),
    )


def _held(section: Section) -> dict[str, Server]:
    return {s.instance: s for b in section.backends for s in b.servers if s.held}


def _admit(
    backend: Backend,
    spec: ServiceSpec,
    instances: Sequence[Instance],
    held: Mapping[str, Server],
    busy: Collection[int],
) -> Backend:
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
            slot, size = _free_slot({s.slot for s in servers.values()}, busy, last, size)
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
        if known:
            server = replace(server, weight=known.weight)
        if by := held.get(instance.name):
            server = replace(server, held=by.held, held_until=by.held_until)
        servers[instance.name] = server
    ordered = tuple(sorted(servers.values(), key=lambda s: s.slot))
    return replace(backend, size=size, servers=ordered, last=last)


def _free_slot(
    taken: Collection[int], busy: Collection[int], last: int, size: int
) -> tuple[int, int]:
    """The next slot after ``last``, round and round, that is not taken, and not busy if one is
    not; and the size, doubled if all were taken."""
    slots = [(last + step) % size + 1 for step in range(size)]
    free = [slot for slot in slots if slot not in taken]
    if not free:
        return size + 1, size * 2
    return next((slot for slot in free if slot not in busy), free[0]), size


def _serving(backends: Iterable[Backend]) -> set[str]:
    """Ports that have a server which is to get requests."""
    return {b.port for b in backends if any(s.wanted == "ready" for s in b.servers)}


def _routes(
    old: Section, wanted: Sequence[Route], backends: Sequence[Backend]
) -> tuple[Route, ...]:
    """``wanted``, but what is served stays with the port that serves it until the port it is
    to go to has a ready server."""
    ready = _serving(backends)
    served = {route.key: route for route in old.routes if route.port in ready}
    routes = {route if route.port in ready else served.get(route.key, route) for route in wanted}
    return tuple(sorted(routes, key=lambda r: (r.key, r.port, r.mode)))


def _internal(
    old: Section, wanted: Internal | None, backends: Sequence[Backend]
) -> Internal | None:
    """The same of the name inside the fleet."""
    ready = _serving(backends)
    stays = old.internal is not None and old.internal.port in ready
    return old.internal if wanted and wanted.port not in ready and stays else wanted


def _size(spec: ServiceSpec) -> int:
    surge = spec.rollout.max_surge.strip()
    if surge.endswith("%"):
        extra = math.ceil(float(surge[:-1]) * spec.replicas / 100)
    else:
        extra = int(surge)
    needed = spec.replicas + max(LEAST_SPARE, extra)
    return 1 << (needed - 1).bit_length()
