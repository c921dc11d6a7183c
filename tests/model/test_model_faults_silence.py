"""Hosts and balancers that fall silent, before a run or between any two of its effects."""

from __future__ import annotations

import pytest
from befallen import (
    COMING,
    CutOffBalancers,
    between_effects,
    settles,
    silence,
    speak,
)
from invariants import Invariants
from judged import Run, at_rest, under_watch
from scenarios import SCENARIOS, options, run_or_error, web
from simulated import SimFleet, SimWorld

from fleetctl.engine.deploy import deploy
from fleetctl.engine.reconcile import reconcile
from fleetctl.engine.rollback import rollback
from fleetctl.errors import FleetError
from fleetctl.model.events import RunFinished

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
SIX = tuple(f"node{i}" for i in range(1, 7))


@pytest.mark.parametrize(
    ("name", "balancer"),
    [
        ("update", "lb1"),
        ("update, two balancers", "lb2"),
        ("failing revision, two balancers", "lb2"),
        ("scale down", "lb1"),
        ("rollback", "lb1"),
    ],
)
def test_a_balancer_is_cut_off_in_a_roll(name: str, balancer: str) -> None:
    """Before every fourth effect. It goes on sending requests to what it has. The run ends by
    itself and names it."""
    scenario = BY_NAME[name]
    fleet, held = scenario.prepare()
    watch = CutOffBalancers()
    cut = silence(balancer)
    for found in between_effects(fleet, held, scenario.act, cut, watch=watch, every=4):
        if found.code:
            assert found.code in (1, 4, 5, 6), (found.number, found.ended)
            assert balancer in found.words, (found.number, found.words)
        settles(found, scenario)
        watch.forget()


@pytest.mark.parametrize("host", ["node1", "node3"])
@pytest.mark.parametrize("name", ["update", "update by twos", "rollback", "failing revision"])
def test_a_host_falls_silent_in_a_roll(name: str, host: str) -> None:
    scenario = BY_NAME[name]
    fleet, held = scenario.prepare()
    for found in between_effects(fleet, held, scenario.act, silence(host), COMING):
        assert found.code in (0, 1, 4, 5, 6, 9), (found.number, found.ended)
        settles(found, scenario)


def deploying(image: str, replicas: int = 6, name: str = "web") -> Run:
    def run(world: SimWorld) -> RunFinished:
        fleet, spec = world.fleet.inventory(), web(image, replicas, name=name)
        return deploy(world, fleet, spec, SIX, options("deploy"), world.emit)

    return run


def back(world: SimWorld) -> RunFinished:
    fleet = world.fleet.inventory()
    return rollback(world, fleet, "web", lambda _: SIX, None, options("rollback"), world.emit)


def levelling(world: SimWorld) -> RunFinished:
    fleet = world.fleet.inventory()
    return reconcile(world, fleet, lambda _: SIX, (), options("reconcile"), world.emit)


@pytest.mark.parametrize("silent", [1, 2, 3, 6], ids=["one", "a third", "half", "all"])
def test_while_hosts_are_silent_nothing_that_runs_is_touched(silent: int) -> None:
    """Each of six hosts holds an instance: whoever comes is refused, with the host's name."""
    fleet = SimFleet(hosts=6)
    for image in ("app:1", "app:2"):
        assert deploying(image)(fleet.controller()).exit_code == 0
    assert {c.host for c in fleet.containers("web")} == set(SIX)
    containers, record = fleet.containers(), dict(fleet.documents)
    silence(*SIX[:silent])(fleet)
    held = Invariants(fleet)
    for run in (deploying("app:3"), deploying("app:2", 3), back, levelling):
        world = held.watch(fleet.controller())
        ended = run_or_error(world, run)
        assert int(ended.exit_code) == 4, ended
        if isinstance(ended, FleetError):
            assert any(name in ended.message for name in SIX[:silent]), ended.message
        assert [e for e in world.effects.log if e.kind != "record"] == []
    assert fleet.containers() == containers
    assert {k: d.body for k, d in fleet.documents.items()} == {k: d.body for k, d in record.items()}
    speak(fleet)
    held.rebase()
    assert under_watch(held, levelling).result == "nothing_to_do"
    assert not at_rest(fleet), at_rest(fleet)


def test_a_service_that_has_nothing_on_a_silent_host_goes_on() -> None:
    fleet = SimFleet(hosts=6)
    assert deploying("app:1", 2, "cache")(fleet.controller()).exit_code == 0
    homes = {c.host for c in fleet.containers("cache")}
    silence(*sorted(set(SIX) - homes))(fleet)
    held = Invariants(fleet)
    assert under_watch(held, deploying("app:2", 2, "cache")).result == "ok"
    assert {c.image for c in fleet.containers("cache")} == {"app@sha256:2"}
    assert {c.host for c in fleet.containers("cache")} <= homes
