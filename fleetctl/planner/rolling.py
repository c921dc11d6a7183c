"""From what is to what is wanted, batch by batch, between the ceiling and the floor.

A batch assumes that the one before is whole.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace

from fleetctl.planner.arithmetic import Limits
from fleetctl.planner.batch import Batch, Launch, instance_of
from fleetctl.planner.placement import Placement
from fleetctl.planner.slots import Ground, Old, Slot


class Roll:
    """Makes the batches. ``unplaced`` are slots for which no host has room; ``forced`` those
    that must stop before their replacement starts, because both have one name."""

    def __init__(
        self,
        ground: Ground,
        placement: Placement,
        limits: Limits,
        caps: tuple[int, ...],
        zones: dict[str, str],
    ) -> None:
        self._placement = placement
        self._limits = limits
        self._caps = caps
        self._zones = zones
        self.unplaced: list[Slot] = []
        self.forced: list[int] = []
        self._finishing: list[Slot] = []
        self._urgent: list[Slot] = []
        self._healthy: list[Slot] = []
        self._leftovers: list[Old] = []
        self._surplus = [old for s in ground.surplus if not s.frozen for old in s.olds]
        self._live = 0
        self._available = 0
        self._doubted = 0
        for slot in ground.slots:
            self._count(slot)
            if not slot.frozen:
                self._sort(slot)
        self._count_in(self._surplus)
        self._healthy = _hosts_in_turn(self._healthy)

    def _count(self, slot: Slot) -> None:
        """A frozen slot counts as serving, unless it is held: nothing here can change it."""
        running = slot.right is not None and slot.right.running
        if slot.frozen:
            self._live += max(1, len(slot.olds) + running)
            self._available += not slot.held
            self._doubted += not (slot.held or slot.seen)
            return
        serves = slot.settled and not slot.held
        self._live += running
        self._available += serves
        self._doubted += serves and not slot.seen
        self._count_in(slot.olds)

    def _count_in(self, olds: Iterable[Old], by: int = 1) -> None:
        for old in olds:
            self._live += by
            self._available += by * old.available
            self._doubted += by * (old.available and not old.seen)

    def _sort(self, slot: Slot) -> None:
        """At most one old container of a slot waits for its replacement; others just go."""
        if slot.settled:
            self._leftovers += slot.olds
            return
        self._leftovers += slot.olds[1:]
        slot = replace(slot, olds=slot.olds[:1])
        if slot.right is not None:
            self._finishing.append(slot)
        elif any(old.available for old in slot.olds):
            self._healthy.append(slot)
        else:
            self._urgent.append(slot)

    def batches(self) -> list[Batch]:
        done: list[Batch] = []
        while self._finishing or self._urgent or self._healthy or self._leftovers:
            batch = self._fill(Batch(len(done) + 1))
            if batch.empty:
                self.unplaced = [*self._finishing, *self._urgent, *self._healthy]
                break
            done.append(batch)
        if self._surplus:
            self._count_in(self._surplus, -1)
            last = Batch(len(done) + 1, last=self._surplus, leaves_last=self._left)
            done.append(last)
        return done

    @property
    def _room(self) -> int:
        return self._limits.ceiling - self._live

    @property
    def _left(self) -> int:
        """How many must be seen to serve: what is counted and not seen now didn't fall away
        since. But where any is to stay, one is seen."""
        counted = max(0, min(self._available, self._limits.floor))
        return max(min(counted, 1), min(counted, self._available - self._doubted))

    @property
    def _spare(self) -> int:
        return self._available - self._limits.floor

    def _fill(self, batch: Batch) -> Batch:
        self._leftovers = self._go_first(self._leftovers, batch)
        if self._finishing or self._urgent or self._healthy:
            self._surplus = self._make_room(batch)
        cap = self._caps[min(batch.number, len(self._caps)) - 1]
        self._finishing = self._launch(self._finishing, batch, cap)
        self._urgent = self._launch(self._urgent, batch, cap)
        self._healthy = self._launch(self._zones_in_turn(batch), batch, cap)
        batch.leaves_first = self._left
        self._close(batch)
        batch.leaves_last = self._left
        return batch

    def _go_first(self, olds: list[Old], batch: Batch) -> list[Old]:
        """Stops of ``olds`` what the floor allows; returns the rest."""
        rest = []
        for old in olds:
            if old.available and self._spare < 1:
                rest.append(old)
            else:
                self._stop(old)
                batch.first.append(old)
        return rest

    def _make_room(self, batch: Batch) -> list[Old]:
        """Surplus goes at the end, unless it doesn't serve or nothing could start for it."""
        sick = [old for old in self._surplus if not old.available]
        rest = self._go_first(sick, batch) + [old for old in self._surplus if old.available]
        if self._room >= 1:
            return rest
        count = self._live - self._limits.replicas
        return self._go_first(rest[:count], batch) + rest[count:]

    def _stop(self, old: Old) -> None:
        self._count_in((old,), -1)
        self._placement.release(old.container)

    def _zones_in_turn(self, batch: Batch) -> list[Slot]:
        """The healthy slots so that no zone comes a second time while another has none in
        this batch; largest zone first, so that later batches can do so too."""
        zone_of = {slot.number: self._zones.get(slot.home, slot.home) for slot in self._healthy}
        taken = Counter(
            self._zones.get(launch.slot.home, launch.slot.home) for launch in batch.launches
        )
        sizes = Counter(zone_of.values())
        keyed = []
        for position, slot in enumerate(self._healthy):
            zone = zone_of[slot.number]
            keyed.append((taken[zone], -sizes[zone], zone, position))
            taken[zone] += 1
        return [self._healthy[position] for *_, position in sorted(keyed)]

    def _launch(self, slots: list[Slot], batch: Batch, cap: int) -> list[Slot]:
        """Launches of ``slots`` what cap and room allow; returns the rest, in order."""
        rest = []
        full = False
        for slot in slots:
            launch = None
            if len(batch.launches) < cap and not self._crowded(slot):
                if not full:
                    launch = self._start_first(slot, batch)
                    full = launch is None and not self._clash(slot)
                launch = launch or self._stop_first(slot, batch)
            if launch is None:
                rest.append(slot)
            else:
                batch.launches.append(launch)
        return rest

    def _crowded(self, slot: Slot) -> bool:
        """A slot with two live containers takes no third."""
        if slot.right and slot.right.running:
            return False
        return any(old.container.slot == slot.number for old in self._leftovers)

    def _clash(self, slot: Slot) -> bool:
        """Whether the old container has the very name that the new one is to get: the
        balancers could not tell them apart."""
        name = self._placement.name(slot)
        return slot.right is None and any(old.container.name == name for old in slot.olds)

    def _start_first(self, slot: Slot, batch: Batch) -> Launch | None:
        if slot.right and slot.right.running:
            instance = instance_of(slot.right)
            return Launch(slot, instance, False, False, False, slot.olds)
        if self._room < 1 or self._clash(slot):
            return None
        return self._started(slot, batch, slot.olds)

    def _stop_first(self, slot: Slot, batch: Batch) -> Launch | None:
        """Where nothing can start beside it, the slot's old container stops before."""
        cost = sum(old.available for old in slot.olds)
        forced = self._clash(slot) and not batch.launches and not batch.first
        if not slot.olds or self._room + len(slot.olds) < 1:
            return None
        if cost > max(self._spare, 0) and not forced:
            return None
        for old in slot.olds:
            self._stop(old)
        batch.first += slot.olds
        launch = self._started(slot, batch, ())
        if launch is None:
            del batch.first[-len(slot.olds) :]
            self._count_in(slot.olds)
            for old in slot.olds:
                self._placement.take(old.container)
        elif cost > 0 and forced:
            self.forced.append(slot.number)
        return launch

    def _started(self, slot: Slot, batch: Batch, replaced: tuple[Old, ...]) -> Launch | None:
        instance = instance_of(slot.right) if slot.right else self._placement.place(slot)
        if instance is None:
            return None
        self._live += 1
        return Launch(slot, instance, slot.right is None, True, bool(batch.first), replaced)

    def _close(self, batch: Batch) -> None:
        """All of the batch serve by now: their old ones go, as far as the floor allows."""
        self._available += sum(not launch.slot.held for launch in batch.launches)
        olds = [old for launch in batch.launches for old in launch.replaced] + self._leftovers
        self._leftovers = []
        for old in olds:
            if old.available and self._spare < 1:
                self._leftovers.append(old)
            else:
                self._stop(old)
                batch.last.append(old)


def _hosts_in_turn(slots: list[Slot]) -> list[Slot]:
    """One slot of each host, then a second of each, and so on."""
    seen: Counter[str] = Counter()
    keyed = []
    for slot in slots:
        keyed.append((seen[slot.home], slot.number, slot))
        seen[slot.home] += 1
    return [slot for *_, slot in sorted(keyed, key=lambda k: k[:2])]
