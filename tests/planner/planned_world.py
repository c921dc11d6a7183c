"""A world that carries out a plan's steps one by one, in any order that their needs allow,
and can be left after any of them or in the middle of one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from fleetctl.haproxy.section import admit, drain, expired, hold, release, withdraw
from fleetctl.model.balancing import Section, backend_name, server_name
from fleetctl.model.fleet import Capacity, Host, Login
from fleetctl.model.instance import Container, Instance
from fleetctl.model.observed import ObservedBalancer, ObservedHost, ObservedServer
from fleetctl.model.plan import (
    Admit,
    AnyStep,
    Commit,
    Create,
    Drain,
    Health,
    Plan,
    Prune,
    Pull,
    Remove,
    Start,
    Stop,
)
from fleetctl.model.record import Reservation, Revision
from fleetctl.model.routing import Route
from fleetctl.model.spec import (
    Healthcheck,
    Placement,
    Port,
    Resources,
    Rollout,
    ServiceSpec,
)
from fleetctl.planner.arithmetic import Limits, limits
from fleetctl.planner.inputs import Situation
from fleetctl.planner.plan import make_plan

GIBI = 1 << 30
Choose = Callable[[Sequence[AnyStep]], AnyStep]


def spec(image: str = "app@sha256:1", replicas: int = 6, **changes: object) -> ServiceSpec:
    """The demo's service; ``surge``, ``unavailable``, ``serial`` go to its rollout, ``spread``,
    ``strategy``, ``max_per_host`` to its placement, the rest to the spec."""
    rollout = Rollout(
        serial=changes.pop("serial", ()),  # type: ignore[arg-type]
        max_surge=changes.pop("surge", "25%"),  # type: ignore[arg-type]
        max_unavailable=changes.pop("unavailable", "0"),  # type: ignore[arg-type]
    )
    placement = Placement(
        strategy=changes.pop("strategy", "spread"),  # type: ignore[arg-type]
        spread=changes.pop("spread", ()),  # type: ignore[arg-type]
        max_per_host=changes.pop("max_per_host", 0),  # type: ignore[arg-type]
    )
    base = ServiceSpec(
        name="web",
        image=image,
        hosts="app",
        replicas=replicas,
        ports=(Port("http", 8080),),
        resources=Resources(0.25, 64 << 20),
        healthcheck=Healthcheck("http", "http", "/healthz"),
        rollout=rollout,
        placement=placement,
        routes=(Route("http"),),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def host(number: int, zone: str = "", cpus: float = 8.0, memory: int = 16 * GIBI) -> Host:
    return Host(
        name=f"node{number}",
        login=Login(f"10.0.0.{number}"),
        address=f"10.0.0.{number}",
        labels=(("zone", zone),) if zone else (),
        capacity=Capacity(cpus, memory),
    )


class Unhealthy(Exception):
    """Health of an instance never came."""


@dataclass
class World:
    hosts: list[Host]
    balancers: int = 1
    containers: dict[str, Container] = field(default_factory=dict)
    section: Section | None = None
    current: int = 0
    open: bool = False
    deploy: str = ""
    revisions: dict[int, Revision] = field(default_factory=dict)
    broken: set[int] = field(default_factory=set)
    sick: set[str] = field(default_factory=set)
    silent: set[str] = field(default_factory=set)
    excluded: set[str] = field(default_factory=set)
    strangers: dict[str, tuple[Container, ...]] = field(default_factory=dict)
    clock: float = 1000.0
    made: int = 0
    pulled: set[tuple[str, int]] = field(default_factory=set)
    now: float = 0.0

    def situation(
        self,
        target: Revision,
        limit: tuple[str, ...] | None = None,
        reserved: tuple[Reservation, ...] = (),
    ) -> Situation:
        names = tuple(h.name for h in self.hosts if h.name not in self.excluded)
        self.deploy = self.deploy or f"{len(self.revisions):02x}{self.made:02x}0000"
        return Situation(
            service="web",
            target=target,
            current=self.current,
            open=self.open,
            deploy=self.deploy,
            hosts=tuple(self.hosts),
            candidates=names,
            observed=tuple(self._observed(h) for h in self.hosts),
            balancers=tuple(self._balancer(i) for i in range(1, self.balancers + 1)),
            section=self.section,
            reserved=(*reserved, *self._served()),
            revisions=tuple(self.revisions[n] for n in sorted(self.revisions)),
            retained=tuple(self.revisions),
            limit=limit,
            now=self.now,
        )

    def _served(self) -> list[Reservation]:
        """Addresses that a balancer sends requests to are nobody else's (engine/view.py)."""
        backends = self.section.backends if self.section else ()
        return [
            Reservation(s.host, s.container_slot, (s.port,)) for b in backends for s in b.servers
        ]

    def _observed(self, host: Host) -> ObservedHost:
        if host.name in self.silent:
            return ObservedHost(host.name, "unknown", "no answer")
        mine = [c for c in self.containers.values() if c.host == host.name]
        others = self.strangers.get(host.name, ())
        containers = tuple(sorted([*mine, *others], key=lambda c: c.id))
        kept = tuple(sorted(("web", n) for name, n in self.pulled if name == host.name))
        return ObservedHost(host.name, cpus=8.0, memory=16 * GIBI, containers=containers, kept=kept)

    def _balancer(self, number: int) -> ObservedBalancer:
        section = self.section
        lines = [
            ObservedServer(
                backend=backend_name("web", backend.port),
                name=server_name(server.slot),
                id=server.slot,
                address=server.address,
                port=server.port,
                up=self._answers(server.address, server.port),
                admin=server.wanted,
                status="UP" if self._answers(server.address, server.port) else "DOWN",
                checked=True,
            )
            for backend in (section.backends if section else ())
            for server in backend.servers
        ]
        return ObservedBalancer(f"lb{number}", servers=tuple(lines))

    def _answers(self, address: str, port: int) -> bool:
        return any(
            self.healthy(c) and c.address == address and any(b.host == port for b in c.bindings)
            for c in self.containers.values()
        )

    def healthy(self, container: Container) -> bool:
        return (
            container.running
            and container.revision not in self.broken
            and container.id not in self.sick
        )

    def revision(self, wanted: ServiceSpec) -> Revision:
        """The next number for ``wanted``; a deploy of it is open from the first step on."""
        revision = Revision(max(self.revisions, default=0) + 1, wanted)
        self.revisions[revision.number] = revision
        self.deploy = ""
        return revision

    def begin(self) -> None:
        self.open = True

    def live(self) -> int:
        return sum(c.running for c in self.containers.values())

    def serving(self, routed: bool) -> int:
        """Healthy ones that are in the balancers, or have passed health where that is all."""
        ready = {
            server.instance
            for backend in (self.section.backends if self.section else ())
            for server in backend.servers
            if server.wanted == "ready"
        }
        if self.section is None or not routed:
            return sum(
                self.healthy(c) and c.restart_policy != "no" for c in self.containers.values()
            )
        return sum(self.healthy(c) and c.name in ready for c in self.containers.values())

    def slots(self) -> Counter[int]:
        there = ("created", "running")
        return Counter(c.slot for c in self.containers.values() if c.state in there)

    def find(self, instance: Instance) -> Container:
        (found,) = [
            c
            for c in self.containers.values()
            if (c.host, c.name) == (instance.host, instance.name)
        ]
        return found

    def apply(self, plan: Plan, step: AnyStep, half: bool = False) -> None:
        """Carries ``step`` out, or with ``half`` its first remote effect alone."""
        match step:
            case Pull():
                self.pulled.add((step.host, plan.revision.number))
            case Create():
                self._create(plan, step.instance)
            case Start():
                self._change(self.find(step.instance), state="running", started=self._now())
            case Health():
                found = self.find(step.instance)
                if not self.healthy(found):
                    raise Unhealthy(found.name)
                self._change(found, restart_policy=plan.revision.spec.restart)
            case Admit():
                section = self.section
                if section is not None:
                    names = {instance.name for instance in step.instances}
                    section = release(section, names.intersection(expired(section, self.now)))
                section = admit(section, plan.revision.spec, step.instances)
                kept = section.backends or plan.revision.spec.balanced
                self.section = section if kept else None
            case Drain():
                self._drain({container.name for container in step.containers}, half)
            case Stop():
                found = self.containers[step.container.id]
                state = found.state if half else "exited"
                self._change(found, restart_policy="no", state=state)
            case Commit():
                self.current, self.open, self.deploy = step.revision, False, ""
            case Remove():
                assert not self.containers[step.container.id].running, "removes what runs"
                del self.containers[step.container.id]
            case Prune():
                self.pulled -= {(step.host, number) for number in step.revisions}

    def hold(self, *slots: int, until: float = 0.0) -> None:
        """A person keeps requests from the servers of these slots."""
        assert self.section is not None
        names = {c.name for c in self.containers.values() if c.slot in slots}
        self.section = hold(self.section, names, "drain", until)

    def held(self) -> list[int]:
        backends = self.section.backends if self.section else ()
        return sorted(s.container_slot for b in backends for s in b.servers if s.held)

    def _now(self) -> float:
        self.clock += 1
        return self.clock

    def _change(self, container: Container, **changes: object) -> None:
        self.containers[container.id] = replace(container, **changes)  # type: ignore[arg-type]

    def _drain(self, names: set[str], half: bool) -> None:
        if self.section is not None:
            edit = drain if half else withdraw
            self.section = edit(self.section, names)

    def _create(self, plan: Plan, instance: Instance) -> None:
        assert (instance.host, instance.revision) in self.pulled, "creates before it has the image"
        names = {(c.host, c.name) for c in self.containers.values()}
        assert (instance.host, instance.name) not in names, "the name is taken"
        ports = {
            (c.host, b.host)
            for c in (*self.containers.values(), *sum(self.strangers.values(), ()))
            for b in c.bindings
        }
        for binding in instance.bindings:
            assert (instance.host, binding.host) not in ports, "the port is taken"
        self.made += 1
        resources = plan.revision.spec.resources
        made = Container(
            id=f"id{self.made:04}",
            name=instance.name,
            host=instance.host,
            address=instance.address,
            service="web",
            slot=instance.slot,
            revision=instance.revision,
            generation=1,
            deploy=instance.deploy,
            spec=plan.revision.hash,
            state="created",
            cpus=resources.cpus,
            memory=resources.memory,
            bindings=instance.bindings,
        )
        self.containers[made.id] = made


@dataclass
class Watch:
    """I2 and I4 after each step: the floor and the ceiling hold unless they were broken
    before the plan began, and then it gets no worse. ``dip`` is what the plan warned of."""

    world: World
    bounds: Limits
    routed: bool
    dip: int
    began_live: int = 0
    began_serving: int = 0

    def __post_init__(self) -> None:
        self.began_live, self.began_serving = self.world.live(), self.world.serving(self.routed)

    def look(self, after: AnyStep) -> None:
        live, serving = self.world.live(), self.world.serving(self.routed)
        most = max(self.bounds.ceiling, self.began_live)
        assert live <= most, f"ceiling: {live} live > {most} after {after.id}"
        least = min(self.bounds.floor, self.began_serving) - self.dip
        assert serving >= least, f"floor: {serving} serve < {least} after {after.id}"
        twice = {slot: count for slot, count in self.world.slots().items() if count > 2}
        assert not twice, f"slots: {twice} after {after.id}"


def first(steps: Sequence[AnyStep]) -> AnyStep:
    return steps[0]


def starts_early(steps: Sequence[AnyStep]) -> AnyStep:
    """The order that tries the ceiling hardest."""
    order = (Create, Start, Remove, Pull, Health, Admit, Commit, Prune, Drain, Stop)
    return min(steps, key=lambda step: order.index(type(step)))


def stops_early(steps: Sequence[AnyStep]) -> AnyStep:
    """The order that tries the floor hardest."""
    order = (Drain, Stop, Pull, Remove, Create, Commit, Prune, Start, Health, Admit)
    return min(steps, key=lambda step: order.index(type(step)))


def carry_out(
    world: World,
    plan: Plan,
    choose: Choose = first,
    cut: int | None = None,
    half: bool = False,
    missing: int = 0,
) -> Watch:
    """Steps in the order that ``choose`` makes of those whose needs are met, watched; only
    ``cut`` of them when given, and half of the next with ``half``. ``missing`` may serve fewer
    than the floor."""
    bounds = limits(plan.revision.spec.rollout, plan.revision.spec.replicas)
    dip = missing + any("one name" in warning for warning in plan.warnings)
    watch = Watch(world, bounds, bool(plan.revision.spec.balanced), dip)
    done: set[str] = set()
    waiting = list(plan.steps)
    if waiting:
        world.begin()
    while waiting:
        ready = [step for step in waiting if done.issuperset(step.needs)]
        assert ready, f"needs that never come: {[s.id for s in waiting]}"
        step = choose(ready)
        if len(done) == cut:
            if half:
                world.apply(plan, step, half=True)
                watch.look(step)
            return watch
        world.apply(plan, step)
        waiting.remove(step)
        done.add(step.id)
        watch.look(step)
    return watch


def deployed(world: World, wanted: ServiceSpec) -> World:
    """``world`` after an undisturbed deploy of ``wanted``."""
    revision = world.revision(wanted)
    carry_out(world, make_plan(world.situation(revision)))
    return world


def converged(world: World, target: Revision) -> None:
    """Every slot holds one healthy container of the target and the balancers know it; nothing
    else is left; a further plan has no step (I17, I18)."""
    there = list(world.containers.values())
    wanted = list(range(1, target.spec.replicas + 1))
    assert sorted(c.slot for c in there) == wanted, [(c.slot, c.name, c.state) for c in there]
    assert all(c.running and c.spec == target.hash for c in there)
    assert all(c.restart_policy == target.spec.restart for c in there)
    servers = [
        (server.instance, server.address, server.state)
        for backend in (world.section.backends if world.section else ())
        for server in backend.servers
    ]
    names = [(c.name, c.address, "ready") for c in there] if target.spec.balanced else []
    assert sorted(servers) == sorted(names)
    assert world.current == target.number
    assert not world.open
    again = make_plan(world.situation(target))
    assert again.nothing, [(s.id, s.cause) for s in again.steps]
    assert again.summary.nothing
