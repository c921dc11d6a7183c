"""status: the record beside what is seen. Takes no lock and changes nothing."""

from __future__ import annotations

from fleetctl.engine.lineage import refuse_claimed
from fleetctl.engine.observe import Observed, instance_hosts, observe
from fleetctl.engine.ports import World
from fleetctl.engine.view import View, view_of
from fleetctl.errors import BalancerFailed, FleetError, Refused
from fleetctl.haproxy.render import render
from fleetctl.haproxy.sync import in_sync
from fleetctl.model.balancing import Backend, Section, backend_name, server_name
from fleetctl.model.fleet import Fleet
from fleetctl.model.instance import Container
from fleetctl.model.observed import ObservedHost
from fleetctl.model.record import ServiceRecord
from fleetctl.model.status import (
    Amount,
    BalancerStatus,
    FleetStatus,
    HostStatus,
    InstanceStatus,
    ServiceStatus,
)

PARALLEL = 32


def status(
    world: World, fleet: Fleet, services: tuple[str, ...], declared: tuple[str, ...] = ()
) -> FleetStatus:
    """``services`` empty: all recorded ones. Raises FleetError for one that was never deployed,
    with other words for those that plays have ``declared``; RecordLost where hosts belong to
    a fleet that has no record."""
    world.connect(fleet.record_hosts)
    view = view_of(world.record.read())
    observed = observe(world, fleet, view.lineage, instance_hosts(fleet, view), PARALLEL)
    if not view.lineage:
        refuse_claimed(observed.hosts)
    for name in sorted(set(services) - set(view.services)):
        if name in declared:
            raise FleetError(
                f"{name} is declared and was never deployed on {fleet.name}",
                hint=f"fleetctl plan {name} shows what a deploy would do",
            )
        known = ", ".join(sorted({*view.services, *declared})) or "none"
        raise FleetError(f"{name}: neither declared nor deployed", hint=f"services: {known}")
    names = services or tuple(sorted(view.services))
    return FleetStatus(
        tuple(_service(view.service(name), view, observed) for name in names),
        tuple(_host(fleet, host) for host in observed.hosts),
        _balancers(fleet, view, observed),
    )


def _service(record: ServiceRecord, view: View, observed: Observed) -> ServiceStatus:
    current = record.revision(record.current)
    shown = current or (record.open and record.revision(record.open.target))
    desired = shown.spec.replicas if shown else 0
    own = [c for h in observed.hosts for c in h.containers if c.service == record.name]
    live = [c for c in own if c.state != "exited" or c.exit_code != 0 or not record.open]
    instances = [_instance(c, record, view, observed) for c in live]
    there = {c.slot for c in own}
    placed = dict(record.placed)
    for slot in range(1, desired + 1):
        if slot not in there:
            instances.append(_missing(record, slot, placed.get(slot, ""), observed))
    instances.sort(key=lambda i: (i.slot, -i.revision, i.name))
    wanted = current.hash if current else ""
    good = {c.slot for c in own if c.running and c.spec == wanted and 1 <= c.slot <= desired}
    ready = {i.slot for i in instances if i.state == "running" and _serves(i)}
    held = _held(view.sections.get(record.name), instances)
    state = _state(record, own, good, ready | held, desired)
    image = shown.spec.image if shown else ""
    message = record.message
    return ServiceStatus(
        record.name, record.current, image, desired, len(ready), state, tuple(instances), message
    )


def _serves(instance: InstanceStatus) -> bool:
    return instance.health != "unhealthy" and all(text == "UP" for _, text in instance.lb)


def _held(section: Section | None, instances: list[InstanceStatus]) -> set[int]:
    """Slots whose instance is out of service because a person wants it so."""
    wanted = {s.instance: s.held.upper() for b in _backends(section) for s in b.servers if s.held}
    return {
        instance.slot
        for instance in instances
        if instance.name in wanted
        and instance.state == "running"
        and all(text == wanted[instance.name] for _, text in instance.lb)
    }


def _backends(section: Section | None) -> tuple[Backend, ...]:
    return section.backends if section else ()


def _state(record, own, good, ready, desired):  # type: ignore[no-untyped-def]
    if record.open is not None:
        if record.open.paused:
            return "paused"
        return "failed" if record.open.failed or record.message else "rolling"
    if not record.current:
        return "failed"
    whole = len(good) == desired == len(ready) == len([c for c in own if c.running])
    return "converged" if whole else "drifted"


def _instance(
    container: Container, record: ServiceRecord, view: View, observed: Observed
) -> InstanceStatus:
    section = view.sections.get(record.name)
    lb: list[tuple[str, str]] = []
    port = container.bindings[0].host if container.bindings else 0
    for backend in _backends(section):
        for server in backend.servers:
            if server.instance != container.name:
                continue
            port = server.port
            names = backend_name(record.name, backend.port), server_name(server.slot)
            for balancer in observed.balancers:
                lb.append((balancer.name, _server_text(balancer, names, server)))
    if section is not None and not lb and container.running:
        lb = [(balancer.name, "NONE") for balancer in observed.balancers]
    return InstanceStatus(
        container.name,
        container.slot,
        container.host,
        container.address,
        port,
        container.revision,
        container.id[:12],
        container.state,
        container.health or ("healthy" if container.running and lb and _all_up(lb) else ""),
        container.started,
        tuple(lb),
    )


def _all_up(lb: list[tuple[str, str]]) -> bool:
    return all(text == "UP" for _, text in lb)


def _server_text(balancer, names, server) -> str:  # type: ignore[no-untyped-def]
    if not balancer.up:
        return balancer.state.upper()
    for seen in balancer.servers:
        if (seen.backend, seen.name) == names:
            if (seen.address, seen.port) != (server.address, server.port):
                return "NONE"
            if seen.admin != "ready":
                return str(seen.admin).upper()
            return "UP" if seen.up else "DOWN"
    return "NONE"


def _missing(record: ServiceRecord, slot: int, host: str, observed: Observed) -> InstanceStatus:
    seen = observed.host(host)
    state = "unknown" if seen is not None and not seen.up else "missing"
    name = f"{record.name}-{slot}"
    return InstanceStatus(name, slot, host, "", 0, record.current, "", state, "", 0.0)


def _host(fleet: Fleet, seen: ObservedHost) -> HostStatus:
    host = fleet.host(seen.name)
    cpus = seen.cpus if host.capacity.cpus is None else host.capacity.cpus
    memory = seen.memory if host.capacity.memory is None else host.capacity.memory
    running = [c for c in seen.containers if c.running]
    used = Amount(sum(c.cpus for c in running), sum(c.memory for c in running))
    state = "up" if seen.up else "unknown"
    return HostStatus(seen.name, state, Amount(cpus, memory), used, len(running), seen.error)


def _balancers(fleet: Fleet, view: View, observed: Observed) -> tuple[BalancerStatus, ...]:
    sections = [view.sections[name] for name in sorted(view.sections)]
    by_name = {balancer.name: balancer for balancer in fleet.balancers}
    found = []
    for seen in observed.balancers:
        error = seen.error
        try:
            level = in_sync(render(by_name[seen.name], sections, view.templates), seen)
        except (BalancerFailed, Refused) as unmade:
            level, error = False, error or f"no file can be made of the record: {unmade.message}"
        found.append(
            BalancerStatus(seen.name, seen.version, level, seen.file_id, seen.state, error)
        )
    return tuple(found)
