"""Killed between any two remote effects, and again in the recovery: it converges."""

from __future__ import annotations

import random

import pytest
from judged import Point, converge, points
from scenarios import SCENARIOS, STAYS_OPEN, Scenario, reconciling

by_name = pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
SAMPLE = 12
"""Pairs of crash points for each scenario in make test; make soak takes them all."""


def crash_points(scenario: Scenario) -> list[Point]:
    fleet, held = scenario.prepare()
    found = points(fleet, held, scenario.act)
    assert len(found) > 5
    if scenario.name not in STAYS_OPEN:
        scenario.settled(fleet)
    return found


def recover(point: Point, scenario: Scenario) -> None:
    converge(point.held, scenario.recover, reconciling)
    scenario.settled(point.fleet)


@by_name
def test_killed_at_every_effect_the_next_run_converges(scenario: Scenario) -> None:
    for point in crash_points(scenario):
        recover(point, scenario)


def again(first: Point, scenario: Scenario) -> list[Point]:
    """Killed at ``first``, and then at each effect of the recovery."""
    fleet = first.fleet.fork()
    fleet.clock.sleep(30)
    return points(fleet, first.held.fork(fleet), scenario.recover)


@by_name
def test_killed_again_in_the_recovery(scenario: Scenario) -> None:
    chance = random.Random(scenario.name)
    found = crash_points(scenario)
    for first in chance.sample(found, min(len(found), SAMPLE // 3)):
        second = again(first, scenario)
        for point in chance.sample(second, min(len(second), 3)):
            recover(point, scenario)


@pytest.mark.soak
@by_name
def test_killed_at_every_pair_of_effects(scenario: Scenario) -> None:
    pairs = 0
    for first in crash_points(scenario):
        for second in again(first, scenario):
            recover(second, scenario)
            pairs += 1
    print(f"crash points in the model, killed twice: {scenario.name}: {pairs} of {pairs} converged")
