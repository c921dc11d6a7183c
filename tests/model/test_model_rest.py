"""A reconcile of services at rest costs one look at the fleet, however many they are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import pytest
from judged import recorded
from scenarios import NODES, deploying, options, reconciling, web
from sim_effects import Effect, Killed, kill
from sim_hosts import SimEngine
from simulated import SimFleet, SimWorld

from fleetctl.engine.outcome import Outcome
from fleetctl.engine.reconcile import reconcile
from fleetctl.engine.rest import AtRest
from fleetctl.engine.session import Session
from fleetctl.engine.situation import Match
from fleetctl.errors import FleetError, Interrupted
from fleetctl.model.events import Event, Note, PlanMade
from fleetctl.model.observed import ObservedHost

SERVICES = ("api", "cache", "docs", "shop", "web")


@pytest.fixture
def fleet() -> SimFleet:
    fleet = SimFleet()
    for name in SERVICES:
        replicas = 1 if name == "docs" else 2
        assert deploying(web(name=name, replicas=replicas))(fleet.controller()).exit_code == 0
    fleet.clock.sleep(5)
    return fleet


@pytest.fixture
def looks(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each host is looked at."""
    counted: Counter[str] = Counter()
    observe = SimEngine.observe

    def counting(engine: SimEngine, lineage: str) -> ObservedHost:
        counted[engine.host.name] += 1
        return observe(engine, lineage)

    monkeypatch.setattr(SimEngine, "observe", counting)
    return counted


def test_services_at_rest_share_one_look(fleet: SimFleet, looks: Counter[str]) -> None:
    world = fleet.controller()
    told: list[Event] = []
    world.emit = told.append

    finished = reconciling(world)

    assert (finished.result, finished.exit_code) == ("nothing_to_do", 0)
    assert looks == dict.fromkeys(NODES, 1)
    assert world.effects.log == []
    assert [(s.name, s.revision, s.changed) for s in finished.services] == [
        (name, 1, 0) for name in SERVICES
    ]
    assert [e.plan.service for e in told if isinstance(e, PlanMade)] == list(SERVICES)


def test_what_a_run_has_changed_is_looked_at_anew(
    fleet: SimFleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the shared look could not tell that there was something to do."""
    lost = next(c for c in fleet.containers("docs"))
    fleet.hosts[lost.host].end(lost.id)
    fresh: dict[str, bool] = {}
    judge = AtRest._nothing

    def judged(rest: AtRest, session: Session, match: Match) -> Outcome | None:
        fresh[session.service] = rest._look is None
        if session.service == "docs":
            raise FleetError("can't tell")
        return judge(rest, session, match)

    monkeypatch.setattr(AtRest, "_nothing", judged)
    assert reconciling(fleet.controller()).exit_code == 0
    assert fresh == {"api": True, "cache": False, "docs": False, "shop": True, "web": False}


def test_only_the_service_that_lacks_something_is_worked_on(
    fleet: SimFleet, looks: Counter[str]
) -> None:
    lost = next(c for c in fleet.containers("docs"))
    fleet.hosts[lost.host].end(lost.id)
    world = fleet.controller()

    finished = reconciling(world)

    assert finished.exit_code == 0
    assert [s.name for s in finished.services if s.changed] == ["docs"]
    assert [s.name for s in finished.services] == list(SERVICES)
    assert {e.scope for e in world.effects.log} <= {"service-docs", "balancer-lb1", "placement"}
    runs = looks["node1"]
    looks.clear()
    reconcile(
        fleet.controller(), fleet.inventory(), lambda _: NODES, ("docs",), options("r"), print
    )
    assert looks["node1"] == 1
    assert runs <= 5, "one before, those of the one run, one after"


def test_a_service_whose_lock_is_held_is_named_and_needs_no_look(
    fleet: SimFleet, looks: Counter[str]
) -> None:
    other = fleet.controller()
    held = [other.locks.acquire(f"service-{name}", 0.0) for name in SERVICES]
    world = fleet.controller()
    told: list[Event] = []
    world.emit = told.append

    assert reconciling(world).exit_code == 7
    assert looks == {}
    named = [e.service for e in told if isinstance(e, Note) and "left alone" in e.text]
    assert named == list(SERVICES)

    for lease in held[1:]:
        lease.release()
    told.clear()
    assert reconciling(world).exit_code == 0
    assert [e.service for e in told if isinstance(e, Note)] == ["api"]
    assert looks == dict.fromkeys(NODES, 1)


def test_a_host_that_holds_instances_and_is_silent_is_told_by_the_services_on_it(
    fleet: SimFleet,
) -> None:
    (host,) = {c.host for c in fleet.containers("web")} - {fleet.containers("docs")[0].host}
    fleet.hosts[host].up = False
    on_it = {c.service for c in fleet.containers() if c.host == host}
    assert {"web"} <= on_it < {*SERVICES}
    world = fleet.controller()
    told: list[Event] = []
    world.emit = told.append

    finished = reconciling(world)

    assert {s.name for s in finished.services} == {*SERVICES} - on_it
    notes = [e.service for e in told if isinstance(e, Note) and e.text.startswith("left out")]
    assert sorted(notes) == sorted({*SERVICES} - on_it)


def test_a_person_who_stops_it_stops_it_between_services_at_rest(fleet: SimFleet) -> None:
    wanted = replace(options("reconcile"))

    def stop_at_the_second(event: Event) -> None:
        if isinstance(event, PlanMade) and event.plan.service == SERVICES[1]:
            wanted.stop.set(2)

    world = fleet.controller()
    with pytest.raises(Interrupted):
        reconcile(world, fleet.inventory(), lambda _: NODES, (), wanted, stop_at_the_second)


def test_a_host_that_is_silent_has_each_service_on_it_look_once_more_and_no_other(
    fleet: SimFleet, looks: Counter[str]
) -> None:
    (host,) = {c.host for c in fleet.containers("web")} - {fleet.containers("docs")[0].host}
    on_it = {c.service for c in fleet.containers() if c.host == host}
    fleet.hosts[host].up = False

    reconciling(fleet.controller())

    assert looks == dict.fromkeys(NODES, 1 + len(on_it))


def meanwhile(world: SimWorld, act: Callable[[], object]) -> None:
    """Does ``act`` before the first container that this controller's run creates."""
    created: list[Effect] = []

    def turn(_: int, effect: Effect) -> None:
        if effect.kind == "create":
            created.append(effect)
            if len(created) == 1:
                act()

    world.effects.turn = turn


def lose_docs(fleet: SimFleet) -> None:
    lost = next(c for c in fleet.containers("docs"))
    fleet.hosts[lost.host].end(lost.id)


def test_what_was_paused_since_the_run_began_is_left_alone(fleet: SimFleet) -> None:
    lose_docs(fleet)
    world = fleet.controller()
    told: list[Event] = []
    world.emit = told.append
    part = deploying(web("app:2"), limit=("node1",))
    meanwhile(world, lambda: part(fleet.controller()))

    assert reconciling(world).exit_code == 0
    opened = recorded(fleet)["web"].open
    assert opened is not None
    assert opened.paused
    elsewhere = {c.image for c in fleet.containers("web") if c.host != "node1"}
    assert elsewhere == {"app@sha256:1"}
    assert any(isinstance(e, Note) and e.text.startswith("web is paused") for e in told)


def test_the_holder_of_what_was_paused_is_fenced_off_all_the_same(fleet: SimFleet) -> None:
    lose_docs(fleet)
    part = deploying(web("app:2", replicas=4), limit=("node1",))
    frozen = fleet.controller({12: kill()})

    def freeze() -> None:
        with pytest.raises(Killed):
            part(frozen)
        frozen.fall_silent()
        fleet.clock.sleep(30)

    world = fleet.controller()
    meanwhile(world, freeze)

    assert reconciling(world).exit_code == 0
    opened = recorded(fleet)["web"].open
    assert opened is not None
    assert opened.paused
    for host in fleet.hosts.values():
        assert host.fences["service-web"][1] == world.holder
