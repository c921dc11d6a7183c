"""Killed between any two remote effects, and again in the recovery: it converges.

Before an effect is after the one before it: the controller's own memory is lost either way.
"""

from __future__ import annotations

import pytest
from invariants import Invariants
from scenarios import SCENARIOS, Scenario, reconciling, settled
from simulated import Killed, SimFleet, SimWorld

by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)


def watched(fleet: SimFleet, held: Invariants, kill_at: tuple[int, str] | None) -> SimWorld:
    world = fleet.controller(kill_at)
    world.effects.watch = held
    return world


def effects_of(scenario: Scenario) -> int:
    fleet, held = scenario.prepare()
    world = watched(fleet, held, None)
    scenario.act(world)
    settled(fleet, scenario)
    return world.effects.count


def die(scenario: Scenario, kill_at: tuple[int, str]) -> tuple[SimFleet, Invariants]:
    fleet, held = scenario.prepare()
    world = watched(fleet, held, kill_at)
    with pytest.raises(Killed):
        scenario.act(world)
    world.die()
    fleet.clock.sleep(30)
    return fleet, held


def recover(fleet: SimFleet, held: Invariants, scenario: Scenario) -> None:
    """I17: one more run converges; I18: the next one changes nothing."""
    world = watched(fleet, held, None)
    if fleet.documents and any(k.startswith("service/") for k in fleet.documents):
        reconciling(world)
    else:
        scenario.act(world)
    settled(fleet, scenario)
    again = watched(fleet, held, None)
    if any(k.startswith("service/") for k in fleet.documents):
        assert reconciling(again).result == "nothing_to_do"
        assert again.effects.log == []


@by_name
def test_killed_at_every_effect_the_next_run_converges(scenario: Scenario) -> None:
    total = effects_of(scenario)
    assert total > 5
    points = [(1, "before"), *((number, "after") for number in range(1, total + 1))]
    for point in points:
        fleet, held = die(scenario, point)
        recover(fleet, held, scenario)


@by_name
def test_killed_again_in_the_recovery(scenario: Scenario) -> None:
    total = effects_of(scenario)
    for number in range(1, total + 1, 7):
        second = 1
        while True:
            fleet, held = die(scenario, (number, "after"))
            world = watched(fleet, held, (second, "after"))
            if not any(k.startswith("service/") for k in fleet.documents):
                break
            try:
                reconciling(world)
            except Killed:
                world.die()
                fleet.clock.sleep(30)
                recover(fleet, held, scenario)
                second += 9
            else:
                settled(fleet, scenario)
                break
