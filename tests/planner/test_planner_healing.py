"""What is found on the fleet, and what is done about exactly that."""

from __future__ import annotations

from dataclasses import replace

from planned_world import World, carry_out, converged, deployed, host, spec

from fleetctl.haproxy.section import drain
from fleetctl.model.instance import Container
from fleetctl.model.plan import Plan
from fleetctl.model.routing import Route
from fleetctl.model.spec import Healthcheck
from fleetctl.planner.plan import make_plan


def demo(**changes: object) -> World:
    return deployed(World([host(i) for i in range(1, 4)]), spec(replicas=6, **changes))


def slot(world: World, number: int) -> Container:
    return next(c for c in world.containers.values() if c.slot == number)


def plan_for(world: World, number: int = 1, limit: tuple[str, ...] | None = None) -> Plan:
    return make_plan(world.situation(world.revisions[number], limit=limit))


def healed(world: World, plan: Plan, number: int = 1) -> None:
    carry_out(world, plan)
    converged(world, world.revisions[number])


def ids(plan: Plan) -> list[str]:
    return [step.id for step in plan.steps]


def causes(plan: Plan) -> dict[str, str]:
    return {step.id: step.cause for step in plan.steps}


def test_nothing_to_do_is_no_step() -> None:
    plan = plan_for(demo())
    assert plan.nothing
    assert plan.summary.keep == 6
    assert [number for number, _ in plan.placed] == [1, 2, 3, 4, 5, 6]


def test_a_container_removed_by_hand_is_made_again_and_its_server_goes() -> None:
    world = demo()
    lost = slot(world, 2)
    del world.containers[lost.id]
    plan = plan_for(world)
    made = ["create-2", "start-2", "health-2", "admit-b1", "drain-b1"]
    assert ids(plan) == [f"pull-{lost.host}", *made, "commit"]
    assert causes(plan)["create-2"] == "slot 2 is missing"
    assert (plan.summary.create, plan.summary.keep) == (1, 5)
    healed(world, plan)


def test_a_container_that_ended_is_replaced_and_removed_after_the_commit() -> None:
    world = demo()
    dead = slot(world, 4)
    world.containers[dead.id] = replace(dead, state="exited", exit_code=137)
    plan = plan_for(world)
    assert causes(plan)["create-4"] == "slot 4 exited with code 137"
    assert ids(plan)[-2:] == ["commit", "remove-4"]
    assert "stop-4" not in ids(plan)
    healed(world, plan)


def test_a_crash_loop_is_stopped_before_it_is_removed() -> None:
    world = demo()
    looping = slot(world, 4)
    world.containers[looping.id] = replace(looping, state="restarting", restarts=9)
    plan = plan_for(world)
    assert causes(plan)["stop-4"] == "slot 4 is restarting"
    healed(world, plan)


def test_the_same_deploy_removes_a_dead_container_before_its_name_comes_back() -> None:
    world = demo()
    world.open, world.deploy = True, slot(world, 4).deploy
    dead = slot(world, 4)
    world.containers[dead.id] = replace(dead, state="exited", exit_code=1)
    plan = plan_for(world)
    create = next(step for step in plan.steps if step.id == "create-4")
    assert "remove-4" in create.needs
    healed(world, plan)


def test_a_created_container_is_started_not_made_again() -> None:
    world = demo()
    left = slot(world, 3)
    world.section = None
    world.containers[left.id] = replace(left, state="created", started=0.0, restart_policy="no")
    plan = plan_for(world)
    assert causes(plan)["start-3"] == "slot 3 created and never started"
    assert "create-3" not in ids(plan)
    assert plan.summary.keep == 6
    healed(world, plan)


def test_a_right_container_that_does_not_serve_is_checked_and_admitted() -> None:
    world = demo()
    name = slot(world, 5).name
    assert world.section
    world.section = drain(world.section, {name})
    plan = plan_for(world)
    assert ids(plan) == ["health-5", "admit-b1", "commit"]
    assert causes(plan)["health-5"] == "slot 5 draining"
    healed(world, plan)


def test_one_of_two_balancers_that_lags_is_enough_to_admit_again() -> None:
    world = demo()
    world.balancers = 2
    given = world.situation(world.revisions[1])
    for change, said in (
        ({"up": False, "status": "DOWN 1/3"}, "not UP on lb2 (DOWN 1/3)"),
        ({"checked": False}, "not UP on lb2 (UP)"),
        ({"admin": "maint"}, "not UP on lb2 (UP)"),
        ({"port": 1}, "not on lb2"),
    ):
        first, *others = given.balancers[1].servers
        late = replace(given.balancers[1], servers=(replace(first, **change), *others))
        plan = make_plan(replace(given, balancers=(given.balancers[0], late)))
        (health,) = [s for s in plan.steps if s.id.startswith("health-")]
        assert health.cause.endswith(said)
    down = replace(given.balancers[1], state="down", servers=())
    assert make_plan(replace(given, balancers=(given.balancers[0], down))).nothing


def test_a_balancer_that_serves_what_the_record_does_not_is_brought_in_line() -> None:
    world = demo()
    given = world.situation(world.revisions[1])
    (balancer,) = given.balancers
    extra = replace(balancer.servers[0], name="slot99", address="10.0.0.9")
    odd = replace(balancer, servers=(*balancer.servers, extra))
    plan = make_plan(replace(given, balancers=(odd,)))
    assert ids(plan) == ["admit-settings", "commit"]
    assert "slot99" in plan.steps[0].cause
    free = replace(extra, admin="maint")
    quiet = replace(balancer, servers=(*balancer.servers, free))
    assert make_plan(replace(given, balancers=(quiet,))).nothing


def test_new_routes_alone_restart_nothing() -> None:
    world = demo()
    routes = (Route("http", "shop.example"), Route("http"))
    target = world.revision(spec(replicas=6, routes=routes))
    plan = make_plan(world.situation(target))
    assert ids(plan) == ["admit-settings", "commit"]
    assert plan.steps[0].cause == "routes changed"
    healed(world, plan, 2)


def with_check(path: str) -> Healthcheck:
    return Healthcheck("http", "http", path)


def test_another_health_check_comes_once_the_last_old_server_is_gone() -> None:
    world = demo(surge="3")
    target = world.revision(
        spec("app@sha256:2", replicas=6, surge="3", healthcheck=with_check("/ready"))
    )
    plan = make_plan(world.situation(target))
    check = next(step for step in plan.steps if step.id == "admit-check")
    stops = {step.id for step in plan.steps if step.id.startswith("stop-")}
    assert len(stops) == 6
    assert ids(plan).index("admit-check") > max(ids(plan).index(stop) for stop in stops)
    assert set(check.needs) & stops
    assert next(s for s in plan.steps if s.id == "commit").needs == ("admit-check",)
    for cut in range(len(plan.steps)):
        rest = demo(surge="3")
        rest.revisions[2] = target
        first = make_plan(rest.situation(target))
        carry_out(rest, first, cut=cut)
        carry_out(rest, make_plan(rest.situation(target)))
        assert rest.section
        assert rest.section.healthcheck == target.spec.healthcheck
        converged(rest, target)


def test_the_check_stays_a_connection_while_a_limit_leaves_old_servers() -> None:
    world = demo()
    target = world.revision(spec("app@sha256:2", replicas=6, healthcheck=with_check("/ready")))
    carry_out(world, plan_for(world, target.number, limit=("node1",)))
    assert world.section
    assert world.section.healthcheck.kind == "tcp"
    assert plan_for(world, target.number, limit=("node1",)).nothing


def test_a_balancer_that_is_behind_is_brought_level_by_name() -> None:
    world = demo()
    given = world.situation(world.revisions[1])
    plan = make_plan(replace(given, behind=("lb1",), differences=("its file is gone",)))
    assert ids(plan) == ["admit-settings", "commit"]
    assert plan.steps[0].cause == "lb1 is not as recorded: its file is gone"
    two = ("its file is gone", "route /: wanted web.http")
    both = make_plan(replace(given, behind=("lb1", "lb2"), differences=two))
    assert both.steps[0].cause == (
        "lb1 is not as recorded: its file is gone; lb2 is not as recorded: route /: wanted web.http"
    )
    private = replace(given.target, spec=replace(given.target.spec, routes=()))
    unrouted = replace(given, target=private, section=None, balancers=(), behind=("lb1",))
    assert make_plan(unrouted).nothing


def test_routes_taken_away_leave_the_balancer_before_any_container_stops() -> None:
    world = demo()
    target = world.revision(spec("app@sha256:2", replicas=6, routes=()))
    plan = make_plan(world.situation(target))
    assert ids(plan)[3:6] == ["admit-settings", "drain-routes", "admit-none"]
    carry_out(world, plan)
    assert world.section is None
    converged(world, target)


def test_two_right_containers_in_a_slot_leave_the_oldest_that_serves() -> None:
    world = demo()
    keep = slot(world, 1)
    twin = replace(keep, id="twin", name="web-1-1-ffff", started=1.0, host="node3")
    world.containers["twin"] = replace(twin, address="10.0.0.3", bindings=())
    plan = plan_for(world)
    assert causes(plan)["stop-1"] == f"slot 1 is there twice: {keep.name} stays"
    healed(world, plan)
    assert keep.id in world.containers


def test_fewer_replicas_drain_the_surplus_last() -> None:
    world = demo(surge="1")
    target = world.revision(spec("app@sha256:2", replicas=4, surge="1"))
    plan = make_plan(world.situation(target))
    assert plan.summary.remove == 2
    assert plan.summary.replace == 4
    assert causes(plan)["stop-6"] == "slot 6 is surplus: 4 wanted"
    healed(world, plan, 2)


def test_a_host_that_no_longer_matches_is_left_start_first() -> None:
    world = demo()
    world.excluded = {"node2"}
    plan = plan_for(world)
    assert (plan.summary.move, plan.summary.keep) == (2, 4)
    assert causes(plan)["create-2"] == "slot 2 is on node2, which no longer matches"
    healed(world, plan)
    assert {c.host for c in world.containers.values()} == {"node1", "node3"}


def test_a_move_within_one_deploy_never_drains_its_own_replacement() -> None:
    """Both containers would have one name, and the balancers know servers by name."""
    world = demo()
    world.open, world.deploy = True, slot(world, 1).deploy
    world.excluded = {"node2"}
    plan = plan_for(world)
    assert len(plan.warnings) == 2
    steps = ids(plan)
    assert steps.index("stop-2") < steps.index("create-2")
    healed(world, plan)


def test_an_unknown_host_keeps_its_slots() -> None:
    world = demo()
    world.silent = {"node2"}
    plan = plan_for(world)
    assert plan.nothing
    assert plan.warnings == (
        "node2 does not answer: slot 2 is left as it is",
        "node2 does not answer: slot 5 is left as it is",
    )
    target = world.revision(spec("app@sha256:2", replicas=6))
    plan = make_plan(world.situation(target))
    assert {number for number, place in plan.placed if place == "node2"} == {2, 5}
    assert not any(s.id.split("-")[1] in ("2", "5") for s in plan.steps if "-" in s.id)
    assert "commit" not in ids(plan)
    assert plan.summary.replace == 4


def test_a_server_of_a_host_that_left_the_inventory_is_replaced() -> None:
    world = demo()
    world.hosts = [h for h in world.hosts if h.name != "node2"]
    world.containers = {k: c for k, c in world.containers.items() if c.host != "node2"}
    plan = plan_for(world)
    assert plan.summary.create == 2
    healed(world, plan)


def test_a_limit_changes_nothing_outside_it_and_commits_nothing() -> None:
    """I16."""
    world = demo()
    target = world.revision(spec("app@sha256:2", replicas=6))
    plan = plan_for(world, target.number, limit=("node1",))
    touched = {getattr(s, "host", "") for s in plan.steps}
    touched |= {s.instance.host for s in plan.steps if hasattr(s, "instance")}
    touched |= {s.container.host for s in plan.steps if hasattr(s, "container")}
    assert touched == {"", "node1"}
    assert "commit" not in ids(plan)
    assert plan.summary.replace == 2
    carry_out(world, plan)
    assert plan_for(world, target.number, limit=("node1",)).nothing
    healed(world, plan_for(world, target.number), target.number)


def test_only_the_number_changed_is_a_commit_and_no_more() -> None:
    world = demo()
    target = world.revision(spec(replicas=6, surge="3"))
    plan = make_plan(world.situation(target))
    assert ids(plan) == ["commit"]
    assert not plan.nothing
    healed(world, plan, 2)


def test_an_open_deploy_with_nothing_left_to_do_is_committed() -> None:
    world = demo()
    world.open = True
    assert ids(plan_for(world)) == ["commit"]


def test_what_is_not_retained_is_pruned_with_the_commit() -> None:
    world = demo()
    target = world.revision(spec("app@sha256:2", replicas=6))
    given = replace(world.situation(target), retained=(2,))
    prunes = [s for s in make_plan(given).steps if s.id.startswith("prune-")]
    assert [(s.host, s.revisions) for s in prunes] == [  # type: ignore[union-attr]
        ("node1", (1,)),
        ("node2", (1,)),
        ("node3", (1,)),
    ]
    assert all("commit" in s.needs for s in prunes)
    carry_out(world, make_plan(given))
    done = replace(world.situation(target), retained=(2,))
    assert make_plan(done).nothing


def test_health_that_was_never_passed_is_asked_without_routes_too() -> None:
    """The restart policy tells: it is given when health has passed."""
    world = demo(routes=())
    half = slot(world, 1)
    world.containers[half.id] = replace(half, restart_policy="no")
    plan = plan_for(world)
    assert ids(plan) == ["health-1", "commit"]
    healed(world, plan)


def test_the_engines_own_verdict_counts() -> None:
    check = Healthcheck("command", command=("true",))
    world = demo(routes=(), healthcheck=check)
    sick = slot(world, 1)
    world.containers[sick.id] = replace(sick, health="unhealthy")
    assert causes(plan_for(world))["health-1"] == "slot 1 its health check says unhealthy"


def test_a_port_that_a_stranger_took_is_not_waited_for() -> None:
    world = demo()
    left = slot(world, 3)
    world.containers[left.id] = replace(left, state="created", restart_policy="no")
    given = world.situation(world.revisions[1])
    taken = {left.bindings[0].host}
    seen = tuple(
        replace(h, ports=tuple(taken)) if h.name == left.host else h for h in given.observed
    )
    plan = make_plan(replace(given, observed=seen))
    assert causes(plan)["create-3"] == "slot 3 lost its host port"
    made = next(s.instance for s in plan.steps if s.id == "create-3")  # type: ignore[union-attr]
    assert made.bindings[0].host not in taken


def test_no_replicas_stop_what_a_first_deploy_had_started() -> None:
    world = World([host(1)])
    first = world.revision(spec(replicas=3))
    carry_out(world, make_plan(world.situation(first)), cut=6)
    assert world.containers
    nothing = replace(first, spec=replace(first.spec, replicas=0, routes=()))
    carry_out(world, make_plan(world.situation(nothing)))
    converged(world, nothing)


def let_go(world: World, *numbers: int, limit: tuple[str, ...] | None = None) -> Plan:
    """The plan towards the newest revision, once the record retains only that one."""
    target = world.revisions[max(world.revisions)]
    for number in numbers:
        del world.revisions[number]
    return make_plan(world.situation(target, limit=limit))


def test_what_a_dead_run_left_unpruned_is_pruned_alone() -> None:
    world = deployed(demo(), spec("app@sha256:2", replicas=6))
    world.pulled.discard(("node2", 1))
    plan = let_go(world, 1)
    assert [(s.id, s.needs) for s in plan.steps] == [("prune-node1", ()), ("prune-node3", ())]
    assert plan.summary.nothing
    for step in plan.steps:
        world.apply(plan, step)
    assert plan_for(world, 2).nothing


def test_what_the_record_retains_or_a_container_uses_is_not_pruned() -> None:
    world = deployed(demo(), spec("app@sha256:2", replicas=6))
    assert let_go(world).nothing
    world = deployed(demo(), spec(replicas=6, surge="3"))  # its containers stay
    assert {c.revision for c in world.containers.values()} == {1}
    assert let_go(world, 1).nothing


def test_images_beyond_the_limit_of_other_services_and_of_later_revisions_are_left() -> None:
    world = deployed(demo(), spec("app@sha256:2", replicas=6))
    assert ids(let_go(world, 1, limit=("node1",))) == ["prune-node1"]
    world.pulled = {("node1", 3)}  # as a deploy leaves it that failed at another host's pull
    given = world.situation(world.revisions[2])
    others = tuple(replace(h, kept=(*h.kept, ("cache", 1))) for h in given.observed)
    assert make_plan(replace(given, observed=others)).nothing


def test_what_an_open_deploy_may_need_is_pruned_after_its_commit() -> None:
    world = deployed(demo(), spec("app@sha256:2", replicas=6))
    world.open = True
    plan = let_go(world, 1)
    assert ids(plan)[0] == "commit"
    assert all(step.needs == ("commit",) for step in plan.steps[1:])
    world.silent.add("node3")
    assert let_go(world).steps[1:] == plan.steps[1:3]
