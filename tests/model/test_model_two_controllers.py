"""Two controllers: of two services at once, and of one service with the first one frozen."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from held import holding
from invariants import Invariants, Violation
from judged import Run, at_rest, judged, under_watch
from scenarios import (
    FIRST,
    OTHER,
    SCENARIOS,
    SECOND,
    Scenario,
    deploying,
    inside,
    reconciling,
    rolling_back,
    run_or_error,
    web,
)
from sim_effects import Effect
from simulated import SimFleet
from together import Together

from fleetctl.errors import LockHeld
from fleetctl.model.events import RunFinished
from fleetctl.model.routing import Internal, Route

OTHERS = deploying(web("app:2", name="cache", replicas=2))
FROZEN = [s for s in SCENARIOS if s.name not in ("first deploy", "first deploy fails")]


def both_done(fleet: SimFleet, held: Invariants, results: list[object]) -> None:
    for result in results:
        if isinstance(result, BaseException):
            raise result
        assert isinstance(result, RunFinished)
        assert result.result == "ok"
    assert not at_rest(fleet), at_rest(fleet)
    assert under_watch(held, reconciling).result == "nothing_to_do"


def start(balancers: int = 1) -> tuple[SimFleet, Invariants]:
    fleet = SimFleet(balancers=balancers)
    for run in (FIRST, OTHER):
        run(fleet.controller())
    return fleet, Invariants(fleet)


def at_once(fleet: SimFleet, held: Invariants, other: Run, decide: object) -> list[object]:
    worlds = [held.watch(fleet.controller()) for _ in (0, 1)]
    return Together(((worlds[0], SECOND), (worlds[1], other)), decide).run()  # type: ignore[arg-type,return-value]


def test_another_services_whole_deploy_between_any_two_effects() -> None:
    fleet, held = start()
    world = held.watch(fleet.controller())
    SECOND(world)
    total = world.effects.count
    assert total > 50
    for number in range(1, total + 1, 3):
        fleet, held = start()
        results = at_once(fleet, held, OTHERS, lambda who, n, at=number: who == 0 and n == at)
        both_done(fleet, held, results)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("balancers", [0, 1, 2])
def test_two_services_at_once_in_any_order(seed: int, balancers: int) -> None:
    chance = random.Random(seed)
    fleet, held = start(balancers)
    results = at_once(fleet, held, OTHERS, lambda who, n: chance.random() < 0.4)
    both_done(fleet, held, results)


@pytest.mark.parametrize("seed", range(4))
def test_ways_of_two_services_change_at_once(seed: int) -> None:
    """Both add routes and a name inside, each with a new revision; then both go back, one of
    them with servers that a person holds."""
    chance = random.Random(seed)
    fleet, held = start(2)
    cache = web("app:2", name="cache", replicas=2)
    more = replace(
        cache,
        routes=(*cache.routes, Route("http", "web.example", "/cache")),
        internal=Internal("http"),
    )
    there = (deploying(inside("app:2")), deploying(more))
    back = (rolling_back(), rolling_back("cache"))
    for runs in (there, back):
        worlds = [held.watch(fleet.controller()) for _ in runs]
        both = Together(
            ((worlds[0], runs[0]), (worlds[1], runs[1])), lambda who, n: chance.random() < 0.4
        )
        both_done(fleet, held, list(both.run()))
        assert under_watch(held, holding(1, 2)).exit_code == 0


@pytest.mark.parametrize("seed", range(5))
def test_two_first_deploys_at_once(seed: int) -> None:
    chance = random.Random(seed)
    fleet = SimFleet()
    held = Invariants(fleet)
    worlds = [held.watch(fleet.controller()) for _ in (0, 1)]
    both = Together(((worlds[0], FIRST), (worlds[1], OTHER)), lambda who, n: chance.random() < 0.4)
    both_done(fleet, held, list(both.run()))


def test_a_second_run_of_the_same_service_is_told_who_has_the_lock() -> None:
    fleet, held = start()
    seen: list[object] = []

    def meanwhile(number: int, effect: Effect) -> None:
        world = held.watch(fleet.controller())
        seen.append(run_or_error(world, rolling_back()))
        assert not world.effects.log

    world = held.watch(fleet.controller())
    world.effects.turn = meanwhile
    assert judged(world, SECOND).result == "ok"
    assert len(seen) > 50
    assert all(isinstance(result, LockHeld) for result in seen)


def state(fleet: SimFleet) -> tuple[object, ...]:
    """All that a controller can change."""
    other = fleet.fork()
    return (
        [
            (h.name, h.lineage, h.images, h.tags, h.containers, h.specs)
            for h in other.hosts.values()
        ],
        [
            (
                lb.name,
                lb.file and lb.file.text,
                lb.live,
                sorted((k, s.address, s.port, s.admin) for k, s in lb.servers.items()),
            )
            for lb in other.balancers.values()
        ],
        other.documents,
    )


def effects_of(scenario: Scenario) -> int:
    fleet, held = scenario.prepare()
    world = held.watch(fleet.controller())
    run_or_error(world, scenario.act)
    return world.effects.count


def frozen_at(scenario: Scenario, number: int) -> None:
    """The first controller stands still before its effect ``number`` until another one has
    done its whole run; then it goes on, and must change nothing. Where the other had nothing to
    do, it took nothing over."""
    fleet, held = scenario.prepare()
    world = held.watch(fleet.controller())
    before: list[tuple[object, ...]] = []

    def meanwhile(count: int, effect: Effect) -> None:
        if count == number:
            world.fall_silent()
            fleet.clock.sleep(20)
            other = held.watch(fleet.controller())
            run_or_error(other, scenario.recover)
            before.extend([state(fleet)] if other.effects.log else [])

    world.effects.turn = meanwhile
    run_or_error(world, scenario.act)
    if before and state(fleet) != before[0]:
        late = world.effects.log[number - 1 :]
        raise Violation({"stale": f"{list(map(str, late))} changed it"}, f"effect {number}")
    under_watch(held, scenario.recover)
    scenario.settled(fleet)


@pytest.mark.parametrize("scenario", FROZEN, ids=lambda s: s.name)
def test_frozen_beyond_its_lease_it_changes_nothing(scenario: Scenario) -> None:
    total = effects_of(scenario)
    for number in random.Random(scenario.name).sample(range(1, total + 1), min(total, 6)):
        frozen_at(scenario, number)


@pytest.mark.soak
@pytest.mark.parametrize("scenario", FROZEN, ids=lambda s: s.name)
def test_frozen_before_any_effect_it_changes_nothing(scenario: Scenario) -> None:
    total = effects_of(scenario)
    for number in range(1, total + 1):
        frozen_at(scenario, number)
    print(f"stale writes accepted in the model: {scenario.name}: 0 of {total}")
