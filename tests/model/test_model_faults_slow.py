"""An engine that answers, or a balancer that checks, and late: a roll takes longer and harms
nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from judged import at_rest, judged
from scenarios import SCENARIOS, deploying, reconciling, web
from sim_balancers import SimBalancerPort
from sim_hosts import SimEngine
from simulated import SimFleet

from fleetctl.model.events import Event, Failed, StepStarted
from fleetctl.model.observed import ObservedServer

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


@pytest.mark.parametrize(("lost", "error"), [("", ""), ("node2", "too-few-serve")])
def test_checks_that_come_late_after_another_services_reload_are_waited_for(
    lost: str, error: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet = SimFleet()
    balancer = fleet.balancers["lb1"]
    late = 0.0
    told: list[str] = []
    see = SimBalancerPort._server

    def seen(port: SimBalancerPort, key: tuple[str, str]) -> ObservedServer:
        server = see(port, key)
        known = balancer.servers.get(key)
        checked = known is not None and fleet.clock.now() - known.since >= late
        return server if checked else replace(server, up=True, checked=False)

    def reload(event: Event) -> None:
        nonlocal late
        if isinstance(event, Failed):
            told.append(event.error_id)
        if isinstance(event, StepStarted) and event.action == "drain" and not told:
            now, late = fleet.clock.now(), 25.0
            balancer.servers = {k: replace(s, since=now) for k, s in balancer.servers.items()}
            if lost:
                fleet.hosts[lost].up = False
        elif isinstance(event, StepStarted):
            late = 0.0

    spec = web()
    spec = replace(spec, healthcheck=replace(spec.healthcheck, interval=30.0, retries=1))
    assert deploying(spec)(fleet.controller()).exit_code == 0
    fleet.clock.sleep(5)
    monkeypatch.setattr(SimBalancerPort, "_server", seen)
    world = fleet.controller()
    world.emit = reload
    finished = deploying(replace(spec, image="app:2"))(world)
    assert (finished.result == "ok") is not bool(lost)
    assert told[:1] == ([error] if error else [])
