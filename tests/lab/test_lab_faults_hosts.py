"""What can happen to hosts, their network and their engines in the middle of a roll.

After each fault: an exit code and a message that names the host; the old revision served all
along; one `reconcile` ends what is open, and the next has nothing to do.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Iterable
from typing import Any

import pytest
from harness import Fleet, Ran

from fleetctl.lab.faults import (
    cut_sessions,
    frozen_engine,
    kill_engine,
    silent_ssh,
    start_engine,
    stranger,
)

pytestmark = pytest.mark.lab

RATE = 60
REPLICAS = 3
PHASES = ("pull", "create", "start", "health", "admit", "drain", "stop")
# A dead server is DOWN after three checks, a second each with a second's time-out; what was
# sent to it until then, a third of all, may be lost.
LOST_WITH_A_HOST = RATE / REPLICAS * 8


class Rolls:
    """A service that goes from app:1 to app:2 and back."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self._number = 0
        self.next()
        fleet("deploy", "web")

    def next(self) -> None:
        """The play says what no revision has been yet."""
        self._number += 1
        image = f"registry:5000/app:{2 - self._number % 2}"
        env = {"ROUND": self._number}
        self.fleet.play(replicas=REPLICAS, image=image, env=env, min_ready="0s", deadline="20s")


@pytest.fixture
def rolls(fleet: Fleet) -> Rolls:
    return Rolls(fleet)


def told(ran: Ran, *names: str) -> dict[str, Any]:
    """The first message: it names the host, by any of these, and says what to do."""
    failures = [event for event in ran.events if event["type"] == "failed"]
    assert failures, ran.out
    first: dict[str, Any] = failures[0]
    assert any(name in first["message"] for name in names), first
    assert first["hint"] or first["then"], first
    return first


def converges(fleet: Fleet, tries: int = 1) -> None:
    """At most ``tries`` reconciles do it, a further one finds nothing."""
    for left in reversed(range(tries)):
        ran = fleet.run("reconcile", "--json", "--wait", "60")
        assert ran.code == 0 or left, f"{ran.out}\n{ran.err}"
        if ran.code == 0:
            break
    first = ran.finished
    again = fleet("reconcile", "--json").finished
    assert again["result"] == "nothing_to_do", (first, again)
    status = fleet.status()
    assert (status["state"], status["ready"]) == ("converged", REPLICAS), status
    assert {i["revision"] for i in status["instances"]} == {status["revision"]}
    assert len(fleet.containers()) == REPLICAS


def cut_in_phases(rolls: Rolls, points: Iterable[tuple[str, str]]) -> None:
    """Each point: whose sessions, when which step starts."""
    fleet = rolls.fleet
    with fleet.load(RATE) as load:
        for host, phase in points:
            rolls.next()
            where = "" if phase in ("admit", "drain") else "node1"
            cut = functools.partial(cut_sessions, fleet.lab, host)
            ran = fleet.during("deploy", "web", at=phase, host=where, act=cut)
            assert ran.code in (0, 1, 4, 5, 6, 7), (host, phase, ran.out, ran.err)
            if ran.code:
                told(ran, host)
            converges(fleet)
    assert load.report.failed == 0, load.report


def test_ssh_sessions_are_cut_in_a_roll(rolls: Rolls) -> None:
    cut_in_phases(rolls, [("node1", "create"), ("lb1", "admit")])


@pytest.mark.soak
@pytest.mark.parametrize("host", ["node1", "lb1"])
def test_ssh_sessions_are_cut_in_every_phase(rolls: Rolls, host: str) -> None:
    cut_in_phases(rolls, [(host, phase) for phase in PHASES])


def link_down(rolls: Rolls, phase: str) -> None:
    fleet = rolls.fleet
    rolls.next()
    began = []

    def cut() -> None:
        began.append(time.monotonic())
        fleet.lab.link("node1", False)

    with fleet.load(RATE) as load:
        where = "" if phase in ("admit", "drain") else "node1"
        ran = fleet.during("deploy", "web", at=phase, host=where, act=cut)
        took = time.monotonic() - began[0]
        assert ran.code in (4, 5, 6), (phase, ran.out, ran.err)
        told(ran, "node1", fleet.lab.host("node1").address)
        held = fleet("reconcile", "--json", code=4)
        told(held, "node1")
        fleet.lab.link("node1", True)
        # HAProxy may still hold connections to what the host ran, and needs their slots quiet.
        converges(fleet, tries=2)
    print(f"link down in {phase}: ended in {took:.1f} s, {load.report}")
    assert load.report.failed <= LOST_WITH_A_HOST, load.report


@pytest.mark.soak
def test_a_hosts_link_goes_down_in_a_roll(rolls: Rolls) -> None:
    link_down(rolls, "health")


@pytest.mark.soak
@pytest.mark.parametrize("phase", PHASES)
def test_a_hosts_link_goes_down_in_every_phase(rolls: Rolls, phase: str) -> None:
    link_down(rolls, phase)


def cut_off_silently(rolls: Rolls, host: str, phase: str) -> None:
    """The controller loses a host that the clients don't."""
    fleet = rolls.fleet
    rolls.next()
    with fleet.load(RATE) as load:
        with silent_ssh(fleet.lab, host) as lose:
            ran = fleet.during("deploy", "web", at=phase, act=lose)
            assert ran.code in (5, 6, 7), (phase, ran.out, ran.err)
            told(ran, host)
        converges(fleet)
    assert load.report.failed == 0, load.report


@pytest.mark.soak
@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("host", ["node1", "lb1"])
def test_the_controller_is_cut_off_in_every_phase(rolls: Rolls, host: str, phase: str) -> None:
    cut_off_silently(rolls, host, phase)


def test_an_engine_is_killed_in_a_roll(rolls: Rolls) -> None:
    """Its containers go on without it, and are started anew when it comes back."""
    fleet = rolls.fleet
    rolls.next()
    with fleet.load(RATE) as load:
        ran = fleet.during(
            "deploy",
            "web",
            at="health",
            host="node1",
            act=lambda: kill_engine(fleet.lab, "node1"),
        )
        assert ran.code == 6, (ran.out, ran.err)
        told(ran, "node1")
        start_engine(fleet.lab, "node1")
        converges(fleet)
    assert load.report.failed <= LOST_WITH_A_HOST, load.report


@pytest.mark.soak
def test_an_engine_freezes_in_a_roll(rolls: Rolls) -> None:
    fleet = rolls.fleet
    rolls.next()
    with fleet.load(RATE) as load:
        with frozen_engine(fleet.lab, "node1") as freeze:
            ran = fleet.during("deploy", "web", at="create", host="node1", act=freeze)
            assert ran.code == 6, (ran.out, ran.err)
            told(ran, "node1")
        converges(fleet)
    assert load.report.failed == 0, load.report


def test_a_host_is_rebooted(rolls: Rolls) -> None:
    """Its containers come back by themselves, and nothing is left to do."""
    fleet = rolls.fleet
    before = {i["container"]: i["host"] for i in fleet.instances().values()}
    with fleet.load(RATE) as load:
        fleet.lab.reboot("node1")
        deadline = time.monotonic() + 60
        while fleet.status()["state"] != "converged":
            assert time.monotonic() < deadline, fleet.status()
        assert fleet("reconcile", "--json").finished["result"] == "nothing_to_do"
    assert {i["container"]: i["host"] for i in fleet.instances().values()} == before
    assert load.report.failed <= LOST_WITH_A_HOST, load.report


def test_a_stranger_takes_the_port_between_plan_and_start(rolls: Rolls) -> None:
    """The roll goes back; the next one plans around the stranger."""
    fleet = rolls.fleet
    rolls.next()
    with fleet.load(RATE) as load, stranger(fleet.lab, "node1", 20000, 20050) as listen:
        ran = fleet.during("deploy", "web", at="plan_made", act=listen)
        assert ran.code == 5, (ran.out, ran.err)
        told(ran, "node1")
        assert "held by something else" in told(ran, "node1")["message"]
        assert fleet("reconcile", "--json").finished["result"] == "nothing_to_do"
        fleet("deploy", "web", "--again")
        ports = {i["host"]: i["port"] for i in fleet.instances().values()}
        assert ports["node1"] > 20050
    assert load.report.failed == 0, load.report
