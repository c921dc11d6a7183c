"""The main job on real hosts, under clients that count each failure."""

from __future__ import annotations

import signal

import pytest
from harness import Fleet

pytestmark = pytest.mark.lab


def test_a_deploy_then_nothing_to_do(fleet: Fleet) -> None:
    fleet.play(replicas=6)
    first = fleet("deploy", "web", "--json").finished
    assert (first["result"], first["exit_code"]) == ("ok", 0)
    assert first["services"][0]["revision"] == 1
    status = fleet.status()
    assert (status["state"], status["ready"], status["desired"]) == ("converged", 6, 6)
    hosts = [i["host"] for i in status["instances"]]
    assert sorted(hosts.count(f"node{n}") for n in (1, 2, 3)) == [2, 2, 2]
    assert all(i["lb"] == {"lb1": "UP"} for i in status["instances"])
    before = fleet.instances()
    second = fleet("deploy", "web", "--json").finished
    assert (second["result"], second["exit_code"]) == ("nothing_to_do", 0)
    assert second["services"][0]["changed"] == 0
    assert fleet("reconcile", "--json").finished["result"] == "nothing_to_do"
    assert fleet.instances() == before


def test_a_roll_a_broken_revision_and_a_rollback_fail_no_request(fleet: Fleet) -> None:
    fleet.play(replicas=6)
    fleet("deploy", "web")
    with fleet.load(100) as load:
        fleet.play(image="registry:5000/app:2")
        assert fleet("deploy", "web", "--json").finished["services"][0]["revision"] == 2
        fleet.play(image="registry:5000/app:broken", deadline="5s")
        broken = fleet("deploy", "web", code=5)
        status = fleet.status()
        assert (status["revision"], status["state"], status["ready"]) == (2, "converged", 6)
        assert {i["revision"] for i in status["instances"]} == {2}
        fleet("rollback", "web")
        status = fleet.status()
        assert (status["revision"], status["state"], status["ready"]) == (1, "converged", 6)
    report = load.report
    assert report.failed == 0, report
    assert report.sent > 1000
    assert set(report.revisions) == {"1", "2"}
    assert "healthz" in broken.err
    assert "503" in broken.err or "500" in broken.err
    assert "healthy_deadline" in broken.err
    again = fleet("deploy", "web", code=9)
    assert "--again" in again.err
    history = fleet("history", "web", "--json").document["entries"]
    assert [e["result"] for e in history][:4].count("rolled_back") == 1


def test_exactly_the_container_that_was_killed_comes_back(fleet: Fleet) -> None:
    fleet.play(replicas=6)
    fleet("deploy", "web")
    before = fleet.instances()
    victim = before[3]
    fleet.on(victim["host"], "docker", "rm", "-f", victim["name"])
    between = fleet.status()
    assert between["state"] == "drifted"
    assert [i["slot"] for i in between["instances"] if i["state"] == "missing"] == [3]
    done = fleet("deploy", "web", "--json")
    created = [e for e in done.events if e["type"] == "step_finished" and e["action"] == "create"]
    assert [e["instance"].split("-")[1] for e in created] == ["3"]
    after = fleet.instances()
    assert {s: i["container"] for s, i in after.items() if s != 3} == {
        s: i["container"] for s, i in before.items() if s != 3
    }
    assert after[3]["container"] != victim["container"]
    assert after[3]["state"] == "running"


def test_more_and_fewer_replicas_restart_nothing(fleet: Fleet) -> None:
    fleet.play(replicas=3)
    fleet("deploy", "web")
    three = {i["container"] for i in fleet.instances().values()}
    with fleet.load(50) as load:
        fleet.play(replicas=5)
        fleet("deploy", "web")
        five = {i["container"] for i in fleet.instances().values()}
        assert three < five
        assert len(five) == 5
        fleet.play(replicas=2)
        fleet("deploy", "web")
        assert len(fleet.instances()) == 2
        assert {i["container"] for i in fleet.instances().values()} < five
    assert load.report.failed == 0, load.report
    assert len(fleet.containers()) == 2


def test_a_first_deploy_that_fails_leaves_nothing(fleet: Fleet) -> None:
    fleet.play(image="registry:5000/app:broken", deadline="4s", replicas=2)
    ran = fleet("deploy", "web", code=1)
    assert "did not become healthy" in ran.err
    assert fleet.containers() == {}
    fleet.play(image="registry:5000/app:1", replicas=2)
    assert fleet("deploy", "web", "--json").finished["result"] == "ok"
    assert fleet.status()["ready"] == 2


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_run_in_order_and_the_same_command_goes_on(
    fleet: Fleet, number: int, code: int
) -> None:
    fleet.play(replicas=6, surge=1)
    fleet("deploy", "web")
    with fleet.load(50) as load:
        fleet.play(replicas=6, surge=1, image="registry:5000/app:2")
        process = fleet.start("deploy", "web", "--json")
        assert process.stdout is not None
        for line in process.stdout:
            if '"health"' in line and "step_started" in line:
                process.send_signal(number)
                break
        _, err = process.communicate(timeout=120)
        assert process.returncode == code, err
        assert fleet.status()["state"] == "rolling"
        assert fleet("deploy", "web", "--json").finished["services"][0]["revision"] == 2
    assert fleet.status()["state"] == "converged"
    assert load.report.failed == 0, load.report


def test_two_services_at_once_and_a_second_controller(fleet: Fleet) -> None:
    fleet.play("web", replicas=3)
    fleet.play("api", replicas=3, routes=[{"path": "/api", "port": "http"}])
    both = [fleet.start("deploy", name, "--json") for name in ("web", "api")]
    ended = [process.communicate(timeout=180) for process in both]
    assert [process.returncode for process in both] == [0, 0], ended
    other = Fleet(fleet.lab, fleet.root / "other")
    services = other("status", "--json").document["services"]
    assert {s["name"]: (s["state"], s["ready"]) for s in services} == {
        "api": ("converged", 3),
        "web": ("converged", 3),
    }
    ports = [(i["address"], i["port"]) for s in services for i in s["instances"]]
    assert len(set(ports)) == 6
    other("lock", "web", "-m", "no deploys on Fridays")
    fleet.play("web", replicas=3, image="registry:5000/app:2")
    refused = fleet("deploy", "web", code=7)
    assert "no deploys on Fridays" in refused.err
    assert fleet("reconcile", "--json").finished["exit_code"] == 0
    fleet("unlock", "web")
    fleet("deploy", "web")
