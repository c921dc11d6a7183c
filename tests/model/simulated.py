"""A fleet in memory with a clock of its own: hosts, engines, balancers, record, locks.

It has the shapes of fleetctl.engine.ports and refuses what real parts refuse. Each remote
effect passes ``Effects``, where a run can be killed before or after it, and after each the
invariants are looked at.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from fleetctl.errors import (
    EngineFailed,
    ForeignLineage,
    ImageMissing,
    LockHeld,
    LockLost,
    StaleFence,
    StaleWrite,
)
from fleetctl.haproxy.rendered import Applied, Rendered
from fleetctl.model.balancing import backend_name, server_name
from fleetctl.model.fleet import Balancer, Fleet, Host, Login
from fleetctl.model.instance import Container, Instance
from fleetctl.model.observed import ObservedBalancer, ObservedHost, ObservedServer, Probe
from fleetctl.model.record import Document, Fence, Holder
from fleetctl.model.spec import Healthcheck, ServiceSpec, container_hash
from fleetctl.model.status import HistoryEntry


class Killed(BaseException):
    """The controller's process ended here."""


@dataclass
class Effects:
    """Counts remote effects; ``kill_at`` is (number from 1, before or after)."""

    kill_at: tuple[int, str] | None = None
    count: int = 0
    dead: bool = False
    log: list[str] = field(default_factory=list)
    watch: Callable[[str], None] = lambda _: None

    def do(self, what: str, effect: Callable[[], Any]) -> Any:
        if self.dead:
            raise Killed
        self.count += 1
        if self.kill_at == (self.count, "before"):
            self.dead = True
            raise Killed
        result = effect()
        self.log.append(what)
        self.watch(what)
        if self.kill_at == (self.count, "after"):
            self.dead = True
            raise Killed
        return result

    def read(self) -> None:
        if self.dead:
            raise Killed


@dataclass
class SimClock:
    time: float = 1_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


@dataclass
class SimHost:
    """A host that outlives controllers."""

    name: str
    address: str
    lineage: str = ""
    up: bool = True
    images: set[str] = field(default_factory=set)
    containers: dict[str, Container] = field(default_factory=dict)
    fences: dict[str, tuple[int, str]] = field(default_factory=dict)

    def guard(self, fence: Fence) -> None:
        number, holder = self.fences.get(fence.scope, (0, ""))
        if fence.number < number or (fence.number == number and fence.holder != holder):
            raise StaleFence(f"{self.name} has seen {number}", seen=number, host=self.name)
        self.fences[fence.scope] = (fence.number, fence.holder)


@dataclass
class SimServer:
    address: str
    port: int
    admin: str
    since: float


@dataclass
class SimBalancer:
    name: str
    up: bool = True
    file: Rendered | None = None
    skeleton: str = ""
    servers: dict[tuple[str, str], SimServer] = field(default_factory=dict)
    fence: tuple[int, str] = (0, "")


class SimFleet:
    """What persists: hosts, balancers, record, locks. Controllers come and go on it."""

    def __init__(self, hosts: int = 3, balancers: int = 1) -> None:
        self.clock = SimClock()
        self.hosts = {f"node{i}": SimHost(f"node{i}", f"10.0.0.{i}") for i in range(1, hosts + 1)}
        self.balancers = {f"lb{i}": SimBalancer(f"lb{i}") for i in range(1, balancers + 1)}
        self.documents: dict[str, Document] = {}
        self.locks: dict[str, tuple[str, int]] = {}
        self.counters: dict[str, int] = {}
        self.dead_holders: set[str] = set()
        self.registry = {
            "app:1": "app@sha256:1",
            "app:2": "app@sha256:2",
            "app:bad": "app@sha256:bad",
        }
        self.ids = itertools.count(1)
        self.generations: list[tuple[str, int]] = []

    def inventory(self) -> Fleet:
        names = sorted([*self.hosts, *self.balancers])
        hosts = tuple(
            Host(
                name,
                Login(name),
                self.hosts[name].address if name in self.hosts else "10.0.1.1",
            )
            for name in names
        )
        balancers = tuple(Balancer(name) for name in sorted(self.balancers))
        record = tuple(sorted(self.balancers)) or (names[0],)
        return Fleet("sim", hosts, balancers, record)

    def containers(self, service: str = "") -> list[Container]:
        return [
            c
            for host in self.hosts.values()
            for c in host.containers.values()
            if not service or c.service == service
        ]

    def at(self, address: str, port: int) -> Container | None:
        for c in self.containers():
            if c.running and c.address == address and any(b.host == port for b in c.bindings):
                return c
        return None

    def answers(self, container: Container | None) -> bool:
        return container is not None and not container.image.endswith("bad")

    def controller(self, kill_at: tuple[int, str] | None = None) -> SimWorld:
        return SimWorld(self, Effects(kill_at))


class SimEngine:
    def __init__(self, fleet: SimFleet, host: SimHost, effects: Effects) -> None:
        self.fleet, self.host, self.effects = fleet, host, effects

    def _do(self, what: str, fence: Fence, effect: Callable[[], Any]) -> Any:
        def guarded() -> Any:
            self.host.guard(fence)
            return effect()

        return self.effects.do(f"{what} on {self.host.name}", guarded)

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
        )

    def claim(self, lineage: str, fence: Fence) -> None:
        def effect() -> None:
            if self.host.lineage not in ("", lineage):
                raise ForeignLineage(f"{self.host.name} is of {self.host.lineage}")
            self.host.lineage = lineage

        self._do("claim", fence, effect)

    def resolve(self, reference: str) -> str:
        self.effects.read()
        if reference not in self.fleet.registry:
            raise ImageMissing(f"no image {reference}")
        return self.fleet.registry[reference]

    def has_image(self, image: str) -> bool:
        self.effects.read()
        return image in self.host.images

    def pull(self, image: str, fence: Fence, progress: Callable[[str], None]) -> None:
        self._do(f"pull {image}", fence, lambda: self.host.images.add(image))

    def tag(self, image: str, service: str, revision: int, fence: Fence) -> None:
        self._do("tag", fence, lambda: None)

    def untag(self, service: str, revisions: Sequence[int], fence: Fence) -> None:
        self._do("untag", fence, lambda: None)

    def create(
        self, instance: Instance, spec: ServiceSpec, lineage: str, generation: int, fence: Fence
    ) -> str:
        number = f"c{next(self.fleet.ids)}"

        def effect() -> None:
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

        self._do(f"create {instance.name}", fence, effect)
        return number

    def _set(self, what: str, container: str, fence: Fence, **changes: Any) -> None:
        def effect() -> None:
            if container not in self.host.containers:
                raise EngineFailed(f"no container {container}")
            self.host.containers[container] = replace(self.host.containers[container], **changes)

        name = self.host.containers[container].name if container in self.host.containers else "?"
        self._do(f"{what} {name}", fence, effect)

    def start(self, container: str, fence: Fence) -> None:
        now = self.fleet.clock.now()
        self._set("start", container, fence, state="running", started=now)

    def set_restart(self, container: str, policy: str, fence: Fence) -> None:
        self._set("set_restart", container, fence, restart_policy=policy)

    def stop(self, container: str, grace: float, fence: Fence) -> None:
        self._set("stop", container, fence, state="exited")

    def remove(self, container: str, fence: Fence) -> None:
        self._do("remove", fence, lambda: self.host.containers.pop(container, None))

    def inspect(self, container: str) -> Container | None:
        self.effects.read()
        return self.host.containers.get(container)

    def find(self, lineage: str, name: str) -> Container | None:
        self.effects.read()
        return next((c for c in self.host.containers.values() if c.name == name), None)

    def logs(self, container: str, lines: int) -> tuple[str, ...]:
        return ("a line of the log",)

    def probe(self, address: str, port: int, check: Healthcheck) -> Probe:
        self.effects.read()
        ok = self.fleet.answers(self.fleet.at(address, port))
        return Probe(ok, f"GET {address}:{port}{check.path}", "200" if ok else "503")


class SimBalancerPort:
    """Reads a check's verdict one second after an address was set, as HAProxy would."""

    def __init__(self, fleet: SimFleet, balancer: SimBalancer, effects: Effects) -> None:
        self.fleet, self.balancer, self.effects = fleet, balancer, effects
        self.name = balancer.name

    def observe(self) -> ObservedBalancer:
        self.effects.read()
        balancer = self.balancer
        if not balancer.up:
            return ObservedBalancer(self.name, "unknown", f"{self.name} is silent")
        servers = []
        for (backend, name), server in sorted(balancer.servers.items()):
            checked = self.fleet.clock.now() - server.since >= 1.0
            good = self.fleet.answers(self.fleet.at(server.address, server.port))
            servers.append(
                ObservedServer(
                    backend=backend,
                    name=name,
                    id=int(name.removeprefix("slot")),
                    address=server.address,
                    port=server.port,
                    up=checked and good,
                    admin=server.admin,  # type: ignore[arg-type]
                    status="UP" if checked and good else "DOWN",
                    checked=checked,
                )
            )
        file = balancer.file
        return ObservedBalancer(
            self.name,
            version="2.6.12",
            config_id=file.config_id if file else "",
            skeleton=balancer.skeleton,
            file_id=file.config_id if file else "",
            servers=tuple(servers),
        )

    def _guard(self, fence: Fence) -> None:
        number, holder = self.balancer.fence
        if fence.number < number or (fence.number == number and fence.holder != holder):
            raise StaleFence(f"{self.name} has seen {number}", seen=number)
        self.balancer.fence = (fence.number, fence.holder)

    def prepare(self, rendered: Rendered, fence: Fence) -> None:
        self.effects.do(f"prepare {self.name}", lambda: self._guard(fence))

    def apply(self, rendered: Rendered, fence: Fence) -> Applied:
        balancer = self.balancer

        def write() -> None:
            self._guard(fence)
            balancer.file = rendered

        def run() -> None:
            self._guard(fence)
            wanted = {
                (backend_name(section.service, backend.port), server_name(s.slot)): s
                for section in rendered.sections
                for backend in section.backends
                for s in backend.servers
            }
            reload = balancer.skeleton != rendered.skeleton
            balancer.skeleton = rendered.skeleton
            for key in [k for k in balancer.servers if k not in wanted]:
                del balancer.servers[key]
            for key, server in wanted.items():
                known = balancer.servers.get(key)
                same = known and (known.address, known.port) == (server.address, server.port)
                if known and same and not reload:
                    known.admin = server.state
                else:
                    since = self.fleet.clock.now()
                    balancer.servers[key] = SimServer(
                        server.address, server.port, server.state, since
                    )

        if balancer.file is None or balancer.file.config_id != rendered.config_id:
            self.effects.do(f"file on {self.name}", write)
        self.effects.do(f"runtime on {self.name}", run)
        return Applied("runtime")


class SimRecord:
    behind: Mapping[str, str] = {}

    def level(self, fence: Fence) -> tuple[str, ...]:
        return ()

    def __init__(self, fleet: SimFleet, effects: Effects) -> None:
        self.fleet, self.effects = fleet, effects

    def read(self) -> Mapping[str, Document]:
        self.effects.read()
        return dict(self.fleet.documents)

    def write(self, key: str, body: dict[str, Any] | None, expected: int, fence: Fence) -> Document:
        def effect() -> Document:
            known = self.fleet.documents.get(key)
            if (known.generation if known else 0) != expected:
                raise StaleWrite(f"{key} moved on")
            document = Document(key, expected + 1, body)
            self.fleet.documents[key] = document
            self.fleet.generations.append((key, document.generation))
            return document

        written: Document = self.effects.do(f"record {key}", effect)
        return written


class SimLease:
    def __init__(self, fleet: SimFleet, effects: Effects, fence: Fence) -> None:
        self.fleet, self.effects, self.fence = fleet, effects, fence

    def check(self) -> None:
        if self.fleet.locks.get(self.fence.scope) != (self.fence.holder, self.fence.number):
            raise LockLost(f"{self.fence.scope} was taken over")

    def raise_to(self, number: int) -> None:
        number = max(number, self.fence.number)
        self.fleet.counters[self.fence.scope] = number
        self.fence = replace(self.fence, number=number)
        self.fleet.locks[self.fence.scope] = (self.fence.holder, number)

    def release(self) -> None:
        if self.effects.dead:
            return
        held = self.fleet.locks.get(self.fence.scope)
        if held == (self.fence.holder, self.fence.number):
            del self.fleet.locks[self.fence.scope]


class SimLocks:
    def __init__(self, fleet: SimFleet, effects: Effects, holder: str) -> None:
        self.fleet, self.effects, self.id = fleet, effects, holder

    def acquire(self, scope: str, wait: float, check: object = None) -> SimLease:
        self.effects.read()
        held = self.fleet.locks.get(scope)
        if held and held[0] not in self.fleet.dead_holders:
            raise LockHeld(f"{scope} is held by {held[0]}")
        number = self.fleet.counters.get(scope, 0) + 1
        self.fleet.counters[scope] = number
        self.fleet.locks[scope] = (self.id, number)
        return SimLease(self.fleet, self.effects, Fence(scope, number, self.id))

    def hold(self, scope: str, reason: str) -> None:
        self.acquire(scope, 0)

    def free(self, scope: str) -> Holder | None:
        self.fleet.locks.pop(scope, None)
        return None

    def holder(self, scope: str) -> Holder | None:
        return None


class NoJournal:
    """The controller's own memory, lost with it."""

    warnings: Sequence[str] = ()

    def begin(self, entry: HistoryEntry) -> None: ...
    def planned(
        self, deploy: str, service: str, revision: int, previous: int, plan: str
    ) -> None: ...
    def intent(self, deploy: str, service: str, step: str, what: str, host: str) -> None: ...
    def outcome(self, deploy: str, service: str, step: str, outcome: str, detail: str) -> None: ...
    def end(self, deploy: str, service: str, result: str, ended: float, detail: str) -> None: ...
    def history(self, service: str, limit: int) -> tuple[HistoryEntry, ...]:
        return ()


class SimWorld:
    """One controller on the fleet."""

    def __init__(self, fleet: SimFleet, effects: Effects) -> None:
        self.fleet, self.effects = fleet, effects
        self.holder = f"controller-{next(fleet.ids)}"
        self.record = SimRecord(fleet, effects)
        self.locks = SimLocks(fleet, effects, self.holder)
        self.journal = NoJournal()
        self.clock = fleet.clock

    def engine(self, host: str) -> SimEngine:
        return SimEngine(self.fleet, self.fleet.hosts[host], self.effects)

    def balancer(self, name: str) -> SimBalancerPort:
        return SimBalancerPort(self.fleet, self.fleet.balancers[name], self.effects)

    def connect(self, hosts: Iterable[str]) -> None: ...

    def new_id(self) -> str:
        return f"{next(self.fleet.ids):08x}"

    def die(self) -> None:
        """Its locks are free for the next one, its effects are over."""
        self.effects.dead = True
        self.fleet.dead_holders.add(self.holder)

    def close(self) -> None: ...
