"""Hosts and their container engines, in memory."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from sim_effects import Effect, Effects

from fleetctl.errors import ConnectionLost, EngineFailed, ForeignLineage, ImageMissing, StaleFence
from fleetctl.model.evidence import HostEvidence, StoredSpec
from fleetctl.model.instance import Container, Instance
from fleetctl.model.observed import ObservedHost, Probe
from fleetctl.model.record import Fence
from fleetctl.model.routing import Pairs
from fleetctl.model.spec import Healthcheck, ServiceSpec, container_hash

if TYPE_CHECKING:
    from simulated import SimFleet


@dataclass
class SimHost:
    """A host that outlives controllers. ``strangers`` are containers of nobody's fleet: the
    real engine doesn't show them, but one who has their id can touch them. ``names`` are what
    containers know besides their spec's own hosts."""

    name: str
    address: str
    lineage: str = ""
    up: bool = True
    images: set[str] = field(default_factory=set)
    tags: dict[tuple[str, int], str] = field(default_factory=dict)
    containers: dict[str, Container] = field(default_factory=dict)
    specs: dict[tuple[str, int], StoredSpec] = field(default_factory=dict)
    strangers: dict[str, str] = field(default_factory=dict)
    fences: dict[str, tuple[int, str]] = field(default_factory=dict)
    names: dict[str, Pairs] = field(default_factory=dict)

    def fork(self) -> SimHost:
        return replace(
            self,
            images=set(self.images),
            tags=dict(self.tags),
            specs=dict(self.specs),
            containers=dict(self.containers),
            strangers=dict(self.strangers),
            fences=dict(self.fences),
            names=dict(self.names),
        )

    def end(self, container: str) -> None:
        """Somebody kills it, and nothing starts it again."""
        self.containers[container] = replace(self.containers[container], state="exited")

    def guard(self, fence: Fence) -> None:
        if not self.up:
            raise ConnectionLost(f"{self.name} is silent", host=self.name)
        number, holder = self.fences.get(fence.scope, (0, ""))
        if fence.number < number or (fence.number == number and fence.holder != holder):
            raise StaleFence(f"{self.name} has seen {number}", seen=number, host=self.name)
        self.fences[fence.scope] = (fence.number, fence.holder)


class SimEngine:
    """What one controller sees of a host's engine, and does to it."""

    def __init__(self, fleet: SimFleet, host: SimHost, effects: Effects) -> None:
        self.fleet, self.host, self.effects = fleet, host, effects

    def _do(self, kind: str, subject: str, fence: Fence, change: Callable[[], Any]) -> Any:
        def guarded() -> Any:
            self.host.guard(fence)
            return change()

        return self.effects.do(Effect(kind, self.host.name, subject, fence.scope), guarded)

    def _ask(self) -> None:
        self.effects.read()
        if not self.host.up:
            raise ConnectionLost(f"{self.host.name} is silent", host=self.host.name)

    def observe(self, lineage: str) -> ObservedHost:
        self.effects.read()
        if not self.host.up:
            return ObservedHost(self.host.name, "unknown", f"{self.host.name} is silent")
        return ObservedHost(
            self.host.name,
            lineage=self.host.lineage,
            cpus=8.0,
            memory=16 << 30,
            containers=tuple(self.host.containers[k] for k in sorted(self.host.containers)),
            fences=tuple(sorted((s, n) for s, (n, _) in self.host.fences.items())),
            kept=tuple(sorted({*self.host.tags, *self.host.specs})),
        )

    def claim(self, lineage: str, fence: Fence) -> None:
        def change() -> None:
            if self.host.lineage not in ("", lineage):
                raise ForeignLineage(f"{self.host.name} is of {self.host.lineage}")
            self.host.lineage = lineage

        self._do("claim", "lineage", fence, change)

    def resolve(self, reference: str) -> str:
        self._ask()
        if reference not in self.fleet.registry:
            raise ImageMissing(f"no image {reference}")
        return self.fleet.registry[reference]

    def has_image(self, image: str) -> bool:
        self._ask()
        return image in self.host.images

    def pull(self, image: str, fence: Fence, progress: Callable[[str], None]) -> None:
        self._do("pull", image, fence, lambda: self.host.images.add(image))

    def tag(self, image: str, service: str, revision: int, fence: Fence) -> None:
        def change() -> None:
            self.host.tags[service, revision] = image

        self._do("tag", f"{service}:{revision}", fence, change)

    def untag(self, service: str, revisions: Sequence[int], fence: Fence) -> None:
        def change() -> None:
            for number in revisions:
                self.host.tags.pop((service, number), None)
            used = {c.image for c in self.host.containers.values()}
            self.host.images = {
                i for i in self.host.images if i in used or i in self.host.tags.values()
            }

        self._do("untag", f"{service}:{','.join(map(str, revisions))}", fence, change)

    def create(
        self,
        instance: Instance,
        spec: ServiceSpec,
        lineage: str,
        generation: int,
        fence: Fence,
        names: Pairs = (),
    ) -> str:
        number = f"c{self.fleet.next_id()}"

        def change() -> None:
            if spec.image not in self.host.images:
                raise ImageMissing(f"{spec.image} is not on {self.host.name}")
            if any(c.name == instance.name for c in self.host.containers.values()):
                raise EngineFailed(f"name {instance.name} is taken")
            self.host.containers[number] = Container(
                number,
                instance.name,
                self.host.name,
                instance.address,
                instance.service,
                instance.slot,
                instance.revision,
                generation,
                instance.deploy,
                container_hash(spec),
                "created",
                image=spec.image,
                bindings=instance.bindings,
            )
            self.host.names[instance.name] = names

        self._do("create", instance.name, fence, change)
        return number

    def _set(self, kind: str, container: str, fence: Fence, **changes: Any) -> None:
        def change() -> None:
            if container in self.host.strangers:
                self.host.strangers[container] = kind
                return
            if container not in self.host.containers:
                raise EngineFailed(f"no container {container}")
            self.host.containers[container] = replace(self.host.containers[container], **changes)

        self._do(kind, self._name(container), fence, change)

    def _name(self, container: str) -> str:
        known = self.host.containers.get(container)
        return known.name if known else container

    def start(self, container: str, fence: Fence) -> None:
        now = self.fleet.clock.now()
        self._set("start", container, fence, state="running", started=now)

    def set_restart(self, container: str, policy: str, fence: Fence) -> None:
        self._set("set_restart", container, fence, restart_policy=policy)

    def stop(self, container: str, grace: float, fence: Fence) -> None:
        self._set("stop", container, fence, state="exited")

    def remove(self, container: str, fence: Fence) -> None:
        def change() -> None:
            self.host.containers.pop(container, None)

        self._do("remove", self._name(container), fence, change)

    def keep_spec(self, stored: StoredSpec, fence: Fence) -> bool:
        key = stored.service, stored.revision.number
        self._ask()
        known = self.host.specs.get(key)
        if (
            known is not None
            and known.revision.spec == stored.revision.spec
            and known.committed >= stored.committed
        ):
            return False

        def change() -> None:
            self.host.specs[key] = stored

        self._do("keep_spec", f"{key[0]}:{key[1]}", fence, change)
        return True

    def drop_specs(self, service: str, revisions: Sequence[int], fence: Fence) -> None:
        def change() -> None:
            for number in revisions:
                self.host.specs.pop((service, number), None)

        self._do("drop_specs", service, fence, change)

    def evidence(self) -> HostEvidence:
        self._ask()
        fences = tuple(sorted((s, n) for s, (n, _) in self.host.fences.items()))
        specs = tuple(self.host.specs[key] for key in sorted(self.host.specs))
        return HostEvidence(self.host.name, self.host.lineage, fences, specs)

    def inspect(self, container: str) -> Container | None:
        self._ask()
        return self.host.containers.get(container)

    def find(self, lineage: str, name: str) -> Container | None:
        self._ask()
        return next((c for c in self.host.containers.values() if c.name == name), None)

    def logs(self, container: str, lines: int) -> tuple[str, ...]:
        self._ask()
        return ("a line of the log",)

    def probe(self, address: str, port: int, check: Healthcheck) -> Probe:
        self._ask()
        ok = self.fleet.answers(address, port)
        return Probe(ok, f"GET {address}:{port}{check.path}", "200" if ok else "503")
