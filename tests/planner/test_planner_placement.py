"""Where new instances go, and what is said when they fit nowhere."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from planned_world import GIBI, World, carry_out, converged, deployed, host, spec

from fleetctl.model.fleet import Capacity
from fleetctl.model.instance import Binding, Container
from fleetctl.model.observed import ObservedBalancer, ObservedServer
from fleetctl.model.plan import Create, Plan
from fleetctl.model.record import Reservation
from fleetctl.model.spec import Resources, ServiceSpec
from fleetctl.planner.plan import make_plan

MEBI = 1 << 20


def fresh(world: World, wanted: ServiceSpec, **given: object) -> Plan:
    return make_plan(world.situation(world.revision(wanted), **given))  # type: ignore[arg-type]


def hosts_of(plan: Plan) -> Counter[str]:
    return Counter(s.instance.host for s in plan.steps if isinstance(s, Create))


def stranger(name: str, port: int = 0, cpus: float = 0.0, memory: int = 0) -> Container:
    return Container(
        id=f"s-{name}-{port}",
        name=f"other-{port}",
        host=name,
        address="",
        service="other",
        slot=1,
        revision=1,
        generation=1,
        deploy="ffff0000",
        spec="x",
        state="running",
        cpus=cpus,
        memory=memory,
        bindings=(Binding("http", 80, port),) if port else (),
    )


def test_spread_is_even_over_hosts() -> None:
    plan = fresh(World([host(i) for i in range(1, 5)]), spec(replicas=10))
    assert sorted(hosts_of(plan).values()) == [2, 2, 3, 3]


def test_spread_is_even_over_each_label_then_over_hosts() -> None:
    nodes = [host(1, "a"), host(2, "a"), host(3, "a"), host(4, "b")]
    plan = fresh(World(nodes), spec(replicas=6, spread=("zone",)))
    assert hosts_of(plan) == {"node1": 1, "node2": 1, "node3": 1, "node4": 3}


def test_pack_fills_one_host_before_the_next() -> None:
    nodes = [host(i, cpus=1.0) for i in range(1, 5)]
    plan = fresh(World(nodes), spec(replicas=6, strategy="pack"))
    assert hosts_of(plan) == {"node1": 4, "node2": 2}


def test_ties_go_to_the_larger_share_of_free_memory_then_to_the_name() -> None:
    nodes = [host(1, memory=4 * GIBI), host(2, memory=4 * GIBI), host(3, memory=4 * GIBI)]
    world = World(nodes, strangers={"node1": (stranger("node1", memory=GIBI),)})
    assert hosts_of(fresh(world, spec(replicas=2))) == {"node2": 1, "node3": 1}


def test_the_order_of_the_inventory_changes_nothing() -> None:
    """I22, I23."""
    nodes = [host(i, "abc"[i % 3]) for i in range(1, 7)]
    world = deployed(World(nodes), spec(replicas=9, spread=("zone",)))
    world.balancers = 2
    situation = world.situation(world.revision(spec("app@sha256:2", 9, spread=("zone",))))
    other = replace(
        situation,
        hosts=tuple(reversed(situation.hosts)),
        candidates=tuple(reversed(situation.candidates)),
        observed=tuple(
            replace(seen, containers=tuple(reversed(seen.containers)))
            for seen in reversed(situation.observed)
        ),
        balancers=tuple(reversed(situation.balancers)),
        revisions=tuple(reversed(situation.revisions)),
    )
    assert make_plan(situation) == make_plan(situation) == make_plan(other)


def test_ports_are_the_lowest_that_nothing_holds_or_has_reserved() -> None:
    node = replace(host(1), port_range=(20000, 20005))
    world = World([node], strangers={"node1": (stranger("node1", 20001),)})
    reserved = (Reservation("node1", 1, (20000,)), Reservation("node2", 1, (20002,)))
    plan = fresh(world, spec(replicas=3), reserved=reserved)
    ports = [s.instance.bindings[0].host for s in plan.steps if isinstance(s, Create)]
    assert ports == [20002, 20003, 20004]
    assert [r.ports for r in plan.reservations] == [(20002,), (20003,), (20004,)]
    assert {(r.cpus, r.memory) for r in plan.reservations} == {(0.25, 64 * MEBI)}


def test_where_a_balancer_sends_requests_nothing_new_listens() -> None:
    """One that came back with an older file has another service's address there."""
    world = World([replace(host(1), port_range=(20000, 20005))])
    given = world.situation(world.revision(spec(replicas=1)))
    line = ObservedServer(
        "cache.http", "slot1", 1, "10.0.0.1", 20000, False, "ready", "DOWN", checked=True
    )
    free = replace(line, name="slot2", port=20001, admin="maint")
    seen = ObservedBalancer("lb1", servers=(line, free))
    plan = make_plan(replace(given, balancers=(seen,)))
    assert [r.ports for r in plan.reservations] == [(20001,)]


def test_what_others_run_or_reserve_is_taken_once() -> None:
    world = World([host(1, cpus=1.0)])
    world.strangers = {"node1": (stranger("node1", 25000, cpus=0.5),)}
    reserved = (Reservation("node1", 1, (25000,), cpus=0.5),)
    assert not fresh(world, spec(replicas=2), reserved=reserved).unplaced
    both = (*reserved, Reservation("node1", 2, (25001,), cpus=0.5))
    assert fresh(world, spec(replicas=2), reserved=both).unplaced[0].count == 2


def test_what_a_host_keeps_back_is_not_given_away() -> None:
    node = replace(host(1, cpus=1.0), reserved=Capacity(0.5, 0))
    assert fresh(World([node]), spec(replicas=3)).unplaced[0].count == 1
    assert not fresh(World([node]), spec(replicas=2)).unplaced


def test_max_per_host_holds_and_its_hint_is_enough() -> None:
    world = World([host(1), host(2)])
    plan = fresh(world, spec(replicas=5, max_per_host=2))
    (missing,) = plan.unplaced
    assert (missing.count, missing.reasons) == (1, (("with max_per_host 2 reached", 2),))
    assert missing.hint == "relax max_per_host on web to 3"
    assert not any(s.id == "commit" for s in plan.steps)
    assert not fresh(world, spec(replicas=5, max_per_host=3)).unplaced


def test_a_lowered_max_per_host_moves_the_highest_slots() -> None:
    world = deployed(World([host(1)]), spec(replicas=4))
    world.hosts = [host(1), host(2)]
    target = world.revision(spec(replicas=4, max_per_host=2))
    plan = make_plan(world.situation(target))
    assert (plan.summary.move, plan.summary.keep) == (2, 2)
    assert [s.instance.slot for s in plan.steps if isinstance(s, Create)] == [3, 4]
    carry_out(world, plan)
    converged(world, target)


def test_reasons_count_hosts_and_the_hint_names_the_nearest() -> None:
    nodes = [host(1, cpus=0.1), host(2, memory=48 * MEBI), host(3, memory=32 * MEBI), host(4)]
    world = World(nodes, silent={"node4"})
    (missing,) = fresh(world, spec(replicas=1)).unplaced
    assert dict(missing.reasons) == {
        "without 0.25 free cpus": 1,
        "without 64M of free memory": 2,
        "not answering": 1,
    }
    assert missing.hint == "16M more memory on node2, or one more host with 0.25 cpus and 64M free"
    world.hosts[1] = host(2, memory=64 * MEBI)
    assert not fresh(world, spec(replicas=1)).unplaced


def test_no_free_port_and_no_host() -> None:
    narrow = replace(host(1), port_range=(20000, 20000))
    (missing,) = fresh(World([narrow]), spec(replicas=2)).unplaced
    assert missing.reasons == (("without a free host port", 1),)
    assert missing.hint == "widen fleetctl_port_range of node1"
    (missing,) = fresh(World([host(1)], excluded={"node1"}), spec(replicas=2)).unplaced
    assert missing.reasons == (("not matched by hosts: app", 1),)


def test_a_surge_that_does_not_fit_is_refused_with_the_way_out() -> None:
    """Both containers of a slot need room at the peak of a roll."""
    full = spec(replicas=2, surge="1", resources=Resources(0.5, 0))
    world = deployed(World([host(1, cpus=1.0)]), full)
    plan = fresh(world, replace(full, image="app@sha256:2"))
    (missing,) = plan.unplaced
    assert missing.count == 2
    assert missing.reasons == (("without 0.5 free cpus", 1),)
    assert missing.hint.startswith("max_unavailable: 1 lets an old instance stop before")
    yielding = spec("app@sha256:2", 2, surge="1", unavailable="1", resources=full.resources)
    target = world.revision(yielding)
    plan = make_plan(world.situation(target))
    assert not plan.unplaced
    carry_out(world, plan)
    converged(world, target)


@pytest.mark.parametrize("free", [0, 1])
def test_a_tight_fleet_rolls_through_the_room_that_it_has(free: int) -> None:
    """Nodes are full; with one free place the roll wanders, without it slots stop first."""
    old = spec(replicas=6, surge=str(free), unavailable=str(1 - free), resources=Resources(1.0, 0))
    nodes = [host(i, cpus=2.0) for i in range(1, 4)]
    world = deployed(World(nodes), old)
    world.hosts += [host(4, cpus=1.0)] if free else []
    target = world.revision(replace(old, image="app@sha256:2"))
    plan = make_plan(world.situation(target))
    assert not plan.unplaced
    carry_out(world, plan)
    converged(world, target)


def test_a_large_fleet_is_planned_whole() -> None:
    nodes = [host(i, "abcd"[i % 4]) for i in range(1, 101)]
    world = deployed(World(nodes), spec(replicas=300, spread=("zone",)))
    plan = fresh(world, spec("app@sha256:2", replicas=300, spread=("zone",)))
    assert plan.batches == 4
    assert set(hosts_of(plan).values()) == {3}
    assert plan.summary.replace == 300
