"""An engine that answers, and late: a roll takes longer and harms nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from judged import at_rest, judged
from scenarios import SCENARIOS, reconciling
from sim_hosts import SimEngine
from simulated import SimFleet

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
SLOW = 3.0
"""Seconds that each answer of the slow engine takes."""


def slowed(patch: pytest.MonkeyPatch, host: str) -> None:
    def later(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(engine: SimEngine, *args: Any) -> Any:
            if engine.host.name == host:
                engine.fleet.clock.sleep(SLOW)
            return real(engine, *args)

        return call

    for name in ("observe", "_do", "_ask"):
        patch.setattr(SimEngine, name, later(getattr(SimEngine, name)))


@pytest.mark.parametrize("name", ["first deploy", "update", "rollback", "scale down"])
def test_a_slow_engine_is_waited_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = BY_NAME[name]
    fleet, held = scenario.prepare()
    began = fleet.clock.now()
    slowed(monkeypatch, "node2")
    assert judged(held.watch(fleet.controller()), scenario.act).result == "ok"
    assert fleet.clock.now() - began >= 3 * SLOW, "it was never asked"
    assert not at_rest(fleet), at_rest(fleet)
    assert judged(held.watch(fleet.controller()), reconciling).result == "nothing_to_do"


def test_one_that_fails_on_a_slow_engine_goes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = BY_NAME["failing revision"]
    fleet: SimFleet
    fleet, held = scenario.prepare()
    slowed(monkeypatch, "node1")
    assert judged(held.watch(fleet.controller()), scenario.act).exit_code == 5
    scenario.settled(fleet)
