"""What a deploy brings besides its spec: certificates and templates. And what is still connected
when a server goes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from invariants import Invariants
from judged import at_rest, judged, recorded
from scenarios import (
    FIRST,
    RENEWED,
    TLS,
    another_template,
    deploying,
    nodes,
    options,
    over_tls,
    reconciling,
    rolling_back,
    shop,
    web,
)
from sim_balancers import SimBalancerPort
from simulated import SimFleet, SimWorld

from fleetctl.engine.adopt import adopt
from fleetctl.engine.drift import drift
from fleetctl.engine.holding import hold
from fleetctl.engine.status import status
from fleetctl.engine.view import view_of
from fleetctl.errors import BalancerFailed, Refused
from fleetctl.haproxy.rendered import Applied, Rendered
from fleetctl.haproxy.templates import built_in
from fleetctl.model.codec import encode
from fleetctl.model.events import Event, Failed, Note, PlanMade, RunFinished
from fleetctl.model.material import Material
from fleetctl.model.record import BalancersRecord, Document, Fence
from fleetctl.model.routing import Balancing, Internal, Pairs, Route, Tls

Run = Callable[[SimWorld], RunFinished]
SHOP = Tls("shop")
DIGEST = shop("b").certificates[0].digest
OF_BALANCERS = {"record", "prepare", "files", "file", "runtime", "keep_spec"}


def after(*runs: Run, balancers: int = 1) -> SimFleet:
    fleet = SimFleet(balancers=balancers)
    for run in runs:
        assert run(fleet.controller()).exit_code == 0
    return fleet


def watched(fleet: SimFleet, run: Run) -> tuple[RunFinished, SimWorld, list[Event]]:
    held = Invariants(fleet)
    held.rebase()
    world = held.watch(fleet.controller())
    told: list[Event] = []
    hear = world.emit

    def heard(event: Event) -> None:
        told.append(event)
        hear(event)

    world.emit = heard
    return judged(world, run), world, told


def causes(told: Sequence[Event]) -> list[str]:
    return [
        step.cause for event in told if isinstance(event, PlanMade) for step in event.plan.steps
    ]


def test_a_renewed_certificate_is_swapped_in_and_makes_no_revision() -> None:
    fleet = after(TLS, balancers=2)
    containers = fleet.containers()

    finished, world, told = watched(fleet, RENEWED)

    assert (finished.result, finished.exit_code) == ("ok", 0)
    assert {effect.kind for effect in world.effects.log} <= OF_BALANCERS
    assert causes(told)[0] == "certificate shop was renewed"
    assert fleet.containers() == containers
    assert [r.number for r in recorded(fleet)["web"].revisions] == [1]
    for balancer in fleet.balancers.values():
        assert balancer.running is not None
        assert [c.digest for _, c in balancer.running.certificates] == [DIGEST]
    assert watched(fleet, RENEWED)[0].result == "nothing_to_do"
    assert watched(fleet, reconciling)[0].result == "nothing_to_do"


def test_a_new_balancer_gets_certificates_from_another() -> None:
    """A reconcile has no working tree."""
    fleet = after(TLS, balancers=2)
    lost = fleet.balancers["lb2"]
    lost.file, lost.running, lost.live, lost.servers = None, None, "", {}
    lost.pems.clear()

    assert watched(fleet, reconciling)[0].result == "ok"

    assert lost.pems == fleet.balancers["lb1"].pems
    assert not at_rest(fleet), at_rest(fleet)


def test_a_certificate_that_no_balancer_has_any_more_is_asked_for_by_name() -> None:
    fleet = after(TLS, balancers=2)
    for balancer in fleet.balancers.values():
        balancer.pems.clear()
        balancer.live = ""
    documents = dict(fleet.documents)

    finished, _, told = watched(fleet, reconciling)

    assert finished.exit_code == 1
    (failed,) = (event for event in told if isinstance(event, Failed))
    assert failed.message == (
        "lb1: the certificate shop of web is not there and no other balancer has it"
    )
    assert "fleetctl deploy web" in failed.hint
    assert fleet.documents["section/web"] == documents["section/web"]
    assert watched(fleet, TLS)[0].exit_code == 0
    assert not at_rest(fleet), at_rest(fleet)


def test_certificates_of_two_services_that_nobody_has_come_back_one_by_one() -> None:
    """The balancer was set up anew: no deploy has more than its own service's certificate."""
    api = replace(web(name="api", replicas=1), routes=(Route("http", "api.example", tls=SHOP),))
    other = deploying(api, material=shop("b"))
    fleet = after(TLS, other)
    lost = fleet.balancers["lb1"]
    lost.file, lost.running, lost.live, lost.servers = None, None, "", {}
    lost.pems.clear()

    assert TLS(fleet.controller()).exit_code == 1
    assert other(fleet.controller()).exit_code == 0

    assert watched(fleet, TLS)[0].exit_code == 0
    assert not at_rest(fleet), at_rest(fleet)


def test_a_rollback_keeps_the_certificate_that_is_there() -> None:
    update = deploying(over_tls("app:2"), material=shop("b"))
    fleet = after(TLS, update)

    assert watched(fleet, rolling_back())[0].exit_code == 0

    section = view_of(fleet.documents).sections["web"]
    assert [c.digest for c in section.certificates] == [DIGEST]
    assert not at_rest(fleet), at_rest(fleet)


def test_a_rollback_to_routes_whose_certificate_is_nowhere_touches_nothing() -> None:
    fleet = after(TLS, deploying(web("app:2", routed=False)))
    containers, documents = fleet.containers(), dict(fleet.documents)

    with pytest.raises(Refused, match="no certificate shop of web, which revision 1 names"):
        rolling_back()(fleet.controller())

    assert fleet.containers() == containers
    assert fleet.documents == documents


def test_a_deploy_whose_templates_a_balancer_refuses_goes_back_to_the_recorded_ones(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet = after(FIRST)
    before = view_of(fleet.documents)
    real = SimBalancerPort.prepare

    def prepare(self: SimBalancerPort, rendered: Rendered, *more: object) -> None:
        if "# ours" in rendered.text:
            raise BalancerFailed(f"{self.name}: HAProxy refuses the file", host=self.name)
        real(self, rendered, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(SimBalancerPort, "prepare", prepare)

    finished, _, _ = watched(fleet, another_template("app:2"))

    assert (finished.result, finished.exit_code) == ("rolled_back", 5)
    assert view_of(fleet.documents).templates == before.templates == built_in()
    assert not at_rest(fleet), at_rest(fleet)
    assert watched(fleet, reconciling)[0].result == "nothing_to_do"


def refusing_ours(name: str) -> Callable[[SimBalancerPort, Rendered, Fence], Applied]:
    """One balancer can't be reloaded with the templates of another_template."""
    real = SimBalancerPort.apply

    def apply(self: SimBalancerPort, rendered: Rendered, fence: Fence) -> Applied:
        if self.name == name and "# ours" in rendered.text:
            raise BalancerFailed(f"{name}: the reload failed", host=name)
        return real(self, rendered, fence)

    return apply


def test_templates_that_a_reload_fails_with_are_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in the record by then."""
    fleet = after(FIRST)
    monkeypatch.setattr(SimBalancerPort, "apply", refusing_ours("lb1"))

    finished, _, _ = watched(fleet, another_template("app:2"))

    assert (finished.result, finished.exit_code) == ("rolled_back", 5)
    assert view_of(fleet.documents).templates == built_in()
    assert not at_rest(fleet), at_rest(fleet)


def test_templates_alone_that_a_reload_fails_with_are_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet = after(FIRST, balancers=2)
    monkeypatch.setattr(SimBalancerPort, "apply", refusing_ours("lb2"))

    finished, _, _ = watched(fleet, another_template())

    assert (finished.result, finished.exit_code) == ("rolled_back", 5)
    assert view_of(fleet.documents).templates == built_in()
    assert not at_rest(fleet), at_rest(fleet)


def test_templates_are_taken_back_where_none_were_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    """By an earlier version: its files were made with those of fleetctl."""
    fleet = after(FIRST)
    del fleet.documents["balancers"]
    monkeypatch.setattr(SimBalancerPort, "apply", refusing_ours("lb1"))

    finished, _, _ = watched(fleet, another_template("app:2"))

    assert (finished.result, finished.exit_code) == ("rolled_back", 5)
    assert view_of(fleet.documents).templates == built_in()
    assert not at_rest(fleet), at_rest(fleet)


def test_templates_that_another_recorded_meanwhile_are_not_taken_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet = after(FIRST)
    others = tuple((name, text + "# another's\n") for name, text in built_in())
    refusing = refusing_ours("lb1")

    def apply(self: SimBalancerPort, rendered: Rendered, fence: Fence) -> Applied:
        try:
            return refusing(self, rendered, fence)
        except BalancerFailed:
            known = fleet.documents["balancers"]
            body = encode(BalancersRecord(others))
            fleet.documents["balancers"] = Document(known.key, known.generation + 1, body)
            raise

    monkeypatch.setattr(SimBalancerPort, "apply", apply)

    finished = another_template("app:2")(fleet.controller())

    assert finished.result == "rolled_back"
    assert view_of(fleet.documents).templates == others
    assert not at_rest(fleet), at_rest(fleet)


def test_recorded_templates_are_what_a_reconcile_follows() -> None:
    fleet = after(FIRST, another_template(), balancers=2)
    assert watched(fleet, another_template())[0].result == "nothing_to_do"
    assert watched(fleet, reconciling)[0].result == "nothing_to_do"
    files = [balancer.file for balancer in fleet.balancers.values()]
    assert all(file is not None and "# ours" in file.text for file in files)

    _, _, told = watched(fleet, deploying(web(), material=Material(templates=built_in())))

    names = ", ".join(name for name, _ in built_in())
    assert causes(told)[0] == f"templates changed: {names}"
    assert view_of(fleet.documents).templates == built_in()


def test_a_record_without_templates_gets_those_that_files_are_made_with() -> None:
    """One that an earlier version wrote."""
    fleet = after(FIRST, deploying(web(name="cache", replicas=1)))
    del fleet.documents["balancers"]

    _, _, told = watched(fleet, reconciling)

    assert causes(told)[0] == "no templates are recorded yet"
    assert view_of(fleet.documents).templates == built_in()
    assert watched(fleet, reconciling)[0].result == "nothing_to_do"


def test_of_balancers_changed_side_by_side_all_that_fail_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet = after(FIRST, balancers=3)
    real = SimBalancerPort.apply
    monkeypatch.setattr(SimBalancerPort, "prepare", lambda *_: "runtime")

    def apply(self: SimBalancerPort, rendered: Rendered, fence: Fence) -> Applied:
        if self.name != "lb1":
            raise BalancerFailed(f"{self.name}: no space left", host=self.name)
        return real(self, rendered, fence)

    with monkeypatch.context() as patch:
        patch.setattr(SimBalancerPort, "apply", apply)
        _, _, told = watched(fleet, another_template())

    failed, *_ = (event for event in told if isinstance(event, Failed))
    assert failed.message == "lb2: no space left (lb1: runtime, also lb3: no space left)"


def test_none_is_reloaded_after_one_that_failed_and_its_error_tells_of_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fleet = after(FIRST, balancers=3)
    real = SimBalancerPort.apply

    def apply(self: SimBalancerPort, rendered: Rendered, fence: Fence) -> Applied:
        if self.name == "lb2":
            raise BalancerFailed("lb2: no space left on /etc/haproxy", host="lb2")
        return real(self, rendered, fence)

    with monkeypatch.context() as patch:
        patch.setattr(SimBalancerPort, "apply", apply)
        finished, _, told = watched(fleet, another_template())

    assert finished.exit_code == 6
    failed, *_ = (event for event in told if isinstance(event, Failed))
    assert failed.message == "lb2: no space left on /etc/haproxy (lb1: runtime, lb3: not touched)"
    assert watched(fleet, reconciling)[0].result == "ok"
    assert not at_rest(fleet), at_rest(fleet)


def drained(
    balancing: Balancing, sessions: Callable[[SimFleet], None]
) -> tuple[SimFleet, list[str]]:
    """web is updated while clients are connected; ``sessions`` is called after each effect."""
    fleet = after(deploying(replace(web(), balancing=balancing)), balancers=2)
    held = Invariants(fleet)
    held.rebase()
    world = held.watch(fleet.controller())
    notes: list[str] = []
    hear, look = world.emit, world.effects.watch

    def heard(event: Event) -> None:
        if isinstance(event, Note):
            notes.append(event.text)
        hear(event)

    def looked(effect: object) -> None:
        look(effect)  # type: ignore[arg-type]
        sessions(fleet)

    world.emit, world.effects.watch = heard, looked
    spec = replace(web("app:2"), balancing=balancing)
    assert judged(world, deploying(spec)).exit_code == 0
    assert not at_rest(fleet), at_rest(fleet)
    return fleet, notes


def test_connections_that_last_beyond_the_drain_limit_are_cut_and_counted() -> None:
    def stay(fleet: SimFleet) -> None:
        """Three on every server that drains, until they are cut."""
        for balancer in fleet.balancers.values():
            for server in balancer.servers.values():
                if server.admin == "drain" and not balancer.cut:
                    balancer.sessions[server.address, server.port] = 3

    fleet, notes = drained(Balancing(), stay)

    assert {lb.name: lb.cut for lb in fleet.balancers.values()} == {"lb1": 3, "lb2": 3}
    assert any("drain limit of 5 s passed: 6 connections cut" in note for note in notes), notes


def test_a_client_that_comes_to_a_draining_server_is_waited_for() -> None:
    """One with a cookie does, between the last look and maintenance."""
    began: dict[str, float] = {}

    def come(fleet: SimFleet) -> None:
        now = fleet.clock.now()
        balancer = fleet.balancers["lb1"]
        for server in balancer.servers.values():
            place = (server.address, server.port)
            if server.admin == "maint" and not began and server.port > 1:
                began["at"] = now
                balancer.sessions[place] = 1
        if began and now - began["at"] >= 2.0:
            balancer.sessions.clear()

    fleet = after(deploying(replace(web(), balancing=Balancing(sticky="at"))))
    held = Invariants(fleet)
    held.rebase()
    world = held.watch(fleet.controller())
    look, sleep = world.effects.watch, fleet.clock.sleep
    told: list[Event] = []

    def looked(effect: object) -> None:
        look(effect)  # type: ignore[arg-type]
        come(fleet)

    def slept(seconds: float) -> None:
        sleep(seconds)
        come(fleet)

    world.effects.watch = looked
    world.emit = told.append
    fleet.clock.sleep = slept  # type: ignore[method-assign]
    spec = replace(web("app:2"), balancing=Balancing(sticky="at"))
    assert deploying(spec)(world).exit_code == 0
    stops = [e.kind for e in world.effects.log]
    assert began
    assert fleet.balancers["lb1"].cut == 0
    assert "end sessions" not in stops
    assert not [e.text for e in told if isinstance(e, Note)]


def test_long_connections_get_their_own_drain_limit() -> None:
    fleet = after(deploying(replace(web(), balancing=Balancing(tunnel_drain=40.0))))
    section = view_of(fleet.documents).sections["web"]
    assert (section.drain_timeout, section.drain_limit) == (5.0, 40.0)
    balancer = fleet.balancers["lb1"]
    ends = [fleet.clock.now() + 30.0]
    sleep = fleet.clock.sleep

    def slept(seconds: float) -> None:
        sleep(seconds)
        if fleet.clock.now() >= ends[0]:
            balancer.sessions.clear()

    for server in balancer.servers.values():
        balancer.sessions[server.address, server.port] = 1
    fleet.clock.sleep = slept  # type: ignore[method-assign]

    spec = replace(web("app:2"), balancing=Balancing(tunnel_drain=40.0))
    assert deploying(spec)(fleet.controller()).exit_code == 0

    assert balancer.cut == 0
    assert fleet.clock.now() >= ends[0]


def test_the_weight_of_a_host_reaches_its_servers() -> None:
    fleet = after(FIRST)
    inventory = fleet.inventory()
    hosts = tuple(replace(h, weight=20) if h.name == "node1" else h for h in inventory.hosts)
    fleet.inventory = lambda: replace(inventory, hosts=hosts)  # type: ignore[method-assign]

    finished, world, told = watched(fleet, reconciling)

    assert finished.result == "ok"
    assert causes(told)[0] == "weight changed: node1"
    assert {effect.kind for effect in world.effects.log} <= OF_BALANCERS
    weights = {(s.address, s.weight) for s in fleet.balancers["lb1"].servers.values()}
    assert weights == {("10.0.0.1", 20), ("10.0.0.2", 100), ("10.0.0.3", 100)}
    assert watched(fleet, reconciling)[0].result == "nothing_to_do"


def drifting(fleet: SimFleet, material: Material) -> tuple[str, tuple[str, ...]]:
    (found,) = drift(
        fleet.controller(),
        fleet.inventory(),
        nodes,
        {"web": over_tls()},
        ("web",),
        options("drift"),
        lambda event: None,
        {"web": material},
    )
    return found.play, found.differs


def test_drift_tells_of_what_a_deploy_would_bring_besides() -> None:
    fleet = after(TLS)
    assert drifting(fleet, shop("a")) == ("same", ())
    assert drifting(fleet, shop("b")) == ("differs", ("certificate shop",))
    other = replace(shop("b"), templates=(("haproxy.cfg.j2", "x"),))
    assert drifting(fleet, other) == ("differs", ("certificate shop", "templates"))


def test_drift_says_what_is_another_on_a_balancer() -> None:
    fleet = after(FIRST, balancers=2)
    balancer = fleet.balancers["lb2"]
    assert balancer.running is not None
    balancer.running = replace(balancer.running, routes=(("web.example/", "other.http"),))

    (found,) = drift(
        fleet.controller(), fleet.inventory(), nodes, {}, ("web",), options("drift"), print
    )

    assert found.fleet is not None
    assert found.fleet.plan.steps[0].cause == (
        "lb2 is not as recorded: route web.example/: wanted web.http, is other.http"
    )


def test_what_a_person_holds_is_shown_and_no_drift() -> None:
    fleet = after(FIRST)
    section = view_of(fleet.documents).sections["web"]
    name = section.backends[0].servers[0].instance
    finished = hold(
        fleet.controller(), fleet.inventory(), [name], "maint", 0.0, options("lb"), print, True
    )
    assert finished.exit_code == 0

    (web_status,) = status(fleet.controller(), fleet.inventory(), ()).services

    shown = {instance.name: dict(instance.lb) for instance in web_status.instances}
    assert shown.pop(name) == {"lb1": "MAINT"}
    assert all(lb == {"lb1": "UP"} for lb in shown.values())
    assert (web_status.state, web_status.ready, web_status.desired) == ("converged", 3, 4)


def test_status_is_asked_of_a_fleet_whose_record_no_file_can_be_made_of() -> None:
    fleet = after(FIRST)
    document = fleet.documents["balancers"]
    body = {"templates": [["haproxy.cfg.j2", "{% broken"]]}
    fleet.documents["balancers"] = replace(document, body=body)

    (balancer,) = status(fleet.controller(), fleet.inventory(), ()).balancers

    assert not balancer.in_sync
    assert "haproxy.cfg.j2" in balancer.error


def lose_record(fleet: SimFleet) -> None:
    fleet.documents.clear()
    fleet.counters.clear()
    fleet.locks.clear()


def adopting(fleet: SimFleet, templates: Pairs = ()) -> None:
    adopt(
        fleet.controller(),
        fleet.inventory(),
        options("adopt"),
        lambda adoption: None,
        templates=templates,
    )


def test_adoption_finds_certificates_and_settings_again() -> None:
    spec = replace(over_tls(), internal=Internal("http"), balancing=Balancing(maxconn=7))
    fleet = after(deploying(spec, material=shop("a")), balancers=2)
    had = view_of(fleet.documents).sections["web"]
    lose_record(fleet)

    adopting(fleet)

    found = view_of(fleet.documents).sections["web"]
    assert (found.routes, found.internal, found.balancing) == (
        had.routes,
        had.internal,
        had.balancing,
    )
    assert found.certificates == shop("a").certificates
    assert watched(fleet, reconciling)[0].result == "nothing_to_do"


def test_adoption_records_the_templates_of_the_working_tree() -> None:
    fleet = after(FIRST, another_template())
    templates = view_of(fleet.documents).templates
    lose_record(fleet)

    adopting(fleet, templates)

    assert view_of(fleet.documents).templates == templates
    assert watched(fleet, reconciling)[0].result == "nothing_to_do"


def test_a_route_whose_certificate_is_lost_keeps_no_other_service_from_its_change() -> None:
    fleet = after(TLS)
    fleet.balancers["lb1"].pems.clear()
    lose_record(fleet)

    adopting(fleet)

    assert watched(fleet, deploying(web(name="cache", replicas=1)))[0].exit_code == 0
    finished, _, told = watched(fleet, reconciling)
    assert finished.exit_code == 9
    (failed,) = (event for event in told if isinstance(event, Failed))
    assert "no certificate shop of web" in failed.message
    assert "fleetctl deploy web" in failed.hint
    assert watched(fleet, TLS)[0].exit_code == 0
    assert not at_rest(fleet), at_rest(fleet)
