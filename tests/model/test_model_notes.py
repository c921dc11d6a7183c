"""What a run tells of the fleet it tells once."""

from __future__ import annotations

from dataclasses import replace

from scenarios import FIRST, NODES, deploying, options, web
from simulated import SimFleet

from fleetctl.engine.deploy import deploy
from fleetctl.model.events import Event, Note


def test_a_silent_host_that_is_left_out_is_named_once() -> None:
    fleet = SimFleet()
    deploying(web(replicas=2))(fleet.controller())
    (idle,) = {*NODES} - {c.host for c in fleet.containers("web")}
    fleet.hosts[idle].up = False
    world = fleet.controller()
    told: list[Event] = []
    world.emit = told.append

    assert deploying(web("app:2", replicas=2))(world).exit_code == 0

    notes = [e.text for e in told if isinstance(e, Note) and e.host == idle]
    assert notes == [f"left out: {idle} is silent"]


def test_a_host_that_left_the_inventory_is_named_once() -> None:
    fleet = SimFleet()
    FIRST(fleet.controller())
    whole = fleet.inventory()
    left = replace(whole, hosts=tuple(h for h in whole.hosts if h.name != "node3"))
    told: list[Event] = []

    finished = deploy(
        fleet.controller(), left, web("app:2"), NODES[:2], options("deploy"), told.append
    )

    assert finished.exit_code == 0
    notes = [e.text for e in told if isinstance(e, Note) and e.host == "node3"]
    assert len(notes) == 1, notes
    assert "in the inventory no more" in notes[0]
