"""I24: the record is lost, and adopt rebuilds it without touching a container."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from invariants import Invariants
from judged import at_rest, judged, points, recorded, under_watch
from scenarios import (
    FIRST,
    OTHER,
    SCENARIOS,
    SECOND,
    THIRD,
    TLS,
    Scenario,
    deploying,
    options,
    reconciling,
    rolling_back,
    web,
)
from simulated import SimFleet

from fleetctl.engine.adopt import adopt
from fleetctl.engine.examine import GAP, Adoption, examine
from fleetctl.engine.view import View, view_of
from fleetctl.errors import ForeignLineage, HostError, RecordLost, Refused
from fleetctl.model.record import FLEET_KEY, section_key, service_key

SAMPLE = 8
"""Crash points of each scenario at which the record is lost."""


def agree(_: Adoption) -> None:
    return None


def adopting(fleet: SimFleet) -> Adoption:
    """Adopts, and shows that nothing but record and locks is another."""
    before = [replace(c) for c in fleet.containers()]
    files = {name: lb.file for name, lb in fleet.balancers.items()}
    world = fleet.controller()
    done = adopt(world, fleet.inventory(), options("adopt"), agree)
    assert fleet.containers() == before
    assert {name: lb.file for name, lb in fleet.balancers.items()} == files
    assert {effect.kind for effect in world.effects.log} <= {"record"}
    return done


def lose_record(fleet: SimFleet) -> View:
    """With its locks' counters, as when the state folder of the record host is deleted."""
    had = view_of(fleet.documents)
    fleet.documents.clear()
    fleet.counters.clear()
    fleet.locks.clear()
    return had


def forget_last(fleet: SimFleet) -> None:
    """Two things are on no balancer, and harmless: which slot was given out last, and why a
    file that no worker has loaded has a section. The files get the record's word."""
    sections = view_of(fleet.documents).sections
    for balancer in fleet.balancers.values():
        if balancer.file is not None:
            found = tuple(
                sections[s.service] if _same(s, sections[s.service]) else s
                for s in balancer.file.sections
                if s.service in sections
            )
            balancer.file = replace(balancer.file, sections=found)


def _same(one: object, other: object) -> bool:
    def plain(section: object) -> object:
        if section is None:
            return None
        backends = tuple(replace(b, last=0) for b in section.backends)  # type: ignore[attr-defined]
        return replace(section, backends=backends)  # type: ignore[type-var]

    return plain(one) == plain(other)


def settled(*runs: object) -> SimFleet:
    fleet = SimFleet(balancers=2)
    for run in runs:
        assert run(fleet.controller()).exit_code == 0  # type: ignore[operator]
    return fleet


@pytest.mark.parametrize(
    "runs",
    [
        (FIRST,),
        (FIRST, SECOND),
        (FIRST, OTHER, SECOND, THIRD),
        (FIRST, SECOND, rolling_back()),
        (FIRST, deploying(web(replicas=6))),
        (FIRST, deploying(web(replicas=2))),
        (FIRST, deploying(web(routed=False))),
        (deploying(web(routed=False)),),
    ],
    ids=[
        "one",
        "two",
        "many",
        "rolled back",
        "scaled up",
        "scaled down",
        "route away",
        "no route",
    ],
)
def test_a_fleet_at_rest_is_adopted_as_it_was(runs: tuple[object, ...]) -> None:
    fleet = settled(*runs)
    had = lose_record(fleet)
    adopting(fleet)
    found = view_of(fleet.documents)
    assert found.lineage == had.lineage
    for name, record in had.services.items():
        rebuilt = found.service(name)
        assert (rebuilt.current, rebuilt.open) == (record.current, None)
        assert rebuilt.revision(record.current) == record.revision(record.current)
        assert rebuilt.placed == record.placed
        known = {r.number for r in record.revisions}
        assert {r.number for r in rebuilt.revisions} == known
        assert rebuilt.next_number == record.next_number
        assert _same(found.sections.get(name), had.sections.get(name))
        shown = max(c.generation for c in fleet.containers(name))
        assert found.generation(service_key(name)) > shown
    world = fleet.controller()
    assert reconciling(world).result == "nothing_to_do"
    assert world.effects.log == []
    forget_last(fleet)
    held = Invariants(fleet)
    held.rebase()
    world = held.watch(fleet.controller())
    assert deploying(web("app:3", replicas=4))(world).exit_code == 0
    assert not at_rest(fleet), at_rest(fleet)


def test_a_rollback_after_adoption_goes_where_it_would_have_gone() -> None:
    fleet = settled(FIRST, SECOND, THIRD)
    lose_record(fleet)
    adopting(fleet)
    assert rolling_back()(fleet.controller()).services[0].revision == 2


def converges(held: Invariants, scenario: Scenario) -> None:
    """Within two runs, and the checks of freshly loaded balancers in between. A certificate that
    no file named yet is known by its play alone."""
    run = reconciling if "web" in recorded(held.fleet) else scenario.act
    for _ in range(2):
        code = under_watch(held, run).exit_code
        if "TLS" in scenario.name and code == 9:
            run, code = TLS, under_watch(held, TLS).exit_code
        assert code in (0, 1)
        held.fleet.clock.sleep(5)
    world = held.watch(held.fleet.controller())
    assert judged(world, reconciling).result == "nothing_to_do"
    assert world.effects.log == []
    assert not at_rest(held.fleet), at_rest(held.fleet)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_lost_together_with_the_controller_it_converges(scenario: Scenario) -> None:
    """At points of each run the controller dies and the record goes with it."""
    fleet, held = scenario.prepare()
    if not fleet.balancers:
        held.lost.clear()
    found = points(fleet, held, scenario.act)
    chance = random.Random(scenario.name)
    for point in chance.sample(found, min(len(found), SAMPLE)):
        adopted = point.fleet
        if not any(host.lineage for host in adopted.hosts.values()):
            continue
        adopted.clock.sleep(30)
        lose_record(adopted)
        adopting(adopted)
        forget_last(adopted)
        if recorded(adopted):
            converges(point.held, scenario)


def test_what_is_left_is_kept_and_only_the_rest_is_rebuilt() -> None:
    fleet = settled(FIRST, OTHER)
    had = dict(fleet.documents)
    for key in (FLEET_KEY, section_key("cache")):
        del fleet.documents[key]
    with pytest.raises(RecordLost):
        reconciling(fleet.controller())
    adopting(fleet)
    assert fleet.documents[service_key("web")] == had[service_key("web")]
    assert fleet.documents[section_key("web")] == had[section_key("web")]
    assert fleet.documents[section_key("cache")].generation > GAP
    assert reconciling(fleet.controller()).result == "nothing_to_do"


def test_an_older_copy_is_refused_and_then_rebuilt() -> None:
    fleet = settled(FIRST)
    old = dict(fleet.documents)
    assert SECOND(fleet.controller()).exit_code == 0
    fleet.documents.clear()
    fleet.documents.update(old)
    finished = reconciling(fleet.controller())
    assert (finished.result, finished.exit_code) == ("refused", 9)
    done = adopting(fleet)
    assert "older" in " ".join(done.lost)
    assert view_of(fleet.documents).service("web").current == 2
    assert reconciling(fleet.controller()).result == "nothing_to_do"


def test_a_whole_record_is_not_adopted_over() -> None:
    fleet = settled(FIRST)
    before = dict(fleet.documents)
    with pytest.raises(Refused, match="whole"):
        adopting(fleet)
    assert fleet.documents == before


def test_every_command_says_adopt_while_it_is_lost() -> None:
    fleet = settled(FIRST)
    lose_record(fleet)
    for run in (FIRST, SECOND, rolling_back(), reconciling):
        with pytest.raises(RecordLost) as caught:
            run(fleet.controller())
        assert "fleetctl adopt" in caught.value.hint
    assert fleet.documents == {}


def test_a_silent_host_may_hold_the_only_spec() -> None:
    fleet = settled(FIRST)
    lose_record(fleet)
    fleet.hosts["node2"].up = False
    with pytest.raises(HostError, match="node2"):
        adopting(fleet)
    assert fleet.documents == {}


def test_hosts_of_two_fleets_are_not_made_one() -> None:
    fleet = settled(FIRST)
    lose_record(fleet)
    fleet.hosts["node3"].lineage = "another"
    with pytest.raises(ForeignLineage, match="node3"):
        adopting(fleet)


def test_a_record_elsewhere_is_not_doubled() -> None:
    """The same hosts in an inventory without the balancer: its record host is another."""
    fleet = settled(deploying(web(routed=False)))
    other = fleet.fork()
    other.documents.clear()
    other.balancers.clear()
    world = other.controller()
    with pytest.raises(Refused, match="lb1"):
        examine(world, other.inventory(), options("adopt"))
    assert examine(world, other.inventory(), options("adopt"), moved=True).services


def test_no_spec_anywhere_is_said_and_nothing_is_written() -> None:
    fleet = settled(FIRST)
    lose_record(fleet)
    for host in fleet.hosts.values():
        host.specs.clear()
    with pytest.raises(Refused, match="no host has the spec of what serves web"):
        adopting(fleet)
    assert fleet.documents == {}


def test_consent_refused_writes_nothing() -> None:
    fleet = settled(FIRST)
    lose_record(fleet)

    def refuse(_: Adoption) -> None:
        raise Refused("no")

    world = fleet.controller()
    with pytest.raises(Refused, match="no"):
        adopt(world, fleet.inventory(), options("adopt"), refuse)
    assert fleet.documents == {}
    assert world.effects.log == []
