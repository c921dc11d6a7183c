"""Clocks of hosts and of the controller that are off by an hour decide nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scenarios import FIRST, SECOND, reconciling
from simulated import SimClock, SimFleet

HOUR = 3600.0


class OffClock:
    """The fleet's clock with another idea of the time of day."""

    def __init__(self, true: SimClock, off: float) -> None:
        self._true = true
        self._off = off

    def now(self) -> float:
        return self._true.now() + self._off

    def monotonic(self) -> float:
        return self._true.monotonic()

    def sleep(self, seconds: float) -> None:
        self._true.sleep(seconds)


def set_wrong(fleet: SimFleet, offsets: tuple[float, ...]) -> None:
    """Containers tell when they started by their own host's clock."""
    for host, off in zip(fleet.hosts.values(), offsets, strict=True):
        for key, container in host.containers.items():
            host.containers[key] = replace(container, started=container.started + off)


@pytest.mark.parametrize("controller", [-HOUR, HOUR])
@pytest.mark.parametrize("hosts", [(HOUR, -HOUR, 0.0), (-HOUR, -HOUR, HOUR)])
def test_clocks_that_are_off_by_an_hour(controller: float, hosts: tuple[float, ...]) -> None:
    fleet = SimFleet()

    def run(what):  # type: ignore[no-untyped-def]
        world = fleet.controller()
        world.clock = OffClock(fleet.clock, controller)
        return what(world)

    assert run(FIRST).result == "ok"
    set_wrong(fleet, hosts)
    before = fleet.containers()
    assert run(reconciling).result == "nothing_to_do"
    assert run(FIRST).result == "nothing_to_do"
    assert fleet.containers() == before
    assert run(SECOND).result == "ok"
    set_wrong(fleet, hosts)
    assert run(reconciling).result == "nothing_to_do"
    assert {container.revision for container in fleet.containers()} == {2}
