"""A host falls silent in the middle of a run: what serves on is not taken away beside it."""

from __future__ import annotations

import pytest
from befallen import COMING, between_effects, settles, silence
from invariants import Violation
from scenarios import FIRST, Scenario, deploying, run_or_error, web
from sim_effects import Effect

from fleetctl.engine import draining, floor
from fleetctl.model.events import Failed

ONE, TWO = ("app@sha256:1", 4), ("app@sha256:2", 4)
UNROUTED = deploying(web(routed=False))
CASES = (
    Scenario("an update", (FIRST,), deploying(web("app:2")), (ONE, TWO)),
    Scenario("two balancers", (FIRST,), deploying(web("app:2")), (ONE, TWO), balancers=2),
    Scenario("no balancer", (FIRST,), deploying(web("app:2")), (ONE, TWO), balancers=0),
    Scenario("by twos", (FIRST,), deploying(web("app:2", max_surge="50%")), (ONE, TWO)),
    Scenario(
        "no surge",
        (FIRST,),
        deploying(web("app:2", max_surge="0", max_unavailable="1")),
        (ONE, TWO),
    ),
    Scenario("no routes", (UNROUTED,), deploying(web("app:2", routed=False)), (ONE, TWO)),
)


@pytest.mark.parametrize("name", ["node1", "node2", "node3"])
@pytest.mark.parametrize("scenario", CASES, ids=lambda s: s.name)
def test_a_host_lost_anywhere_leaves_the_floor(scenario: Scenario, name: str) -> None:
    fleet, held = scenario.prepare()
    told: list[str] = []
    points = 0
    for found in between_effects(fleet, held, scenario.act, silence(name), COMING):
        settles(found, scenario)
        told += [event.error_id for event in found.told if isinstance(event, Failed)]
        points += 1
    assert points > 5
    record_is_there = not scenario.balancers and name == "node1"
    assert record_is_there or "too-few-serve" in told


@pytest.mark.parametrize(
    ("scenario", "look"),
    [(CASES[0], "await_others_in_balancers"), (CASES[-1], "_need_running")],
    ids=["balancers", "hosts"],
)
def test_without_the_look_too_few_would_serve(
    scenario: Scenario, look: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in (draining, floor):
        monkeypatch.setattr(module, look, lambda *_: None, raising=False)
    with pytest.raises(Violation) as violation:
        test_a_host_lost_anywhere_leaves_the_floor(scenario, "node2")
    assert violation.value.names == ("I2",)


def test_a_balancer_that_says_nothing_is_named() -> None:
    scale = Scenario("scale", (FIRST,), deploying(web(replicas=2)), (ONE,), balancers=2)
    fleet, held = scale.prepare()
    told: list[str] = []
    world = held.watch(fleet.controller())
    world.emit = lambda event: told.append(event.error_id) if isinstance(event, Failed) else None

    look = world.effects.watch

    def opened(effect: Effect) -> None:
        look(effect)
        fleet.balancers["lb2"].machine.up = False

    world.effects.watch = opened
    run_or_error(world, scale.act)
    assert told[0] == "unreachable"  # and the way back can't be written either
    assert len([c for c in fleet.containers("web") if c.running]) == 4
