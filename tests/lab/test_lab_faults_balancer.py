"""Faults of a balancer: killed, old file, edited by hand, socket gone. A clear end within
bounds, then one reconcile brings it level and the next has nothing to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from harness import Fleet, Ran
from proxy import CONFIG, SOCKET, Proxy

from fleetctl.lab.lab import Lab

pytestmark = pytest.mark.lab


@pytest.fixture
def proxy(fleet: Fleet) -> Iterator[Proxy]:
    """The shared lab's HAProxy: running again afterwards, whatever the test did to it."""
    proxy = Proxy(fleet)
    yield proxy
    proxy.sh("umount /etc/haproxy 2>/dev/null; true")
    if not proxy.alive:
        proxy.sh("kill -9 $(cat /run/haproxy.pid) 2>/dev/null; true")
        proxy.start()


def looked(fleet: Fleet) -> tuple[dict[str, bool], dict[str, Any]]:
    """Which balancers are in sync, and the service, of one ``status``."""
    document = fleet("status", "--json").document
    (service,) = document["services"]
    return {b["name"]: b["in_sync"] for b in document["balancers"]}, service


def in_sync(fleet: Fleet) -> dict[str, bool]:
    return looked(fleet)[0]


def reconciled(fleet: Fleet, result: str = "ok") -> dict[str, Any]:
    """One reconcile mends all there is. Returns the service."""
    ran = fleet("reconcile", "--json")
    assert ran.finished["result"] == result, ran.out
    synced, service = looked(fleet)
    assert all(synced.values()), synced
    assert (service["state"], service["ready"]) == ("converged", service["desired"]), service
    return service


def levelled(fleet: Fleet) -> dict[str, Any]:
    """As ``reconciled``, and the next one has nothing to do."""
    reconciled(fleet)
    return reconciled(fleet, "nothing_to_do")


def run_until(fleet: Fleet, seen: Callable[[dict[str, Any]], bool], act: Callable[[], None]) -> Ran:
    """``deploy web --json`` to its end, with ``act`` done at the first event that is ``seen``."""
    process = fleet.start("deploy", "web", "--json")
    assert process.stdout is not None
    lines = []
    acted = False
    for line in process.stdout:
        lines.append(line)
        if not acted and seen(json.loads(line)):
            act()
            acted = True
    _, err = process.communicate(timeout=180)
    assert acted, "".join(lines)
    assert "Traceback" not in err, err
    return Ran(process.returncode, "".join(lines), err)


def failures(ran: Ran) -> str:
    return " ".join(event["message"] for event in ran.events if event["type"] == "failed")


def test_another_health_check_marks_no_old_instance_down(fleet: Fleet, proxy: Proxy) -> None:
    """Revision 1 fails the check of revision 2 from the first to the last moment."""
    fleet.play(replicas=2, env={"FAIL_HEALTH": 1}, surge=1)
    play = fleet.root / "playbooks/web.yml"
    play.write_text(play.read_text().replace("http: /healthz", "http: /version"))
    fleet("deploy", "web")
    assert "uri /version" in proxy.file
    with fleet.load(80) as load:
        fleet.play(replicas=2, surge=1)
        done = fleet("deploy", "web", "--json")
        assert "uri /healthz" in proxy.file
        fleet("rollback", "web")
        assert "uri /version" in proxy.file
        assert reconciled(fleet, "nothing_to_do")["revision"] == 1
    assert load.report.failed == 0, load.report
    ended = [e for e in done.events if e["type"] == "step_finished"]
    assert [e["action"] for e in ended if e["action"] in ("stop", "admit")][-1] == "admit"


def test_hand_edits_show_and_are_put_right(fleet: Fleet, proxy: Proxy) -> None:
    before = proxy.file
    fleet.play(replicas=3)
    fleet("deploy", "web")
    assert in_sync(fleet) == {"lb1": True}
    assert proxy.sh(f"cat {CONFIG}.before-fleetctl") == before
    whole = proxy.file
    with fleet.load(60) as load:
        proxy.ask("set server web.http/slot1 state maint")
        proxy.ask("set server web.http/slot2 addr 127.0.0.1 port 9")
        proxy.sh(f"echo not in the language of HAProxy >>{CONFIG}")
        synced, service = looked(fleet)
        assert synced == {"lb1": False}
        assert sorted(i["lb"]["lb1"] for i in service["instances"]) == ["MAINT", "NONE", "UP"]
        assert service["state"] == "drifted"
        reconciled(fleet)
        assert proxy.file == whole
        proxy.ask("set server web.http/slot3 weight 7")
        assert looked(fleet)[0] == {"lb1": False}
        reconciled(fleet)
        assert proxy.ask("get weight web.http/slot3").startswith("100 ")
        worker = proxy.ask("show info").split("Pid: ")[1].split()[0]
        proxy.sh(
            f"printf 'backend mine\\n    server mine 127.0.0.1:9\\n' >>{CONFIG}; "
            "kill -USR2 $(cat /run/haproxy.pid)"
        )
        proxy.until(lambda: f"Pid: {worker}\n" not in proxy.ask("show info"))
        assert looked(fleet)[0] == {"lb1": False}
        levelled(fleet)
        assert proxy.file == whole
        assert "mine" not in proxy.ask("show servers state")
    assert load.report.failed == 0, load.report
    assert proxy.sh(f"cat {CONFIG}.before-fleetctl") == before


def test_a_balancer_that_starts_with_an_older_file_is_brought_level(
    fleet: Fleet, proxy: Proxy
) -> None:
    fleet.play(replicas=2)
    fleet("deploy", "web")
    proxy.sh(f"cp {CONFIG} /root/older.cfg")
    fleet.play(replicas=2, image="registry:5000/app:2")
    fleet("deploy", "web")
    proxy.kill()
    refused = fleet("reconcile", code=4)
    assert "lb1" in refused.err
    assert "does not run" in refused.err
    proxy.sh(f"cp /root/older.cfg {CONFIG}")
    proxy.start()
    assert in_sync(fleet) == {"lb1": False}
    containers = fleet.containers()
    assert levelled(fleet)["revision"] == 2
    assert fleet.containers() == containers
    with fleet.load(60) as load:
        proxy.sh("sleep 1")
    assert load.report.failed == 0, load.report
    assert set(load.report.revisions) == {"2"}


@pytest.mark.parametrize("action", ["admit", "drain"])
def test_haproxy_killed_in_the_middle_of_a_roll(fleet: Fleet, proxy: Proxy, action: str) -> None:
    fleet.play(replicas=2, surge=1)
    fleet("deploy", "web")
    first = set(fleet.containers())
    fleet.play(replicas=2, surge=1, image="registry:5000/app:2", deadline="4s", drain="2s")

    def began(event: dict[str, Any]) -> bool:
        return event["type"] == "step_started" and event["action"] == action

    ran = run_until(fleet, began, proxy.kill)
    assert ran.code in (5, 6), ran
    assert "lb1" in failures(ran), ran.out
    assert "HAProxy does not run" in failures(ran), ran.out
    assert first & set(fleet.containers()), "goes on to the next batch without a balancer"
    proxy.start()
    levelled(fleet)


def test_a_balancer_that_takes_no_change(fleet: Fleet, proxy: Proxy) -> None:
    """Its folder can't be written, then its admin socket is gone: the old revision serves."""
    fleet.play(replicas=2)
    fleet("deploy", "web")
    containers = fleet.containers()
    file = proxy.file
    fleet.play(replicas=2, image="registry:5000/app:2")
    with fleet.load(60) as load:
        proxy.sh("mount --bind /etc/haproxy /etc/haproxy")
        proxy.sh("mount -o remount,ro,bind /etc/haproxy")
        ran = fleet("deploy", "web", code=5)
        assert "lb1" in ran.err
        assert "haproxy.cfg" in ran.err
        proxy.sh("umount /etc/haproxy")
        assert (fleet.containers(), proxy.file) == (containers, file)
        assert reconciled(fleet, "nothing_to_do")["revision"] == 1
        proxy.sh(f"rm {SOCKET}")
        ran = fleet("deploy", "web", "--again", code=4)
        assert SOCKET in ran.err
        assert "restart" in ran.err
        assert (fleet.containers(), proxy.file) == (containers, file)
    assert load.report.failed == 0, load.report
    proxy.kill()
    proxy.start()
    reconciled(fleet, "nothing_to_do")
    fleet("deploy", "web", "--again")
    assert fleet.status()["revision"] == 3


@pytest.mark.soak
def test_two_balancers_one_unreachable_one_killed(no_lab: Lab, tmp_path: Path) -> None:
    no_lab.up(hosts=2, balancers=2)
    fleet = Fleet(no_lab, tmp_path / "project")
    second = Proxy(fleet, "lb2")
    fleet.play(replicas=2, surge=1)
    fleet("deploy", "web")
    assert in_sync(fleet) == {"lb1": True, "lb2": True}
    containers = fleet.containers()
    file = second.file
    fleet.play(replicas=2, surge=1, image="registry:5000/app:2", deadline="4s", drain="2s")
    no_lab.link("lb2", False)
    ran = fleet("deploy", "web", code=4)
    assert "lb2" in ran.err
    no_lab.link("lb2", True)
    assert (fleet.containers(), second.file) == (containers, file)
    second.until(lambda: fleet.status()["state"] == "converged")  # by its own checks
    assert reconciled(fleet, "nothing_to_do")["revision"] == 1
    with fleet.load(60) as load:

        def began(event: dict[str, Any]) -> bool:
            return event["type"] == "step_finished" and event["action"] == "admit"

        ran = run_until(fleet, began, second.kill)
        assert ran.code == 6, ran.out
        assert "lb2" in failures(ran)
        assert set(containers) & set(fleet.containers()), "goes on with one balancer of two"
        second.start()
        assert levelled(fleet)["revision"] == 1, "the failed deploy is recorded as going back"
    assert load.report.failed == 0, load.report
