"""Previews change nothing, drift tells what differs, and the audit tells what was done."""

from __future__ import annotations

import json

import pytest
from harness import Fleet

pytestmark = pytest.mark.lab


def test_a_killed_run_in_previews_drift_and_history(fleet: Fleet) -> None:
    fleet.play(replicas=3)
    fleet("deploy", "web")
    fleet.play(replicas=3, image="registry:5000/app:2")
    drifted = fleet("drift", "web", "--json", "--detailed-exitcode", code=2).document
    assert drifted["services"][0]["fleet"] == "same"
    assert (drifted["services"][0]["play"], drifted["services"][0]["differs"]) == (
        "differs",
        ["image"],
    )

    killed = json.loads(fleet.kill_at(16, "deploy", "web"))
    before = fleet.picture()
    back = fleet("rollback", "web", "--dry-run", "--json").document
    on = fleet("reconcile", "--dry-run", "--json").document
    assert (back["revision"], on["revision"]) == (1, 2)
    assert on["steps"]
    assert fleet.picture() == before

    assert fleet("reconcile", "--json").finished["result"] == "ok"
    assert "no drift: the fleet is at revision 2" in fleet("drift", "--detailed-exitcode").out
    finished, unfinished, first = fleet("history", "web", "--json").document["entries"]
    assert [e["result"] for e in (finished, unfinished, first)] == ["ok", "unfinished", "ok"]
    assert finished["deploy"] == unfinished["deploy"] != first["deploy"]
    assert all(e["plan"] and "@" in e["by"] for e in (finished, unfinished, first))
    assert (first["summary"]["create"], sorted(first["hosts"])) == (
        3,
        ["lb1", "node1", "node2", "node3"],
    )
    pulled, created, started, healthy = first["hosts"]["node1"][:4]
    assert [s["action"] for s in (pulled, created, started, healthy)] == [
        "pull",
        "create",
        "start",
        "health",
    ]
    assert {s["outcome"] for steps in first["hosts"].values() for s in steps} == {"ok"}
    told = [s for steps in unfinished["hosts"].values() for s in steps]
    assert {killed["step"]} <= {s["step"] for s in told}, (killed, told)
    text = fleet("history", "web", unfinished["run"]).out
    assert "no end known" in text
    assert "\nnode1\n" in text
