"""What a run is after, from the record as it is and what was asked."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleetctl.engine.goal import deploy_goal, emptied, fall_back, reconcile_goal, rollback_goal
from fleetctl.engine.steps import retained
from fleetctl.errors import FleetError, Refused
from fleetctl.model.record import OpenDeploy, Revision, ServiceRecord
from fleetctl.model.spec import ServiceSpec


def spec(image: str, replicas: int = 2) -> ServiceSpec:
    return ServiceSpec("web", image, replicas=replicas)


def revision(number: int, image: str, successful: bool | None = True) -> Revision:
    return Revision(number, spec(image), successful=successful)


def opened(target: int, previous: int, failed: int = 0) -> OpenDeploy:
    return OpenDeploy("d", target, previous, 0.0, "me", "h", failed)


TWO = ServiceRecord("web", 2, 1, (revision(1, "a"), revision(2, "b")))


def goal(record: ServiceRecord, image: str, again: bool = False):
    return deploy_goal(record, spec(image), image, again, "me", 5.0)


def test_a_spec_that_differs_gets_the_next_number_even_if_it_equals_an_older_one() -> None:
    found = goal(TWO, "a")
    assert (found.target.number, found.target.spec.image) == (3, "a")
    assert found.fallback == TWO.revision(2)


def test_the_committed_spec_is_no_new_revision() -> None:
    found = goal(TWO, "b")
    assert (found.target.number, found.fallback, found.failed) == (2, None, 0)


def test_an_open_deploy_of_the_same_spec_goes_on() -> None:
    record = replace(TWO, open=opened(3, 2)).with_revision(revision(3, "c", None))
    assert goal(record, "c").target.number == 3
    assert goal(record, "d").target.number == 4
    back = goal(record, "b")
    assert (back.target.number, back.failed) == (2, 3)


def test_what_was_rolled_back_asks_for_again() -> None:
    record = replace(TWO, left=3).with_revision(revision(3, "c", False))
    with pytest.raises(Refused, match="was rolled back") as refused:
        goal(record, "c")
    assert "--again" in refused.value.hint
    assert goal(record, "c", again=True).target.number == 4


def test_what_is_being_rolled_back_asks_for_again_too() -> None:
    record = replace(TWO, open=opened(2, 2, failed=3)).with_revision(revision(3, "c", False))
    with pytest.raises(Refused):
        goal(record, "c")


def test_rollback_takes_the_highest_successful_one_below() -> None:
    record = ServiceRecord(
        "web", 4, 2, (revision(1, "a"), revision(2, "b"), revision(3, "c", False), revision(4, "d"))
    )
    found = rollback_goal(record, None)
    assert (found.target.number, found.failed) == (2, 4)
    assert rollback_goal(record, 1).target.number == 1


def test_rollback_of_an_open_deploy_is_to_the_committed_revision() -> None:
    record = replace(TWO, open=opened(3, 2)).with_revision(revision(3, "c", None))
    found = rollback_goal(record, None)
    assert (found.target.number, found.failed) == (2, 3)


@pytest.mark.parametrize("to", [None, 7])
def test_rollback_with_nowhere_to_go_is_refused(to: int | None) -> None:
    with pytest.raises(Refused):
        rollback_goal(ServiceRecord("web", 1, 0, (revision(1, "a"),)), to)


def test_reconcile_goes_where_the_record_says() -> None:
    assert reconcile_goal(TWO).target.number == 2
    forward = reconcile_goal(replace(TWO, open=opened(1, 2)))
    assert (forward.target.number, forward.fallback) == (1, TWO.revision(2))
    back = reconcile_goal(replace(TWO, open=opened(2, 2, failed=1)))
    assert (back.target.number, back.fallback, back.failed) == (2, None, 1)
    with pytest.raises(Refused):
        reconcile_goal(replace(TWO, current=9))


def test_the_way_back() -> None:
    forward = goal(TWO, "c")
    back = fall_back(forward)
    assert (back.target.number, back.failed, back.fallback) == (2, 3, None)
    with pytest.raises(FleetError):
        fall_back(back)
    first = goal(ServiceRecord("web"), "a")
    assert emptied(first).target.spec.replicas == 0


def test_retention_counts_successes_alone() -> None:
    many = tuple(revision(n, f"i{n}", successful=n % 2 == 0) for n in range(1, 31))
    kept = retained(many, 30)
    assert kept == (12, 14, 16, 18, 20, 22, 24, 26, 28, 29, 30)
    assert 2 in retained(many, 2)
