"""What is sick when the plan is made did not fall away since: the look before a stop doesn't miss
it, and the deploy that mends it goes through."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import pytest
from scenarios import FIRST, SECOND, deploying, reconciling, web
from simulated import SimFleet

from fleetctl.errors import Refused
from fleetctl.model.events import Event, Failed, StepStarted
from fleetctl.model.instance import Container
from fleetctl.model.routing import Route
from fleetctl.model.spec import Port, ServiceSpec


def two_ports(image: str, **rollout: str) -> ServiceSpec:
    return replace(
        web(image, **rollout),
        ports=(Port("http", 8080), Port("admin", 9090)),
        routes=(Route("http", host="web.example"), Route("admin", host="admin.example")),
    )


def fall_sick(fleet: SimFleet, containers: Iterable[Container], port: str = "http") -> None:
    """They run on, and answer at ``port`` no more."""
    answers = fleet.answers
    deaf = {(c.address, b.host) for c in containers for b in c.bindings if b.name == port}
    fleet.answers = lambda *where: where not in deaf and answers(*where)  # type: ignore[method-assign]
    fleet.clock.sleep(5)


def test_instances_that_serve_at_one_of_two_ports_are_replaced() -> None:
    fleet = SimFleet()
    quarters = {"max_surge": "25%", "max_unavailable": "25%"}
    deploying(two_ports("app:1", **quarters))(fleet.controller())
    fall_sick(fleet, fleet.containers("web")[:2], "admin")

    assert deploying(two_ports("app:2", **quarters))(fleet.controller()).result == "ok"
    assert {c.image for c in fleet.containers("web")} == {"app@sha256:2"}
    assert reconciling(fleet.controller()).result == "nothing_to_do"


def test_the_last_one_that_serves_at_a_port_stays() -> None:
    fleet = SimFleet()
    in_place = {"max_surge": "0", "max_unavailable": "1"}
    deploying(two_ports("app:1", **in_place))(fleet.controller())
    (well,) = (c for c in fleet.containers("web") if c.slot == 1)
    fall_sick(fleet, [c for c in fleet.containers("web") if c.slot != 1], "admin")
    world = fleet.controller()
    told: list[Event] = []
    world.emit = told.append

    deploying(two_ports("app:2", **in_place))(world)
    assert next(e.error_id for e in told if isinstance(e, Failed)) == "too-few-serve"
    assert fleet.hosts[well.host].containers[well.id].running
    (admin,) = ((well.address, b.host) for b in well.bindings if b.name == "admin")
    servers = fleet.balancers["lb1"].servers.values()
    assert [s.admin for s in servers if (s.address, s.port) == admin] == ["ready"]


def test_an_instance_outside_of_the_limit_that_is_sick_keeps_no_part_back() -> None:
    fleet = SimFleet()
    FIRST(fleet.controller())
    fall_sick(fleet, [next(c for c in fleet.containers("web") if c.host == "node2")])

    part = deploying(web("app:2"), limit=("node1",))
    assert part(fleet.controller()).result == "paused"
    images = {c.image for c in fleet.containers("web") if c.host == "node1" and c.running}
    assert images == {"app@sha256:2"}


def test_an_instance_that_starts_anew_by_itself_keeps_no_deploy_back() -> None:
    fleet = SimFleet(balancers=0)
    FIRST(fleet.controller())
    for c in fleet.containers("web")[-1:]:
        fleet.hosts[c.host].containers[c.id] = replace(c, health="starting")

    assert deploying(web("app:2"))(fleet.controller()).result == "ok"


def test_a_deploy_that_went_back_for_what_fell_away_since_asks_for_again() -> None:
    """As `fleetctl explain too-few-serve` has it."""
    fleet = SimFleet()
    FIRST(fleet.controller())
    fleet.clock.sleep(5)
    well = fleet.answers
    world = fleet.controller()
    told: list[str] = []

    def meanwhile(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step == "start-1":
            fall_sick(fleet, [c for c in fleet.containers("web") if c.slot == 4])
        if isinstance(event, Failed):
            told.append(event.error_id)

    world.emit = meanwhile
    assert SECOND(world).exit_code != 0
    assert told[0] == "too-few-serve"
    fleet.answers = well  # type: ignore[method-assign]
    fleet.clock.sleep(30)
    reconciling(fleet.controller())
    with pytest.raises(Refused, match="was rolled back"):
        SECOND(fleet.controller())
    assert deploying(web("app:2"), again=True)(fleet.controller()).result == "ok"
