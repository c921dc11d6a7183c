"""Servers that a person holds: no fault, no capacity, and in nobody's way."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planned_world import World, carry_out, converged, deployed, host, spec, stops_early

from fleetctl.model.plan import Admit, Create, Drain, Plan, Stop
from fleetctl.planner.plan import make_plan


def demo(replicas: int = 4, **changes: object) -> World:
    return deployed(World([host(i) for i in range(1, 4)]), spec(replicas=replicas, **changes))


def towards(world: World, image: str, replicas: int = 4, **changes: object) -> Plan:
    return make_plan(world.situation(world.revision(spec(image, replicas, **changes))))


def again(world: World) -> Plan:
    return make_plan(world.situation(world.revisions[max(world.revisions)]))


def leaves(plan: Plan) -> list[int]:
    return [step.leaves for step in plan.steps if isinstance(step, Drain)]


def test_what_is_held_is_no_fault() -> None:
    world = demo()
    world.hold(2, 3)
    assert again(world).nothing
    assert not again(world).warnings


def test_it_goes_first_and_free_of_cost_and_its_slot_comes_in_ready() -> None:
    world = demo(surge="1")
    world.hold(3)
    plan = towards(world, "app@sha256:2", surge="1")
    first = next(step for step in plan.steps if isinstance(step, Create))
    assert first.instance.slot == 3
    stop = next(step for step in plan.steps if step.id == "stop-3")
    assert stop.cause == "slot 3 has revision 1, wants 2 (held in drain)"
    carry_out(world, plan, stops_early)
    assert world.held() == []
    converged(world, world.revisions[2])


def test_all_that_are_held_are_replaced_at_once_and_nobody_is_asked() -> None:
    world = demo()
    world.hold(1, 2, 3, 4)
    plan = towards(world, "app@sha256:2")
    assert plan.batches == 1
    assert not plan.unplaced
    assert leaves(plan)[0] == 0
    carry_out(world, plan, stops_early)
    converged(world, world.revisions[2])


def test_it_is_not_counted_where_others_are_taken_away() -> None:
    """Scaled to three with one held: two are left to serve, and two have to."""
    world = demo()
    world.hold(1)
    plan = towards(world, "app@sha256:1", 3)
    assert leaves(plan) == [2]
    assert world.held() == [1]
    carry_out(world, plan, stops_early, missing=1)
    converged(world, world.revisions[2])


def test_a_surplus_one_that_is_held_goes_though_no_other_could() -> None:
    world = demo(unavailable="0")
    world.hold(4)
    plan = towards(world, "app@sha256:1", 3)
    assert [s.container.slot for s in plan.steps if isinstance(s, Stop)] == [4]
    carry_out(world, plan, stops_early)
    converged(world, world.revisions[2])


@pytest.mark.parametrize(
    ("surge", "unavailable", "missing"),
    [("1", "0", 1), ("1", "1", 0), ("0", "1", 1), ("0", "2", 0)],
)
def test_a_kept_one_keeps_no_roll_from_its_end(surge: str, unavailable: str, missing: int) -> None:
    """Held on the new revision, as after a kill: the floor gives way by no more than it must."""
    world = demo(surge=surge, unavailable=unavailable)
    plan = towards(world, "app@sha256:2", surge=surge, unavailable=unavailable)
    admits = [i for i, step in enumerate(plan.steps) if isinstance(step, Admit)]
    carry_out(world, plan, cut=admits[0] + 1)
    fresh = next(c.slot for c in world.containers.values() if c.running and c.revision == 2)
    world.hold(fresh)
    rest = again(world)
    assert not rest.unplaced
    carry_out(world, rest, stops_early, missing=missing)
    assert world.held() == [fresh]
    converged(world, world.revisions[2])


def test_when_its_time_is_over_it_is_admitted_again_with_that_as_the_cause() -> None:
    world = demo()
    world.hold(2, until=500.0)
    world.now = 499.0
    assert again(world).nothing
    world.now = 500.0
    plan = again(world)
    assert [step.id for step in plan.steps] == ["health-2", "admit-b1", "commit"]
    assert plan.steps[0].cause == "slot 2 is not to be held in drain any longer"
    assert plan.summary.keep == 4
    carry_out(world, plan)
    assert world.held() == []
    assert again(world).nothing


def test_of_two_in_a_slot_the_one_that_serves_stays() -> None:
    world = demo()
    world.hold(1)
    old = next(c for c in world.containers.values() if c.slot == 1)
    bindings = (replace(old.bindings[0], host=29000),)
    twin = replace(old, id="twin", name="web-1-1-ffff", started=1e9, bindings=bindings)
    world.containers["twin"] = twin
    assert world.section is not None
    (backend,) = world.section.backends
    known = next(s for s in backend.servers if s.held)
    other = replace(known, slot=7, instance=twin.name, port=29000, held="")
    backend = replace(backend, servers=(*backend.servers, other))
    world.section = world.section.with_backend(backend)
    plan = again(world)
    assert [s.container.id for s in plan.steps if isinstance(s, Stop)] == [old.id]


def test_outside_a_limit_it_does_not_count_as_serving() -> None:
    world = demo(surge="1")
    world.hold(*{c.slot for c in world.containers.values() if c.host == "node1"})
    world.revision(spec("app@sha256:2", 4, surge="1"))
    plan = make_plan(world.situation(world.revisions[2], limit=("node2", "node3")))
    away = len(world.held())
    assert set(leaves(plan)) == {4 - away}
    carry_out(world, plan, stops_early, missing=0)


def test_on_a_silent_host_it_does_not_count_as_serving() -> None:
    world = demo(surge="1")
    world.hold(*{c.slot for c in world.containers.values() if c.host == "node1"})
    world.silent.add("node1")
    world.revision(spec("app@sha256:2", 4, surge="1"))
    plan = again(world)
    assert set(leaves(plan)) == {4 - len(world.held())}


@settings(max_examples=60)
@given(
    replicas=st.integers(1, 6),
    to=st.integers(1, 6),
    surge=st.sampled_from(["0", "1", "25%"]),
    unavailable=st.sampled_from(["0", "1", "50%"]),
    slots=st.sets(st.integers(1, 6)),
    cut=st.integers(0, 30),
    image=st.sampled_from(["app@sha256:1", "app@sha256:2"]),
)
def test_whatever_is_held_whenever_every_plan_comes_to_its_end(
    replicas: int,
    to: int,
    surge: str,
    unavailable: str,
    slots: set[int],
    cut: int,
    image: str,
) -> None:
    if (surge, unavailable) == ("0", "0"):
        unavailable = "1"
    world = demo(replicas, surge=surge, unavailable=unavailable)
    carry_out(world, towards(world, image, to, surge=surge, unavailable=unavailable), cut=cut)
    world.hold(*slots)
    plan = again(world)
    assert not plan.unplaced
    carry_out(world, plan, stops_early, missing=6)
    converged(world, world.revisions[2])
