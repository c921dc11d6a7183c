"""Where new instances go: filter by what fits, then the best by spread or by packing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fleetctl.model.instance import Binding, Container, Instance
from fleetctl.model.observed import ObservedBalancer
from fleetctl.model.record import Reservation
from fleetctl.planner.inputs import Situation
from fleetctl.planner.room import Demand, Room, milli, open_room
from fleetctl.planner.slots import Ground, Slot

Score = tuple[int | float | bool | str, ...]


class Placement:
    """The hosts' room as it changes from batch to batch of one plan."""

    def __init__(self, situation: Situation, ground: Ground) -> None:
        self._situation = situation
        self._spec = situation.target.spec
        self.demand = Demand.of(self._spec)
        seen = {host.name: host for host in situation.observed if host.up}
        allowed = set(situation.candidates)
        if situation.limit is not None:
            allowed &= set(situation.limit)
        self.rooms = {
            host.name: open_room(host, seen[host.name], situation.service, situation.reserved)
            for host in sorted(situation.hosts, key=lambda h: h.name)
            if host.name in allowed and host.name in seen
        }
        served = _served(situation.balancers)
        for room in self.rooms.values():
            room.taken |= served.get(room.host.address, set())
        labels = {host.name: dict(host.labels) for host in situation.hosts}
        spread = self._spec.placement.spread
        self._levels = {
            name: tuple(
                tuple(labels[name].get(label, "") for label in spread[: depth + 1])
                for depth in range(len(spread))
            )
            for name in labels
        }
        self._held: Counter[tuple[str, ...]] = Counter()
        for slot in ground.slots:
            for container in [slot.right] if slot.right else []:
                self._hold(container.host)
                if container.state == "created" and container.host in self.rooms:
                    self.take(container)

    def take(self, container: Container) -> None:
        """``container`` uses its room (again)."""
        if room := self.rooms.get(container.host):
            room.take(milli(container.cpus), container.memory)

    def release(self, container: Container) -> None:
        """``container`` is stopped by now; its ports stay taken until it is removed."""
        if room := self.rooms.get(container.host):
            room.release(milli(container.cpus), container.memory)

    def place(self, slot: Slot) -> Instance | None:
        """A new instance for ``slot`` on the best host that has room, which it takes; None
        when there is none."""
        best: tuple[Score, Room] | None = None
        for room in self.rooms.values():
            if room.lacks(self.demand):
                continue
            score = self._score(room, slot.home)
            if best is None or score < best[0]:
                best = (score, room)
        return None if best is None else self._settle(slot, best[1])

    def _score(self, room: Room, home: str) -> Score:
        """The lowest wins; the host's name makes it one order."""
        name = room.host.name
        if self._spec.placement.strategy == "pack":
            return (-room.fullness, -room.held, name != home, name)
        spread = tuple(self._held[level] for level in self._levels[name])
        return (*spread, room.held, name != home, -room.share, name)

    def _settle(self, slot: Slot, room: Room) -> Instance:
        ports = room.free_ports(self.demand.ports)
        room.taken.update(ports)
        room.take(self.demand.cpus, self.demand.memory)
        self._hold(room.host.name)
        bindings = tuple(
            Binding(port.name, port.container, host)
            for port, host in zip(self._spec.ports, ports, strict=True)
        )
        return self._instance(slot, room.host.name, room.host.address, bindings)

    def _instance(
        self, slot: Slot, host: str, address: str, bindings: tuple[Binding, ...]
    ) -> Instance:
        given = self._situation
        number, deploy = given.target.number, given.deploy
        return Instance(given.service, slot.number, number, host, address, bindings, deploy)

    def name(self, slot: Slot) -> str:
        """The name that a new instance of ``slot`` would have."""
        return self._instance(slot, "", "", ()).name

    def _hold(self, host: str) -> None:
        self._held.update(self._levels.get(host, ()))
        if room := self.rooms.get(host):
            room.held += 1

    def reservation(self, instance: Instance) -> Reservation:
        """The room and ports that ``instance`` is to use."""
        ports = tuple(binding.host for binding in instance.bindings)
        resources = self._spec.resources
        return Reservation(instance.host, instance.slot, ports, resources.cpus, resources.memory)


def _served(balancers: Sequence[ObservedBalancer]) -> dict[str, set[int]]:
    """By address the ports that a balancer sends requests to. Nothing new may listen there: the
    record may lack them, where a balancer came back with an older file."""
    found: dict[str, set[int]] = {}
    for balancer in balancers:
        for line in balancer.servers:
            if line.admin != "maint":
                found.setdefault(line.address, set()).add(line.port)
    return found
