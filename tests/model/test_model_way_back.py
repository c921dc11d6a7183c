"""A deploy that failed is going back from that moment on, whatever keeps it from getting there."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from invariants import Invariants
from judged import at_rest, judged, recorded
from scenarios import BAD, FIRST, NODES, deploying, options, reconciling, web
from sim_effects import Effect
from simulated import SimFleet, SimWorld

from fleetctl.engine.deploy import deploy
from fleetctl.errors import Interrupted, Refused
from fleetctl.model.events import Event, Failed, RunFinished


def at_the_failure(world: SimWorld, then: Callable[[], None]) -> None:
    """``then`` happens when the run tells for the first time that the deploy has failed."""
    failures: list[Event] = []

    def emit(event: Event) -> None:
        if isinstance(event, Failed):
            failures.append(event)
            if len(failures) == 1:
                then()

    world.emit = emit


def going_back(fleet: SimFleet) -> tuple[int, int]:
    opened = recorded(fleet)["web"].open
    assert opened is not None
    return opened.failed, opened.target


def falls_silent(held: Invariants, host: str) -> Callable[[], None]:
    def fall() -> None:
        held.fleet.hosts[host].up = False
        held.rebase()

    return fall


def tried_again(world: SimWorld) -> list[Effect]:
    """What a run has done to start revision 2, which is ``app:bad``."""
    starts = ("create", "start")
    return [
        e
        for e in world.effects.log
        if e.kind in starts and e.subject.startswith("web-") and e.subject.split("-")[2] == "2"
    ]


def goes_on_back(fleet: SimFleet, held: Invariants) -> RunFinished:
    world = held.watch(fleet.controller())
    finished = judged(world, reconciling)
    assert tried_again(world) == []
    assert not at_rest(fleet), at_rest(fleet)
    return finished


def test_a_host_that_fell_silent_before_the_way_back_was_open() -> None:
    fleet = SimFleet()
    FIRST(fleet.controller())
    held = Invariants(fleet)
    world = held.watch(fleet.controller())
    at_the_failure(world, falls_silent(held, "node3"))

    finished = judged(world, BAD)

    assert (finished.result, finished.exit_code) == ("mixed", 6)
    assert tried_again(world), "it had begun"
    record = recorded(fleet)["web"]
    assert going_back(fleet) == (2, 1)
    assert "node3 does not answer" in record.message
    failed = record.revision(2)
    assert failed is not None
    assert failed.successful is False

    fleet.hosts["node3"].up = True
    with pytest.raises(Refused, match="rolled back"):
        BAD(fleet.controller())
    assert goes_on_back(fleet, held).exit_code == 0
    assert recorded(fleet)["web"].current == 1
    assert recorded(fleet)["web"].left == 2


def test_a_first_deploy_whose_host_fell_silent_before_its_way_back() -> None:
    fleet = SimFleet()
    held = Invariants(fleet)
    world = held.watch(fleet.controller())
    at_the_failure(world, falls_silent(held, "node1"))

    assert judged(world, BAD).exit_code == 6

    assert going_back(fleet) == (1, 1)
    fleet.hosts["node1"].up = True
    goes_on = held.watch(fleet.controller())
    assert judged(goes_on, reconciling).exit_code == 0
    assert not [e for e in goes_on.effects.log if e.kind in ("create", "start")]
    assert fleet.containers("web") == []
    assert recorded(fleet)["web"].current == 0


def test_a_person_who_stops_the_run_when_it_has_failed() -> None:
    fleet = SimFleet()
    FIRST(fleet.controller())
    held = Invariants(fleet)
    world = held.watch(fleet.controller())
    wanted = options("deploy")
    at_the_failure(world, lambda: wanted.stop.set(2))

    with pytest.raises(Interrupted):
        deploy(world, fleet.inventory(), web("app:bad"), NODES, wanted, world.emit)

    assert going_back(fleet) == (2, 1)
    assert goes_on_back(fleet, held).exit_code == 0


@pytest.mark.parametrize("policy", ["pause", "stop"])
def test_where_no_way_back_is_wanted_none_is_recorded(policy: str) -> None:
    fleet = SimFleet()
    FIRST(fleet.controller())
    world = fleet.controller()
    assert deploying(web("app:bad", on_failure=policy))(world).exit_code == 6
    assert going_back(fleet) == (0, 2)
