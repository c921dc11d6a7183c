"""Two controllers at once, of which one dies; a deploy beside a reconcile; ports and the order
of locks."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from invariants import Invariants, Violation
from judged import Run, at_rest, converge, judged
from scenarios import FIRST, OTHER, SCENARIOS, SECOND, Scenario, deploying, reconciling, web
from sim_effects import Effect, Fault, Killed
from sim_state import SimLease, SimLocks
from simulated import SimFleet, SimWorld
from together import Together

from fleetctl.engine.view import View
from fleetctl.errors import LockHeld
from fleetctl.model.events import Event, Note, RunFinished

OTHERS = deploying(web("app:2", name="cache", replicas=2))
Patch = pytest.MonkeyPatch


def both(*runs: Run) -> tuple[SimFleet, Invariants]:
    fleet = SimFleet()
    for run in runs:
        assert run(fleet.controller()).exit_code == 0
    held = Invariants(fleet)
    held.rebase()
    return fleet, held


def dying(run: Run) -> Run:
    """Whoever dies renews no lock from then on."""

    def until_death(world: SimWorld) -> RunFinished:
        try:
            return run(world)
        except Killed:
            world.fall_silent()
            raise

    return until_death


def one_dies(first: Run, number: int, when: str, seed: int, *before: Run) -> bool:
    """False when it ended before its effect ``number``: how many it has depends on the other."""
    fleet, held = both(*before)
    chance = random.Random(seed)
    worlds = (
        held.watch(fleet.controller({number: Fault(when, Killed())})),
        held.watch(fleet.controller()),
    )
    runs = ((worlds[0], dying(first)), (worlds[1], OTHERS))
    died, other = Together(runs, lambda who, n: chance.random() < 0.4).run()
    for ended in (died, other):
        if isinstance(ended, Killed):
            continue
        if isinstance(ended, BaseException):
            raise ended
        assert isinstance(ended, RunFinished)
        assert ended.result == "ok", (number, when, ended)
    converge(held, reconciling, reconciling)
    assert {c.image for c in fleet.containers("cache")} == {"app@sha256:2"}
    return isinstance(died, Killed)


@pytest.mark.parametrize("when", ["before", "after"])
def test_one_of_two_deploys_is_killed_and_the_other_goes_on(when: str) -> None:
    """At effects all through the roll; which of the two is at work changes with the seed."""
    fleet, held = both(FIRST, OTHER)
    world = held.watch(fleet.controller())
    SECOND(world)
    total = world.effects.count
    numbers = range(1 + (when == "after"), total + 1, 5)
    died = [one_dies(SECOND, number, when, number, FIRST, OTHER) for number in numbers]
    assert sum(died) > len(died) * 0.8


@pytest.mark.parametrize("number", range(2, 30, 3))
def test_a_first_deploy_is_killed_beside_another(number: int) -> None:
    assert one_dies(FIRST, number, "after", number, OTHER)


def test_a_deploy_beside_a_reconcile_of_the_same_service() -> None:
    """Either works, never both: who finds the lock held says so and leaves the service."""
    busy = 0
    for seed in range(12):
        fleet, held = both(FIRST)
        chance = random.Random(seed)
        worlds = [held.watch(fleet.controller()) for _ in (0, 1)]
        runs = ((worlds[0], SECOND), (worlds[1], reconciling))
        deployed, reconciled = Together(runs, lambda who, n, c=chance: c.random() < 0.5).run()
        assert isinstance(reconciled, RunFinished), reconciled
        assert reconciled.result in ("busy", "nothing_to_do"), reconciled
        busy += reconciled.result == "busy"
        assert isinstance(deployed, LockHeld) or (
            isinstance(deployed, RunFinished) and deployed.result == "ok"
        ), deployed
        converge(held, reconciling, reconciling)
    assert busy


def test_reconcile_leaves_a_held_service_alone_names_it_and_mends_the_others() -> None:
    fleet, held = both(FIRST, OTHER)
    lost = fleet.containers("cache")[0]
    seen: list[tuple[RunFinished, list[str]]] = []

    def meanwhile(number: int, effect: Effect) -> None:
        if number not in (5, 20):
            return
        if number == 5:
            del fleet.hosts[lost.host].containers[lost.id]
            held.rebase()
        told: list[Event] = []
        world = held.watch(fleet.controller())
        hear = world.emit
        world.emit = lambda event: (told.append(event), hear(event))[1]  # type: ignore[func-returns-value]
        finished = judged(world, reconciling)
        assert not [e for e in world.effects.log if e.scope == "service-web"]
        seen.append((finished, [e.text for e in told if isinstance(e, Note)]))

    world = held.watch(fleet.controller())
    world.effects.turn = meanwhile
    assert judged(world, SECOND).result == "ok"
    (mended, notes), (quiet, _) = seen
    assert (mended.result, mended.exit_code) == ("ok", 0)
    assert any(note.startswith("web is left alone") for note in notes), notes
    assert len(fleet.containers("cache")) == 2
    assert quiet.exit_code == 0
    assert not at_rest(fleet), at_rest(fleet)


def test_all_services_held_is_busy() -> None:
    fleet, held = both(FIRST)
    held_by = fleet.controller()
    held_by.locks.acquire("service-web", 0)
    finished = judged(held.watch(fleet.controller()), reconciling)
    assert (finished.result, finished.exit_code) == ("busy", 7)


def share_ports(fleet: SimFleet) -> str:
    """Two containers for one port of a host; empty when there are none."""
    taken = Counter(
        (c.address, binding.host)
        for c in fleet.containers()
        if c.state in ("created", "running")
        for binding in c.bindings
    )
    return ", ".join(f"{address}:{port}" for (address, port), n in taken.items() if n > 1)


def two_first_deploys(seed: int) -> None:
    fleet = SimFleet()
    held = Invariants(fleet)
    worlds = [held.watch(fleet.controller()) for _ in (0, 1)]
    for world in worlds:
        look = world.effects.watch

        def looked(effect: Effect, look: Callable[[Effect], None] = look) -> None:
            if shared := share_ports(fleet):
                raise Violation({"port": shared}, str(effect))
            look(effect)

        world.effects.watch = looked
    chance = random.Random(seed)
    runs = ((worlds[0], FIRST), (worlds[1], OTHER))
    for result in Together(runs, lambda who, n: chance.random() < 0.4).run():
        if isinstance(result, BaseException):
            raise result
        assert isinstance(result, RunFinished)
        assert result.result == "ok"
    for document in fleet.documents.values():
        assert not (document.body or {}).get("open"), "what was reserved is free again"


@pytest.mark.parametrize("seed", range(8))
def test_two_deploys_never_choose_one_port(seed: int) -> None:
    two_first_deploys(seed)


def test_without_reservations_they_would(monkeypatch: Patch) -> None:
    monkeypatch.setattr(View, "reserved", lambda view, service: ())
    shared = 0
    for seed in range(8):
        try:
            two_first_deploys(seed)
        except Violation as found:
            shared += "port" in found.names
    assert shared


RANKS = ("service-", "placement", "balancer-")


@pytest.fixture
def order_of_locks(monkeypatch: Patch) -> Iterator[list[tuple[str, ...]]]:
    """What is held with each lock that is taken, oldest first."""
    found: list[tuple[str, ...]] = []
    held: list[str] = []
    acquire, release = SimLocks.acquire, SimLease.release

    def acquired(locks: SimLocks, scope: str, *rest: object) -> SimLease:
        lease = acquire(locks, scope, *rest)  # type: ignore[arg-type]
        held.append(scope)
        found.append(tuple(held))
        return lease

    def released(lease: SimLease) -> None:
        if lease.fence.scope in held:
            held.remove(lease.fence.scope)
        release(lease)

    monkeypatch.setattr(SimLocks, "acquire", acquired)
    monkeypatch.setattr(SimLease, "release", released)
    yield found
    assert held == []


def rank(scope: str) -> tuple[int, str]:
    return next(i for i, prefix in enumerate(RANKS) if scope.startswith(prefix)), scope


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_locks_are_taken_in_one_order(
    scenario: Scenario, order_of_locks: list[tuple[str, ...]]
) -> None:
    """Services by name, placement, balancers by name; never back: so nobody waits in a ring."""
    fleet, _ = scenario.prepare()
    scenario.act(fleet.controller())
    assert order_of_locks
    for held in order_of_locks:
        assert list(held) == sorted(held, key=rank), held
        assert len(set(held)) == len(held), held
