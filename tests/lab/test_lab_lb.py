"""The lb commands on real hosts: seen, held under load, found wrong, set up from nothing."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from harness import Fleet
from proxy import CONFIG, SOCKET, Proxy
from test_lab_faults_balancer import reconciled

pytestmark = pytest.mark.lab

FILES = "/var/lib/fleetctl/haproxy"
TREE = f"{FILES}/$(readlink {FILES}/live)"
STRANGER = (
    "import socket,time; s=socket.socket(); "
    "s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEADDR,1); "
    "s.setsockopt(socket.SOL_SOCKET,socket.SO_REUSEPORT,1); "
    "s.bind(('',80)); s.listen(); time.sleep(600)"
)


@pytest.fixture
def proxy(fleet: Fleet) -> Iterator[Proxy]:
    """The shared lab's HAProxy: with the lab's own file, and running, after the test."""
    proxy = Proxy(fleet)
    before = proxy.file
    yield proxy
    proxy.sh(
        f'mkdir -p /run/haproxy; printf %s "$1" >{CONFIG}; rm -f {CONFIG}.before-fleetctl', before
    )
    if proxy.alive:
        proxy.sh("kill -USR2 $(cat /run/haproxy.pid)")
        proxy.until(lambda: "fleetctl config_id" not in proxy.ask("show info"))
    else:
        proxy.start()


def servers(fleet: Fleet) -> dict[str, dict[str, Any]]:
    """Each instance as lb1 has it."""
    (balancer,) = fleet("lb", "show", "--json").document["balancers"]
    return {server["instance"]: server for server in balancer["servers"]}


def wrong(fleet: Fleet) -> dict[str, str]:
    """What `lb check` finds wrong, by what it looked at."""
    (balancer,) = fleet("lb", "check", "--json", code=1).document["balancers"]
    found: dict[str, str] = {}
    for finding in balancer["findings"]:
        if finding["level"] == "error":
            assert finding["hint"], finding
            words = found.get(finding["check"], "") + finding["message"] + "\n"
            found[finding["check"]] = words
    return found


def pid(proxy: Proxy) -> str:
    return proxy.ask("show info").split("Pid: ")[1].split()[0]


def test_shown_and_in_line(fleet: Fleet, proxy: Proxy) -> None:
    fleet.play(replicas=3)
    fleet("deploy", "web")
    document = fleet("lb", "show", "web", "--json").document
    assert document["schema"] == "fleetctl.lb/1"
    (balancer,) = document["balancers"]
    assert (balancer["name"], balancer["in_sync"], balancer["differences"]) == ("lb1", True, [])
    assert balancer["version"].startswith("2.")
    found = servers(fleet)
    assert sorted(s["host"] for s in found.values()) == ["node1", "node2", "node3"]
    assert {(s["state"], s["backend"], s["held"]) for s in found.values()} == {
        ("UP", "web.http", "")
    }
    assert all(s["check"].startswith("L7OK") for s in found.values())
    shown = fleet("lb", "show").out
    assert shown.startswith("lb1: HAProxy 2.")
    assert all(name in shown for name in found)
    rendered = fleet("lb", "render", "lb1").out
    assert rendered == proxy.file
    diff = fleet("lb", "render", "--diff", "--detailed-exitcode")
    assert diff.out == ""
    checked = fleet("lb", "check", "-v").out
    assert checked.startswith("lb1: in order")
    assert "accepted: HAProxy takes the file that the record gives" in checked
    assert "did you mean web?" in fleet("lb", "show", "wbe", code=1).err
    assert "did you mean lb1?" in fleet("lb", "check", "lb2", code=64).err


def test_what_is_wrong_is_found_and_named(fleet: Fleet, proxy: Proxy) -> None:
    fleet.play(replicas=3)
    fleet("deploy", "web")
    assert fleet("lb", "check").out.startswith("lb1: in order")

    proxy.sh(f"printf '# by hand\\n' >>{CONFIG}")
    diff = fleet("lb", "render", "--diff", "--detailed-exitcode", code=2).out
    assert [line for line in diff.splitlines() if line[:1] == "-"][1:] == ["-# by hand"]
    found = wrong(fleet)
    assert set(found) == {"file"}
    assert "edited by hand" in found["file"]
    reconciled(fleet)

    proxy.ask("set server web.http/slot2 weight 7")
    proxy.ask("set server web.http/slot1 state drain")
    found = wrong(fleet)
    assert set(found) == {"record"}
    assert "web.http/slot1: wanted" in found["record"]
    assert "web.http/slot2: wanted" in found["record"]
    states = sorted(server["state"] for server in servers(fleet).values())
    assert states == ["DRAIN", "UP", "UP"]
    reconciled(fleet)

    proxy.sh(f'rm -r "{TREE}"')
    found = wrong(fleet)
    assert "files: what lies beside the file" in found["record"]
    assert "would not start" in found["file"]
    diff = fleet("lb", "render", "--diff").out
    assert "+++ record/var/lib/fleetctl/haproxy/live/routes.map" in diff
    reconciled(fleet)

    stranger = proxy.sh('python3 -c "$1" </dev/null >/dev/null 2>&1 & echo $!', STRANGER).strip()
    try:
        proxy.until(lambda: f"process {stranger}" in fleet.run("lb", "check").out)
        assert set(wrong(fleet)) == {"ports"}
    finally:
        proxy.sh(f"kill {stranger}")
    proxy.sh(f"chmod 666 {SOCKET}")
    assert "everybody may command" in wrong(fleet)["sockets"]
    proxy.sh(f"chmod 600 {SOCKET}")
    assert fleet("lb", "check").out == "lb1: in order\n"

    fleet.lab.link("lb1", False)
    try:
        fleet("lb", "check", code=4)
    finally:
        fleet.lab.link("lb1", True)


def test_a_host_is_held_under_load_and_comes_back_by_itself(fleet: Fleet, proxy: Proxy) -> None:
    fleet.play(replicas=6)
    fleet("deploy", "web")
    here = {name for name, server in servers(fleet).items() if server["host"] == "node1"}
    assert len(here) == 2
    refused = fleet("lb", "drain", "node1", "--for", "1s", code=9)
    assert "--yes" in refused.err
    assert "did you mean node1" in fleet("lb", "drain", "nod1", code=9).err
    assert {server["state"] for server in servers(fleet).values()} == {"UP"}
    with fleet.load(100) as load:
        ran = fleet("lb", "drain", "node1", "--for", "1s", "--yes", "--json")
        assert ran.finished["command"] == "lb drain"
        assert ran.finished["result"] == "ok"
        found = servers(fleet)
        assert {name for name, s in found.items() if s["state"] == "DRAIN"} == here
        assert all(found[name]["held"] == "drain" for name in here)
        assert all(found[name]["held_until"] > 0 for name in here)
        assert all(found[name]["sessions"] == 0 for name in here)
        assert proxy.file.count(" weight 0") >= 2, "a reload or a reboot would forget it"
        deadline = time.monotonic() + 60
        while fleet("reconcile", "--json").finished["result"] == "nothing_to_do":
            assert time.monotonic() < deadline, "the hold does not end"
        found = servers(fleet)
        assert {(s["state"], s["held"]) for s in found.values()} == {("UP", "")}
    assert load.report.failed == 0, load.report
    assert load.report.sent > 100


def test_an_instance_is_held_until_it_is_released(fleet: Fleet, proxy: Proxy) -> None:
    fleet.play(replicas=3)
    fleet("deploy", "web")
    one, *others = sorted(servers(fleet))
    with fleet.load(60) as load:
        fleet("lb", "maint", one, "--yes")
        assert fleet("reconcile", "--json").finished["result"] == "nothing_to_do"
        found = servers(fleet)
        assert (found[one]["state"], found[one]["held"]) == ("MAINT", "maint")
        assert {found[name]["state"] for name in others} == {"UP"}
        assert "MAINT, held" in fleet("lb", "show").out
        assert fleet("lb", "check").out == "lb1: in order\n"
    assert load.report.failed == 0, load.report
    proxy.kill()
    proxy.start()
    assert servers(fleet)[one]["state"] == "MAINT", "a restart has forgotten it"
    with fleet.load(60) as load:
        assert fleet("lb", "ready", one, "--json").finished["result"] == "ok"
        assert {server["state"] for server in servers(fleet).values()} == {"UP"}
        assert fleet("lb", "ready", one, "--json").finished["result"] == "nothing_to_do"
    assert load.report.failed == 0, load.report


def test_a_bare_host_becomes_a_balancer(fleet: Fleet, proxy: Proxy) -> None:
    foreign, worker = proxy.file, pid(proxy)
    first = fleet("lb", "install", "--yes", "--json").document
    assert [s["action"] for s in first["balancers"][0]["steps"]] == ["folders"]
    assert (proxy.file, pid(proxy)) == (foreign, worker), "what runs is taken as it is"
    assert "nothing to do" in fleet("lb", "install").out

    proxy.kill()
    proxy.sh(f"rm -rf /run/haproxy /run/haproxy.pid {CONFIG} {FILES}")
    missing = wrong(fleet)
    assert {"master", "file"} <= set(missing)
    refused = fleet("lb", "install", code=9)
    assert "--yes" in refused.err
    assert "start HAProxy as a process of its own" in refused.out
    assert fleet("lb", "install", "--dry-run").out == refused.out
    proxy.sh(f"[ ! -e {CONFIG} ] && [ ! -e /run/haproxy ]")
    done = fleet("lb", "install", "--yes", "--json").document
    assert done["schema"] == "fleetctl.lb-install/1"
    assert done["balancers"][0]["state"] == "done"
    actions = [step["action"] for step in done["balancers"][0]["steps"]]
    assert actions == ["folders", "file", "start"]
    assert proxy.alive, "it outlives the session that started it"
    assert fleet("lb", "install").out.startswith("lb1: nothing to do")
    assert fleet("lb", "check").out == "lb1: in order\n"
    assert "lb install" in fleet("history", "lb1").out
    fleet.play(replicas=2)
    fleet("deploy", "web")
    worker = pid(proxy)
    with fleet.load(60) as load:
        assert fleet("lb", "install").out.startswith("lb1: nothing to do")
        assert fleet("lb", "check").out == "lb1: in order\n"
        assert pid(proxy) == worker
    assert load.report.failed == 0, load.report
