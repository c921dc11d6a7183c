"""Properties of a roll, carried out step by step and cut off anywhere."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planned_world import (
    Choose,
    Unhealthy,
    World,
    carry_out,
    converged,
    deployed,
    first,
    host,
    spec,
    starts_early,
    stops_early,
)

from fleetctl.errors import InvalidFiles
from fleetctl.model.plan import AnyStep, Create, Drain, Health, Plan, Start, Stop
from fleetctl.model.record import Revision
from fleetctl.planner.plan import make_plan

SHARES = ("0", "1", "3", "25%", "50%", "100%")
ORDERS = (first, starts_early, stops_early)


def fleet(hosts: int, zones: int = 2, balancers: int = 1) -> World:
    nodes = [host(i, "abc"[i % zones] if zones else "") for i in range(1, hosts + 1)]
    return World(nodes, balancers=balancers)


def roll(world: World, target: Revision) -> Plan:
    return make_plan(world.situation(target))


@pytest.mark.parametrize("unavailable", SHARES)
@pytest.mark.parametrize("surge", SHARES)
def test_every_size_keeps_floor_and_ceiling_in_every_order(surge: str, unavailable: str) -> None:
    for replicas in range(1, 21):
        old = spec("app@sha256:1", replicas, surge=surge, unavailable=unavailable)
        if surge == unavailable == "0":
            with pytest.raises(InvalidFiles):
                roll(fleet(3), Revision(1, old))
            continue
        world = deployed(fleet(3), old)
        target = world.revision(replace(old, image="app@sha256:2"))
        carry_out(world, roll(world, target), ORDERS[replicas % 3])
        converged(world, target)


def test_a_broken_image_stops_at_eight_old_and_five_new() -> None:
    old = spec(replicas=10, surge="3", unavailable="2")
    world = deployed(fleet(5), old)
    target = world.revision(replace(old, image="app@sha256:2"))
    world.broken.add(target.number)
    for _ in range(3):
        with pytest.raises(Unhealthy):
            carry_out(world, roll(world, target), health_last)
        running = [c.revision for c in world.containers.values() if c.running]
        assert (running.count(1), running.count(2)) == (8, 5)


def health_last(steps: Sequence[AnyStep]) -> AnyStep:
    """All that a batch does before the first verdict."""
    return min(steps, key=lambda step: isinstance(step, Health))


def reaches(plan: Plan, step: str, need: str) -> bool:
    """Whether ``step`` needs ``need``, directly or not."""
    needs = {s.id: s.needs for s in plan.steps}
    todo, seen = [step], set()
    while todo:
        here = todo.pop()
        if here == need:
            return True
        if here not in seen:
            seen.add(here)
            todo += needs[here]
    return False


def test_every_pull_comes_before_the_first_drain_and_stop() -> None:
    for surge, unavailable in (("1", "0"), ("0", "2"), ("100%", "50%")):
        for routes in (spec().routes, ()):
            old = spec(replicas=7, surge=surge, unavailable=unavailable, routes=routes)
            world = deployed(fleet(4), old)
            plan = roll(world, world.revision(replace(old, image="app@sha256:2")))
            pulls = [s.id for s in plan.steps if s.id.startswith("pull-")]
            assert len(pulls) == 4
            for step in plan.steps:
                if isinstance(step, (Drain, Stop)):
                    assert all(reaches(plan, step.id, pull) for pull in pulls), step.id


@pytest.mark.parametrize(
    ("surge", "unavailable", "replicas", "leaves"),
    [("1", "0", 3, [3, 3, 3]), ("0", "1", 3, [2, 2, 2]), ("2", "25%", 4, [3, 3, 3])],
)
def test_a_drain_says_how_many_others_must_serve(
    surge: str, unavailable: str, replicas: int, leaves: list[int]
) -> None:
    old = spec(replicas=replicas, surge=surge, unavailable=unavailable)
    for routes in (old.routes, ()):
        world = deployed(fleet(3), replace(old, routes=routes))
        plan = roll(world, world.revision(replace(old, routes=routes, image="app@sha256:2")))
        drains = [s.leaves for s in plan.steps if isinstance(s, Drain)]
        stops = [s.leaves for s in plan.steps if isinstance(s, Stop)]
        assert drains == (leaves if routes else [])
        assert set(stops) == ({0} if routes else set(leaves))


def test_what_does_not_serve_may_go_though_too_few_are_left() -> None:
    old = spec(replicas=4, surge="1", unavailable="0")
    world = deployed(fleet(3), old)
    world.broken.add(1)
    plan = roll(world, world.revision(replace(old, image="app@sha256:2")))
    assert next(s.leaves for s in plan.steps if isinstance(s, Drain)) == 0


def test_commit_needs_everything_before_it() -> None:
    world = deployed(fleet(3), spec(replicas=6))
    plan = roll(world, world.revision(spec("app@sha256:2", replicas=6)))
    steps = [s.id for s in plan.steps]
    before = steps[: steps.index("commit")]
    assert all(reaches(plan, "commit", step) for step in before)
    assert all(reaches(plan, step, "commit") for step in steps[steps.index("commit") :])


def test_a_batch_begins_when_the_one_before_is_whole() -> None:
    world = deployed(fleet(3), spec(replicas=6, surge="2"))
    plan = roll(world, world.revision(spec("app@sha256:2", replicas=6, surge="2")))
    assert plan.batches == 3
    for step in plan.steps:
        if step.batch > 1 and isinstance(step, (Create, Start, Stop, Drain)):
            for earlier in plan.steps:
                if earlier.batch == step.batch - 1:
                    assert reaches(plan, step.id, earlier.id)


def test_serial_grows_from_batch_to_batch() -> None:
    old = spec(replicas=10, surge="100%", serial=("1", "30%", "100%"))
    world = deployed(fleet(5), old)
    plan = roll(world, world.revision(replace(old, image="app@sha256:2")))
    sizes = [sum(isinstance(s, Create) and s.batch == b for s in plan.steps) for b in (1, 2, 3)]
    assert sizes == [1, 3, 6]


@pytest.mark.parametrize("size", [1, 2, 3])
def test_a_batch_takes_each_zone_once_while_it_can(size: int) -> None:
    nodes = [host(i, zone) for i, zone in enumerate("aaabbc", start=1)]
    old = spec(replicas=18, surge=str(size))
    world = deployed(World(nodes), old)
    plan = roll(world, world.revision(replace(old, image="app@sha256:2")))
    zone_of = {h.name: dict(h.labels)["zone"] for h in nodes}
    left = [zone_of[c.host] for c in world.containers.values()]
    for batch in range(1, plan.batches + 1):
        stops = [s for s in plan.steps if isinstance(s, Stop) and s.batch == batch]
        zones = [zone_of[s.container.host] for s in stops]
        assert len(set(zones)) == min(size, len(set(left)))
        for zone in zones:
            left.remove(zone)


def test_unhealthy_and_missing_slots_come_first() -> None:
    old = spec(replicas=6, surge="1")
    world = deployed(fleet(3), old)
    by_slot = {c.slot: c for c in world.containers.values()}
    world.sick.add(by_slot[5].id)
    del world.containers[by_slot[4].id]
    plan = roll(world, world.revision(replace(old, image="app@sha256:2")))
    created = [s.instance.slot for s in plan.steps if isinstance(s, Create)]
    assert set(created[:2]) == {4, 5}


CHANGES = ["deploy", "rescale", "back", "resume", "kill", "vanish", "sick", "drop", "exclude"]


@st.composite
def stories(draw: st.DrawFn) -> tuple[World, int, list[tuple[str, int, bool]]]:
    world = fleet(draw(st.integers(1, 5)), draw(st.integers(0, 3)), draw(st.integers(0, 2)))
    acts = st.tuples(st.sampled_from(CHANGES), st.integers(0, 40), st.booleans())
    return world, draw(st.integers(0, 2**32)), draw(st.lists(acts, min_size=1, max_size=6))


@settings(max_examples=150)
@given(
    story=stories(),
    replicas=st.integers(0, 7),
    surge=st.sampled_from(SHARES),
    unavailable=st.sampled_from(SHARES),
    routed=st.booleans(),
)
def test_cut_off_anywhere_it_converges(
    story: tuple[World, int, list[tuple[str, int, bool]]],
    replicas: int,
    surge: str,
    unavailable: str,
    routed: bool,
) -> None:
    """Deploys, changes of mind, deaths and cuts in any order; then one run to the end."""
    world, seed, acts = story
    if surge == unavailable == "0":
        surge = "1"
    order = random.Random(seed)
    base = spec(replicas=replicas, surge=surge, unavailable=unavailable)
    if not routed:
        base = replace(base, routes=())
    deployed(world, base)
    target = world.revisions[1]
    for act, number, half in acts:
        target = change(world, target, act, number)
        carry_out(world, roll(world, target), order.choice, cut=number, half=half)
    carry_out(world, roll(world, target), order.choice)
    converged(world, target)


def change(world: World, target: Revision, act: str, number: int) -> Revision:
    running = sorted(c.id for c in world.containers.values() if c.running)
    chosen = world.containers[running[number % len(running)]] if running else None
    seen = world.section is not None and world.balancers
    match act:
        case "deploy":
            return world.revision(replace(target.spec, image=f"app@sha256:{number}{world.made}"))
        case "rescale":
            return world.revision(replace(target.spec, replicas=number % 8))
        case "back":
            target = world.revisions[max(1, target.number - 1)]
            # What is to stay from here on, and is sick, would fail every run.
            world.sick -= {c.id for c in world.containers.values() if c.spec == target.hash}
        case "exclude":
            names = [h.name for h in world.hosts]
            world.excluded ^= {names[number % len(names)]}
            if len(world.excluded) == len(names):
                world.excluded.clear()
        case "kill" if chosen:
            world.containers[chosen.id] = replace(chosen, state="exited", exit_code=1)
        case "vanish" if chosen:
            del world.containers[chosen.id]
        case "sick" if chosen and chosen.spec != target.hash and seen:
            world.sick.add(chosen.id)
        case "drop" if chosen and chosen.spec != target.hash:
            world.containers[chosen.id] = replace(chosen, state="restarting", restarts=3)
    return target


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32),
    replicas=st.integers(1, 10),
    surge=st.sampled_from(SHARES[1:]),
    unavailable=st.sampled_from(SHARES),
    cut=st.integers(0, 60),
)
def test_a_broken_revision_is_undone_from_wherever_it_stopped(
    seed: int, replicas: int, surge: str, unavailable: str, cut: int
) -> None:
    order = random.Random(seed)
    good = spec(replicas=replicas, surge=surge, unavailable=unavailable)
    world = deployed(fleet(3), good)
    target = world.revision(replace(good, image="app@sha256:2"))
    world.broken.add(target.number)
    with pytest.raises(Unhealthy):
        carry_out(world, roll(world, target), order.choice)
    back = world.revisions[1]
    carry_out(world, roll(world, back), order.choice, cut=cut)
    carry_out(world, roll(world, back), order.choice)
    converged(world, back)


def test_there_and_back_again_restores_hosts_and_slots() -> None:
    """I21."""
    world = deployed(fleet(3), spec(replicas=7))
    before = sorted((c.slot, c.host, c.image, c.state) for c in world.containers.values())
    target = world.revision(spec("app@sha256:2", replicas=7))
    carry_out(world, roll(world, target))
    converged(world, target)
    carry_out(world, roll(world, world.revisions[1]))
    converged(world, world.revisions[1])
    after = sorted((c.slot, c.host, c.image, c.state) for c in world.containers.values())
    assert after == before


@pytest.mark.parametrize(
    ("kind", "kept", "order", "broken"),
    [
        ((Create, Start), ("pull", "create"), starts_early, "ceiling"),
        ((Drain,), ("pull",), stops_early, "floor"),
        ((Create,), ("stop",), starts_early, "before it has the image"),
    ],
)
def test_a_need_taken_out_is_noticed(
    kind: tuple[type[AnyStep], ...], kept: tuple[str, ...], order: Choose, broken: str
) -> None:
    """The checks above can fail: what a step needs is what holds floor and ceiling."""
    old = spec(replicas=4, surge="1", unavailable="1")
    world = deployed(fleet(3), old)
    world.pulled.clear()
    plan = roll(world, world.revision(replace(old, image="app@sha256:2")))
    steps = tuple(
        replace(s, needs=tuple(n for n in s.needs if n.startswith(kept)))
        if isinstance(s, kind)
        else s
        for s in plan.steps
    )
    with pytest.raises(AssertionError, match=broken):
        carry_out(world, replace(plan, steps=steps), order)
