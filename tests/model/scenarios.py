"""Runs on the simulated fleet: what each scenario starts from, does, and may end in."""

from __future__ import annotations

import datetime
import functools
from collections.abc import Callable
from dataclasses import dataclass, replace

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from invariants import Invariants
from judged import Run, at_rest, recorded
from simulated import SimFleet, SimWorld

from fleetctl.engine.deploy import deploy
from fleetctl.engine.options import RunOptions
from fleetctl.engine.reconcile import reconcile
from fleetctl.engine.rollback import rollback
from fleetctl.errors import FleetError
from fleetctl.haproxy.templates import built_in
from fleetctl.model.events import RunFinished
from fleetctl.model.material import NOTHING_NEW, Material
from fleetctl.model.routing import Balancing, Internal, Route, Tls
from fleetctl.model.secret import Secret
from fleetctl.model.spec import Healthcheck, Port, Rollout, ServiceSpec
from fleetctl.secrets.certificates import as_held

NODES = ("node1", "node2", "node3")


def web(
    image: str = "app:1",
    replicas: int = 4,
    *,
    name: str = "web",
    routed: bool = True,
    **rollout: str,
) -> ServiceSpec:
    settings = {"max_surge": "1", "max_unavailable": "0", **rollout}
    return ServiceSpec(
        name=name,
        image=image,
        hosts="app",
        replicas=replicas,
        ports=(Port("http", 8080),),
        healthcheck=Healthcheck("http", "http", "/healthz"),
        rollout=Rollout(min_ready=1.0, healthy_deadline=10.0, drain_timeout=5.0, **settings),  # type: ignore[arg-type]
        routes=(Route("http", host=f"{name}.example"),) if routed else (),
    )


def options(command: str, limit: tuple[str, ...] | None = None) -> RunOptions:
    return RunOptions(by="tests", command=command, parallel=1, limit=limit)


def nodes(_: str) -> tuple[str, ...]:
    return NODES


def deploying(
    spec: ServiceSpec,
    *,
    again: bool = False,
    limit: tuple[str, ...] | None = None,
    material: Material = NOTHING_NEW,
) -> Run:
    def run(world: SimWorld) -> RunFinished:
        world.limit = limit
        wanted = replace(options("deploy", limit), again=again)
        return deploy(world, world.fleet.inventory(), spec, NODES, wanted, world.emit, material)

    return run


def rolling_back(service: str = "web", to: int | None = None) -> Run:
    def run(world: SimWorld) -> RunFinished:
        fleet = world.fleet.inventory()
        return rollback(world, fleet, service, nodes, to, options("rollback"), world.emit)

    return run


def reconciling(world: SimWorld) -> RunFinished:
    fleet = world.fleet.inventory()
    return reconcile(world, fleet, nodes, (), options("reconcile"), world.emit)


def giving_up(world: SimWorld) -> RunFinished:
    """What a person does after a failure that stopped or paused the roll: back, or on."""
    record = recorded(world.fleet)["web"]
    if record.open is None or not record.current:
        return reconciling(world)
    return rolling_back()(world)


def lose_one(fleet: SimFleet) -> None:
    """A container of slot 1 is removed by a stranger."""
    for host in fleet.hosts.values():
        for key, container in list(host.containers.items()):
            if container.service == "web" and container.slot == 1:
                del host.containers[key]


def lose_node1(fleet: SimFleet) -> None:
    """All that was on one host is gone; the host is there, and empty."""
    fleet.hosts["node1"].containers.clear()
    fleet.hosts["node1"].images.clear()


def reboot_lb1(fleet: SimFleet) -> None:
    """The last balancer forgets its file."""
    balancer = fleet.balancers["lb1"]
    balancer.file = balancer.running = None
    balancer.servers = {}


def break_off(run: Run, number: int) -> Callable[[SimFleet], None]:
    """A controller that dies at its effect ``number``."""

    def then(fleet: SimFleet) -> None:
        from judged import killed

        assert killed(fleet, Invariants(fleet), run, number, "after")
        fleet.clock.sleep(30)

    return then


@dataclass(frozen=True)
class Scenario:
    """``before`` are runs that nothing disturbs, ``then`` a change from outside, ``act`` the
    run under test, ``recovery`` what is run after it was killed. It ends on one of the images
    and counts of ``ends_on``; no replica: on nothing at all."""

    name: str
    before: tuple[Run, ...]
    act: Run
    ends_on: tuple[tuple[str, int], ...]
    then: Callable[[SimFleet], None] = lambda fleet: None
    recovery: Run = reconciling
    balancers: int = 1

    def prepare(self) -> tuple[SimFleet, Invariants]:
        fleet = SimFleet(balancers=self.balancers)
        for run in self.before:
            assert run(fleet.controller()).exit_code == 0
        self.then(fleet)
        held = Invariants(fleet)
        held.rebase()
        return fleet, held

    def recover(self, world: SimWorld) -> RunFinished:
        """Where nothing is recorded yet, the same command again."""
        if "web" not in recorded(world.fleet):
            return self.act(world)
        return self.recovery(world)

    def settled(self, fleet: SimFleet) -> None:
        assert not at_rest(fleet), at_rest(fleet)
        images = [c.image for c in fleet.containers("web")]
        assert len(set(images)) <= 1, images
        end = (images[0], len(images)) if images else ("", 0)
        assert end in self.ends_on, end


ONE, TWO = ("app@sha256:1", 4), ("app@sha256:2", 4)
FIRST = deploying(web())
SECOND = deploying(web("app:2"))
THIRD = deploying(web("app:3"))
BAD = deploying(web("app:bad"))
OTHER = deploying(web(name="cache", replicas=2))


@functools.cache
def shop(version: str) -> Material:
    """The certificate ``shop``, as it is at one time. Its key and its text are always the same."""
    key = ed25519.Ed25519PrivateKey.from_private_bytes(version.encode() * 32)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "web.example")])
    begins = datetime.datetime(2026, 1, 1)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), ord(version), begins)
        .not_valid_after(begins + datetime.timedelta(days=3650))
        .sign(key, None)
    )
    pem = Secret(made.public_bytes(serialization.Encoding.PEM))
    certificate = as_held("shop", pem)
    return Material(certificates=(certificate,), pems={certificate.digest: pem})


def over_tls(image: str = "app:1", **rollout: str) -> ServiceSpec:
    routes = (Route("http", "web.example", tls=Tls("shop", hsts=60.0)),)
    return replace(web(image, **rollout), routes=routes)


def inside(image: str = "app:1", **rollout: str) -> ServiceSpec:
    """With a way more, a name inside the fleet, and other balancing."""
    spec = web(image, **rollout)
    return replace(
        spec,
        routes=(*spec.routes, Route("http", "web.example", "/api", allow=("10.0.0.0/8",))),
        internal=Internal("http"),
        balancing=Balancing("leastconn", sticky="at", maxconn=20, tunnel_drain=7.0),
    )


def another_template(image: str = "app:1") -> Run:
    texts = tuple((name, text + "# ours\n") for name, text in built_in())
    return deploying(web(image), material=Material(templates=texts))


TLS = deploying(over_tls(), material=shop("a"))
RENEWED = deploying(over_tls(), material=shop("b"))


def _in_place() -> Run:
    return deploying(web("app:2", max_surge="0", max_unavailable="1"))


SCENARIOS = (
    Scenario("first deploy", (), FIRST, (ONE,)),
    Scenario("first deploy fails", (), BAD, (("", 0),)),
    Scenario("first deploy beside another", (OTHER,), FIRST, (ONE,)),
    Scenario("update", (FIRST, OTHER), SECOND, (ONE, TWO)),
    Scenario("update, two balancers", (FIRST,), SECOND, (ONE, TWO), balancers=2),
    Scenario("update, no balancer", (FIRST,), SECOND, (ONE, TWO), balancers=0),
    Scenario("update without surge", (FIRST,), _in_place(), (ONE, TWO)),
    Scenario("update by twos", (FIRST,), deploying(web("app:2", max_surge="50%")), (ONE, TWO)),
    Scenario("update that waits for another", (FIRST, OTHER), SECOND, (ONE, TWO)),
    Scenario("scale up", (FIRST,), deploying(web(replicas=6)), (ONE, ("app@sha256:1", 6))),
    Scenario("scale down", (FIRST,), deploying(web(replicas=2)), (ONE, ("app@sha256:1", 2))),
    Scenario(
        "scale up while open",
        (FIRST,),
        deploying(web("app:2", replicas=6)),
        (ONE, TWO, ("app@sha256:2", 6)),
        break_off(SECOND, 25),
    ),
    Scenario("rollback", (FIRST, SECOND), rolling_back(), (ONE, TWO)),
    Scenario(
        "rollback to 1",
        (FIRST, SECOND, THIRD),
        rolling_back(to=1),
        (ONE, ("app@sha256:3", 4)),
    ),
    Scenario(
        "rollback of an open deploy", (FIRST,), rolling_back(), (ONE, TWO), break_off(SECOND, 25)
    ),
    Scenario("failing revision", (FIRST,), BAD, (ONE,)),
    Scenario("failing revision, two balancers", (FIRST,), BAD, (ONE,), balancers=2),
    Scenario(
        "failing revision, stop",
        (FIRST,),
        deploying(web("app:bad", on_failure="stop")),
        (ONE,),
        recovery=giving_up,
    ),
    Scenario(
        "failing revision, pause",
        (FIRST,),
        deploying(web("app:bad", on_failure="pause")),
        (ONE,),
        recovery=giving_up,
    ),
    Scenario("routes removed", (FIRST,), deploying(web(routed=False)), (ONE,)),
    Scenario("routes added", (deploying(web(routed=False)),), FIRST, (ONE,)),
    Scenario(
        "routes removed with an update", (FIRST,), deploying(web("app:2", routed=False)), (ONE, TWO)
    ),
    Scenario("ways and settings added", (FIRST, OTHER), deploying(inside()), (ONE,)),
    Scenario("ways and settings taken away", (deploying(inside()),), FIRST, (ONE,)),
    Scenario(
        "update with ways and settings",
        (FIRST,),
        deploying(inside("app:2")),
        (ONE, TWO),
        balancers=2,
    ),
    Scenario("failing revision with settings", (FIRST,), deploying(inside("app:bad")), (ONE,)),
    Scenario("first deploy with TLS", (OTHER,), TLS, (ONE,)),
    Scenario(
        "first deploy with TLS fails",
        (),
        deploying(over_tls("app:bad"), material=shop("a")),
        (("", 0),),
    ),
    Scenario(
        "failing revision with TLS, the first with routes",
        (deploying(web(routed=False)),),
        deploying(over_tls("app:bad"), material=shop("a")),
        (ONE,),
    ),
    Scenario("a certificate renewed", (OTHER, TLS), RENEWED, (ONE,), balancers=2),
    Scenario(
        "update and a certificate renewed",
        (TLS,),
        deploying(over_tls("app:2"), material=shop("b")),
        (ONE, TWO),
    ),
    Scenario("templates changed", (FIRST, OTHER), another_template(), (ONE,), balancers=2),
    Scenario("update and templates changed", (FIRST,), another_template("app:2"), (ONE, TWO)),
    Scenario("one is lost", (FIRST,), reconciling, (ONE,), lose_one),
    Scenario("a host is emptied", (FIRST,), reconciling, (ONE,), lose_node1),
    Scenario("a balancer is new", (FIRST, OTHER), reconciling, (ONE,), reboot_lb1),
    Scenario(
        "part of an update",
        (FIRST,),
        deploying(web("app:2"), limit=("node1",)),
        (TWO,),
        recovery=SECOND,
    ),
)
STAYS_OPEN = frozenset({"failing revision, stop", "failing revision, pause", "part of an update"})
"""Scenarios whose act is not the end: a person or a reconcile goes on."""


def run_or_error(world: SimWorld, run: Run) -> RunFinished | FleetError:
    try:
        return run(world)
    except FleetError as error:
        return error
