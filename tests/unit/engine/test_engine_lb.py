"""lb show, render, check and install, on balancers in memory."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from lb_world import CERTIFICATE, DAY, FLEET, NOW, SECTION, WHOLE, FakeWorld

from fleetctl.engine import lb_check, lb_install, lb_render, lb_show
from fleetctl.engine.options import RunOptions, StopSignal
from fleetctl.errors import (
    BalancerFailed,
    Cancelled,
    CommandFailed,
    ConnectionLost,
    FleetError,
    Interrupted,
    StaleFence,
    Unreachable,
)
from fleetctl.haproxy import header
from fleetctl.haproxy.render import render
from fleetctl.haproxy.survey import Running, Socket, Survey
from fleetctl.model.fleet import Balancer, Fleet
from fleetctl.model.lb import BalancerCheck, BalancerSetup, Finding, SetupStep
from fleetctl.model.observed import ObservedBalancer
from fleetctl.model.routing import Internal, Route

OPTIONS = RunOptions("ana@desk", "lb install")
START = SetupStep("start", "start HAProxy")
PACKAGE = SetupStep("package", "install it")
FILE = SetupStep("file", "write it")


def shown(world: FakeWorld, *services: str) -> Any:
    return lb_show.show(world, FLEET, services, 8)  # type: ignore[arg-type]


def checked(world: FakeWorld, name: str = "lb1") -> dict[str, Finding]:
    """The findings that are not in order."""
    found = {one.name: one for one in lb_check.check(world, FLEET, 8)}  # type: ignore[arg-type]
    return {f.check: f for f in found[name].findings if f.level != "ok"}


def test_show_of_balancers_in_line() -> None:
    found = shown(FakeWorld(SECTION))
    assert [(b.name, b.in_sync, b.differences) for b in found.balancers] == [
        ("lb1", True, ()),
        ("lb2", True, ()),
    ]
    first = found.balancers[0].servers[0]
    assert (first.backend, first.server, first.instance) == ("web.http", "slot1", "web-1-7-aaaa")
    assert (first.state, first.sessions, first.rate) == ("UP", 3, 7)
    assert (first.requests, first.errors, first.check) == (1000, 2, "L7OK 200")
    (certificate,) = found.balancers[0].certificates
    assert (certificate.names, certificate.loaded) == (("shop.example",), True)


def test_show_of_balancers_that_differ() -> None:
    world = FakeWorld(SECTION)
    one, two, *more = world.seen["lb1"].servers
    moved = replace(two, address="10.9.9.9")
    servers = (replace(one, admin="drain", status="DRAIN"), moved, *more)
    older = tuple((path, "00" * 20) for path, _ in world.seen["lb1"].certificates)
    world.seen["lb1"] = replace(world.seen["lb1"], servers=servers, certificates=older)
    world.seen["lb2"] = ObservedBalancer("lb2", "unknown", error="no answer")
    first, second = shown(world).balancers
    assert [s.state for s in first.servers] == ["DRAIN", "NONE"]
    assert not first.in_sync
    assert {gap.kind for gap in first.differences} == {"runtime", "certificate"}
    assert not first.certificates[0].loaded
    assert (second.state, second.in_sync, second.error) == ("unknown", False, "no answer")
    assert {s.state for s in second.servers} == {"UNKNOWN"}


def test_show_of_a_held_server() -> None:
    (backend,) = SECTION.backends
    held = replace(backend.servers[0], held="drain", held_until=NOW + 60)
    section = SECTION.with_backend(replace(backend, servers=(held, backend.servers[1])))
    first = shown(FakeWorld(section)).balancers[0]
    assert first.in_sync
    server = first.servers[0]
    assert (server.state, server.held, server.held_until) == ("DRAIN", "drain", NOW + 60)


def test_show_of_one_service() -> None:
    other = replace(SECTION, service="api", routes=(Route("http", "api.example"),))
    world = FakeWorld(SECTION, other)
    assert {s.service for b in shown(world, "api").balancers for s in b.servers} == {"api"}
    with pytest.raises(FleetError) as raised:
        shown(world, "apo")
    assert raised.value.hint == "did you mean api?"


def test_a_haproxy_inside_has_no_certificates() -> None:
    inside = Balancer("lb1", listen=(), listen_tls=(), internal="10.0.0.5")
    section = replace(SECTION, internal=Internal("http"))
    world = FakeWorld(section)
    fleet = replace(FLEET, balancers=(inside,))
    (found,) = lb_show.show(world, fleet, (), 8).balancers  # type: ignore[arg-type]
    assert found.certificates == ()
    (checked_,) = lb_check.check(world, fleet, 8)  # type: ignore[arg-type]
    assert "certificates" not in {finding.check for finding in checked_.findings}


def test_show_where_no_file_can_be_made_of_the_record() -> None:
    clash = replace(SECTION, service="api")
    world = FakeWorld(SECTION)
    world.sections = (SECTION, clash)
    (gap,) = shown(world).balancers[0].differences
    assert gap.kind == "record"


def test_check_of_what_is_in_order() -> None:
    world = FakeWorld(SECTION)
    found = lb_check.check(world, FLEET, 8)  # type: ignore[arg-type]
    assert [(c.name, c.reached, c.failed) for c in found] == [
        ("lb1", True, False),
        ("lb2", True, False),
    ]
    assert {f.check for f in found[0].findings} == {
        "program", "master", "sockets", "file", "record", "ports", "accepted", "certificates",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("survey", "check", "words"),
    [
        (Survey(), "program", "not installed"),
        (replace(WHOLE, version="2.4.1"), "program", "older than 2.6"),
        (replace(WHOLE, version="2.6.99"), "program", "2.6.12 runs, and 2.6.99 is installed"),
        (replace(WHOLE, file_id=None), "file", "is not there"),
        (replace(WHOLE, file_id=""), "file", "is not fleetctl's"),
        (replace(WHOLE, file_id=header.EDITED), "file", "edited by hand"),
        (replace(WHOLE, passes=False), "file", "would not start"),
        (replace(WHOLE, sockets=WHOLE.sockets[1:]), "sockets", "admin.sock is gone"),
        (
            replace(WHOLE, sockets=(Socket("/run/haproxy/admin.sock", 0o666, "root", "root"),)),
            "sockets",
            "everybody may command",
        ),
        (
            replace(WHOLE, sockets=(Socket("/run/haproxy/admin.sock", 0o660, "root", "adm"),)),
            "sockets",
            "group adm may command",
        ),
    ],
)
def test_check_of_a_machine(survey: Survey, check: str, words: str) -> None:
    world = FakeWorld(SECTION)
    world.machines["lb1"].survey_ = survey
    found = checked(world)
    assert words in found[check].message
    assert found[check].hint
    assert checked(world, "lb2") == {}


def test_check_of_what_runs_and_what_is_refused() -> None:
    world = FakeWorld(SECTION)
    machine = world.machines["lb1"]
    machine.running_ = Running("/run/haproxy/master.sock", failed=2)
    machine.taken_ = ("lb1: HAProxy can't listen on *:80: nginx (process 3) does",)
    machine.refusal_ = "unknown keyword 'x'"
    found = checked(world)
    assert "reloads that failed: 2" in found["master"].message
    assert "nginx" in found["ports"].message
    assert "unknown keyword 'x'" in found["accepted"].message
    machine.running_ = Running(error="lb1: HAProxy runs without a master's socket")
    assert checked(world)["master"].hint == "fleetctl lb install lb1"


def test_check_tells_differences_one_by_one_and_an_edit_once() -> None:
    world = FakeWorld(SECTION)
    one, *more = world.seen["lb1"].servers
    edited = replace(one, weight=7)
    world.seen["lb1"] = replace(
        world.seen["lb1"], servers=(edited, *more), file_id=header.EDITED, routes=()
    )
    world.machines["lb1"].survey_ = replace(WHOLE, file_id=header.EDITED)
    (found,) = [c for c in lb_check.check(world, FLEET, 8) if c.name == "lb1"]  # type: ignore[arg-type]
    told = [f.message for f in found.findings if f.check == "record"]
    assert [words.split(":")[0] for words in told][:1] == ["runtime"]
    assert not any(words.startswith("file:") for words in told)
    assert any(words.startswith("map:") for words in told)
    assert "web.http/slot1" in told[0]


@pytest.mark.parametrize(
    ("left", "words"),
    [(-1.0, "has expired"), (5.5 * DAY, "expires in 5 days"), (14.5 * DAY, "")],
)
def test_check_of_certificates(left: float, words: str) -> None:
    certificate = replace(CERTIFICATE, expires=NOW + left)
    found = checked(FakeWorld(replace(SECTION, certificates=(certificate,))))
    assert ("certificates" in found) == bool(words)
    if words:
        assert words in found["certificates"].message
        assert "fleetctl deploy web" in found["certificates"].hint


def test_check_of_a_balancer_that_is_away() -> None:
    world = FakeWorld(SECTION)
    world.machines["lb2"].survey_ = Unreachable("lb2 does not answer", hint="is it on?")
    _, away = lb_check.check(world, FLEET, 8)  # type: ignore[arg-type]
    told = (Finding("access", "error", "lb2 does not answer", "is it on?"),)
    assert away == BalancerCheck("lb2", False, told)


def test_check_of_a_balancer_that_goes_away_in_the_middle() -> None:
    world = FakeWorld(SECTION)

    def lost(rendered: Any) -> str:
        raise ConnectionLost("lb1: the connection has ended")

    world.machines["lb1"].refusal = lost  # type: ignore[method-assign]
    first, second = lb_check.check(world, FLEET, 8)  # type: ignore[arg-type]
    assert (first.reached, second.reached, second.failed) == (False, True, False)
    world.machines["lb1"].survey_ = CommandFailed("lb1: no sha256sum there")
    first, _ = lb_check.check(world, FLEET, 8)  # type: ignore[arg-type]
    assert (first.reached, first.failed) == (True, True)


def test_a_balancer_before_the_first_deploy_is_no_error() -> None:
    world = FakeWorld()
    world.seen["lb1"] = ObservedBalancer("lb1", version="2.6.12")
    world.machines["lb1"].survey_ = replace(WHOLE, file_id="", sockets=WHOLE.sockets[1:])
    found = checked(world)
    assert {name: f.level for name, f in found.items()} == {"file": "warning"}
    assert ".before-fleetctl" in found["file"].hint


def test_render_without_and_with_a_look() -> None:
    world = FakeWorld(SECTION)
    texts = lb_render.rendered(world, FLEET, compare=False)  # type: ignore[arg-type]
    assert world.connected == ["lb1", "lb2"]
    assert texts[0].files[0].path == "/etc/haproxy/haproxy.cfg"
    assert texts[0].files[0].text == render(Balancer("lb1"), [SECTION]).text
    paths = [file.path.rpartition("/live/")[2] for file in texts[0].files[1:]]
    assert paths == ["certs.list", "certs/web.shop.pem", "routes.map"]
    certificate = texts[0].files[2].text
    assert certificate == f"sha256 {CERTIFICATE.digest}\n"


def test_render_diff_is_empty_in_line_and_names_an_edit() -> None:
    world = FakeWorld(SECTION)
    side = {
        file.path.rpartition("/live/")[2]: file.text
        for file in lb_render.rendered(world, FLEET, compare=False)[0].files[1:]  # type: ignore[arg-type]
    }
    for machine in world.machines.values():
        machine.side = side
    world.texts["lb2"] = render(Balancer("lb2"), [SECTION]).text + "backend mine\n"
    world.machines["lb2"].side = {**side, "routes.map": "", "mine.txt": "x\n"}
    first, second = lb_render.rendered(world, FLEET, compare=True)  # type: ignore[arg-type]
    assert not first.differs
    diffs = {file.path.rpartition("/")[2]: file.diff for file in second.files if file.diff}
    assert sorted(diffs) == ["haproxy.cfg", "mine.txt", "routes.map"]
    assert "\n-backend mine\n" in diffs["haproxy.cfg"]
    assert "+shop.example/ web.http" in diffs["routes.map"]
    assert diffs["mine.txt"].endswith("-x\n")


def test_hashes_of_passwords_are_masked_and_tell_apart() -> None:
    lines = [f"    user ana password $6$salt${word}\n" for word in ("one", "two")]
    masked = [lb_render.masked(line) for line in lines]
    assert masked[0] != masked[1]
    assert all("$6$" not in words and "hidden" in words for words in masked)
    assert lb_render.masked("    server one 1.2.3.4:80\n") == "    server one 1.2.3.4:80\n"


def install(world: FakeWorld, fleet: Fleet = FLEET, **options: Any) -> tuple[list[Any], Any]:
    asked: list[Any] = []
    chosen = replace(OPTIONS, **options)
    done = lb_install.install(world, fleet, chosen, lambda e: None, asked.append)  # type: ignore[arg-type]
    return asked, done


def test_install_of_what_is_set_up_asks_nothing() -> None:
    world = FakeWorld()
    for name, machine in world.machines.items():
        machine.setups = [BalancerSetup(name)]
    asked, done = install(world)
    assert asked == []
    assert world.told == world.leases == []
    assert all(not setup.done for setup in done)


def test_install_carries_out_under_lock_and_fence_with_an_audit() -> None:
    world = FakeWorld()
    world.machines["lb1"].setups = [BalancerSetup("lb1", (FILE, START))]
    world.machines["lb2"].setups = [BalancerSetup("lb2")]
    asked, done = install(world)
    assert len(asked) == 1
    assert world.machines["lb1"].does == [("file", 5), ("start", 5)]
    assert done[0].done == (FILE, START)
    assert [lease.fence.scope for lease in world.leases] == ["balancer-lb1"]
    assert world.leases[0].released
    assert world.told == [
        ("begin", "lb1", "lb install"),
        ("intent", "file"),
        ("outcome", "ok"),
        ("intent", "start"),
        ("outcome", "ok"),
        ("end", "ok"),
    ]


def test_install_lets_clients_find_another_balancer_until_this_one_is_in_line() -> None:
    """Its 404 would be an answer to them."""
    for sections, listens in (((), (("*", 80),)), ((SECTION,), ())):
        world = FakeWorld(*sections)
        world.machines["lb1"].setups = [BalancerSetup("lb1", (FILE,))]
        world.machines["lb2"].setups = [BalancerSetup("lb2")]
        install(world)
        assert world.machines["lb1"].listens == [listens]


def test_install_looks_anew_once_the_package_is_there() -> None:
    world = FakeWorld()
    machine = world.machines["lb1"]
    bare = BalancerSetup("lb1", (PACKAGE, FILE, START))
    machine.setups = [bare, bare, BalancerSetup("lb1", (FILE,))]
    world.machines["lb2"].setups = [BalancerSetup("lb2")]
    _, done = install(world)
    assert machine.fresh == [False, False, True]
    assert [action for action, _ in machine.does] == ["package", "file"]
    assert done[0].done == (PACKAGE, FILE)


def test_install_does_nothing_that_was_not_shown() -> None:
    world = FakeWorld()
    world.machines["lb1"].setups = [BalancerSetup("lb1", (START,)), BalancerSetup("lb1", (FILE,))]
    world.machines["lb2"].setups = [BalancerSetup("lb2")]
    _, (first, _) = install(world)
    assert "changed while it was looked at" in first.error
    assert (first.exit_code, first.done, world.machines["lb1"].does) == (8, (), [])


def test_install_goes_above_a_fence_that_the_lock_host_lost() -> None:
    world = FakeWorld()
    world.machines["lb1"].setups = [BalancerSetup("lb1", (START,))]
    world.machines["lb1"].failures = [StaleFence("later", seen=40)]
    world.machines["lb2"].setups = [BalancerSetup("lb2")]
    install(world)
    assert world.machines["lb1"].does == [("start", 41)]


def test_install_one_that_fails_keeps_no_other_from_it() -> None:
    world = FakeWorld()
    world.machines["lb1"].setups = [BalancerSetup("lb1", (FILE, START))]
    world.machines["lb1"].failures = [BalancerFailed("no room", hint="make some")]
    world.machines["lb2"].setups = [BalancerSetup("lb2", (START,))]
    _, (first, second) = install(world)
    assert (first.error, first.hint, first.exit_code, first.done) == ("no room", "make some", 1, ())
    assert second.done == (START,)
    assert ("end", "failed") in world.told
    assert all(lease.released for lease in world.leases)


def test_install_changes_nothing_without_consent() -> None:
    world = FakeWorld()
    for name, machine in world.machines.items():
        machine.setups = [BalancerSetup(name, (START,))]

    def no(setups: Any) -> None:
        raise Cancelled("no")

    with pytest.raises(Cancelled):
        lb_install.install(world, FLEET, OPTIONS, lambda e: None, no)  # type: ignore[arg-type]
    assert all(machine.does == [] for machine in world.machines.values())


def test_install_stops_between_balancers() -> None:
    world = FakeWorld()
    for name, machine in world.machines.items():
        machine.setups = [BalancerSetup(name, (START,))]
    stop = StopSignal()
    stop.set(2)
    with pytest.raises(Interrupted):
        install(world, stop=stop)


def test_install_of_what_is_another_fleet_s_or_away() -> None:
    world = FakeWorld()
    world.lineages["lb1"] = "dead"
    world.machines["lb2"].setups = [Unreachable("lb2 is away")]
    first, second = lb_install.plan(world, FLEET, 8)  # type: ignore[arg-type]
    assert "another fleet" in first.error
    assert first.exit_code == 9
    assert (second.error, second.exit_code) == ("lb2 is away", 4)
