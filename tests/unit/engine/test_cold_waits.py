"""Waits for drained servers and for health, on a clock of their own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from fleetctl.engine.balancing import await_drained
from fleetctl.engine.health import await_healthy
from fleetctl.errors import NotHealthy
from fleetctl.model.balancing import Backend, Section, Server
from fleetctl.model.fleet import Balancer
from fleetctl.model.instance import Binding, Container, Instance
from fleetctl.model.observed import ObservedBalancer, ObservedServer, Probe
from fleetctl.model.spec import Healthcheck, Port, Rollout, ServiceSpec

WEB = Section(
    "web",
    drain_timeout=5.0,
    backends=(Backend("http", 4, (Server(1, "web-1", 1, 1, "node1", "10.0.0.1", 20000),)),),
)


class Clock:
    time = 0.0

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


def draining(seen: Callable[[float], ObservedBalancer], longest: float = 5.0) -> Any:
    clock = Clock()
    balancer = SimpleNamespace(observe=lambda: seen(clock.time))
    return SimpleNamespace(
        world=SimpleNamespace(clock=clock, balancer=lambda name: balancer),
        fleet=SimpleNamespace(balancers=(Balancer("lb1"),)),
        lease=SimpleNamespace(check=lambda: None),
        options=SimpleNamespace(parallel=1),
        section=WEB,
        view=SimpleNamespace(
            sections={"web": WEB, "slow": replace(WEB, service="slow", drain_timeout=longest)}
        ),
    )


def test_an_old_worker_is_waited_for_beyond_the_drain_limit() -> None:
    """It knows nothing of the drain: stopping the container would cut its clients off."""
    session = draining(
        lambda now: ObservedBalancer("lb1", old_workers=1 if now < 37.0 else 0), 30.0
    )

    assert await_drained(session, {"web-1"}, 5.0) == ""
    assert session.world.clock.time >= 37.0


def test_old_workers_that_never_end_are_waited_for_until_haproxy_must_have_ended_them() -> None:
    session = draining(lambda now: ObservedBalancer("lb1", old_workers=2), 30.0)

    assert await_drained(session, {"web-1"}, 5.0) == "2 old workers on lb1"
    assert 40.0 <= session.world.clock.time < 60.0


def test_sessions_are_waited_for_until_the_limit_alone() -> None:
    busy = ObservedServer(
        "web.http", "slot1", 1, "10.0.0.1", 20000, True, "drain", "DRAIN", sessions=3
    )
    session = draining(lambda now: ObservedBalancer("lb1", servers=(busy,)))

    assert await_drained(session, {"web-1"}, 5.0) == "3 sessions of web.http/slot1 on lb1"
    assert session.world.clock.time < 7.0


INSTANCE = Instance("web", 1, 1, "node1", "10.0.0.1", (Binding("http", 80, 20000),), "abcd1234")
SPEC = ServiceSpec(
    "web",
    "app",
    ports=(Port("http", 80),),
    healthcheck=Healthcheck("http", "http", "/healthz"),
    rollout=Rollout(min_ready=3.0, healthy_deadline=10.0),
)


def engine_with(restarts: Callable[[], int]) -> Any:
    def container(*_: object) -> Container:
        return Container(
            "c1", INSTANCE.name, "node1", "10.0.0.1", "web", 1, 1, 1, "abcd1234", "s", "running",
            started=5.0, restarts=restarts(),
        )  # fmt: skip

    return SimpleNamespace(
        find=container,
        inspect=container,
        logs=lambda *_: (),
        probe=lambda *_: Probe(True, "GET", "200"),
    )


def test_restarts_of_long_ago_are_no_fault_of_a_container_that_is_looked_at_again() -> None:
    engine = engine_with(lambda: 3)
    found = await_healthy(engine, INSTANCE, SPEC, "l", Clock(), lambda: None)  # type: ignore[arg-type]
    assert found.restarts == 3


def test_a_restart_while_it_is_watched_is_one() -> None:
    count = iter([3, 3, *[4] * 99])
    engine = engine_with(lambda: next(count))
    with pytest.raises(NotHealthy, match="it ended"):
        await_healthy(engine, INSTANCE, SPEC, "l", Clock(), lambda: None)  # type: ignore[arg-type]
