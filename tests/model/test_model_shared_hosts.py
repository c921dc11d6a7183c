"""A host that is a balancer and gets instances too: nothing is there to tell before the first."""

from __future__ import annotations

import pytest
from scenarios import options, web
from simulated import SimFleet, SimWorld

from fleetctl.engine import deploy
from fleetctl.engine.preview import Preview
from fleetctl.model.events import Event, PlanMade, RunFinished
from fleetctl.model.fleet import Balancer, Fleet, Host, Login
from fleetctl.model.spec import ServiceSpec

INVENTORY = Fleet(
    "sim",
    (Host("lb1", Login("lb1"), "10.0.1.1"), Host("node1", Login("node1"), "10.0.0.1")),
    (Balancer("lb1"),),
    ("lb1",),
)
API, API2 = (web(image, 1, name="api") for image in ("app:1", "app:2"))


@pytest.fixture
def fleet() -> SimFleet:
    """api runs on node1, nothing yet on lb1."""
    fleet = SimFleet(hosts=1)
    fleet.hosts["lb1"] = fleet.balancers["lb1"].machine
    assert deploying(fleet.controller(), API, "node1").exit_code == 0
    return fleet


def deploying(world: SimWorld, spec: ServiceSpec, *hosts: str) -> RunFinished:
    return deploy.deploy(world, INVENTORY, spec, hosts, options("deploy"), world.emit)


def test_a_preview_looks_at_the_hosts_that_a_play_names(fleet: SimFleet) -> None:
    look = Preview(fleet.controller(), INVENTORY, options("plan"), lambda _: None)
    made = deploy.preview(look, web(replicas=2), ("lb1",))
    assert made.plan.placed == ((1, "lb1"), (2, "lb1"))
    assert deploy.preview(look, API, ("node1",)).plan.nothing


def test_a_plan_made_anew_looks_at_them_too(
    fleet: SimFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = fleet.controller()
    told: list[Event] = []
    world.emit = told.append
    acquire = world.locks.acquire

    def another_first(scope: str, *rest: object) -> object:
        if scope == "placement" and any(isinstance(event, PlanMade) for event in told):
            monkeypatch.undo()
            assert deploying(fleet.controller(), API2, "node1").exit_code == 0
        return acquire(scope, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(world.locks, "acquire", another_first)
    assert deploying(world, web(replicas=2), "lb1").exit_code == 0
    assert {c.host for c in fleet.containers("web")} == {"lb1"}
    assert {c.image for c in fleet.containers("api")} == {"app@sha256:2"}
