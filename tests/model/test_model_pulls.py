"""An image that can't be fetched touches nothing: the same deploy simply works later."""

from __future__ import annotations

import pytest
from scenarios import FIRST, SECOND, reconciling
from sim_hosts import SimEngine
from simulated import SimFleet

from fleetctl.errors import EngineFailed


def test_a_pull_that_fails_leaves_the_record_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    fleet = SimFleet()
    assert FIRST(fleet.controller()).result == "ok"
    record, containers = fleet.documents["service/web"].body, fleet.containers()

    def refuse(*_: object) -> None:
        raise EngineFailed("the registry is out of order")

    with monkeypatch.context() as broken:
        broken.setattr(SimEngine, "pull", refuse)
        ended = SECOND(fleet.controller())
    assert (ended.result, ended.exit_code) == ("failed", 1)
    assert fleet.documents["service/web"].body == record
    assert fleet.containers() == containers
    assert reconciling(fleet.controller()).result == "nothing_to_do"
    later = SECOND(fleet.controller())
    assert (later.result, later.services[0].revision) == ("ok", 2)
