"""lb drain, maint and ready: who is asked, what is refused, and what is waited for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from held import holding
from invariants import Invariants
from judged import at_rest, judged, under_watch
from scenarios import (
    FIRST,
    NODES,
    OTHER,
    SECOND,
    deploying,
    nodes,
    options,
    reconciling,
    web,
)
from sim_balancers import SimServer
from sim_effects import Effect
from simulated import SimFleet, SimWorld

from fleetctl.engine.drift import drift
from fleetctl.engine.holding import hold, release
from fleetctl.engine.view import view_of
from fleetctl.errors import Refused, TooFewServe
from fleetctl.model.balancing import Server
from fleetctl.model.events import Event, Failed, Note, PlanMade, RunFinished, StepStarted

SPARE = web(max_unavailable="1")


def fleet_on(*runs: object, balancers: int = 1) -> SimFleet:
    fleet = SimFleet(balancers=balancers)
    for run in runs or (FIRST,):
        assert run(fleet.controller()).exit_code == 0  # type: ignore[operator]
    fleet.clock.sleep(5)
    return fleet


def servers(fleet: SimFleet, service: str = "web") -> list[Server]:
    section = view_of(fleet.documents).sections[service]
    return sorted((s for b in section.backends for s in b.servers), key=lambda s: s.container_slot)


def held(fleet: SimFleet, service: str = "web") -> list[tuple[int, str]]:
    return [(s.container_slot, s.held) for s in servers(fleet, service) if s.held]


def drained(
    fleet: SimFleet, targets: Sequence[str], *, force: bool = False, seconds: float = 0.0
) -> tuple[RunFinished, list[Event], SimWorld]:
    world = Invariants(fleet).watch(fleet.controller())
    told: list[Event] = []
    hear = world.emit

    def both(event: Event) -> None:
        told.append(event)
        hear(event)

    def run(world: SimWorld) -> RunFinished:
        by = options("lb drain")
        return hold(world, fleet.inventory(), targets, "drain", seconds, by, both, force)

    return judged(world, run), told, world


def test_one_may_go_where_the_rollout_could_do_without_it_and_no_second_one() -> None:
    fleet = fleet_on(deploying(SPARE), balancers=2)
    first, second = (s.instance for s in servers(fleet)[:2])

    finished, _, _ = drained(fleet, [first])
    assert (finished.result, finished.exit_code) == ("ok", 0)
    assert finished.services[0].changed == 1
    before = dict(fleet.documents)
    with pytest.raises(TooFewServe, match=f"taking {second} away would leave 2 of web") as caught:
        drained(fleet, [second])

    assert "--yes" in caught.value.hint
    assert fleet.documents == before
    assert drained(fleet, [second], force=True)[0].exit_code == 0
    assert held(fleet) == [(1, "drain"), (2, "drain")]
    assert not at_rest(fleet)


def test_what_is_held_already_is_no_change_and_its_time_may_be_another() -> None:
    fleet = fleet_on()
    name = servers(fleet)[0].instance
    assert drained(fleet, [name], force=True)[0].result == "ok"
    assert drained(fleet, [name])[0].result == "nothing_to_do"  # and it asks for nobody's word
    assert drained(fleet, [name], seconds=600.0)[0].result == "ok"
    assert servers(fleet)[0].held_until == pytest.approx(fleet.clock.now() + 600, abs=60)


def test_a_host_is_all_that_it_serves_of_every_service() -> None:
    fleet = fleet_on(FIRST, OTHER)
    finished, told, world = drained(fleet, ["node1"], force=True)
    assert [s.name for s in finished.services] == ["cache", "web"]
    here = {s.host for name in ("web", "cache") for s in servers(fleet, name) if s.held}
    others = {s.host for name in ("web", "cache") for s in servers(fleet, name) if not s.held}
    assert here == {"node1"}
    assert "node1" not in others
    assert [e.action for e in told if isinstance(e, StepStarted)] == ["hold", "hold"]
    assert not any(effect.place in NODES for effect in world.effects.log)

    by = options("lb ready")
    world = fleet.controller()
    assert release(world, fleet.inventory(), ["node1"], by, world.emit).exit_code == 0
    assert not held(fleet)
    assert not held(fleet, "cache")
    assert not at_rest(fleet)


def test_refused_for_one_service_nothing_is_changed_in_another() -> None:
    """`cache` could spare one, `web` none."""
    spare = deploying(web(name="cache", replicas=2, max_unavailable="1"))
    fleet = fleet_on(FIRST, spare)
    before = dict(fleet.documents)
    with pytest.raises(TooFewServe, match="of web"):
        drained(fleet, ["node1"])
    assert fleet.documents == before


def test_a_host_without_servers_is_nothing_to_do() -> None:
    fleet = fleet_on()
    assert drained(fleet, ["lb1"])[0].result == "nothing_to_do"


@pytest.mark.parametrize(
    ("name", "near"), [("nod1", "node1"), ("web-1", "web-1-1-"), ("zzz", "fleetctl lb show")]
)
def test_a_name_that_nobody_has_is_refused_with_near_ones(name: str, near: str) -> None:
    fleet = fleet_on()
    with pytest.raises(Refused, match=name) as caught:
        drained(fleet, ["node1", name], force=True)
    assert near in caught.value.hint
    assert not held(fleet)


def test_while_a_deploy_has_the_lock_a_hold_is_told_so_and_changes_nothing() -> None:
    fleet = fleet_on()
    codes = set()

    def meanwhile(number: int, effect: Effect) -> None:
        other = fleet.controller()
        world.effects.turn = lambda number, effect: None
        by = options("lb drain")
        done = hold(other, fleet.inventory(), ["node1"], "drain", 0, by, other.emit, True)
        codes.add((done.result, done.exit_code, other.effects.count))
        world.effects.turn = meanwhile

    world = Invariants(fleet).watch(fleet.controller())
    world.effects.turn = meanwhile
    assert judged(world, SECOND).result == "ok"
    assert codes == {("busy", 7, 0)}


def test_sessions_are_waited_for_and_those_that_stay_are_told() -> None:
    fleet = fleet_on()
    server = servers(fleet)[0]
    fleet.balancers["lb1"].sessions[server.address, server.port] = 3
    began = fleet.clock.now()

    finished, told, _ = drained(fleet, [server.instance], force=True)

    assert finished.exit_code == 0
    assert fleet.clock.now() - began >= 5.0
    assert fleet.balancers["lb1"].cut == 0
    assert any(
        "drain limit of 5 s passed: 3 sessions" in e.text for e in told if isinstance(e, Note)
    )


def test_ready_waits_for_a_check_and_says_so_when_none_is_passed() -> None:
    fleet = fleet_on()
    server = servers(fleet)[0]
    assert holding(1)(fleet.controller()).exit_code == 0
    (found,) = [c for c in fleet.containers("web") if c.name == server.instance]
    fleet.hosts[found.host].end(found.id)
    world, told = fleet.controller(), []
    by = options("lb ready")

    finished = release(world, fleet.inventory(), [server.instance], by, told.append)

    assert (finished.result, finished.exit_code) == ("failed", 1)
    assert any(isinstance(e, Failed) and "not UP" in e.message for e in told)


def test_the_plan_names_why_a_hold_ends_and_drift_that_there_is_one() -> None:
    fleet = fleet_on()
    assert holding(2, seconds=60.0)(fleet.controller()).exit_code == 0
    name, until = servers(fleet)[1].instance, servers(fleet)[1].held_until
    plays = {"web": web()}
    by = options("drift")

    def compared() -> object:
        world = fleet.controller()
        (one,) = drift(world, fleet.inventory(), nodes, plays, (), by, world.emit)
        return one

    one = compared()
    assert one.nothing
    assert one.held == ((name, "drain", until),)

    fleet.clock.sleep(61)
    assert not compared().nothing  # type: ignore[attr-defined]
    world, told = fleet.controller(), []
    world.emit = told.append
    assert reconciling(world).result == "ok"
    (plan, *_) = [e.plan for e in told if isinstance(e, PlanMade)]
    causes = [step.cause for step in plan.steps]
    assert causes[0] == "slot 2 is not to be held in drain any longer"
    assert not held(fleet)


def test_a_hold_outlives_a_reload_and_a_balancer_with_an_older_file() -> None:
    fleet = fleet_on(balancers=2)
    older = fleet.balancers["lb1"].file
    assert older is not None
    assert holding(3, state="maint")(fleet.controller()).exit_code == 0
    fleet.balancers["lb1"].reboot(older, fleet.clock.now())
    fleet.clock.sleep(5)
    invariants = Invariants(fleet)
    invariants.revive("lb1")
    assert under_watch(invariants, reconciling).result == "ok"
    assert held(fleet) == [(3, "maint")]
    assert not at_rest(fleet)


def test_a_new_instance_of_a_held_slot_comes_in_ready_and_a_kept_one_stays_held() -> None:
    fleet = fleet_on()
    for run in (holding(1, 4), deploying(replace(web(), replicas=2)), reconciling):
        assert under_watch(Invariants(fleet), run).exit_code == 0
    assert held(fleet) == [(1, "drain")]
    assert under_watch(Invariants(fleet), SECOND).exit_code == 0
    assert not held(fleet)


def test_connections_of_a_lost_instance_keep_no_slot_from_the_others() -> None:
    """HAProxy may hold them for minutes; a slot takes another instance when they are over."""
    fleet = fleet_on()
    lb = fleet.balancers["lb1"]
    last = view_of(fleet.documents).sections["web"].backends[0].last
    busy = {last % 8 + 1, (last + 1) % 8 + 1}
    for slot in busy:
        lb.servers["web.http", f"slot{slot}"] = SimServer("10.9.9.9", slot, "maint", 0.0, "")
        lb.sessions["10.9.9.9", slot] = 2
    for number in (2, 3, 1):  # every slot has its turn
        assert deploying(web(f"app:{number}"))(fleet.controller()).exit_code == 0
    (backend,) = view_of(fleet.documents).sections["web"].backends
    assert backend.size == 8
    assert busy.isdisjoint(s.slot for s in backend.servers)
    assert not at_rest(fleet)
