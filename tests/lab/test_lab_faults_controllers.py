"""Controllers that die, freeze, are told to stop, or come in twenties: nobody notices."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import random
import signal
import sqlite3
import subprocess
import termios
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest
from harness import Fleet, rest_of

pytestmark = pytest.mark.lab

BUSY, UNREACHABLE = 7, 4


def wait_for(process: subprocess.Popen[str], *words: str) -> str:
    """The first line of ``process`` that holds all of ``words``."""
    assert process.stdout is not None
    for line in process.stdout:
        if all(word in line for word in words):
            return line
    raise AssertionError(f"it ended before it said {words}")


def elsewhere(fleet: Fleet, name: str = "other") -> Fleet:
    """Another controller: an inventory and a key, no playbook and no memory."""
    return Fleet(fleet.lab, fleet.root.parent / name)


def test_a_frozen_controller_that_was_taken_over_changes_nothing(fleet: Fleet) -> None:
    """SIGSTOP beyond the lease, a second controller finishes the roll, SIGCONT."""
    fleet.play(replicas=3)
    fleet("deploy", "web")
    with fleet.load(60) as load:
        fleet.play(replicas=3, image="registry:5000/app:2")
        frozen = fleet.start("deploy", "web", "--json")
        wait_for(frozen, "step_started", '"health"')
        frozen.send_signal(signal.SIGSTOP)
        other = elsewhere(fleet)
        assert other("reconcile", "--json", code=BUSY).finished["result"] == "busy"
        done = other("reconcile", "--json", "--wait", "60").finished
        assert [s["revision"] for s in done["services"]] == [2]
        before = fleet.picture()
        frozen.send_signal(signal.SIGCONT)
        ended = rest_of(frozen)
        assert ended.code == BUSY, ended
        failures = [event for event in ended.events if event["type"] == "failed"]
        assert [one["error_id"] for one in failures] in (["lock-lost"], ["stale-fence"]), failures
        assert ended.finished["result"] == "busy"
        assert "Traceback" not in ended.err
        assert fleet.picture() == before
    assert load.report.failed == 0, load.report
    status = fleet.status()
    assert (status["revision"], status["state"], status["ready"]) == (2, "converged", 3)


def test_a_closed_terminal_ends_a_run_in_order(fleet: Fleet) -> None:
    """All three streams are the terminal, as when a person's connection breaks."""
    fleet.play(replicas=2, surge=1)
    fleet("deploy", "web")
    with fleet.load(60) as load:
        fleet.play(replicas=2, surge=1, image="registry:5000/app:2")
        ours, theirs = pty.openpty()
        process = fleet.start(
            "deploy",
            "web",
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        os.close(theirs)
        seen = b""
        while b"health" not in seen:
            seen += os.read(ours, 4096)
        os.close(ours)
        assert process.wait(timeout=120) == 128 + signal.SIGHUP
        assert fleet.status()["state"] == "rolling"
        done = elsewhere(fleet)("reconcile", "--json").finished
        assert [s["revision"] for s in done["services"]] == [2]
    assert load.report.failed == 0, load.report
    status = fleet.status()
    assert (status["state"], status["ready"]) == ("converged", 2)


def test_twenty_racers(fleet: Fleet) -> None:
    """One changes at a time; who doesn't wait ends with 7; in the end all slots agree."""
    fleet.play(replicas=2, image="registry:5000/app:{{ version | default('1') }}", surge=2)
    fleet("deploy", "web")
    racers = []
    for number in range(20):
        patience = ("--wait", "240") if number % 5 == 0 else ()
        version = f"version={1 + number % 2}"
        racers.append(fleet.start("deploy", "web", "--json", "-e", version, *patience))
    with ThreadPoolExecutor(20) as pool:
        ended = list(pool.map(lambda racer: racer.communicate(timeout=300), racers))
    codes = [racer.returncode for racer in racers]
    assert all("Traceback" not in err for _, err in ended)
    assert {codes[number] for number in range(0, 20, 5)} == {0}, codes
    assert set(codes) == {0, BUSY}, (codes, ended)
    for code, (out, _) in zip(codes, ended, strict=True):
        events = [json.loads(line) for line in out.splitlines()]
        assert events[-1]["exit_code"] == code
        if code == BUSY:
            assert [e["error_id"] for e in events if e["type"] == "failed"] == ["lock-held"]
            assert not [e for e in events if e["type"] == "step_started"]
    turns = _turns(fleet)
    assert len(turns) >= 2
    for (_, ended_at), (began_at, _) in pairwise(turns):
        assert ended_at <= began_at, turns
    fleet("deploy", "web", "-e", "version=1")
    status = fleet.status()
    assert (status["state"], status["ready"]) == ("converged", 2)
    assert len(fleet.containers()) == 2


def _turns(fleet: Fleet) -> list[tuple[float, float]]:
    """When each run of this controller had its first intent and its last outcome."""
    (journal,) = (fleet.root / ".fleetctl").glob("*.db")
    with sqlite3.connect(journal) as db:
        return db.execute(
            "SELECT min(at), max(at) FROM steps GROUP BY run ORDER BY min(at)"
        ).fetchall()


def test_ctrl_c_ends_the_wait_for_a_lock(fleet: Fleet) -> None:
    fleet.play(replicas=1, surge=1)
    fleet("lock", "web", "-m", "audit")
    waiting = fleet.start("deploy", "web", "--json", "--wait", "3600")
    wait_for(waiting, "run_started")
    time.sleep(3)  # it is at the lock by now; if it isn't, it has to end all the same
    assert waiting.poll() is None
    waiting.send_signal(signal.SIGINT)
    ended = rest_of(waiting, within=30)
    assert ended.code == 130, ended
    failed = [event for event in ended.events if event["type"] == "failed"]
    assert ["waiting for the lock" in one["message"] for one in failed] == [True], failed
    assert fleet("deploy", "web", "--wait", "1", "--json", code=BUSY).finished["result"] == "busy"
    fleet("unlock", "web")
    assert fleet("deploy", "web", "--json").finished["result"] == "ok"


def test_without_the_record_host_every_command_ends_with_its_own_code(fleet: Fleet) -> None:
    fleet.play(replicas=1, surge=1)
    fleet("deploy", "web")
    commands = [
        ("deploy", "web"),
        ("plan", "web"),
        ("rollback", "web"),
        ("reconcile",),
        ("status",),
        ("lock", "web", "-m", "no"),
        ("unlock", "web"),
    ]
    nodes = fleet.picture()
    fleet.lab.link("lb1", False)
    try:
        with ThreadPoolExecutor(len(commands)) as pool:
            ended = list(pool.map(lambda words: fleet.run(*words, timeout=120), commands))
        assert fleet("history", "web", "--json").document["entries"]
    finally:
        fleet.lab.link("lb1", True)
    for words, ran in zip(commands, ended, strict=True):
        assert ran.code == UNREACHABLE, (words, ran)
        assert "lb1" in ran.err, (words, ran)
    # The balancer was cut off too: it may take its server back, but no instance is touched.
    again = fleet("reconcile", "--json")
    print(again.out)
    after = fleet.picture()
    for name in ("node1", "node2", "node3"):
        assert after[name] == nodes[name], again.out


def test_a_controller_killed_anywhere_costs_no_request(fleet: Fleet) -> None:
    """Killed at, or a little after, random events of a roll; the next reconcile, from another
    working tree with no playbook, finishes it. ``make soak`` takes every event."""
    fleet.play(replicas=6)
    fleet("deploy", "web")
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    other = elsewhere(fleet)
    with fleet.load(80) as load:
        for number in range(3):
            fleet.play(image=f"registry:5000/app:{2 - number % 2}", env={"ROUND": number})
            point, delay = dice.randrange(3, 60), dice.choice((0.0, dice.uniform(0.0, 0.5)))
            at = fleet.kill_at(point, "deploy", "web", "--wait", "30", delay=delay)
            told = (seed, point, delay, at)
            assert at, f"the roll ended before its event {point}: {seed}"
            ended = other("reconcile", "--json", "--wait", "30").finished
            assert ended["exit_code"] == 0, (told, ended)
            status = other.status()
            assert (status["state"], status["ready"]) == ("converged", 6), told
            assert len({i["revision"] for i in status["instances"]}) == 1, told
            assert len(fleet.containers()) == 6, told
        assert other("reconcile", "--json").finished["result"] == "nothing_to_do"
    assert load.report.failed == 0, (seed, load.report)
