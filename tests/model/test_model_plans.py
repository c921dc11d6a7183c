"""Plans depend on what is and what is wanted, and on nothing else."""

from __future__ import annotations

import pytest
from plans import same_plan, situations_of, there_and_back
from scenarios import SCENARIOS, Scenario, deploying, web


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_equal_inputs_in_any_order_give_an_equal_plan(scenario: Scenario) -> None:
    asked = situations_of(scenario)
    assert asked
    for given in asked:
        same_plan(given)


def test_there_and_back_restores_what_ran() -> None:
    there_and_back(deploying(web()), deploying(web("app:2", replicas=6)))
