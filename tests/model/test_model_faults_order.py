"""Steps that may go side by side come in any order, and the controller is killed in between."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from judged import converge, points
from scenarios import SCENARIOS, STAYS_OPEN, Scenario, reconciling

from fleetctl.engine import committing
from fleetctl.model.plan import Plan

SAMPLE = 8
"""Crash points of each scenario and order."""
Reorder = Callable[[random.Random], None]


@pytest.fixture
def reorder(monkeypatch: pytest.MonkeyPatch) -> Reorder:
    """From then on, of the steps whose needs are met any may be the next, as chance has it."""
    carry_out: Callable[[Any, Plan], None] = committing.execute

    def use(chance: random.Random) -> None:
        def in_any_order(session: Any, plan: Plan) -> None:
            steps = tuple(chance.sample(plan.steps, len(plan.steps)))
            carry_out(session, replace(plan, steps=steps))

        monkeypatch.setattr(committing, "execute", in_any_order)

    return use


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_in_any_order_and_killed_anywhere_it_converges(
    scenario: Scenario, seed: int, reorder: Reorder
) -> None:
    fleet, held = scenario.prepare()
    chance = random.Random(f"{scenario.name}{seed}")
    reorder(chance)
    found = points(fleet, held, scenario.act)
    if scenario.name not in STAYS_OPEN:
        scenario.settled(fleet)
    for point in chance.sample(found, min(len(found), SAMPLE)):
        converge(point.held, scenario.recover, reconciling)
        scenario.settled(point.fleet)


def test_orders_do_differ(reorder: Reorder) -> None:
    """Or the test above would show nothing."""
    (scenario,) = (s for s in SCENARIOS if s.name == "update by twos")
    seen = set()
    for seed in range(4):
        fleet, held = scenario.prepare()
        reorder(random.Random(seed))
        effects = [str(point.effect) for point in points(fleet, held, scenario.act)]
        seen.add(tuple(e for e in effects if e.startswith(("create", "start", "stop"))))
    assert len(seen) > 1
