"""A preview is the plan that the run then makes, and it has no effect; drift tells fleet,
record and play apart."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from scenarios import NODES, deploying, lose_one, nodes, options, reconciling, rolling_back, web
from simulated import SimFleet, SimWorld

from fleetctl.engine import deploy, reconcile, rollback
from fleetctl.engine.drift import drift
from fleetctl.engine.preview import Preview
from fleetctl.engine.status import status
from fleetctl.errors import FleetError, Refused
from fleetctl.model.drift import ServiceDrift
from fleetctl.model.events import Event, PlanMade
from fleetctl.model.plan import Plan
from fleetctl.model.spec import ServiceSpec


@pytest.fixture
def fleet() -> SimFleet:
    """web at revision 2, after revision 1."""
    fleet = SimFleet()
    for image in ("app:1", "app:2"):
        deploying(web(image))(fleet.controller())
    return fleet


def silent(event: Event) -> None:
    return None


def look(fleet: SimFleet) -> tuple[Preview, SimWorld]:
    world = fleet.controller()
    return Preview(world, fleet.inventory(), options("plan"), silent), world


def made(world: SimWorld, run: Callable[[SimWorld], object]) -> list[Plan]:
    """The plans that a run tells of."""
    told: list[Event] = []
    world.emit = told.append  # type: ignore[method-assign]
    run(world)
    return [event.plan for event in told if isinstance(event, PlanMade)]


def steps(plan: Plan) -> list[tuple[str, str]]:
    return [(type(step).__name__, step.cause) for step in plan.steps]


def test_a_preview_is_what_the_run_does_and_has_no_effect(fleet: SimFleet) -> None:
    lose_one(fleet)
    preview, world = look(fleet)
    before = dict(fleet.documents)
    wanted = web("app:3", replicas=5)
    previews = {
        "deploy": deploy.preview(preview, wanted, NODES),
        "rollback": rollback.preview(preview, "web", nodes, None),
        "reconcile": reconcile.preview(preview, (), nodes)[0],
    }
    assert (world.effects.count, fleet.documents, fleet.locks) == (0, before, {})
    runs = {"deploy": deploying(wanted), "rollback": rolling_back(), "reconcile": reconciling}
    for name, one in previews.items():
        copy = fleet.fork()
        (first, *_) = made(copy.controller(), runs[name])
        assert steps(one.plan) == steps(first), name
        assert (one.plan.summary, one.plan.placed) == (first.summary, first.placed)
        assert not one.plan.nothing


def test_reconcile_previews_only_what_it_would_work_on(fleet: SimFleet) -> None:
    preview, _ = look(fleet)
    (one,) = reconcile.preview(preview, (), nodes)
    assert one.plan.nothing
    with pytest.raises(Refused, match="no service api"):
        reconcile.preview(preview, ("api",), nodes)


def drifted(fleet: SimFleet, *plays: ServiceSpec) -> ServiceDrift:
    world = fleet.controller()
    declared = {play.name: play for play in plays}
    found = drift(world, fleet.inventory(), nodes, declared, ("web",), options("drift"), silent)
    assert world.effects.count == 0
    (one,) = found
    return one


def test_no_drift(fleet: SimFleet) -> None:
    one = drifted(fleet, web("app:2"))
    assert (one.nothing, one.revision, one.play) == (True, 2, "same")
    assert drifted(fleet).play == "not_compared"


def test_drift_of_the_play(fleet: SimFleet) -> None:
    changed = replace(web("app:3", replicas=5), stop_grace=3.0)
    one = drifted(fleet, changed)
    assert (one.play, one.nothing) == ("differs", False)
    assert sorted(one.differs) == ["image", "replicas", "stop_grace_period"]
    assert one.fleet is not None
    assert one.fleet.plan.nothing
    assert drifted(fleet, web("app:2", name="api")).play == "undeclared"
    rolling_back()(fleet.controller())
    assert (drifted(fleet, web("app:2")).play, drifted(fleet, web("app:1")).play) == (
        "rolled_back",
        "same",
    )


def test_drift_of_the_fleet(fleet: SimFleet) -> None:
    lose_one(fleet)
    one = drifted(fleet, web("app:2"))
    assert (one.play, one.nothing) == ("same", False)
    assert one.fleet is not None
    assert one.fleet.plan.summary.create == 1


def test_drift_of_a_service_that_was_never_deployed() -> None:
    one = drifted(SimFleet(), web("app:1"))
    assert (one.revision, one.fleet, one.play, one.nothing) == (0, None, "differs", False)
    with pytest.raises(Refused, match="web: neither declared nor deployed"):
        drifted(SimFleet(), web("app:1", name="api"))


def test_status_of_a_service_that_was_never_deployed(fleet: SimFleet) -> None:
    world = fleet.controller()
    with pytest.raises(FleetError, match="api is declared and was never deployed") as caught:
        status(world, fleet.inventory(), ("api",), ("api", "web"))
    assert "fleetctl plan api" in caught.value.hint
    with pytest.raises(FleetError, match="db: neither declared nor deployed") as caught:
        status(world, fleet.inventory(), ("db",), ("api",))
    assert caught.value.hint == "services: api, web"
