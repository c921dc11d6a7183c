"""Runs on the simulated fleet: what each scenario starts from, does, and may end in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from invariants import Invariants
from simulated import SimFleet, SimWorld

from fleetctl.engine.deploy import deploy
from fleetctl.engine.options import RunOptions
from fleetctl.engine.reconcile import reconcile
from fleetctl.engine.rollback import rollback
from fleetctl.engine.view import view_of
from fleetctl.model.events import Event, RunFinished
from fleetctl.model.spec import Healthcheck, Port, Rollout, Route, ServiceSpec

NODES = ("node1", "node2", "node3")


def web(image: str = "app:1", replicas: int = 4, **rollout: str) -> ServiceSpec:
    settings = {"max_surge": "1", "max_unavailable": "0", **rollout}
    return ServiceSpec(
        name="web",
        image=image,
        hosts="app",
        replicas=replicas,
        ports=(Port("http", 8080),),
        healthcheck=Healthcheck("http", "http", "/healthz"),
        rollout=Rollout(min_ready=1.0, healthy_deadline=10.0, drain_timeout=5.0, **settings),
        routes=(Route("http"),),
    )


def options(command: str) -> RunOptions:
    return RunOptions(by="tests", command=command, parallel=1)


def nodes(_: str) -> tuple[str, ...]:
    return NODES


Run = Callable[[SimWorld], RunFinished]


def deploying(spec: ServiceSpec, again: bool = False) -> Run:
    def run(world: SimWorld) -> RunFinished:
        wanted = replace(options("deploy"), again=again)
        return deploy(world, world.fleet.inventory(), spec, NODES, wanted, silent)

    return run


def rolling_back(world: SimWorld) -> RunFinished:
    return rollback(world, world.fleet.inventory(), "web", nodes, None, options("rollback"), silent)


def reconciling(world: SimWorld) -> RunFinished:
    return reconcile(world, world.fleet.inventory(), nodes, (), options("reconcile"), silent)


def silent(_: Event) -> None:
    return None


def lose_one(fleet: SimFleet) -> set[tuple[str, int]]:
    """A container of slot 1 is removed by a stranger. Returns the addresses it had."""
    lost = set()
    for host in fleet.hosts.values():
        for key, container in list(host.containers.items()):
            if container.slot == 1:
                lost |= {(container.address, b.host) for b in container.bindings}
                del host.containers[key]
    return lost


@dataclass(frozen=True)
class Scenario:
    """``before`` are runs that nothing disturbs, ``then`` a change from outside, ``act`` the
    run under test. ``floor`` and ``ceiling`` hold throughout ``act`` and its recovery."""

    name: str
    before: tuple[Run, ...]
    act: Run
    floor: int
    ceiling: int
    ends_on: tuple[str, ...]
    replicas: int = 4
    then: Callable[[SimFleet], set[tuple[str, int]]] | None = None

    def prepare(self, balancers: int = 1) -> tuple[SimFleet, Invariants]:
        fleet = SimFleet(balancers=balancers)
        for run in self.before:
            assert run(fleet.controller()).exit_code == 0
        lost = self.then(fleet) if self.then is not None else set()
        return fleet, Invariants(fleet, self.floor, self.ceiling, lost)


FIRST = deploying(web())
SECOND = deploying(web("app:2"))
SCENARIOS = (
    Scenario("first deploy", (), FIRST, 0, 4, ("app@sha256:1",)),
    Scenario("update", (FIRST,), SECOND, 4, 5, ("app@sha256:1", "app@sha256:2")),
    Scenario(
        "update without surge",
        (FIRST,),
        deploying(web("app:2", max_surge="0", max_unavailable="1")),
        3,
        4,
        ("app@sha256:1", "app@sha256:2"),
    ),
    Scenario("scale up", (FIRST,), deploying(web(replicas=6)), 4, 7, ("app@sha256:1",), 6),
    Scenario("scale down", (FIRST,), deploying(web(replicas=2)), 2, 4, ("app@sha256:1",), 2),
    Scenario("rollback", (FIRST, SECOND), rolling_back, 4, 5, ("app@sha256:1", "app@sha256:2")),
    Scenario("failing revision", (FIRST,), deploying(web("app:bad")), 4, 5, ("app@sha256:1",)),
    Scenario("one is lost", (FIRST,), reconciling, 3, 4, ("app@sha256:1",), then=lose_one),
)


def settled(fleet: SimFleet, scenario: Scenario) -> None:
    """I5, I10, I17: every slot once, on one revision, all of them served, nothing else."""
    containers = fleet.containers("web")
    if not containers:
        assert scenario.name in ("first deploy",), "no container is left"
        return
    images = {c.image for c in containers}
    assert len(images) == 1, images
    assert images <= set(scenario.ends_on), images
    replicas = {scenario.replicas, 4}
    assert len(containers) in replicas
    assert sorted(c.slot for c in containers) == list(range(1, len(containers) + 1))
    assert all(c.running and c.restart_policy == "unless-stopped" for c in containers)
    view = view_of(fleet.documents)
    record = view.service("web")
    assert record.open is None
    assert record.current
    names = {c.name for c in containers}
    section = view.sections["web"]
    assert {s.instance for b in section.backends for s in b.servers} == names
    for balancer in fleet.balancers.values():
        served = {(s.address, s.port) for s in balancer.servers.values() if s.admin == "ready"}
        assert served == {(c.address, b.host) for c in containers for b in c.bindings}
        assert balancer.file is not None
        assert {s.service: s for s in balancer.file.sections}["web"] == section
