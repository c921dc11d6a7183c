"""Scenarios with servers that a person holds, and with services that no http route leads to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from judged import Run
from scenarios import (
    BAD,
    FIRST,
    ONE,
    OTHER,
    SECOND,
    TWO,
    Scenario,
    break_off,
    deploying,
    lose_one,
    options,
    reconciling,
    rolling_back,
    web,
)
from simulated import SimFleet, SimWorld

from fleetctl.engine.holding import hold, release
from fleetctl.engine.view import view_of
from fleetctl.model.events import RunFinished
from fleetctl.model.routing import Internal, Route

ALL = (1, 2, 3, 4)


def holding(*slots: int, state: Literal["drain", "maint"] = "drain", seconds: float = 0.0) -> Run:
    """A person keeps requests from these slots of web, however few others serve."""

    def run(world: SimWorld) -> RunFinished:
        fleet, names = world.fleet.inventory(), _servers(world.fleet, slots)
        return hold(world, fleet, names, state, seconds, options("lb drain"), world.emit, True)

    return run


def releasing(*slots: int) -> Run:
    def run(world: SimWorld) -> RunFinished:
        world.releases = True
        fleet, names = world.fleet.inventory(), _servers(world.fleet, slots)
        return release(world, fleet, names, options("lb ready"), world.emit)

    return run


def host_held(name: str, seconds: float = 0.0) -> Run:
    """A person keeps requests from all that is on a host."""

    def run(world: SimWorld) -> RunFinished:
        fleet = world.fleet.inventory()
        return hold(world, fleet, [name], "maint", seconds, options("lb maint"), world.emit, True)

    return run


def host_ready(name: str) -> Run:
    def run(world: SimWorld) -> RunFinished:
        world.releases = True
        return release(world, world.fleet.inventory(), [name], options("lb ready"), world.emit)

    return run


def _servers(fleet: SimFleet, slots: tuple[int, ...]) -> list[str]:
    section = view_of(fleet.documents).sections["web"]
    servers = {s for b in section.backends for s in b.servers if s.container_slot in slots}
    return sorted({server.instance for server in servers})


def later(run: Run, seconds: float) -> Callable[[SimFleet], None]:
    """``run``, and then some time."""

    def then(fleet: SimFleet) -> None:
        assert run(fleet.controller()).exit_code == 0
        fleet.clock.sleep(seconds)

    return then


def then_held(before: Callable[[SimFleet], None], *slots: int) -> Callable[[SimFleet], None]:
    def then(fleet: SimFleet) -> None:
        before(fleet)
        assert holding(*slots)(fleet.controller()).exit_code == 0

    return then


def hidden(image: str = "app:1") -> Run:
    """Only for other services, with http and tcp."""
    return deploying(replace(web(image, routed=False), internal=Internal("http")))


def plain(image: str = "app:1") -> Run:
    """Connections alone, from outside and by name."""
    way = Route("http", mode="tcp", listen=5432)
    return deploying(replace(web(image), routes=(way,), internal=Internal("http", "tcp", 5432)))


IN_PLACE = deploying(web("app:2", max_surge="0", max_unavailable="1"))
HELD = (
    Scenario("update, inside alone", (hidden(),), hidden("app:2"), (ONE, TWO), balancers=2),
    Scenario("update, tcp", (plain(), OTHER), plain("app:2"), (ONE, TWO)),
    Scenario("tcp in the place of http", (FIRST,), plain("app:2"), (ONE, TWO)),
    Scenario("held", (FIRST,), holding(1, 2), (ONE,), balancers=2),
    Scenario("held for a while", (FIRST,), holding(2, seconds=20.0, state="maint"), (ONE,)),
    Scenario("held no longer", (FIRST, holding(*ALL)), releasing(1, 3), (ONE,), balancers=2),
    Scenario("held, then updated", (FIRST, holding(1)), SECOND, (ONE, TWO), balancers=2),
    Scenario("held, then updated without surge", (FIRST, holding(2)), IN_PLACE, (ONE, TWO)),
    Scenario("all held, then updated", (FIRST, holding(*ALL)), SECOND, (ONE, TWO)),
    Scenario("held, then a failing revision", (FIRST, holding(3)), BAD, (ONE,)),
    Scenario("all held, then a failing revision", (FIRST, holding(*ALL)), BAD, (ONE,)),
    Scenario("held, then rolled back", (FIRST, SECOND, holding(1)), rolling_back(), (ONE, TWO)),
    Scenario(
        "held, then fewer",
        (FIRST, holding(2, state="maint")),
        deploying(web(replicas=2)),
        (ONE, ("app@sha256:1", 2)),
    ),
    Scenario(
        "all held, then fewer",
        (FIRST, holding(*ALL)),
        deploying(web(replicas=2)),
        ((ONE, ("app@sha256:1", 2))),
    ),
    Scenario("held while open", (FIRST,), reconciling, (TWO,), then_held(break_off(SECOND, 30), 1)),
    Scenario(
        "held while open, without surge",
        (FIRST,),
        reconciling,
        (TWO,),
        then_held(break_off(IN_PLACE, 40), 1, 4),
    ),
    Scenario(
        "all held while open",
        (FIRST,),
        rolling_back(),
        (ONE, TWO),
        then_held(break_off(SECOND, 30), *ALL),
    ),
    Scenario(
        "held too long", (FIRST,), reconciling, (ONE,), later(holding(1, 2, seconds=60.0), 61)
    ),
    Scenario(
        "held too long, then updated",
        (FIRST,),
        SECOND,
        (ONE, TWO),
        later(holding(1, seconds=60.0), 61),
    ),
    Scenario("a held one is lost", (FIRST, holding(1)), reconciling, (ONE,), lose_one),
)
