"""The race that started it: services with several instances on shared hosts, deployed at the same
time by processes of their own, with a reconcile in between."""

from __future__ import annotations

import pytest
from harness import Fleet
from many import Many, race, went_well

pytestmark = pytest.mark.lab


def test_twelve_services_at_once_behind_two_balancers(pair: Fleet) -> None:
    """No request fails, none is answered by another service, none finds no route."""
    many = Many(pair, 12)
    for ran in many.deploy(1):
        went_well(ran)
    many.check(1)
    raced = race(many, rate=120, reconciles=2)
    print(f"{raced.seconds:.1f} s, reconciles {[r.code for r in raced.reconciles]}, {raced.report}")
    raced.check(many)
    many.check(2)
