"""Servers that a person holds: no run lets requests come to them, and none is kept from its end."""

from __future__ import annotations

import random

import pytest
from held import HELD
from judged import points
from scenarios import Scenario
from test_model_crash_points import again, recover

by_name = pytest.mark.parametrize("scenario", HELD, ids=lambda s: s.name)
EVERY = 4
"""Of the crash points one in so many in make test; make soak takes them all, and all pairs."""


@by_name
def test_killed_at_an_effect_the_next_run_converges(scenario: Scenario) -> None:
    chance = random.Random(scenario.name)
    fleet, held = scenario.prepare()
    found = points(fleet, held, scenario.act)
    scenario.settled(fleet)
    for point in found[chance.randrange(EVERY) :: EVERY]:
        recover(point, scenario)
    second = again(chance.choice(found), scenario)
    recover(chance.choice(second), scenario)


@pytest.mark.soak
@by_name
def test_killed_at_every_effect_and_in_the_recovery(scenario: Scenario) -> None:
    fleet, held = scenario.prepare()
    pairs = 0
    for first in points(fleet, held, scenario.act):
        for second in again(first, scenario):
            recover(second, scenario)
            pairs += 1
        recover(first, scenario)
    print(f"crash points in the model, held: {scenario.name}: {pairs} of {pairs} converged")
