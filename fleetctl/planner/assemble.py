"""Batches as steps: what each needs, and why it is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from fleetctl.model.instance import Container
from fleetctl.model.plan import Admit, AnyStep, Create, Drain, Health, Pull, Start, Stop
from fleetctl.planner.batch import Batch, Launch
from fleetctl.planner.closing import close, remove
from fleetctl.planner.inputs import Situation
from fleetctl.planner.serving import Serving
from fleetctl.planner.slots import Ground, Old
from fleetctl.planner.steps import Ids, StepList


class Assembly:
    """Puts the steps of one plan together. ``_gate`` is what a batch waits for: the batch
    before, whole."""

    def __init__(self, situation: Situation, serving: Serving, ground: Ground) -> None:
        self._situation = situation
        self._serving = serving
        self._list = StepList()
        self._slots = {slot.number: slot for slot in (*ground.slots, *ground.surplus)}
        self._kept = {slot.right.name for slot in self._slots.values() if slot.right}
        self._strays = {
            number: slot.strays
            for number, slot in self._slots.items()
            if slot.strays and serving.drains
        }
        self._reused: set[str] = set()
        self._pulls: dict[str, str] = {}
        self._gate: Ids = ()
        self._stopped: dict[str, str] = {}
        self._removed: set[str] = set()

    def steps(self, batches: Sequence[Batch], *, commit: bool) -> tuple[AnyStep, ...]:
        launches = [launch for batch in batches for launch in batch.launches]
        self._reused = {launch.instance.name for launch in launches}
        self._pull(launches)
        self._settings(launches)
        for batch in batches:
            self._batch(batch)
        strays = [s for _, found in sorted(self._strays.items()) for s in found]
        self._stop((), self._before(), len(batches), "gone", 0, strays)
        if commit and self._list.steps and self._serving.check_waits:
            cause = "no server of the former health check is left"
            self._admit("check", cause, self._list.ends(), ())
        if commit:
            close(self._list, self._situation, self._surplus())
        return tuple(self._list.steps)

    def _before(self) -> Ids:
        """What every Drain and every Stop waits for: the gate, or before the first batch all
        pulls."""
        return self._gate or tuple(self._pulls.values())

    def _pull(self, launches: Iterable[Launch]) -> None:
        hosts = Counter(launch.instance.host for launch in launches if launch.create)
        image = self._situation.target.spec.image
        for host, count in sorted(hosts.items()):
            cause = f"{count} new instance{'s' if count > 1 else ''} on {host}"
            pull = Pull(id=self._list.name("pull", host), cause=cause, host=host, image=image)
            self._pulls[host] = self._list.add(pull)

    def _settings(self, launches: Sequence[Launch]) -> None:
        """Routes and settings where no batch's Admit brings them in line. Where the routes
        were taken away, all servers go before any container does."""
        cause = self._serving.out_of_line()
        if not cause or (self._serving.routed and launches):
            return
        self._admit("settings", cause, self._before(), ())
        servers = [self._serving.gone(name) for name in sorted(self._serving.servers)]
        if servers and not self._serving.routed:
            self._drain("routes", cause, (), servers, 0)
            self._admit("none", cause, (), ())
        self._gate = self._list.ends()

    def _batch(self, batch: Batch) -> None:
        before, left = self._before(), batch.leaves_first
        stopped = self._stop(batch.first, before, batch.number, "first", left)
        ready = tuple(self._launch(x, stopped, batch.number) for x in batch.launches)
        if ready and self._serving.routed:
            numbers = _slots(x.slot.number for x in batch.launches)
            cause = f"{numbers}: healthy, so requests may come"
            ready = (self._admit("", cause, ready, batch.launches, batch.number),)
        strays = [s for x in batch.launches for s in self._strays.pop(x.slot.number, ())]
        if not (ready and self._gate):
            ready = (*ready, *self._before())
        self._stop(batch.last, ready, batch.number, "", batch.leaves_last, strays)
        self._gate = self._list.ends()

    def _admit(
        self, what: str, cause: str, needs: Ids, launches: Sequence[Launch], batch: int = 0
    ) -> str:
        return self._list.add(
            Admit(
                id=self._list.name("admit", f"b{batch}" if batch else "", what),
                cause=cause,
                needs=self._list.after_edit(needs),
                batch=batch,
                instances=tuple(launch.instance for launch in launches),
            )
        )

    def _drain(
        self,
        what: str,
        cause: str,
        needs: Ids,
        containers: Sequence[Container],
        leaves: int,
        batch: int = 0,
    ) -> str:
        return self._list.add(
            Drain(
                id=self._list.name("drain", f"b{batch}" if batch else "", what),
                cause=cause,
                needs=self._list.after_edit(needs),
                batch=batch,
                containers=tuple(containers),
                leaves=leaves,
            )
        )

    def _stop(
        self,
        olds: Sequence[Old],
        needs: Ids,
        batch: int,
        when: str,
        leaves: int,
        strays: Sequence[Container] = (),
    ) -> Ids:
        """Drains together, stops one by one. Returns the ids of the stops. A server is known
        by its instance's name: one that a kept or new instance has too is left."""
        spared = self._kept if when == "first" else self._kept | self._reused
        by_hosts = 0 if self._serving.shows else leaves
        drained = [old.container for old in olds if self._serving.drains] + list(strays)
        drained = [container for container in drained if container.name not in spared]
        if drained:
            why = "no container stands behind it" if when == "gone" else "to be stopped"
            cause = f"{_slots(c.slot for c in drained)}: {why}"
            needs = (self._drain(when, cause, needs, drained, leaves, batch),)
        for old in olds:
            self._stopped[old.container.id] = self._list.add(
                Stop(
                    id=self._list.name("stop", old.container.slot),
                    cause=old.cause,
                    needs=needs,
                    batch=batch,
                    container=old.container,
                    leaves=by_hosts,
                )
            )
        return tuple(self._stopped[old.container.id] for old in olds)

    def _launch(self, launch: Launch, stopped: Ids, batch: int) -> str:
        """Returns the id of the instance's Health."""
        slot, instance, steps = launch.slot, launch.instance, self._list
        cause = slot.cause or f"slot {slot.number} {slot.fault}"
        needs = self._gate
        if launch.create:
            needs = (self._pulls[instance.host], *self._gate, *self._cleared(launch, batch))
            name = steps.name("create", slot.number)
            create = Create(id=name, cause=cause, needs=needs, batch=batch, instance=instance)
            needs = (steps.add(create),)
        if launch.start:
            needs = (*needs, *stopped) if launch.waits else needs
            name = steps.name("start", slot.number)
            start = Start(id=name, cause=cause, needs=needs, batch=batch, instance=instance)
            needs = (steps.add(start),)
        name = steps.name("health", slot.number)
        return steps.add(Health(id=name, cause=cause, needs=needs, batch=batch, instance=instance))

    def _cleared(self, launch: Launch, batch: int) -> Ids:
        """What must be over before a container of that name, in that slot, is created: no
        slot ever has three."""
        instance, slot = launch.instance, self._slots[launch.slot.number]
        ids: list[str] = []
        for container in (*slot.dead, *(old.container for old in slot.olds)):
            stopped = [self._stopped[container.id]] if container.id in self._stopped else []
            same = (container.host, container.name) == (instance.host, instance.name)
            if same or container.state == "created":
                self._removed.add(container.id)
                ids.append(remove(self._list, container, (*self._gate, *stopped), batch))
            else:
                ids += stopped
        return tuple(ids)

    def _surplus(self) -> list[Container]:
        """Containers that are not live by the end and not yet removed."""
        slots = self._slots.values()
        found = [container for slot in slots for container in slot.dead]
        olds = [old.container for slot in slots for old in slot.olds]
        found += [container for container in olds if container.id in self._stopped]
        left = [container for container in found if container.id not in self._removed]
        return sorted(left, key=lambda c: (c.slot, c.host, c.name, c.id))


def _slots(numbers: Iterable[int]) -> str:
    found = sorted(set(numbers))
    return f"slot{'s' if len(found) > 1 else ''} {', '.join(map(str, found))}"
