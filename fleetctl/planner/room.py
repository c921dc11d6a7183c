"""What one host has free, while a plan fills and empties it."""

from __future__ import annotations

from dataclasses import dataclass, field

from fleetctl.model.fleet import Host
from fleetctl.model.instance import Container
from fleetctl.model.observed import ObservedHost
from fleetctl.model.record import Reservation
from fleetctl.model.spec import ServiceSpec
from fleetctl.planner.slots import LIVE


def milli(cpus: float) -> int:
    """Thousandths of a cpu: sums of floats would not be exact."""
    return round(cpus * 1000)


@dataclass(frozen=True, slots=True)
class Demand:
    """What one instance of the service takes of a host."""

    cpus: int
    memory: int
    ports: int
    max_per_host: int

    @classmethod
    def of(cls, spec: ServiceSpec) -> Demand:
        cpus, memory = milli(spec.resources.cpus), spec.resources.memory
        return cls(cpus, memory, len(spec.ports), spec.placement.max_per_host)


@dataclass(slots=True)
class Room:
    """Free thousandths of cpus, free bytes and taken ports of one host. ``live`` counts this
    service's containers there, ``held`` those that stay when the plan is carried out."""

    host: Host
    total_cpus: int
    total_memory: int
    cpus: int
    memory: int
    taken: set[int] = field(default_factory=set)
    live: int = 0
    held: int = 0
    lowest: int = 0

    def take(self, cpus: int, memory: int) -> None:
        self.cpus -= cpus
        self.memory -= memory
        self.live += 1

    def release(self, cpus: int, memory: int) -> None:
        self.cpus += cpus
        self.memory += memory
        self.live -= 1

    def lacks(self, demand: Demand) -> tuple[str, ...]:
        """Which of an instance's needs this host can't meet; empty when it fits."""
        lacking = []
        if demand.max_per_host and self.live >= demand.max_per_host:
            lacking.append("max_per_host")
        if demand.cpus > max(self.cpus, 0):
            lacking.append("cpus")
        if demand.memory > max(self.memory, 0):
            lacking.append("memory")
        if demand.ports and len(self.free_ports(demand.ports)) < demand.ports:
            lacking.append("ports")
        return tuple(lacking)

    def free_ports(self, count: int) -> tuple[int, ...]:
        """The lowest ``count`` ports of the range that nothing holds; fewer if there are."""
        first, last = self.host.port_range
        self.lowest = max(self.lowest, first)
        while self.lowest <= last and self.lowest in self.taken:
            self.lowest += 1
        ports: list[int] = []
        port = self.lowest
        while len(ports) < count and port <= last:
            if port not in self.taken:
                ports.append(port)
            port += 1
        return tuple(ports)

    @property
    def share(self) -> float:
        """The free share of its memory."""
        return self.memory / self.total_memory if self.total_memory else 0.0

    @property
    def fullness(self) -> float:
        """Used shares of cpu and memory together, from 0 to 2."""
        free_cpus = self.cpus / self.total_cpus if self.total_cpus else 0.0
        return 2.0 - free_cpus - self.share


def open_room(
    host: Host, seen: ObservedHost, service: str, reserved: tuple[Reservation, ...]
) -> Room:
    """The room on ``host`` now: after what it keeps back, what runs, and what others have
    reserved and not yet used."""
    cpus = host.capacity.cpus if host.capacity.cpus is not None else seen.cpus
    memory = host.capacity.memory if host.capacity.memory is not None else seen.memory
    total_cpus = milli(cpus) - milli(host.reserved.cpus or 0.0)
    total_memory = memory - (host.reserved.memory or 0)
    room = Room(host, total_cpus, total_memory, total_cpus, total_memory, set(seen.ports))
    published: set[int] = set()
    for container in seen.containers:
        published.update(binding.host for binding in container.bindings)
        if not _counts(container, service):
            continue
        room.cpus -= milli(container.cpus)
        room.memory -= container.memory
        room.live += container.service == service
    for reservation in reserved:
        if reservation.host == host.name and not published.intersection(reservation.ports):
            room.cpus -= milli(reservation.cpus)
            room.memory -= reservation.memory
            room.taken.update(reservation.ports)
    room.taken |= published
    return room


def _counts(container: Container, service: str) -> bool:
    """Whether it uses, or is about to use, what it was given. This service's own containers
    that never started are counted when they are kept, not before."""
    if container.state == "created":
        return container.service != service
    return container.state in LIVE
