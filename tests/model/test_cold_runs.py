"""What a run leaves in the record: after a partial deploy, a cleanup that failed, a crash on the
way back, a person's Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from sim_effects import Effect, Killed, kill
from simulated import SimFleet, SimWorld

from fleetctl.engine.deploy import deploy
from fleetctl.engine.options import RunOptions
from fleetctl.engine.reconcile import reconcile
from fleetctl.engine.rollback import rollback
from fleetctl.engine.view import view_of
from fleetctl.errors import BalancerFailed, ConnectionLost, EngineFailed, Interrupted, Refused
from fleetctl.model.events import Event, Note, RunFinished
from fleetctl.model.record import ServiceRecord
from fleetctl.model.routing import Route
from fleetctl.model.spec import Healthcheck, Port, Rollout, ServiceSpec

NODES = ("node1", "node2", "node3")
Run = Callable[[SimWorld], RunFinished]


def web(image: str = "app:1", replicas: int = 4, on_failure: str = "rollback") -> ServiceSpec:
    return ServiceSpec(
        name="web",
        image=image,
        hosts="app",
        replicas=replicas,
        ports=(Port("http", 8080),),
        healthcheck=Healthcheck("http", "http", "/healthz"),
        rollout=Rollout(
            min_ready=1.0,
            healthy_deadline=10.0,
            drain_timeout=5.0,
            max_surge="1",
            on_failure=on_failure,  # type: ignore[arg-type]
        ),
        routes=(Route("http"),),
    )


def options(command: str) -> RunOptions:
    return RunOptions(by="tests", command=command, parallel=1)


def silent(_: Event) -> None:
    return None


def nodes(_: str) -> tuple[str, ...]:
    return NODES


def deploying(spec: ServiceSpec) -> Run:
    def run(world: SimWorld) -> RunFinished:
        return deploy(world, world.fleet.inventory(), spec, NODES, options("deploy"), silent)

    return run


def rolling_back(world: SimWorld) -> RunFinished:
    return rollback(world, world.fleet.inventory(), "web", nodes, None, options("rollback"), silent)


def reconciling(world: SimWorld) -> RunFinished:
    return reconcile(world, world.fleet.inventory(), nodes, (), options("reconcile"), silent)


V1, V2, BAD = web("app:1"), web("app:2"), web("app:bad")


def record_of(fleet: SimFleet) -> ServiceRecord:
    return view_of(fleet.documents).service("web")


def fleet_on(spec: ServiceSpec) -> SimFleet:
    fleet = SimFleet()
    assert deploying(spec)(fleet.controller()).exit_code == 0
    return fleet


def limited(spec: ServiceSpec, *hosts: str) -> Run:
    def run(world: SimWorld) -> RunFinished:
        wanted = replace(options("deploy"), limit=hosts)
        return deploy(world, world.fleet.inventory(), spec, NODES, wanted, silent)

    return run


def failing_at(kind: str, error: Exception) -> Callable[[int, Effect], None]:
    def turn(number: int, effect: Effect) -> None:
        if effect.kind == kind:
            raise error

    return turn


@pytest.mark.parametrize("kind", ["remove", "untag"])
def test_a_cleanup_that_fails_after_the_commit_undoes_no_deploy(kind: str) -> None:
    fleet = fleet_on(V1)
    if kind == "untag":  # an abandoned attempt is what there is to prune
        for number in range(2, 13):
            spec = replace(V1, environment=(("N", str(number)),))
            assert deploying(spec)(fleet.controller()).exit_code == 0
    world = fleet.controller()
    world.effects.turn = failing_at(kind, EngineFailed("the disk is slow"))

    finished = deploying(V2)(world)

    record = record_of(fleet)
    assert (finished.result, finished.exit_code) == ("ok", 0)
    assert record.open is None
    committed = record.revision(record.current)
    assert committed is not None
    assert committed.spec.image == "app@sha256:2"
    assert {c.image for c in fleet.containers("web") if c.running} == {"app@sha256:2"}


def test_a_commit_whose_answer_is_lost_is_no_failure() -> None:
    fleet = fleet_on(V1)
    world = fleet.controller()
    told: list[Effect] = []
    plain = world.effects.do

    def do(effect: Effect, change: Callable[[], object]) -> object:
        result = plain(effect, change)
        record = record_of(fleet)
        if effect.subject == "service/web" and record.current == 2 and not told:
            told.append(effect)
            raise ConnectionLost("the answer is lost")
        return result

    world.effects.do = do  # type: ignore[method-assign]

    finished = deploying(V2)(world)

    assert told
    assert finished.exit_code == 0
    assert record_of(fleet).current == 2


def test_a_partial_deploy_stays_an_open_paused_one_that_reconcile_leaves_alone() -> None:
    fleet = fleet_on(V1)

    finished = limited(V2, "node1")(fleet.controller())

    assert (finished.result, finished.exit_code) == ("paused", 0)
    record = record_of(fleet)
    assert record.open is not None
    assert record.open.paused
    assert record.message
    images = {c.host: set() for c in fleet.containers("web")}
    for container in fleet.containers("web"):
        if container.running:
            images[container.host].add(container.image)
    assert images["node1"] == {"app@sha256:2"}
    assert images["node2"] == images["node3"] == {"app@sha256:1"}

    world = fleet.controller()
    assert reconciling(world).result == "nothing_to_do"
    assert world.effects.log == []

    assert deploying(V2)(fleet.controller()).result == "ok"
    assert record_of(fleet).open is None
    assert {c.image for c in fleet.containers("web")} == {"app@sha256:2"}


def test_healing_within_a_limit_leaves_no_paused_deploy() -> None:
    fleet = fleet_on(V1)
    first, second = sorted(fleet.containers("web"), key=lambda c: c.host)[::3]
    assert first.host != second.host
    for lost in (first, second):
        running = fleet.hosts[lost.host].containers
        running[lost.id] = replace(lost, state="exited", exit_code=1)
    wanted = replace(options("reconcile"), limit=(first.host,))
    world = fleet.controller()

    reconcile(world, fleet.inventory(), nodes, (), wanted, silent)

    assert record_of(fleet).open is None
    reconciling(fleet.controller())
    assert len([c for c in fleet.containers("web") if c.running]) == 4


def test_a_first_deploy_that_failed_and_died_on_its_way_back_commits_nothing() -> None:
    """Or `rollback` would later go back to it: to no instance at all."""
    probe = SimFleet().controller()
    assert deploying(BAD)(probe).result == "failed"
    for number in range(1, probe.effects.count + 1):
        fleet = SimFleet()
        world = fleet.controller({number: kill("after")})
        with pytest.raises(Killed):
            deploying(BAD)(world)
        world.fall_silent()
        fleet.clock.sleep(30)
        if "service/web" not in fleet.documents:
            continue
        reconciling(fleet.controller())
        record = record_of(fleet)
        assert (record.current, record.open, record.placed) == (0, None, ()), number
        assert fleet.containers("web") == []
        assert not any(r.successful for r in record.revisions), number
        first = record.revision(1)
        assert first is None or first.spec.replicas == 4, number

        assert deploying(V1)(fleet.controller()).exit_code == 0
        with pytest.raises(Refused, match="no earlier successful revision"):
            rolling_back(fleet.controller())


@pytest.mark.parametrize("policy", ["pause", "stop"])
def test_a_failed_deploy_that_is_to_stay_is_not_carried_on_by_reconcile(policy: str) -> None:
    fleet = fleet_on(V1)
    finished = deploying(web("app:bad", on_failure=policy))(fleet.controller())
    assert (finished.result, finished.exit_code) == ("mixed", 6)

    world = fleet.controller()
    assert reconciling(world).result == "nothing_to_do"
    assert world.effects.log == []


def test_a_person_who_stops_before_the_first_step_leaves_no_open_deploy() -> None:
    fleet = fleet_on(V1)
    wanted = RunOptions(by="tests", command="deploy", parallel=1)
    world = fleet.controller()

    def stop_at_the_plan(event: object) -> None:
        wanted.stop.set(2)

    with pytest.raises(Interrupted):
        deploy(world, fleet.inventory(), V2, NODES, wanted, stop_at_the_plan)

    assert record_of(fleet).open is None
    assert world.effects.log == []


def test_a_balancer_that_the_play_names_takes_instances() -> None:
    """One machine may be both."""
    fleet = SimFleet(hosts=1, balancers=1)
    fleet.hosts["lb1"] = replace(fleet.hosts.pop("node1"), name="lb1", address="10.0.1.1")
    inventory = replace(fleet.inventory(), hosts=fleet.inventory().hosts[:1])
    spec = web(replicas=2)

    finished = deploy(fleet.controller(), inventory, spec, ("lb1",), options("deploy"), silent)

    assert finished.exit_code == 0
    assert len(fleet.containers("web")) == 2


def test_lock_files_that_were_lost_keep_nobody_from_the_balancers() -> None:
    """Fences start at one again, and every balancer has seen later ones."""
    fleet = fleet_on(V1)
    fleet.counters.clear()
    assert deploying(V2)(fleet.controller()).exit_code == 0


def test_what_a_balancer_refuses_is_never_in_the_record() -> None:
    """Another service's deploy renders all that is there."""
    fleet = fleet_on(V1)
    before = view_of(fleet.documents).sections["web"]
    world = fleet.controller()
    found = []

    def turn(number: int, effect: Effect) -> None:
        if effect.kind == "prepare" and not found:
            found.append(view_of(fleet.documents).sections["web"])
            raise BalancerFailed("HAProxy refuses the new file")

    world.effects.turn = turn

    assert deploying(V2)(world).exit_code == 5
    assert found == [before]


def test_a_host_that_left_the_inventory_is_told_of_and_replaced() -> None:
    fleet = fleet_on(V1)
    whole = fleet.inventory()
    left = replace(whole, hosts=tuple(h for h in whole.hosts if h.name != "node3"))
    notes = []

    def told(event: Event) -> None:
        if isinstance(event, Note) and event.host == "node3":
            notes.append(event.text)

    finished = reconcile(
        fleet.controller(), left, lambda _: NODES[:2], (), options("reconcile"), told
    )

    assert finished.exit_code == 0
    assert any("in the inventory no more" in text for text in notes)
    assert len([c for c in fleet.containers("web") if c.running and c.host != "node3"]) == 4
