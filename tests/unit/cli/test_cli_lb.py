"""lb show, drain, maint, ready, render, check and install: arguments, documents, words."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from cli_stand_in import StandIn
from test_cli_runs import typing

from fleetctl.cli import main
from fleetctl.errors import Refused, TooFewServe
from fleetctl.model.events import Failed, RunFinished, RunStarted, ServiceResult
from fleetctl.model.fleet import Balancer, Fleet
from fleetctl.model.lb import (
    BalancerCheck,
    BalancerFiles,
    BalancerSetup,
    BalancerView,
    CertificateStatus,
    FileText,
    Finding,
    Gap,
    LbStatus,
    ServerStatus,
    SetupStep,
)

DAY = 86400.0
UP = ServerStatus(
    "web", "web.http", "slot1", "web-1-7-aaaa", "node1", "10.0.0.1", 20001, 7, "UP",
    status="UP", weight=100, sessions=3, queue=1, rate=7, requests=1000, errors=2, check="L7OK 200",
)  # fmt: skip
START = SetupStep("start", "start HAProxy")
RESTART = SetupStep("restart", "restart HAProxy", "open connections are cut")


@pytest.fixture(autouse=True)
def _fleet(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stand-in's inventory, with two balancers."""
    import sys

    fleet = Fleet(
        "lab", (), (Balancer("lb1"), Balancer("lb2")), journal=f"{stand_in.root}/.fleetctl/lab.db"
    )

    def find(start: Any, inventory: str | None) -> Any:
        found = stand_in.find(start, inventory)
        found.inventory.fleet = lambda: fleet
        return found

    project = SimpleNamespace(Project=SimpleNamespace(find=find))
    monkeypatch.setitem(sys.modules, "fleetctl.config.project", project)
    monkeypatch.setattr("time.time", lambda: 1e9)


def shows(stand_in: StandIn, *balancers: BalancerView) -> None:
    def show(world: Any, fleet: Fleet, services: tuple[str, ...], parallel: int) -> LbStatus:
        stand_in.calls.append(("show", services))
        return LbStatus(balancers)

    stand_in.use("lb_show", show=show)


def held(state: str, until: float) -> ServerStatus:
    from dataclasses import replace

    return replace(UP, state=state, held="drain", held_until=until)  # type: ignore[arg-type]


def test_show(stand_in: StandIn) -> None:
    good = CertificateStatus("web", "shop", ("shop.example",), 1e9 + 90 * DAY, True)
    shows(
        stand_in,
        BalancerView("lb1", "up", "2.6.12", True, certificates=(good,), servers=(UP,)),
        BalancerView("lb2", "unknown", "", False, error="no answer"),
    )
    ended = stand_in.fleetctl("lb", "show", "web")
    assert ended.code == 0
    assert stand_in.calls[-1] == ("show", ("web",))
    lines = ended.out.splitlines()
    assert lines[0] == "lb1: HAProxy 2.6.12, in sync"
    assert lines[1] == (
        "  certificate web.shop (shop.example): expires 2001-12-08 01:46:40Z, in 90d"
    )
    heads, row = (" ".join(line.split()) for line in lines[2:4])
    assert heads == (
        "BACKEND SERVER INSTANCE HOST STATE WEIGHT SESSIONS QUEUE RATE REQUESTS 5XX LAST CHECK"
    )
    assert row == "web.http slot1 web-1-7-aaaa node1 UP 100 3 1 7/s 1000 2 L7OK 200"
    assert lines[-1] == "lb2: unknown: no answer"
    brief = stand_in.fleetctl("lb", "show", "-q").out.splitlines()
    assert brief == ["lb1: HAProxy 2.6.12, in sync", "lb2: unknown: no answer"]


def test_show_of_what_differs(stand_in: StandIn) -> None:
    gaps = (Gap("runtime", "web.http/slot1: wanted ready, is drain"), Gap("map", "route x"))
    soon = CertificateStatus("web", "shop", ("a.example", "b.example"), 1e9 + DAY, False)
    over = CertificateStatus("web", "old", (), 1e9 - DAY, True)
    servers = (held("DRAIN", 1e9 + 60), held("MAINT", 0.0), held("DRAIN", 1e9 - 1))
    shows(
        stand_in,
        BalancerView("lb1", "up", "2.6.12", False, gaps, 2, (soon, over), servers),
    )
    out = stand_in.fleetctl("lb", "show").out
    first, *lines = out.splitlines()
    assert first == (
        "lb1: HAProxy 2.6.12, differs from the record in 2 things, 2 old workers still finishing"
    )
    assert lines[0] == "  runtime: web.http/slot1: wanted ready, is drain"
    assert "(a.example, b.example): expires 2001-09-10 01:46:40Z, in 1d; not loaded" in out
    assert "web.old (no names): expired" in out
    assert "DRAIN, held: 1m00s more" in out
    assert "MAINT, held  " in out
    assert "DRAIN, held: over, until reconcile" in out


def test_show_document(stand_in: StandIn) -> None:
    shows(
        stand_in,
        BalancerView("lb1", "up", "2.6.12", True, servers=(UP,)),
        BalancerView("lb2", "down", "", False, error="does not run"),
    )
    document = stand_in.fleetctl("lb", "show", "--json").document
    assert document["schema"] == "fleetctl.lb/1"
    first, second = document["balancers"]
    assert (first["name"], first["in_sync"], first["old_workers"]) == ("lb1", True, 0)
    server = first["servers"][0]
    assert (server["backend"], server["state"], server["held"]) == ("web.http", "UP", "")
    assert {"sessions", "queue", "rate", "requests", "errors", "check"} <= set(server)
    assert "error" not in first
    assert second["error"] == "does not run"


def test_what_a_host_says_can_t_move_the_cursor(stand_in: StandIn) -> None:
    from dataclasses import replace

    shows(
        stand_in,
        BalancerView(
            "lb1", "up", "2.6.12", False, (Gap("file", "\x1b[2J"),),
            servers=(replace(UP, check="\x1b]0;x\x07"),),
        ),
    )  # fmt: skip
    assert "\x1b" not in stand_in.fleetctl("lb", "show").out


def holds(stand_in: StandIn, *, code: int = 0) -> None:
    def held(command: str, *given: Any) -> Any:
        def do(world: Any, fleet: Any, targets: Any, *rest: Any, **more: Any) -> RunFinished:
            options, emit = rest[-2:]
            stand_in.calls.append((command, (targets, *rest[:-2], more)))
            emit(RunStarted(options.command, ("web",), fleet.name, options.by))
            if code:
                emit(Failed("web", "too-few-serve", "too few", "say --yes"))
            result = "refused" if code else "ok"
            ended = RunFinished(
                options.command, result, code, (ServiceResult("web", 7, 7, 1),), 0.5
            )
            emit(ended)
            return ended

        return do

    stand_in.use("holding", hold=held("hold"), release=held("release"))


def test_drain_maint_and_ready(stand_in: StandIn) -> None:
    holds(stand_in)
    ended = stand_in.fleetctl("lb", "drain", "node1", "web-2-7-aaaa", "--for", "1h30m")
    assert ended.code == 0
    assert stand_in.calls[-1] == (
        "hold",
        (["node1", "web-2-7-aaaa"], "drain", 5400.0, {"force": False}),
    )
    assert "web: revision 7" in ended.out
    assert stand_in.fleetctl("lb", "maint", "node1", "--yes").code == 0
    assert stand_in.calls[-1] == ("hold", (["node1"], "maint", 0.0, {"force": True}))
    assert stand_in.fleetctl("lb", "ready", "node1").code == 0
    assert stand_in.calls[-1] == ("release", (["node1"], {}))


def test_a_hold_as_events(stand_in: StandIn) -> None:
    holds(stand_in, code=9)
    ended = stand_in.fleetctl("lb", "drain", "node1", "--json")
    assert ended.code == 9
    types = [event["type"] for event in ended.events]
    assert types == ["version", "run_started", "failed", "run_finished"]
    last = ended.events[-1]
    assert (last["command"], last["result"], last["exit_code"]) == ("lb drain", "refused", 9)


def test_a_hold_that_is_refused_names_yes(stand_in: StandIn) -> None:
    def hold(*given: Any, **more: Any) -> Any:
        raise Refused("web: too few would serve", hint="say --yes to do it all the same")

    stand_in.use("holding", hold=hold)
    ended = stand_in.fleetctl("lb", "drain", "node1")
    assert (ended.code, ended.out) == (9, "")
    assert "--yes" in ended.err


def test_a_person_may_consent_to_a_hold(stand_in: StandIn) -> None:
    forced: list[bool] = []

    def hold(world: Any, fleet: Any, targets: Any, *rest: Any, force: bool) -> RunFinished:
        forced.append(force)
        if not force:
            raise TooFewServe("2 of web would serve, and 4 have to stay", hint="say --yes")
        return RunFinished("lb drain", "ok", 0, (ServiceResult("web", 7, 7, 1),), 0.5)

    stand_in.use("holding", hold=hold)
    ended = stand_in.fleetctl("lb", "drain", "node1")
    assert (ended.code, forced) == (9, [False])
    assert "too-few-serve" in ended.err
    with typing("n\n") as shown:
        assert stand_in.fleetctl("lb", "drain", "node1").code == 10
    assert "lb drain: 2 of web would serve, and 4 have to stay. Go on? [y/N]" in shown.getvalue()
    with typing("y\n"):
        assert stand_in.fleetctl("lb", "drain", "node1").code == 0
    assert forced == [False, False, False, True]
    with typing("y\n"):
        assert stand_in.fleetctl("lb", "drain", "node1", "--no-input").code == 9


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["drain"], "Missing argument 'HOST|INSTANCE'"),
        (["drain", "node1", "--for", "soon"], '--for: "soon" is no duration'),
        (["drain", "node1", "--for", "0"], "--for: no time at all"),
        (["ready", "node1", "--for", "10m"], "No such option: --for"),
        (["show", "Web"], "'Web' is no service name"),
        (["drian", "node1"], "No such command 'drian'"),
        (["check", "lb3"], "'lb3' is no balancer of this inventory"),
        (["render", "lb"], "'lb' is no balancer of this inventory"),
        (["install", "node1"], "'node1' is no balancer of this inventory"),
    ],
)
def test_usage_is_64_and_nothing_is_asked(stand_in: StandIn, args: list[str], words: str) -> None:
    ended = stand_in.fleetctl("lb", *args)
    assert (ended.code, ended.out) == (64, "")
    assert words in ended.err.splitlines()[0]
    assert stand_in.opened == {}
    if "lb3" in args:
        assert "did you mean lb1?" in ended.err or "did you mean lb2?" in ended.err


def test_usage_of_a_hold_as_events(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lb", "drain", "--json"]) == 64
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (events[-1]["type"], events[-1]["command"]) == ("run_finished", "lb drain")
    assert main(["lb", "show", "--nope", "--json"]) == 64
    assert json.loads(capsys.readouterr().out)["schema"] == "fleetctl.error/1"


def renders(stand_in: StandIn, *found: BalancerFiles) -> None:
    def rendered(world: Any, fleet: Fleet, *, compare: bool) -> Any:
        names = [balancer.name for balancer in fleet.balancers]
        stand_in.calls.append(("render", (names, compare)))
        return tuple(one for one in found if one.name in names)

    stand_in.use("lb_render", rendered=rendered)


SAME = BalancerFiles("lb1", "c1", "f1", (FileText("/etc/haproxy/haproxy.cfg", "global\n"),))
OFF = BalancerFiles(
    "lb2", "c2", "f2", (FileText("/etc/h.cfg", "global\n", "--- a\n+++ b\n-one\n+two\n"),)
)


def test_render(stand_in: StandIn) -> None:
    renders(stand_in, SAME, OFF)
    assert stand_in.fleetctl("lb", "render", "lb1").out == "global\n"
    assert stand_in.calls[-1] == ("render", (["lb1"], False))
    both = stand_in.fleetctl("lb", "render").out
    assert both == "# ----- lb1 -----\nglobal\n# ----- lb2 -----\nglobal\n"
    document = stand_in.fleetctl("lb", "render", "--json").document
    assert document["schema"] == "fleetctl.lb-render/1"
    assert document["balancers"][0]["files"][0]["diff"] is None
    assert document["balancers"][0]["differs"] is None


def test_render_diff(stand_in: StandIn) -> None:
    renders(stand_in, SAME, OFF)
    ended = stand_in.fleetctl("lb", "render", "--diff")
    assert (ended.code, stand_in.calls[-1]) == (0, ("render", (["lb1", "lb2"], True)))
    assert ended.out == "# ----- lb2 -----\n--- a\n+++ b\n-one\n+two\n"
    assert ended.err == "lb1: its files are as the record has them\n"
    assert stand_in.fleetctl("lb", "render", "--diff", "--detailed-exitcode").code == 2
    assert stand_in.fleetctl("lb", "render", "lb1", "--diff", "--detailed-exitcode").code == 0
    document = stand_in.fleetctl("lb", "render", "--diff", "--json").document
    assert [one["differs"] for one in document["balancers"]] == [False, True]


FINE = Finding("program", "ok", "HAProxy 2.6.12")
ODD = Finding("sockets", "warning", "group adm may", "chmod 600 it")
WRONG = Finding("file", "error", "it was edited", "fleetctl reconcile")


@pytest.mark.parametrize(
    ("found", "code", "lines"),
    [
        (BalancerCheck("lb1", True, (FINE,)), 0, ["lb1: in order"]),
        (
            BalancerCheck("lb1", True, (FINE, ODD)),
            0,
            [
                "lb1: in order, 1 warning",
                "  sockets: warning: group adm may",
                "    chmod 600 it",
            ],
        ),
        (
            BalancerCheck("lb1", True, (FINE, WRONG)),
            1,
            ["lb1: 1 error", "  file: error: it was edited", "    fleetctl reconcile"],
        ),
        (
            BalancerCheck("lb1", False, (WRONG,)),
            4,
            ["lb1: can't be asked", "  file: error: it was edited", "    fleetctl reconcile"],
        ),
    ],
)
def test_check(stand_in: StandIn, found: BalancerCheck, code: int, lines: list[str]) -> None:
    def check(world: Any, fleet: Fleet, parallel: int) -> Any:
        stand_in.calls.append(("check", [balancer.name for balancer in fleet.balancers]))
        return (found,)

    stand_in.use("lb_check", check=check)
    ended = stand_in.fleetctl("lb", "check", "lb1")
    assert (ended.code, ended.out.splitlines()) == (code, lines)
    assert stand_in.calls[-1] == ("check", ["lb1"])
    assert stand_in.fleetctl("lb", "check", "-q").out.splitlines() == lines[:1]
    verbose = "  program: HAProxy 2.6.12" in stand_in.fleetctl("lb", "check", "-v").out
    assert verbose == (FINE in found.findings)
    document = stand_in.fleetctl("lb", "check", "--json").document
    (one,) = document["balancers"]
    assert (document["schema"], one["ok"]) == ("fleetctl.lb-check/1", code == 0)
    assert one["findings"][0]["check"] == found.findings[0].check


def installs(stand_in: StandIn, *setups: BalancerSetup) -> None:
    from dataclasses import replace

    def plan(world: Any, fleet: Fleet, parallel: int) -> Any:
        return setups

    def install(world: Any, fleet: Fleet, options: Any, emit: Any, consent: Any) -> Any:
        if any(setup.steps for setup in setups):
            consent(setups)
        stand_in.calls.append(("install", options.command))
        return tuple(replace(one, done=() if one.error else one.steps) for one in setups)

    stand_in.use("lb_install", plan=plan, install=install)


def test_install_shows_its_steps_and_asks(stand_in: StandIn) -> None:
    installs(stand_in, BalancerSetup("lb1", (START, RESTART)), BalancerSetup("lb2"))
    ended = stand_in.fleetctl("lb", "install")
    assert ended.code == 9
    assert ended.out.splitlines() == [
        "lb1: 2 steps",
        "  1. start HAProxy",
        "  2. restart HAProxy",
        "     disruptive: open connections are cut",
        "lb2: nothing to do",
    ]
    assert "lb install: changes lb1; nothing was changed" in ended.err
    assert "--yes" in ended.err
    assert ("install", "lb install") not in stand_in.calls
    ended = stand_in.fleetctl("lb", "install", "--yes")
    assert (ended.code, stand_in.calls[-1]) == (0, ("install", "lb install"))
    assert ended.out.splitlines()[-2:] == [
        "lb1: set up in 2 steps; next: `fleetctl reconcile`, or a first `fleetctl deploy`",
        "lb2: nothing to do",
    ]


def test_install_dry_run_and_documents(stand_in: StandIn) -> None:
    away = BalancerSetup("lb3", error="no answer", hint="is it on?", exit_code=4)
    installs(
        stand_in, BalancerSetup("lb1", (RESTART,)), BalancerSetup("lb2", notes=("as is",)), away
    )
    ended = stand_in.fleetctl("lb", "install", "--dry-run")
    assert ended.code == 4
    assert "  as is" in ended.out.splitlines()
    assert "lb3: failed: no answer" in ended.out
    assert "  hint: is it on?" in ended.out
    document = stand_in.fleetctl("lb", "install", "--dry-run", "--json").document
    assert document["schema"] == "fleetctl.lb-install/1"
    assert [one["state"] for one in document["balancers"]] == ["to_do", "ready", "failed"]
    assert document["balancers"][0]["steps"][0]["disruptive"] == "open connections are cut"
    document = stand_in.fleetctl("lb", "install", "--yes", "--json").document
    assert [one["state"] for one in document["balancers"]] == ["done", "ready", "failed"]
    refused = stand_in.fleetctl("lb", "install", "--json")
    assert (refused.code, refused.document["id"]) == (9, "refused")


def test_install_of_what_is_set_up(stand_in: StandIn) -> None:
    installs(stand_in, BalancerSetup("lb1"), BalancerSetup("lb2"))
    ended = stand_in.fleetctl("lb", "install")
    assert (ended.code, ended.out) == (0, "lb1: nothing to do\nlb2: nothing to do\n")
