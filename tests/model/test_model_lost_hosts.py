"""A host falls silent in the middle of a run: what serves on is not taken away beside it."""

from __future__ import annotations

import pytest
from invariants import Violation
from judged import converge, judged
from scenarios import FIRST, Scenario, deploying, reconciling, run_or_error, web
from sim_effects import Effect
from simulated import SimWorld

from fleetctl.engine import floor, steps
from fleetctl.model.events import Event, Failed

COMING = frozenset({"pull", "create", "start"})
"""Effects before which a host falls silent. Not a stop or a balancer's change: those come
right after the look at what serves, and nothing could know of it."""
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


def lost_at(scenario: Scenario, name: str, number: int) -> tuple[bool, list[str]]:
    """``name`` falls silent before the ``number``th effect of COMING. Returns whether there was
    one, and the ids of the errors that the run told. Raises Violation."""
    fleet, held = scenario.prepare()
    world = held.watch(fleet.controller())
    seen = 0
    told: list[str] = []
    hear = world.emit

    def listen(event: Event) -> None:
        if isinstance(event, Failed):
            told.append(event.error_id)
        hear(event)

    def meanwhile(_: int, effect: Effect) -> None:
        nonlocal seen
        seen += effect.kind in COMING
        if seen == number and fleet.hosts[name].up and effect.kind in COMING:
            fleet.hosts[name].up = False
            held.rebase()
            fleet.clock.sleep(5)  # checks of the balancers give it up

    def act(world: SimWorld) -> object:
        return run_or_error(world, scenario.act)

    world.emit = listen
    world.effects.turn = meanwhile
    judged(world, act)  # type: ignore[arg-type]
    fleet.hosts[name].up = True
    fleet.clock.sleep(30)
    converge(held, scenario.recover, reconciling)
    scenario.settled(fleet)
    return seen >= number, told


@pytest.mark.parametrize("name", ["node1", "node2", "node3"])
@pytest.mark.parametrize("scenario", CASES, ids=lambda s: s.name)
def test_a_host_lost_anywhere_leaves_the_floor(scenario: Scenario, name: str) -> None:
    number, there, told = 1, True, []
    while there:
        there, errors = lost_at(scenario, name, number)
        told += errors
        number += 1
    assert number > 5
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
    for module in (steps, floor):
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
