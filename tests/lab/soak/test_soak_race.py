"""The race of tests/lab/test_lab_race.py with many more services."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from harness import Fleet
from many import Many, race, went_well

pytestmark = [pytest.mark.lab, pytest.mark.soak]


def test_race(pair: Fleet, table, amount: Callable[[str, int], int]) -> None:
    """SOAK_SERVICES services at once, SOAK_RACE_RATE requests a second on all their routes."""
    many = Many(pair, amount("SERVICES", 50))
    for ran in many.deploy(1):
        went_well(ran)
    raced = race(many, rate=amount("RACE_RATE", 200), reconciles=4)
    report = raced.report
    print(f"  {len(many.services)} services in {raced.seconds:.0f} s, {report}")
    table.row("race", requests=report.sent, failed=report.failed, deploys=len(raced.deploys))
    raced.check(many)
    many.check(2)
