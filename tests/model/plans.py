"""What holds of plans, whatever the fleet: I21, I22 and I23."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from invariants import Invariants, Violation
from judged import Run, picture, points, under_watch
from scenarios import Scenario, rolling_back
from simulated import SimFleet

from fleetctl.engine import opening
from fleetctl.planner.inputs import Situation
from fleetctl.planner.plan import make_plan


def situations_of(scenario: Scenario, every: int = 9) -> list[Situation]:
    """What the planner was asked in this scenario, and in recoveries from some of its points."""
    asked: list[Situation] = []

    def ask(given: Situation) -> Any:
        asked.append(given)
        return make_plan(given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "make_plan", ask)
        fleet, held = scenario.prepare()
        for point in points(fleet, held, scenario.act)[::every]:
            point.fleet.clock.sleep(30)
            points(point.fleet, point.held, scenario.recover)
    return asked


def same_plan(given: Situation) -> None:
    """I22: equal inputs, equal plan; I23: the order of the inventory changes nothing."""
    first = make_plan(given)
    if make_plan(replace(given)) != first:
        raise Violation({"I22": "equal inputs gave two plans"}, "planning")
    chance = random.Random(7)
    shuffled = {
        name: tuple(chance.sample(value, len(value)))
        for name in ("hosts", "candidates", "observed", "balancers", "reserved")
        if (value := getattr(given, name))
    }
    shuffled["hosts"] = given.hosts[::-1]
    if make_plan(replace(given, **shuffled)) != first:
        raise Violation({"I23": "another order gave another plan"}, "planning")


def there_and_back(first: Run, second: Run) -> None:
    """I21: A, then B, then A again restores what ran."""
    for again in (rolling_back(), first):
        fleet = SimFleet()
        held = Invariants(fleet)
        under_watch(held, first)
        before = picture(fleet, "web")
        under_watch(held, second)
        under_watch(held, again)
        if picture(fleet, "web") != before:
            raise Violation({"I21": f"{picture(fleet, 'web')} was {before}"}, "there and back")
