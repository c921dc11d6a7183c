"""Batches as steps: readable ids, what each needs, and why it is there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from fleetctl.model.instance import Container
from fleetctl.model.plan import (
    Admit,
    AnyStep,
    Commit,
    Create,
    Drain,
    Health,
    Prune,
    Pull,
    Remove,
    Start,
    Stop,
)
from fleetctl.planner.ground import Ground, Old
from fleetctl.planner.inputs import Situation
from fleetctl.planner.rolling import Batch, Launch
from fleetctl.planner.serving import Serving

Ids = tuple[str, ...]


class Assembly:
    """The steps of one plan, in an order in which every need comes before its step."""

    def __init__(self, situation: Situation, serving: Serving, ground: Ground) -> None:
        self._situation = situation
        self._serving = serving
        self._steps: list[AnyStep] = []
        self._ids: Counter[str] = Counter()
        self._needed: set[str] = set()
        self._pulls: dict[str, str] = {}
        self._gate: Ids = ()
        self._gone: dict[str, str] = {}
        self._early: set[str] = set()
        self._reused: set[str] = set()
        self._slots = (*ground.slots, *ground.surplus)
        self._kept = {slot.right.name for slot in self._slots if slot.right}
        self._strays = {
            slot.number: slot.strays for slot in self._slots if slot.strays and serving.drains
        }

    def steps(self, batches: Sequence[Batch], *, commit: bool) -> tuple[AnyStep, ...]:
        launches = [launch for batch in batches for launch in batch.launches]
        self._reused = {launch.instance.name for launch in launches}
        self._pull(launches)
        self._settings(launches)
        for batch in batches:
            self._batch(batch)
        self._withdraw_strays(len(batches))
        removes = self._removable()
        target = self._situation.target.number
        due = self._situation.open or self._situation.current != target
        if commit and (due or self._steps or removes):
            self._finish(removes)
        return tuple(self._steps)

    def _add(self, step: AnyStep) -> str:
        self._steps.append(step)
        self._needed.update(step.needs)
        return step.id

    def _id(self, *parts: object) -> str:
        text = "-".join(str(part) for part in parts)
        self._ids[text] += 1
        return text if self._ids[text] == 1 else f"{text}-{self._ids[text]}"

    def _ends(self) -> Ids:
        """The steps that no other step needs: when they are done, all are."""
        return tuple(step.id for step in self._steps if step.id not in self._needed)

    def _pull(self, launches: Iterable[Launch]) -> None:
        hosts = Counter(launch.instance.host for launch in launches if launch.create)
        for host, count in sorted(hosts.items()):
            cause = f"{count} new instance{'s' if count > 1 else ''} on {host}"
            image = self._situation.target.spec.image
            pull = Pull(id=self._id("pull", host), cause=cause, host=host, image=image)
            self._pulls[host] = self._add(pull)

    def _settings(self, launches: Sequence[Launch]) -> None:
        """Routes and settings where no batch's Admit brings them in line. Where the routes
        were taken away, all servers go before any container does."""
        cause = self._serving.out_of_line()
        if not cause or (self._serving.routed and launches):
            return
        pulls = tuple(self._pulls.values())
        gate = self._add(
            Admit(id=self._id("admit-settings"), cause=cause, needs=pulls, instances=())
        )
        if not self._serving.routed and self._serving.servers:
            servers = tuple(self._serving.gone(name) for name in sorted(self._serving.servers))
            drain = Drain(
                id=self._id("drain-routes"), cause=cause, needs=(gate,), containers=servers
            )
            clear = self._id("admit-none")
            gate = self._add(Admit(id=clear, cause=cause, needs=(self._add(drain),), instances=()))
        self._gate = (gate,)

    def _batch(self, batch: Batch) -> None:
        everything = self._gate or tuple(self._pulls.values())
        stopped = self._stops(batch.first, everything, batch.number, "first")
        healthy = tuple(self._launch(x, stopped, batch.number) for x in batch.launches)
        ready = healthy
        if healthy and self._serving.routed:
            instances = tuple(x.instance for x in batch.launches)
            cause = f"{_slots(i.slot for i in instances)} passed health: requests may come"
            admit = Admit(
                id=self._id("admit", f"b{batch.number}"),
                cause=cause,
                needs=healthy,
                batch=batch.number,
                instances=instances,
            )
            ready = (self._add(admit),)
        strays = [s for x in batch.launches for s in self._strays.pop(x.slot.number, ())]
        if not ready or not self._gate:
            ready = (*ready, *everything)
        self._stops(batch.last, ready, batch.number, "", strays)
        self._gate = self._ends()

    def _stops(
        self,
        olds: Sequence[Old],
        needs: Ids,
        batch: int,
        when: str,
        strays: Sequence[Container] = (),
    ) -> Ids:
        """Drains together, stops one by one. Returns the ids of the stops."""
        spared = self._kept if when == "first" else self._kept | self._reused
        drained = [old.container for old in olds if self._serving.drains] + list(strays)
        drained = [container for container in drained if container.name not in spared]
        if drained:
            parts = ("drain", f"b{batch}", when) if when else ("drain", f"b{batch}")
            cause = f"{_slots(c.slot for c in drained)}: the old ones get nothing new"
            drain = Drain(
                id=self._id(*parts),
                cause=cause,
                needs=needs,
                batch=batch,
                containers=tuple(drained),
            )
            needs = (self._add(drain),)
        ids = []
        for old in olds:
            stop = Stop(
                id=self._id("stop", old.container.slot),
                cause=old.cause,
                needs=needs,
                batch=batch,
                container=old.container,
            )
            ids.append(self._add(stop))
            self._gone[old.container.id] = stop.id
        return tuple(ids)

    def _launch(self, launch: Launch, stopped: Ids, batch: int) -> str:
        """Returns the id of the instance's Health."""
        slot, instance = launch.slot, launch.instance
        cause = slot.cause or f"slot {slot.number} {slot.fault}"
        needs = self._gate
        if launch.create:
            pull = self._pulls[instance.host]
            cleared = self._clear(launch, batch)
            create = self._id("create", slot.number)
            needs = (
                self._add(
                    Create(
                        id=create,
                        cause=cause,
                        needs=(pull, *self._gate, *cleared),
                        batch=batch,
                        instance=instance,
                    )
                ),
            )
        if launch.start:
            if launch.waits:
                needs = (*needs, *stopped)
            start = self._id("start", slot.number)
            step = Start(id=start, cause=cause, needs=needs, batch=batch, instance=instance)
            needs = (self._add(step),)
        health = self._id("health", slot.number)
        return self._add(
            Health(id=health, cause=cause, needs=needs, batch=batch, instance=instance)
        )

    def _clear(self, launch: Launch, batch: int) -> Ids:
        """What must be removed before a container of that name, in that slot, is created."""
        instance, slot = launch.instance, launch.slot
        olds = [old.container for old in slot.olds]
        ids = []
        for container in (*slot.dead, *olds):
            same = (container.host, container.name) == (instance.host, instance.name)
            if not same and container.state != "created":
                continue
            after = self._gone.get(container.id)
            needs = tuple(dict.fromkeys((*self._gate, *((after,) if after else ()))))
            ids.append(self._remove(container, needs, batch))
        return tuple(ids)

    def _remove(self, container: Container, needs: Ids, batch: int = 0) -> str:
        self._early.add(container.id)
        state = "stopped" if container.id in self._gone else f"{container.state}"
        if container.state == "exited":
            state = f"exited with code {container.exit_code}"
        cause = f"{container.name} is {state} and no slot needs it"
        return self._add(
            Remove(
                id=self._id("remove", container.slot),
                cause=cause,
                needs=needs,
                batch=batch,
                container=container,
            )
        )

    def _withdraw_strays(self, batches: int) -> None:
        """Servers without a container, in slots that need nothing else."""
        strays = [s for _, found in sorted(self._strays.items()) for s in found]
        self._stops((), self._gate or tuple(self._pulls.values()), batches, "gone", strays)

    def _removable(self) -> list[Container]:
        dead = [container for slot in self._slots for container in slot.dead]
        olds = [old.container for slot in self._slots for old in slot.olds]
        stopped = [container for container in olds if container.id in self._gone]
        found = [c for c in (*dead, *stopped) if c.id not in self._early]
        return sorted(found, key=lambda c: (c.slot, c.host, c.name, c.id))

    def _finish(self, removes: Sequence[Container]) -> None:
        situation = self._situation
        number = situation.target.number
        cause = f"every slot holds revision {number}"
        commit = self._add(
            Commit(id=self._id("commit"), cause=cause, needs=self._ends(), revision=number)
        )
        after: dict[str, list[str]] = {}
        for container in removes:
            after.setdefault(container.host, []).append(self._remove(container, (commit,)))
        kept = {*situation.retained, number}
        revisions = tuple(sorted(r.number for r in situation.revisions if r.number not in kept))
        if not revisions:
            return
        cause = f"{'revisions' if len(revisions) > 1 else 'revision'} "
        cause += f"{', '.join(map(str, revisions))}: not kept any longer"
        for host in self._image_hosts():
            self._add(
                Prune(
                    id=self._id("prune", host),
                    cause=cause,
                    needs=(commit, *after.get(host, ())),
                    host=host,
                    revisions=revisions,
                )
            )

    def _image_hosts(self) -> list[str]:
        """Up hosts that may have images of the service, within the limit."""
        situation = self._situation
        limit = situation.limit
        return sorted(
            host.name
            for host in situation.observed
            if host.up
            and (limit is None or host.name in limit)
            and (
                host.name in situation.candidates
                or any(c.service == situation.service for c in host.containers)
            )
        )


def _slots(numbers: Iterable[int]) -> str:
    found = sorted(set(numbers))
    return f"slot{'s' if len(found) > 1 else ''} {', '.join(map(str, found))}"
