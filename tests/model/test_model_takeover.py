"""A lock taken from a holder that fell silent: what it left is fenced off, host by host."""

from __future__ import annotations

import pytest
from invariants import Invariants
from judged import at_rest, judged
from scenarios import FIRST, SECOND, break_off, reconciling
from sim_effects import Effect
from simulated import SimFleet, SimWorld

from fleetctl.errors import CommandFailed, ConnectionLost, DeadlinePassed, FleetError
from fleetctl.model.events import Event, Note


def left_by_another() -> tuple[SimFleet, SimWorld, list[Event]]:
    """A fleet whose update was broken off, a controller to take over, and what it tells."""
    fleet = SimFleet()
    FIRST(fleet.controller())
    break_off(SECOND, 25)(fleet)
    world = Invariants(fleet).watch(fleet.controller())
    told: list[Event] = []
    world.emit = told.append
    return fleet, world, told


def claimed(world: SimWorld) -> list[str]:
    return [effect.place for effect in world.effects.log if effect.kind == "claim"][:4]


@pytest.mark.parametrize("error", [CommandFailed, DeadlinePassed, ConnectionLost])
def test_a_host_that_cannot_be_fenced_off_is_told_of_and_left(error: type[FleetError]) -> None:
    fleet, world, told = left_by_another()
    failed: list[Effect] = []

    def turn(number: int, effect: Effect) -> None:
        if effect.kind == "claim" and effect.place == "node2" and not failed:
            failed.append(effect)
            raise error("its disk is full")

    world.effects.turn = turn

    finished = judged(world, reconciling)

    assert (finished.result, finished.exit_code) == ("ok", 0)
    assert not at_rest(fleet), at_rest(fleet)
    assert claimed(world)[:3] == ["lb1", "node1", "node3"]
    notes = [e for e in told if isinstance(e, Note) and e.host == "node2"]
    assert [(n.text, n.level) for n in notes] == [("not fenced off: its disk is full", "warning")]


def test_a_host_that_has_seen_a_later_fence_is_gone_above() -> None:
    """The lock host was replaced and counts from one again; a record host isn't looked at."""
    fleet, world, _ = left_by_another()
    fleet.balancers["lb1"].machine.fences["service-web"] = (40, "before the lock host was lost")

    finished = judged(world, reconciling)

    assert (finished.result, finished.exit_code) == ("ok", 0)
    assert not at_rest(fleet), at_rest(fleet)
    assert claimed(world)[0] == "lb1"
    assert fleet.hosts["node3"].fences["service-web"][0] > 40
