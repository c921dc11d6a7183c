"""deploy, rollback, reconcile: what they hand to the engine, print, and end with."""

from __future__ import annotations

import io
import os
import pty
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cli_stand_in import StandIn, plan_of, spec_of

from fleetctl.errors import (
    Diagnostic,
    FleetError,
    Interrupted,
    InvalidFiles,
    LockHeld,
    Refused,
    Span,
    Unreachable,
)
from fleetctl.model.events import Failed, Note, PlanMade, RunFinished, RunStarted, ServiceResult
from fleetctl.model.plan import Summary

SERVICE = {"name": "web", "revision": 2, "previous": 1, "changed": 6, "started": 3, "stopped": 3}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def deploys(stand_in: StandIn, *ends: tuple[str, int] | BaseException) -> None:
    """The engine's deploy, ending so for one service after the other."""
    left = list(ends)

    def deploy(
        world: Any, fleet: Any, spec: Any, hosts: Any, options: Any, emit: Any, _: Any
    ) -> Any:
        stand_in.calls.append(("deploy", (spec.name, hosts, options)))
        emit(RunStarted("deploy", (spec.name,), fleet.name, options.by))
        end = left.pop(0)
        if isinstance(end, BaseException):
            raise end
        emit(PlanMade(plan_of(spec.name), "because"))
        result, code = end
        finished = RunFinished(
            "deploy",
            result,
            code,
            (ServiceResult(spec.name, 2, 1, 6, 3, 3),),
            12.0,  # type: ignore[arg-type]
        )
        emit(finished)
        return finished

    stand_in.use("deploy", deploy=deploy)


@pytest.fixture(autouse=True)
def _services(stand_in: StandIn) -> None:
    stand_in.specs = {name: spec_of(name) for name in ("web", "api")}


def test_deploy_gives_the_engine_what_was_asked(stand_in: StandIn) -> None:
    deploys(stand_in, ("ok", 0))
    args = [
        "deploy",
        "web",
        "-i",
        "lab",
        "-l",
        "app",
        "-e",
        "version=2",
        "--wait",
        "9",
        "--parallel",
        "4",
        "--again",
    ]
    ended = stand_in.fleetctl(*args)
    assert (ended.code, ended.out) == (
        0,
        "web: revision 1 -> 2: 3 instances started, 3 stopped in 12s\n",
    )
    assert ("find", "lab") in stand_in.calls
    assert ("play", {"version": "2"}) in stand_in.calls
    name, hosts, options = stand_in.calls[-1][1]
    assert (name, hosts, options.limit) == ("web", ("match:app",), ("limit:app",))
    assert (options.wait, options.parallel, options.again) == (9.0, 4, True)
    assert "@" in options.by
    assert stand_in.opened["journal"] == stand_in.root / ".fleetctl/lab.db"
    assert options.by.startswith(f"{stand_in.opened['who']}@")
    assert (stand_in.opened["parallel"], stand_in.opened["command"]) == (4, "deploy")
    assert stand_in.closed == 1


def test_events_end_with_one_run_finished(stand_in: StandIn) -> None:
    deploys(stand_in, ("ok", 0), ("nothing_to_do", 0))
    ended = stand_in.fleetctl("deploy", "web", "api", "--json")
    assert ended.err == ""
    types = [event["type"] for event in ended.events]
    assert types[0] == "version"
    assert types.count("run_finished") == 1
    last = ended.events[-1]
    assert (last["type"], last["command"], last["result"]) == ("run_finished", "deploy", "ok")
    assert [service["name"] for service in last["services"]] == ["web", "api"]
    assert last["services"][0] == SERVICE


def test_all_deploys_by_name_and_paths_mean_their_plays(stand_in: StandIn) -> None:
    deploys(stand_in, ("ok", 0), ("ok", 0), ("ok", 0), ("ok", 0))
    assert stand_in.fleetctl("deploy", "--all").code == 0
    assert stand_in.fleetctl("deploy", "playbooks/shop.yml").code == 0
    done = [what[0] for call, what in stand_in.calls if call == "deploy"]
    assert done == ["api", "web", "web", "api"]


@pytest.mark.parametrize(
    ("end", "code"), [(("rolled_back", 5), 5), (("mixed", 6), 6), (("failed", 1), 1)]
)
def test_the_first_failure_is_the_last_service(
    stand_in: StandIn, end: tuple[str, int], code: int
) -> None:
    deploys(stand_in, end)
    ended = stand_in.fleetctl("deploy", "web", "api", "--json")
    last = ended.events[-1]
    assert (ended.code, last["exit_code"], last["result"]) == (code, code, end[0])
    assert [what[0] for call, what in stand_in.calls if call == "deploy"] == ["web"]


@pytest.mark.parametrize(
    ("error", "code", "result"),
    [
        (LockHeld("ben@ci has web", hint="wait"), 7, "busy"),
        (Refused("no room"), 9, "refused"),
        (Unreachable("node1 does not answer", host="node1"), 4, "failed"),
        (Interrupted("stopped", signal_number=15), 143, "cancelled"),
        (FleetError("no luck"), 1, "failed"),
    ],
)
def test_what_keeps_a_run_from_starting(
    stand_in: StandIn, error: FleetError, code: int, result: str
) -> None:
    deploys(stand_in, error, error)
    ended = stand_in.fleetctl("deploy", "web")
    assert (ended.code, ended.out) == (code, "")
    assert f"error[{error.id}]: {error.message}\n" in ended.err
    ended = stand_in.fleetctl("deploy", "web", "--json")
    *_, failed, last = ended.events
    assert (failed["type"], failed["error_id"]) == ("failed", error.id)
    assert (failed["message"], failed["hint"]) == (error.message, error.hint)
    assert (last["type"], last["result"]) == ("run_finished", result)
    assert last["exit_code"] == ended.code == code


def test_all_errors_of_the_files_are_shown(stand_in: StandIn) -> None:
    line = "      max_unavailible: 0"
    wrong = Diagnostic(
        "unknown-key", "unknown key", Span("web.yml", 8, 7, line), "did you mean max_unavailable?"
    )
    error = InvalidFiles((wrong, Diagnostic("bad-type", "not a number", Span("web.yml", 9, 1))))

    def play(name: str, variables: Any) -> Any:
        raise error

    stand_in.play = play  # type: ignore[method-assign]
    ended = stand_in.fleetctl("deploy", "web")
    assert ended.code == 3
    assert ended.err.splitlines() == [
        "error[unknown-key]: unknown key",
        "  --> web.yml:8:7",
        f"  8 | {line}",
        "    |       ^",
        "  hint: did you mean max_unavailable?",
        "error[bad-type]: not a number",
        "  --> web.yml:9:1",
        "error: 2 errors in the files; nothing was changed",
    ]
    events = stand_in.fleetctl("deploy", "web", "--json").events
    assert [e["error_id"] for e in events if e["type"] == "failed"] == ["unknown-key", "bad-type"]
    assert events[-1]["exit_code"] == 3


def test_a_bug_is_one_line_and_a_file(stand_in: StandIn) -> None:
    deploys(stand_in, ZeroDivisionError("oh"), ZeroDivisionError("oh"))
    ended = stand_in.fleetctl("deploy", "web")
    assert ended.code == 70
    assert "error[bug]: fleetctl has a bug: ZeroDivisionError: oh" in ended.err
    assert "Traceback" not in ended.err + ended.out
    (file,) = Path(".fleetctl").glob("bug-*.txt")
    assert "Traceback" in file.read_text()
    assert file.stat().st_mode & 0o077 == 0
    assert "Traceback" in stand_in.fleetctl("deploy", "web", "-v").err
    assert stand_in.closed == 2


def test_a_journal_that_can_not_be_made(stand_in: StandIn) -> None:
    deploys(stand_in, ("ok", 0))
    (stand_in.root / ".fleetctl").write_text("a file is in the way")
    ended = stand_in.fleetctl("deploy", "web")
    assert ended.code == 1
    assert "can't be made: File exists" in ended.err
    assert "fleetctl_journal" in ended.err


def test_signals_ask_the_run_to_stop(stand_in: StandIn) -> None:
    before = signal.getsignal(signal.SIGTERM)

    def deploy(
        world: Any, fleet: Any, spec: Any, hosts: Any, options: Any, emit: Any, _: Any
    ) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGHUP)
        assert options.stop.wait(60)
        raise Interrupted("stopped", signal_number=options.stop.number, hint="run it again")

    stand_in.use("deploy", deploy=deploy)
    ended = stand_in.fleetctl("deploy", "web", "api")
    assert ended.code == 143
    assert "  hint: run it again" in ended.err
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_second_interrupt_ends_at_once(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Gone(Exception):
        pass

    def leave(code: int) -> None:
        raise Gone(code)

    monkeypatch.setattr(os, "_exit", leave)

    def deploy(
        world: Any, fleet: Any, spec: Any, hosts: Any, options: Any, emit: Any, _: Any
    ) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        assert options.stop.wait(60)
        with pytest.raises(Gone, match="130"):
            os.kill(os.getpid(), signal.SIGINT)
        raise Interrupted("stopped")

    stand_in.use("deploy", deploy=deploy)
    assert stand_in.fleetctl("deploy", "web").code == 130


def removing(stand_in: StandIn, remove: int, keep: int) -> None:
    def deploy(
        world: Any, fleet: Any, spec: Any, hosts: Any, options: Any, emit: Any, _: Any
    ) -> Any:
        emit(PlanMade(plan_of(spec.name, summary=Summary(remove=remove, keep=keep))))
        stand_in.calls.append(("carried out", spec.name))
        return RunFinished("deploy", "ok", 0, (ServiceResult(spec.name, 2, 1, remove),), 1.0)

    stand_in.use("deploy", deploy=deploy)


def test_taking_all_instances_away_needs_consent(stand_in: StandIn) -> None:
    removing(stand_in, 6, 0)
    ended = stand_in.fleetctl("deploy", "web", "--no-input")
    assert ended.code == 9
    assert "web: takes away 6 of 6 instances; nothing was changed" in ended.err
    assert "--yes" in ended.err
    assert ("carried out", "web") not in stand_in.calls
    assert stand_in.fleetctl("deploy", "web", "--yes").code == 0
    assert ("carried out", "web") in stand_in.calls


@contextmanager
def typing(text: str) -> Iterator[Terminal]:
    """A terminal before fleetctl on which somebody types ``text``; gives what it shows."""
    here, there = pty.openpty()
    os.write(here, text.encode())
    shown = Terminal()
    with pytest.MonkeyPatch.context() as patch, open(there) as terminal:
        patch.setattr(sys, "stdin", terminal)
        patch.setattr(sys, "stderr", shown)
        yield shown
    os.close(here)


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 10), ("\n", 10)])
def test_consent_at_a_terminal(stand_in: StandIn, answer: str, code: int) -> None:
    removing(stand_in, 6, 0)
    with typing(answer) as shown:
        ended = stand_in.fleetctl("deploy", "web")
    assert ended.code == code
    assert "takes away 6 of 6 instances. Go on? [y/N]" in shown.getvalue()
    assert (("carried out", "web") in stand_in.calls) is (code == 0)


def test_ctrl_c_at_the_question(stand_in: StandIn) -> None:
    def deploy(
        world: Any, fleet: Any, spec: Any, hosts: Any, options: Any, emit: Any, _: Any
    ) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        emit(PlanMade(plan_of(spec.name, summary=Summary(remove=6))))

    stand_in.use("deploy", deploy=deploy)
    with typing("") as shown:
        assert stand_in.fleetctl("deploy", "web").code == 130
    assert "Go on? [y/N]" in shown.getvalue()


def test_taking_some_instances_away_needs_none(stand_in: StandIn) -> None:
    removing(stand_in, 4, 2)
    assert stand_in.fleetctl("deploy", "web").code == 0


def test_rollback(stand_in: StandIn) -> None:
    def rollback(
        world: Any, fleet: Any, service: Any, match: Any, to: Any, options: Any, emit: Any
    ) -> Any:
        stand_in.calls.append(("rollback", (service, match("app"), to)))
        return RunFinished("rollback", "ok", 0, (ServiceResult(service, 1, 2, 6),), 3.0)

    stand_in.use("rollback", rollback=rollback)
    assert stand_in.fleetctl("rollback", "web").code == 0
    assert stand_in.calls[-1] == ("rollback", ("web", ("match:app",), None))
    assert stand_in.fleetctl("rollback", "web", "--to", "1", "--json").events[-1]["result"] == "ok"
    assert stand_in.calls[-1] == ("rollback", ("web", ("match:app",), 1))


def test_reconcile_reads_no_playbook(stand_in: StandIn) -> None:
    def reconcile(
        world: Any, fleet: Any, match: Any, services: Any, options: Any, emit: Any
    ) -> Any:
        stand_in.calls.append(("reconcile", services))
        emit(Note("api is left alone: locked", "api"))
        emit(Failed("web", "not-healthy", "web-1: 503", "raise it", "", "nothing was started"))
        done = (ServiceResult("web", 2, 2, 0), ServiceResult("db", 3, 3, 1))
        return RunFinished("reconcile", "failed", 1, done, 3.0)

    stand_in.use("reconcile", reconcile=reconcile)
    ended = stand_in.fleetctl("reconcile")
    assert ended.code == 1
    assert "error[not-healthy]: web-1: 503\n  then: nothing was started\n" in ended.err
    assert stand_in.calls[-1] == ("reconcile", ())
    assert not [call for call, _ in stand_in.calls if call == "play"]
    assert stand_in.fleetctl("reconcile", "web", "db").code == 1
    assert stand_in.calls[-1] == ("reconcile", ("web", "db"))


def test_limit_that_matches_nothing_is_usage(stand_in: StandIn) -> None:
    deploys(stand_in, ("ok", 0))
    ended = stand_in.fleetctl("deploy", "web", "--limit", "none")
    assert ended.code == 64
    assert "--limit: none names no host\n  hint: fleetctl hosts list" in ended.err


def test_warnings_of_the_inventory_are_told(stand_in: StandIn) -> None:
    deploys(stand_in, ("ok", 0))
    where = Span("hosts.yml", 3, 5)
    stand_in.warnings = (Diagnostic("ignored", "keys are always checked", where, warning=True),)
    ended = stand_in.fleetctl("deploy", "web")
    assert ended.err.startswith("warning: hosts.yml:3:5: keys are always checked\n")
