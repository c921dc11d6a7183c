"""One stream of events as lines, as JSON, and as a view on a terminal."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest

from fleetctl.cli.explanations import PAGES
from fleetctl.errors import FleetError
from fleetctl.model import events as e
from fleetctl.model.events import EVENT_TYPES
from fleetctl.model.plan import Commit, Plan, Summary
from fleetctl.model.record import Revision
from fleetctl.model.spec import ServiceSpec
from fleetctl.ui.json_lines import JsonLines
from fleetctl.ui.live import Live
from fleetctl.ui.output import Output
from fleetctl.ui.plain import Plain
from fleetctl.ui.result_text import result_lines
from fleetctl.ui.sink import Sink, sink_for

PLAN = Plan(
    "web",
    Revision(2, ServiceSpec("web", "app@sha256:12")),
    1,
    "d1",
    tuple(Commit(id=f"s{n}", cause="c", revision=2) for n in range(12)),
    Summary(replace=6),
    batches=2,
)
FINISHED = e.RunFinished("deploy", "ok", 0, (e.ServiceResult("web", 2, 1, 6, 3, 3),), 12.4)
EVENTS = [
    e.RunStarted("deploy", ("web",), "lab", "ana@desk"),
    e.Note("connecting to 4 hosts"),
    e.PlanMade(PLAN, "image changed"),
    e.StepStarted("web", "s1", "create", "node1", "web-1-2-ab12", "image changed"),
    e.StepProgress("web", "s1", "3 of 9 MB"),
    e.StepFinished("web", "s1", "create", "node1", "web-1-2-ab12", "ok", 1.24),
    e.StepFinished("web", "s2", "start", "node1", "web-1-2-ab12", "skipped", 0.0),
    e.StepFinished("web", "s3", "health", "node1", "web-1", "failed", 20.0, "503 \x1b[5m"),
    e.Note("drain limit passed", "web", "lb1", "warning"),
    e.Failed("web", "not-healthy", "web-1: 503\n| log [red]", "look", "", "going back"),
    FINISHED,
]

SERVICE = {"name": "web", "revision": 2, "previous": 1, "changed": 6, "started": 3, "stopped": 3}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def document(plan: Plan) -> dict[str, Any]:
    return {"service": plan.service}


def words(**options: bool) -> tuple[list[str], list[str]]:
    out, err = io.StringIO(), io.StringIO()
    flags = {"json": False, "quiet": False, "verbose": False} | options
    sink = sink_for(Output(out), Output(err), document=document, **flags)
    for event in EVENTS:
        sink(event)
    sink.finish(FINISHED)
    return out.getvalue().splitlines(), err.getvalue().splitlines()


FAILURE = [
    "error[not-healthy]: web-1: 503",
    "  | log [red]",
    "  then: going back",
    "  hint: look",
]


def test_plain() -> None:
    out, err = words()
    assert out == ["web: revision 1 -> 2: 3 instances started, 3 stopped in 12s"]
    assert err == [
        "deploy web on lab",
        "connecting to 4 hosts",
        "web: revision 1 -> 2 (image changed): "
        "6 to replace, 0 to create, 0 to remove, 0 to keep; 2 batches",
        "  [ 1/12] create  node1 web-1-2-ab12  1.2s",
        "  [ 3/12] health  node1 web-1  failed after 20s  503 \\x1b[5m",
        "warning: web: lb1: drain limit passed",
        *FAILURE,
    ]


def test_a_step_that_is_not_of_the_plan_has_no_number() -> None:
    err = io.StringIO()
    sink = Plain(Output(io.StringIO()), Output(err), quiet=False, verbose=False)
    sink(e.StepFinished("web", "hold", "hold", "", "web-1 web-2", "ok", 0.5))
    sink(e.PlanMade(PLAN))
    sink(e.StepFinished("web", "s0", "create", "node1", "web-1", "ok", 1.0))
    sink(e.StepFinished("web", "settle", "admit", "", "", "ok", 1.0))
    sink(e.StepFinished("web", "s1", "start", "node1", "web-1", "ok", 1.0))
    lines = [line for line in err.getvalue().splitlines() if line.startswith("  ")]
    assert [line.split()[:3] for line in lines] == [
        ["hold", "web-1,", "web-2"],
        ["[", "1/12]", "create"],
        ["admit", "1.0s"],
        ["[", "2/12]", "start"],
    ]


def test_quiet_has_failures_and_the_result() -> None:
    out, err = words(quiet=True)
    assert out == ["web: revision 1 -> 2: 3 instances started, 3 stopped in 12s"]
    assert err == FAILURE


def test_verbose_has_starts_and_causes() -> None:
    _, err = words(verbose=True)
    assert "  start create  node1 web-1-2-ab12: image changed" in err
    assert "  s1 3 of 9 MB" in err
    assert "  [ 2/12] start   node1 web-1-2-ab12  skipped after 0.0s" in err
    assert "  commit  revision 2  c" in err


def test_json_is_one_event_per_line() -> None:
    out, err = words(json=True)
    lines = [json.loads(line) for line in out]
    assert err == []
    assert lines[0] == {"type": "version", "schema": "fleetctl.events/1"}
    assert [line["type"] for line in lines[1:]] == [EVENT_TYPES[type(event)] for event in EVENTS]
    assert lines[3]["plan"] == {"service": "web"}
    assert lines[-1]["services"] == [SERVICE]
    assert all(ord(c) >= 0x20 for line in out for c in line)


def test_nothing_follows_the_end() -> None:
    out = io.StringIO()
    sink = JsonLines(Output(out), document)
    sink.finish(FINISHED)
    sink(e.Note("too late"))
    assert "run_finished" in out.getvalue().splitlines()[-1]
    live, _, err = terminal_sink({"TERM": "xterm"})
    live.finish(FINISHED)
    live(e.Note("too late"))
    assert "\x1b[?25l" not in err.getvalue()


@pytest.mark.parametrize("result", ["ok", "nothing_to_do", "paused", "rolled_back", "mixed",
                                    "failed", "refused", "busy", "cancelled"])  # fmt: skip
def test_every_result_has_words_of_its_own(result: Any) -> None:
    out = io.StringIO()
    sink = Plain(Output(out), Output(io.StringIO()), quiet=True, verbose=False)
    sink(e.RunFinished("deploy", result, 1, (e.ServiceResult("web", 2, 1, 6, 3, 3),), 1.0))
    line = out.getvalue()
    assert line.startswith("web: ")
    told = {"ok": "started", "nothing_to_do": "nothing to do", "cancelled": "stopped"}
    assert told.get(result, result.replace("_", " ")) in line


def terminal_sink(env: dict[str, str]) -> tuple[Sink, Terminal, Terminal]:
    out, err = Terminal(), Terminal()
    given = Output(out, env=env), Output(err, env=env)
    sink = sink_for(*given, json=False, quiet=False, verbose=False, document=document)
    return sink, out, err


def test_live_writes_the_same_lines() -> None:
    sink, out, err = terminal_sink({"TERM": "xterm", "NO_COLOR": "1"})
    assert isinstance(sink, Live)
    for event in EVENTS:
        sink(event)
    sink.fail(FleetError("later"), "web")
    sink.finish(FINISHED)
    _, plain = words()
    shown = err.getvalue()
    assert [line for line in plain if line not in shown] == []
    assert "\x1b[5m" not in shown
    assert "error[failed]: later" in shown
    assert out.getvalue() == "web: revision 1 -> 2: 3 instances started, 3 stopped in 12s\n"
    assert shown.endswith("error[failed]: later\n")


def test_live_shows_what_is_under_way() -> None:
    sink, _, err = terminal_sink({"TERM": "xterm"})
    for event in EVENTS[:5]:
        sink(event)
    sink.pause()
    shown = err.getvalue()
    assert "web-1-2-ab12" in shown
    assert "3 of 9 MB" in shown
    assert "0/12 steps" in shown


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"TERM": "xterm", "CI": "true"}])
def test_no_animation_where_it_would_be_noise(env: dict[str, str]) -> None:
    assert isinstance(terminal_sink(env)[0], Plain)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ((12, 6, 6), "6 instances started, 6 stopped"),
        ((1, 1, 0), "1 instance started"),
        ((2, 0, 2), "2 instances stopped"),
        ((3, 1, 1), "1 instance started, 1 stopped, balancers brought in line"),
        ((1, 0, 0), "balancers brought in line"),
        ((0, 0, 0), "no instance started or stopped"),
    ],
)
def test_what_a_run_changed(counts: tuple[int, int, int], words: str) -> None:
    result = e.ServiceResult("web", 2, 2, *counts)
    (line,) = result_lines(e.RunFinished("reconcile", "ok", 0, (result,), 1.0))
    assert line == f"web: revision 2: {words} in 1.0s"


def test_a_mixed_fleet_has_its_ways_on_explained() -> None:
    result = e.ServiceResult("web", 2, 1, 3, 2, 1)
    (line,) = result_lines(e.RunFinished("deploy", "mixed", 6, (result,), 1.0))
    assert line.endswith("look: fleetctl status web; ways on: fleetctl explain mixed")
    assert "mixed" in PAGES
