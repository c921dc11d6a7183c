"""plan, drift, status, history, lock, unlock: documents and tables."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from cli_stand_in import StandIn, plan_of, spec_of

from fleetctl.errors import LockHeld, Unreachable
from fleetctl.model.drift import ServiceDrift
from fleetctl.model.events import Note, PlanMade
from fleetctl.model.plan import Plan, Pull, Summary, Unplaced
from fleetctl.model.record import Holder
from fleetctl.model.status import FleetStatus, HistoryEntry, HistoryStep

RUN = HistoryEntry(
    "aa01", "deploy", "web", "ana@desk", 1e9,
    deploy="dd11", revision=2, previous=1, plan="ab" * 32, summary=Summary(replace=6),
)  # fmt: skip


def document(plan: Plan) -> dict[str, Any]:
    """In the place of the planner's."""
    steps = [{"id": s.id, "service": plan.service, "needs": list(s.needs)} for s in plan.steps]
    summary = {key: getattr(plan.summary, key) for key in Summary.__dataclass_fields__}
    said = {"service": plan.service, "warnings": list(plan.warnings)}
    return said | {"summary": summary, "steps": steps, "unplaced": []}


@pytest.fixture(autouse=True)
def _services(stand_in: StandIn, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in.specs = {name: spec_of(name) for name in ("web", "api")}
    planner = SimpleNamespace(plan_document=document)
    monkeypatch.setitem(sys.modules, "fleetctl.planner.document", planner)
    monkeypatch.setattr("fleetctl.planner.document", planner, raising=False)


def plans(stand_in: StandIn, **changes: Any) -> None:
    def preview(world: Any, fleet: Any, options: Any, emit: Any) -> Any:
        emit(Note("connecting to 3 hosts"))
        return SimpleNamespace(options=options)

    def deployed(look: Any, spec: Any, hosts: Any, material: Any) -> Any:
        stand_in.calls.append(("preview", (spec.name, hosts)))
        return PlanMade(plan_of(spec.name, **changes), "because")

    def rolled_back(look: Any, service: str, match: Any, to: Any) -> Any:
        stand_in.calls.append(("rollback", (service, match("app"), to)))
        return PlanMade(plan_of(service, **changes), "back")

    def reconciled(look: Any, names: Any, match: Any) -> Any:
        stand_in.calls.append(("reconcile", names))
        return [PlanMade(plan_of(name, **changes), "recorded") for name in names or ("api", "web")]

    stand_in.use("preview", Preview=preview)
    stand_in.use("deploy", preview=deployed)
    stand_in.use("rollback", preview=rolled_back)
    stand_in.use("reconcile", preview=reconciled)


PULL = Pull(id="s1", cause="image changed", needs=("s0",), host="node1", image="app@sha256:ab")


def test_plan_is_data_on_stdout(stand_in: StandIn) -> None:
    plans(stand_in, steps=(PULL,), summary=Summary(replace=6))
    ended = stand_in.fleetctl("plan", "web")
    assert ended.code == 0
    assert ended.out.startswith(
        "web: revision 1 -> 2 (because): 6 to replace, 0 to create, 0 to remove, 0 to keep\n"
    )
    assert "image changed" in ended.out
    assert ended.err == "connecting to 3 hosts\n"
    assert stand_in.calls[-1] == ("preview", ("web", ("match:app",)))
    assert stand_in.fleetctl("plan", "web", "--detailed-exitcode").code == 2
    assert stand_in.fleetctl("plan", "web", "-q").out.count("\n") == 1


def test_plan_with_nothing_to_do(stand_in: StandIn) -> None:
    plans(stand_in, summary=Summary(keep=6))
    ended = stand_in.fleetctl("plan", "web", "--detailed-exitcode")
    assert (ended.code, ended.out) == (0, "web: revision 2: nothing to do\n")


def test_dry_run_is_the_plan(stand_in: StandIn) -> None:
    plans(stand_in, steps=(PULL,), summary=Summary(replace=6))
    assert stand_in.fleetctl("deploy", "web", "--dry-run").out == (
        stand_in.fleetctl("plan", "web").out
    )


def test_plan_document(stand_in: StandIn) -> None:
    plans(stand_in, steps=(PULL,), summary=Summary(replace=6), warnings=("slow",))
    one = stand_in.fleetctl("plan", "web", "--json").document
    assert one["schema"] == "fleetctl.plan/1"
    assert (one["summary"]["replace"], one["steps"][0]["id"]) == (6, "s1")
    both = stand_in.fleetctl("plan", "--json").document
    assert both["summary"]["replace"] == 12
    assert (one["warnings"], both["warnings"]) == (["slow"], ["api: slow", "web: slow"])
    assert [(s["id"], s["needs"]) for s in both["steps"]] == [
        ("api/s1", ["api/s0"]),
        ("web/s1", ["web/s0"]),
    ]


def test_plan_without_room_ends_as_a_deploy_would(stand_in: StandIn) -> None:
    unplaced = (Unplaced("web", 2, (("cpus: 1 wanted, 0.5 free", 3),), "add a host"),)
    plans(stand_in, unplaced=unplaced, summary=Summary(create=4))
    ended = stand_in.fleetctl("plan", "web")
    assert ended.code == 9
    assert "2 instances of web without a host:" in ended.out
    assert "3 hosts: cpus: 1 wanted, 0.5 free" in ended.out


def test_dry_runs_of_rollback_and_reconcile(stand_in: StandIn) -> None:
    plans(stand_in, steps=(PULL,), summary=Summary(replace=6))
    ended = stand_in.fleetctl("rollback", "web", "--to", "1", "--dry-run", "-l", "app")
    assert (ended.code, stand_in.calls[-1]) == (0, ("rollback", ("web", ("match:app",), 1)))
    assert ended.out.startswith("web: revision 1 -> 2 (back): 6 to replace")
    ended = stand_in.fleetctl("reconcile", "--dry-run")
    assert (ended.code, stand_in.calls[-1]) == (0, ("reconcile", ()))
    assert ended.out.count("(recorded)") == 2
    one = stand_in.fleetctl("reconcile", "web", "--dry-run", "--json").document
    assert (one["schema"], one["steps"][0]["id"]) == ("fleetctl.plan/1", "s1")


def drifts(stand_in: StandIn, *found: ServiceDrift) -> None:
    def drift(world: Any, fleet: Any, match: Any, plays: Any, names: Any, *rest: Any) -> Any:
        stand_in.calls.append(("drift", (sorted(plays), names)))
        return found

    stand_in.use("drift", drift=drift)


IN_LINE = PlanMade(plan_of("web", summary=Summary(keep=6)), "recorded")
OFF = PlanMade(plan_of("web", steps=(PULL,), summary=Summary(create=1, keep=5)), "recorded")


@pytest.mark.parametrize(
    ("found", "code", "lines"),
    [
        (
            ServiceDrift("web", 2, IN_LINE, "same"),
            0,
            ["web: no drift: the fleet is at revision 2"],
        ),
        (
            ServiceDrift("web", 2, IN_LINE, "not_compared"),
            0,
            ["web: no drift: the fleet is at revision 2 (no playbook here to compare with)"],
        ),
        (
            ServiceDrift("web", 2, IN_LINE, "differs", ("image", "replicas")),
            2,
            [
                "web: the fleet is at revision 2, as recorded",
                "  its play declares something else (image, replicas); look: fleetctl plan web",
            ],
        ),
        (
            ServiceDrift("web", 2, IN_LINE, "undeclared"),
            2,
            [
                "web: the fleet is at revision 2, as recorded",
                "  no play declares it; it goes on running as recorded",
            ],
        ),
        (
            ServiceDrift("web", 0, None, "differs"),
            2,
            ["web: declared and never deployed; look: fleetctl plan web"],
        ),
        (
            ServiceDrift("web", 2, None, "same", paused="unhealthy"),
            2,
            ["web: paused: unhealthy; go on: fleetctl deploy web"],
        ),
    ],
)
def test_drift(stand_in: StandIn, found: ServiceDrift, code: int, lines: list[str]) -> None:
    drifts(stand_in, found)
    ended = stand_in.fleetctl("drift", "web", "--detailed-exitcode")
    assert (ended.code, ended.out.splitlines()) == (code, lines)
    assert stand_in.calls[-1] == ("drift", (["api", "web"], ("web",)))
    assert stand_in.fleetctl("drift").code == 0


def test_drift_of_the_fleet(stand_in: StandIn) -> None:
    drifts(stand_in, ServiceDrift("web", 2, OFF, "rolled_back", ("image",)))
    ended = stand_in.fleetctl("drift", "--detailed-exitcode")
    assert ended.code == 2
    lines = ended.out.splitlines()
    assert "(the fleet differs; recorded): 0 to replace, 1 to create" in lines[0]
    assert "image changed" in ended.out
    assert lines[-2:] == [
        "  mend it: fleetctl reconcile web",
        "  its play still declares what was rolled back (image)",
    ]
    document = stand_in.fleetctl("drift", "--json").document
    assert (document["schema"], document["summary"]["create"]) == ("fleetctl.drift/1", 1)
    assert document["services"] == [
        {
            "name": "web",
            "revision": 2,
            "drift": True,
            "fleet": "differs",
            "play": "rolled_back",
            "differs": ["image"],
            "held": [],
        }
    ]


def test_an_interrupted_query(stand_in: StandIn) -> None:
    def status(world: Any, fleet: Any, services: Any, declared: Any) -> Any:
        raise KeyboardInterrupt

    stand_in.use("status", status=status)
    ended = stand_in.fleetctl("status")
    assert (ended.code, ended.out) == (130, "")
    assert stand_in.closed == 1


def test_a_second_interrupt_of_a_query_ends_at_once(
    stand_in: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[int] = []
    monkeypatch.setattr(os, "_exit", left.append)
    before = signal.getsignal(signal.SIGINT)

    def status(world: Any, fleet: Any, services: Any, declared: Any) -> Any:
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        with contextlib.suppress(KeyboardInterrupt):  # what goes on here instead of the end
            os.kill(os.getpid(), signal.SIGINT)
        return FleetStatus((), (), ())

    stand_in.use("status", status=status)
    stand_in.fleetctl("status")
    assert left == [130]
    assert signal.getsignal(signal.SIGINT) is before


def test_the_example_is_no_fleet(stand_in: StandIn) -> None:
    stand_in.use("status", status=lambda *given: FleetStatus((), (), ()))
    stand_in.inventory_path = Path("inventories/example")
    ended = stand_in.fleetctl("status")
    assert (ended.code, ended.out) == (64, "")
    assert "fleetctl lab up" in ended.err
    assert stand_in.fleetctl("status", "-i", "example").code == 0


def test_a_query_that_fails(stand_in: StandIn) -> None:
    def status(world: Any, fleet: Any, services: Any, declared: Any) -> Any:
        raise Unreachable("lb1 does not answer", hint="is it on?", host="lb1")

    stand_in.use("status", status=status)
    ended = stand_in.fleetctl("status", "--json")
    assert ended.code == 4
    found = ended.document
    assert (found["schema"], found["id"], found["host"]) == (
        "fleetctl.error/1",
        "unreachable",
        "lb1",
    )
    assert (found["exit_code"], found["hint"]) == (4, "is it on?")
    assert ended.err == "error[unreachable]: lb1 does not answer\n  hint: is it on?\n"
    assert stand_in.closed == 1


def test_status_asks_for_services(stand_in: StandIn) -> None:
    def status(world: Any, fleet: Any, services: Any, declared: Any) -> Any:
        assert declared == ("web", "api")
        stand_in.calls.append(("status", services))
        return FleetStatus((), (), ())

    stand_in.use("status", status=status)
    assert stand_in.fleetctl("status", "web", "--json").document == {
        "schema": "fleetctl.status/1",
        "services": [],
        "hosts": [],
        "balancers": [],
    }
    assert stand_in.calls[-1] == ("status", ("web",))
    assert stand_in.fleetctl("status").out.splitlines() == [
        "no service has been deployed on this fleet yet",
        "declared and never deployed: api, web",
    ]
    assert stand_in.calls[-1] == ("status", ())


def test_history(stand_in: StandIn) -> None:
    entry = replace(RUN, ended=1e9 + 75, result="ok")
    stand_in.journal = {"web": (entry, entry, entry)}
    found = stand_in.fleetctl("history", "web", "--last", "2", "--json").document
    assert found["schema"] == "fleetctl.history/1"
    assert [e["revision"] for e in found["entries"]] == [2, 2]
    lines = stand_in.fleetctl("history", "web").out.splitlines()
    assert all(
        words in lines[1] for words in ("2001-09-09 01:46:40Z", "1 -> 2", "1m15s", "ana@desk")
    )
    assert "no run" in stand_in.fleetctl("history", "api").out
    stand_in.damaged = ("the journal was damaged",)
    ended = stand_in.fleetctl("history", "web", "--json")
    assert ended.err == "warning: the journal was damaged\n"


def test_history_per_host(stand_in: StandIn) -> None:
    steps = (
        HistoryStep("s1", "create", "web-1-2", ("node1",), 1e9 + 1, 1e9 + 2, "ok"),
        HistoryStep("s2", "admit", "web-1-2", ("lb1", "lb2"), 1e9 + 2, 1e9 + 3, "failed", "boom"),
    )
    ended = replace(RUN, ended=1e9 + 75, result="mixed", detail="boom", steps=steps)
    stand_in.journal = {"web": (ended, replace(RUN, run="99"))}
    first, other = stand_in.fleetctl("history", "web", "--json").document["entries"]
    assert sorted(first["hosts"]) == ["lb1", "lb2", "node1"]
    (step,) = first["hosts"]["lb2"]
    assert (step["step"], step["action"], step["instance"]) == ("s2", "admit", "web-1-2")
    assert (step["outcome"], step["detail"]) == ("failed", "boom")
    assert (first["plan"], first["summary"]["replace"], first["deploy"]) == ("ab" * 32, 6, "dd11")
    assert (other["run"], other["result"], other["ended"], other["hosts"]) == (
        "99",
        "unfinished",
        None,
        {},
    )
    text = stand_in.fleetctl("history", "web", "aa").out
    assert "plan abababababab: revision 1 -> 2: 6 to replace" in text
    assert "mixed after 1m15s: boom" in text
    assert [line for line in text.splitlines() if line in ("lb1", "lb2", "node1")] == [
        "lb1",
        "lb2",
        "node1",
    ]
    assert "99" not in text
    assert text in stand_in.fleetctl("history", "web", "-v").out
    assert stand_in.fleetctl("history", "web", "77").code == 64


def test_history_of_a_run_that_was_killed(stand_in: StandIn) -> None:
    steps = (HistoryStep("s1", "drain", "web-1-1 web-2-1", ("lb1",), 1e9 + 1),)
    stand_in.journal = {"web": (replace(RUN, steps=steps),)}
    line = stand_in.fleetctl("history", "web").out.splitlines()[1]
    assert "no end known" in line
    assert "in the middle of: drain web-1-1, web-2-1" in line
    entry = stand_in.fleetctl("history", "web", "--json").document["entries"][0]
    assert entry["hosts"]["lb1"][0]["outcome"] == "unknown"
    assert "no outcome known" in stand_in.fleetctl("history", "web", "aa").out


def test_lock_and_unlock(stand_in: StandIn) -> None:
    holder = Holder("h1", "ana", "desk", "b", 1, 0.0, kind="person", reason="incident")

    def lock(world: Any, fleet: Any, service: str, reason: str) -> None:
        stand_in.calls.append(("lock", (service, reason)))

    stand_in.use("hands", lock=lock, unlock=lambda world, fleet, service: holder)
    assert stand_in.fleetctl("lock", "web", "-m", "incident").code == 0
    assert stand_in.calls[-1] == ("lock", ("web", "incident"))
    assert "ana@desk had it: incident" in stand_in.fleetctl("unlock", "web").out
    freed = stand_in.fleetctl("unlock", "web", "--json").document
    assert (freed["locked"], freed["who"], freed["reason"]) == (False, "ana@desk", "incident")

    def held(world: Any, fleet: Any, service: str) -> Any:
        raise LockHeld("a run has web")

    stand_in.use("hands", lock=lock, unlock=held)
    assert stand_in.fleetctl("unlock", "web").code == 7
