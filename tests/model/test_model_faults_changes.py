"""What happens to hosts and containers behind a controller's back, between any two effects of
its run: a reboot, a container that ends, a clock that is set, an image that others prune."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
from befallen import COMING, Befall, between_effects, effects_of, reboot, settles
from invariants import Invariants
from judged import at_rest, judged, picture, recorded, under_watch
from scenarios import FIRST, SCENARIOS, SECOND, Scenario, reconciling, rolling_back
from sim_effects import Effect
from sim_hosts import SimEngine
from simulated import SimClock, SimFleet

from fleetctl.errors import ImageMissing
from fleetctl.model.record import Fence

BY_NAME = {scenario.name: scenario for scenario in SCENARIOS}
HOUR = 3600.0


@pytest.mark.parametrize("host", ["node1", "node2"])
@pytest.mark.parametrize("name", ["first deploy", "update", "rollback", "failing revision"])
def test_a_host_is_rebooted_in_a_roll(name: str, host: str) -> None:
    """No old version comes back with it: what is to be stopped has no restart policy."""
    scenario = BY_NAME[name]
    fleet, held = scenario.prepare()
    for found in between_effects(fleet, held, scenario.act, reboot(host), COMING):
        assert found.code in (0, 1, 5, 6, 9), (found.number, found.ended)
        settles(found, scenario)


def end_one(old: bool) -> Befall:
    """A container of the revision that goes, or of the one that comes, exits by itself and its
    restart policy doesn't bring it back in time."""

    def befall(fleet: SimFleet) -> None:
        current = recorded(fleet)["web"].current
        running = [
            c for c in fleet.containers("web") if c.running and (c.revision == current) == old
        ]
        for container in sorted(running, key=lambda c: c.slot)[:1]:
            fleet.hosts[container.host].end(container.id)
        fleet.clock.sleep(1)

    return befall


@pytest.mark.parametrize("old", [True, False], ids=["an old one", "a new one"])
@pytest.mark.parametrize("name", ["update", "update by twos", "update without surge"])
def test_a_container_exits_in_a_roll(name: str, old: bool) -> None:
    scenario = BY_NAME[name]
    fleet, held = scenario.prepare()
    for found in between_effects(fleet, held, scenario.act, end_one(old), COMING):
        assert found.code in (0, 1, 5, 6, 9), (found.number, found.ended)
        settles(found, scenario)


@pytest.mark.parametrize("harm", ["exits", "is removed", "with its host, which reboots"])
def test_a_container_that_is_lost_later_is_all_that_a_reconcile_replaces(harm: str) -> None:
    fleet = SimFleet()
    assert FIRST(fleet.controller()).exit_code == 0
    lost = next(c for c in fleet.containers("web") if c.slot == 2)
    if harm == "exits":
        fleet.hosts[lost.host].end(lost.id)
    elif harm == "is removed":
        del fleet.hosts[lost.host].containers[lost.id]
    else:
        fleet.hosts[lost.host].containers[lost.id] = replace(lost, restart_policy="no")
        reboot(lost.host)(fleet)
    others = {c.id: c.started for c in fleet.containers("web") if c.slot != 2}
    held = Invariants(fleet)
    held.rebase()
    assert under_watch(held, reconciling).result == "ok"
    assert {c.id: c.started for c in fleet.containers("web") if c.slot != 2} == others
    assert not at_rest(fleet), at_rest(fleet)


class StepClock:
    """A controller's clock whose time of day somebody sets in the middle of a run."""

    def __init__(self, true: SimClock) -> None:
        self._true, self.off = true, 0.0

    def now(self) -> float:
        return self._true.now() + self.off

    def monotonic(self) -> float:
        return self._true.monotonic()

    def sleep(self, seconds: float) -> None:
        self._true.sleep(seconds)


@pytest.mark.parametrize("off", [-HOUR, HOUR])
def test_a_clock_that_is_set_in_a_roll_decides_nothing(off: float) -> None:
    scenario = BY_NAME["update"]
    fleet, held = scenario.prepare()
    plain = [str(e) for e in effects_of(fleet, held, scenario.act)]
    for number in range(1, len(plain) + 1, 6):
        copy = fleet.fork()
        world = held.fork(copy).watch(copy.controller())
        clock = StepClock(copy.clock)
        world.clock = clock  # type: ignore[assignment]

        def turn(count: int, effect: Effect, clock: StepClock = clock, at: int = number) -> None:
            if count == at:
                clock.off = off

        world.effects.turn = turn
        assert scenario.act(world).result == "ok"
        assert [str(e) for e in world.effects.log] == plain, number
        assert not at_rest(copy), at_rest(copy)


def prune(fleet: SimFleet) -> None:
    """Others clear all images away that no container uses, tags and all."""
    for host in fleet.hosts.values():
        used = {c.image for c in host.containers.values()}
        host.images &= used
        host.tags = {key: image for key, image in host.tags.items() if image in used}


def test_a_rollback_whose_image_was_pruned_fetches_it_first() -> None:
    fleet = SimFleet()
    assert FIRST(fleet.controller()).exit_code == 0
    before = picture(fleet, "web")
    assert SECOND(fleet.controller()).exit_code == 0
    prune(fleet)
    held = Invariants(fleet)
    held.rebase()
    world = held.watch(fleet.controller())
    assert judged(world, rolling_back()).result == "ok"
    kinds = [e.kind for e in world.effects.log]
    last_pull = max(i for i, kind in enumerate(kinds) if kind == "pull")
    assert last_pull < min(kinds.index(kind) for kind in ("create", "stop", "file"))
    assert picture(fleet, "web") == before


def test_a_rollback_whose_image_is_gone_everywhere_touches_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pruned on the hosts and deleted in the registry."""
    fleet = SimFleet()
    for run in (FIRST, SECOND):
        assert run(fleet.controller()).exit_code == 0
    prune(fleet)
    record, containers = fleet.documents["service/web"].body, fleet.containers()

    def gone(engine: SimEngine, image: str, fence: Fence, progress: object) -> None:
        raise ImageMissing(f"{engine.host.name}: no image {image}", host=engine.host.name)

    held = Invariants(fleet)
    held.rebase()
    with monkeypatch.context() as broken:
        broken.setattr(SimEngine, "pull", gone)
        ended = under_watch(held, rolling_back())
    assert (ended.result, ended.exit_code) == ("failed", 1)
    assert fleet.documents["service/web"].body == record
    assert fleet.containers() == containers
    assert under_watch(held, reconciling).result == "nothing_to_do"


@dataclass
class Policies:
    """s5 and s9: who may be brought back by a restart or a reboot."""

    fleet: SimFleet
    given: int = 0
    taken: int = 0

    def before(self, number: int, effect: Effect) -> None:
        if effect.kind not in ("set_restart", "stop"):
            return
        one = next(c for c in self.fleet.containers() if c.name == effect.subject)
        if effect.kind == "stop":
            assert one.restart_policy == "no", f"{one.name} is stopped and would come back"
            self.taken += 1
        elif one.restart_policy == "no":
            port = one.bindings[0].host
            assert self.fleet.answers(one.address, port), f"{one.name} has not passed"
            self.given += 1


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_only_what_has_passed_and_stays_is_started_again(scenario: Scenario) -> None:
    fleet, _ = scenario.prepare()
    world = fleet.controller()
    policies = Policies(fleet)
    world.effects.turn = policies.before
    scenario.act(world)
    if scenario.name == "update":
        assert (policies.given, policies.taken) == (4, 4)


def test_old_containers_are_removed_after_the_commit_alone() -> None:
    """s11: until then a way back needs no image, no pull and no start."""
    fleet = SimFleet()
    assert FIRST(fleet.controller()).exit_code == 0
    world = fleet.controller()
    removed: list[int] = []

    def turn(number: int, effect: Effect) -> None:
        if effect.kind in ("remove", "untag", "drop_specs"):
            removed.append(recorded(fleet)["web"].current)

    world.effects.turn = turn
    assert SECOND(world).exit_code == 0
    assert removed
    assert set(removed) == {2}
