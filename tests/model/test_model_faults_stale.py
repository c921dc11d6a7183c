"""A host that answers with an older picture of itself: what it had, not what it has."""

from __future__ import annotations

import invariants
import pytest
from invariants import Invariants
from judged import Run, converge
from scenarios import (
    FIRST,
    SECOND,
    THIRD,
    deploying,
    reconciling,
    rolling_back,
    run_or_error,
    web,
)
from sim_hosts import SimEngine
from simulated import SimFleet, SimWorld

from fleetctl.errors import FleetError
from fleetctl.model.events import RunFinished
from fleetctl.model.observed import ObservedHost

Ended = RunFinished | FleetError
GROWN = deploying(web(replicas=7))
HISTORIES: dict[str, tuple[tuple[Run, ...], Run]] = {
    "before an update": ((FIRST,), SECOND),
    "before shrinking": ((GROWN,), FIRST),
    "before a rollback": ((FIRST, SECOND), rolling_back()),
}
HIDING: dict[str, tuple[tuple[Run, ...], Run]] = {
    "all": ((), FIRST),
    "one": ((FIRST,), GROWN),
}
RUNS = {"reconcile": reconciling, "update": THIRD, "scale": deploying(web(replicas=2))}


@pytest.fixture(autouse=True)
def names_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each deploy's containers have other names, as on real hosts: no name that is taken keeps
    a run from what it thinks is missing."""
    spread = 2654435761
    monkeypatch.setattr(
        SimWorld, "new_id", lambda world: f"{world.fleet.next_id() * spread & 0xFFFFFFFF:08x}"
    )


def look_at(fleet: SimFleet, name: str) -> ObservedHost:
    return fleet.controller().engine(name).observe("")


def after(before: tuple[Run, ...], then: Run) -> tuple[SimFleet, ObservedHost]:
    """The fleet after ``then``, and node1 as it was before it."""
    fleet = SimFleet()
    for run in before:
        assert run(fleet.controller()).exit_code == 0
    old = look_at(fleet, "node1")
    assert then(fleet.controller()).exit_code == 0
    return fleet, old


def misled(held: Invariants, run: Run, old: ObservedHost) -> Ended:
    """``run``, whose first look at that host, which its plan is made from, shows ``old``."""
    real = SimEngine.observe
    shown: list[ObservedHost] = []

    def observe(engine: SimEngine, lineage: str) -> ObservedHost:
        if lineage and engine.host.name == old.name and not shown:
            shown.append(old)
            return old
        return real(engine, lineage)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SimEngine, "observe", observe)
        ended = run_or_error(held.watch(held.fleet.controller()), run)
    assert shown, "nobody looked"
    return ended


@pytest.mark.parametrize("run", RUNS, ids=str)
@pytest.mark.parametrize("history", HISTORIES, ids=str)
def test_an_older_picture_harms_nobody(history: str, run: str) -> None:
    """What it takes for running and isn't is no container to stop; what it doesn't see stays
    and serves. The next runs see it all."""
    fleet, old = after(*HISTORIES[history])
    assert old.containers != look_at(fleet, "node1").containers
    held = Invariants(fleet)
    held.rebase()
    ended = misled(held, RUNS[run], old)
    assert int(ended.exit_code) in (0, 1, 5, 6, 9), ended
    converge(held, reconciling, reconciling)


@pytest.mark.parametrize("run", RUNS, ids=str)
@pytest.mark.parametrize("hides", HIDING, ids=str)
def test_instances_that_a_host_does_not_show_cost_room_and_no_request(
    hides: str, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it hides lives on beside its replacement: more than the ceiling, until the next run
    that sees it."""
    fleet, old = after(*HIDING[hides])
    left = tuple(pair for pair in invariants.AFTER_EACH_EFFECT if pair[0] != "I2 ceiling")
    held = Invariants(fleet)
    held.rebase()
    with monkeypatch.context() as patch:
        patch.setattr(invariants, "AFTER_EACH_EFFECT", left)
        misled(held, RUNS[run], old)
    held.rebase()
    converge(held, reconciling, reconciling)
