"""What is: each slot's containers, which of them is right, and what is wrong with the rest."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from fleetctl.model.instance import Container
from fleetctl.planner.inputs import Situation
from fleetctl.planner.serving import Serving
from fleetctl.planner.slots import LIVE, Ground, Old, Slot


class Survey:
    """Sorts the service's containers into slots."""

    def __init__(self, situation: Situation, serving: Serving) -> None:
        self._situation = situation
        self._serving = serving
        self._target = situation.target
        self._restart = {r.number: r.spec.restart for r in situation.revisions}
        self._restart[self._target.number] = self._target.spec.restart
        self._up = {h.name: h for h in situation.observed if h.up}
        self._inventory = {h.name for h in situation.hosts}
        self._limit = None if situation.limit is None else set(situation.limit)
        self._homes = set(situation.candidates) & set(self._up)
        self._taken = {name: set(host.ports) for name, host in self._up.items()}

    def ground(self) -> Ground:
        replicas = self._target.spec.replicas
        found: dict[int, list[Container]] = {}
        for container in self._containers():
            found.setdefault(container.slot, []).append(container)
        strays, unseen = self._strays()
        numbers = sorted({*range(1, replicas + 1), *found, *strays, *unseen})
        slots: list[Slot] = []
        ground = Ground((), ())
        for number in numbers:
            slot = self._slot(number, found.get(number, []), strays.get(number, []))
            slots.append(self._frozen(slot, unseen.get(number), ground))
        slots = self._at_most_per_host(slots)
        ground.slots = tuple(s for s in slots if 1 <= s.number <= replicas)
        ground.surplus = tuple(s for s in slots if not 1 <= s.number <= replicas)
        return ground

    def _containers(self) -> list[Container]:
        mine = [
            container
            for host in self._up.values()
            for container in host.containers
            if container.service == self._situation.service
        ]
        return sorted(mine, key=lambda c: (c.slot, c.host, c.name, c.id))

    def _strays(self) -> tuple[dict[int, list[Container]], dict[int, tuple[str, int, str]]]:
        """Servers whose container is gone, and those on hosts that don't answer, by slot."""
        names = {c.name for c in self._containers()}
        strays: dict[int, list[Container]] = {}
        unseen: dict[int, tuple[str, int, str]] = {}
        for name, servers in sorted(self._serving.servers.items()):
            server = servers[min(servers)]
            if server.host in self._inventory and server.host not in self._up:
                unseen[server.container_slot] = (server.host, server.revision, name)
            elif name not in names:
                strays.setdefault(server.container_slot, []).append(self._serving.gone(name))
        return strays, unseen

    def _slot(self, number: int, containers: list[Container], gone: list[Container]) -> Slot:
        right = None
        if 1 <= number <= self._target.spec.replicas:
            fits = [c for c in containers if not self._wrong(c)]
            right = min(fits, key=self._worth, default=None)
        rest = [c for c in containers if c is not right]
        olds = tuple(
            Old(c, self._available(c), self._cause(c, right), self._serving.sees(c))
            for c in rest
            if c.state in LIVE
        )
        dead = tuple(c for c in rest if c.state not in LIVE)
        strays = [c for c in dead if self._serving.knows(c)] + gone
        slot = Slot(
            number=number,
            right=right,
            fault=self._fault(right) if right else "",
            olds=tuple(sorted(olds, key=lambda o: (not o.available, o.container.name))),
            dead=dead,
            strays=tuple(strays),
            seen=right is None or self._serving.sees(right),
            held=right is not None and bool(self._serving.held(right.name)),
        )
        return slot if right else self._explained(slot)

    def _wrong(self, container: Container) -> str:
        """Why this container can't be what its slot is to hold; empty when it can."""
        if container.spec != self._target.hash:
            if container.revision != self._target.number:
                return f"has revision {container.revision}, wants {self._target.number}"
            return f"differs from revision {self._target.number}"
        if container.host not in self._homes:
            return f"is on {container.host}, which no longer matches"
        if container.state == "created":
            ports = {b.host for b in container.bindings}
            return "lost its host port" if ports & self._taken[container.host] else ""
        if container.state == "exited":
            return f"exited with code {container.exit_code}"
        return "" if container.running else f"is {container.state}"

    def _worth(self, container: Container) -> tuple[bool, bool, bool, float, str, str]:
        """Sorts the one to keep first: running, serving, oldest."""
        return (
            not container.running,
            bool(self._fault(container)),
            bool(self._serving.held(container.name)),
            container.started,
            container.name,
            container.id,
        )

    def _fault(self, container: Container) -> str:
        if container.state == "created":
            return "created and never started"
        if container.health in ("starting", "unhealthy"):
            return f"its health check says {container.health}"
        if not self._passed(container):
            return "never passed its health check"
        return self._serving.fault(container)

    def _passed(self, container: Container) -> bool:
        """The restart policy of the spec is given once health has passed, and taken away
        before a stop. Where the spec has none, an open deploy's own containers are asked."""
        policy = self._restart.get(container.revision, "no")
        if policy != "no":
            return container.restart_policy != "no"
        mine = self._situation.open and container.deploy == self._situation.deploy
        return self._serving.routed or not mine or container.spec != self._target.hash

    def _available(self, container: Container) -> bool:
        return (
            container.running
            and container.health != "unhealthy"
            and self._passed(container)
            and not self._serving.held(container.name)
            and self._serving.may_serve(container)
        )

    def _cause(self, container: Container, right: Container | None) -> str:
        if not 1 <= container.slot <= self._target.spec.replicas:
            return f"slot {container.slot} is surplus: {self._target.spec.replicas} wanted"
        wrong = self._wrong(container)
        if not wrong and right:
            wrong = f"is there twice: {right.name} stays"
        held = self._serving.held(container.name)
        return f"slot {container.slot} {wrong}" + (f" (held in {held})" if held else "")

    def _explained(self, slot: Slot) -> Slot:
        """``slot``, which holds nothing right, with the reason that says most."""
        for container in [old.container for old in slot.olds] + list(slot.dead):
            moves = container.spec == self._target.hash and container.host not in self._homes
            cause = f"slot {slot.number} {self._wrong(container)}"
            return replace(slot, cause=cause, moves=moves)
        return replace(slot, cause=f"slot {slot.number} is missing")

    def _frozen(self, slot: Slot, unseen: tuple[str, int, str] | None, ground: Ground) -> Slot:
        """Leaves a slot alone that lives outside the limit or on a host that doesn't answer."""
        replicas = self._target.spec.replicas
        if unseen and slot.right is None:
            host, revision, name = unseen
            ground.warnings.append(f"{host} does not answer: slot {slot.number} is left as it is")
            if revision != self._target.number or slot.olds or not 1 <= slot.number <= replicas:
                ground.whole = False
            seen, held = self._serving.sees_named(name), bool(self._serving.held(name))
            return replace(slot, frozen=True, unseen=host, seen=seen, held=held, dead=(), strays=())
        if self._limit is None:
            return slot
        live = [old.container for old in slot.olds] + ([slot.right] if slot.right else [])
        outside = sorted({c.host for c in live if c.host not in self._limit})
        slot = replace(slot, dead=tuple(c for c in slot.dead if c.host in self._limit))
        if not outside:
            return slot
        if not slot.settled or slot.olds:
            ground.whole = False
            where = ", ".join(outside)
            ground.warnings.append(f"slot {slot.number} stays as it is: {where} is not in --limit")
        seen = any(self._serving.sees(container) for container in live)
        held = all(self._serving.held(container.name) for container in live)
        return replace(slot, frozen=True, seen=seen, held=held, strays=())

    def _at_most_per_host(self, slots: list[Slot]) -> list[Slot]:
        """Where a host holds more than max_per_host, the highest slots move."""
        most = self._target.spec.placement.max_per_host
        held: Counter[str] = Counter()
        result = []
        for slot in slots:
            if slot.right is None:
                result.append(slot)
                continue
            held[slot.right.host] += 1
            if most and held[slot.right.host] > most and not slot.frozen:
                slot = self._moved(slot, slot.right, most)
            result.append(slot)
        return result

    def _moved(self, slot: Slot, right: Container, most: int) -> Slot:
        cause = f"slot {slot.number} is one too many on {right.host} (max_per_host {most})"
        if right.state not in LIVE:
            return replace(slot, right=None, fault="", dead=(*slot.dead, right), cause=cause)
        old = Old(right, self._available(right) and not slot.fault, cause, slot.seen)
        return replace(slot, right=None, fault="", olds=(old, *slot.olds), cause=cause, moves=True)
