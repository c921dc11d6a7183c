"""Locks: one holder at a time, whoever dies, freezes, or has a wrong clock."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from state_hosts import PATIENCE, ROOT, FolderHosts, becomes_lost

from fleetctl.errors import LockHeld, LockLost
from fleetctl.state.holder import is_dead, this_holder
from fleetctl.state.lockfile import LockFiles, Taken
from fleetctl.state.locks import HostLocks

LONG = 600.0
SHORT = 2.0


@pytest.fixture
def hosts(tmp_path: Path) -> FolderHosts:
    return FolderHosts(tmp_path, "lb1")


def locks_of(hosts: FolderHosts, who: str = "ann", lease: float = LONG) -> HostLocks:
    """The locks of one more run, on this machine."""
    holder = this_holder(who, "fleetctl deploy web")
    return HostLocks(hosts, "lb1", holder, lease, settle=0.01, root=ROOT)


def elsewhere(hosts: FolderHosts, scope: str, lease: float) -> Taken:
    """A run on another machine takes the lock and is never heard of again."""
    holder = dataclasses.replace(this_holder("bob", "fleetctl deploy web"), host="ci", boot="b/1")
    taken = LockFiles(hosts, "lb1", ROOT).take(scope, f"{holder.id}.1", holder, lease, "-")
    assert isinstance(taken, Taken)
    return taken


@contextmanager
def child(folder: Path, lease: float) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A process of its own that holds the lock, and its fence."""
    program = Path(__file__).with_name("lock_child.py")
    process = subprocess.Popen(
        [sys.executable, str(program), str(folder), str(lease)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        word, _, number = process.stdout.readline().partition(" ")
        assert word == "held"
        yield process, int(number)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()


def ask(process: subprocess.Popen[str]) -> str:
    process.stdin.write("check\n")
    process.stdin.flush()
    return process.stdout.readline()


class Enough(Exception):
    """What a check raises."""


def test_who_waits_for_another_run_can_be_stopped(hosts):
    asked = []

    def check() -> None:
        asked.append(1)
        if len(asked) == 2:
            raise Enough

    ann, bob = locks_of(hosts), locks_of(hosts, "bob")
    lease = ann.acquire("service-web", 0, check)
    assert asked == []
    with pytest.raises(Enough):
        bob.acquire("service-web", LONG, check)
    asked.clear()
    with pytest.raises(Enough):
        ann.acquire("service-web", LONG, check)  # its own process has it
    lease.release()
    bob.acquire("service-web", 0, check).release()


def test_a_lock_is_held_until_it_is_released(hosts):
    ann, bob = locks_of(hosts), locks_of(hosts, "bob")
    lease = ann.acquire("service-web", 0)
    lease.check()
    assert ann.holder("service-web") == bob.holder("service-web") == ann._holder
    with pytest.raises(LockHeld):
        bob.acquire("service-web", 0)
    other = bob.acquire("service-api", 0)
    lease.release()
    assert bob.holder("service-web") is None
    bob.acquire("service-web", 0).release()
    other.release()


def test_the_refusal_names_the_holder_the_command_and_the_time(hosts):
    locks_of(hosts).acquire("service-web", 0)
    with pytest.raises(LockHeld) as caught:
        locks_of(hosts, "bob").acquire("service-web", 0)
    message = str(caught.value)
    assert message.startswith(f"service web is locked by ann@{os.uname().nodename}")
    assert "(fleetctl deploy web) since 20" in message
    assert "s more unless it is renewed" in message
    assert "--wait" in caught.value.hint
    assert caught.value.exit_code == 7


def test_the_fence_rises_with_each_holder_and_outlives_release(hosts):
    numbers = []
    for _ in range(3):
        lease = locks_of(hosts).acquire("service-web", 0)
        numbers.append(lease.fence.number)
        assert (lease.fence.scope, lease.fence.holder) == ("service-web", lease.token[:16])
        lease.release()
    assert numbers == [1, 2, 3]


def test_a_fence_is_raised_above_what_a_host_has_seen(hosts):
    ann = locks_of(hosts)
    lease = ann.acquire("service-web", 0)
    lease.raise_to(40)
    assert lease.fence.number == 40
    lease.raise_to(7)
    assert lease.fence.number == 40
    lease.check()
    lease.release()
    assert locks_of(hosts).acquire("service-web", 0).fence.number == 41


def test_releasing_twice_frees_no_lock_of_somebody_else(hosts):
    ann, bob = locks_of(hosts), locks_of(hosts, "bob")
    lease = ann.acquire("service-web", 0)
    lease.release()
    other = bob.acquire("service-web", 0)
    lease.release()
    other.check()
    assert bob.holder("service-web") == bob._holder
    with pytest.raises(LockLost):
        lease.check()
    with pytest.raises(LockLost):
        lease.raise_to(9)


def test_threads_of_one_run_exclude_each_other(hosts):
    ann = locks_of(hosts)
    lease = ann.acquire("balancer-lb1", 0)
    with pytest.raises(LockHeld, match="balancer lb1 is locked by ann@"):
        ann.acquire("balancer-lb1", 0)
    waiting: list[int] = []
    thread = threading.Thread(
        target=lambda: waiting.append(ann.acquire("balancer-lb1", PATIENCE).fence.number)
    )
    thread.start()
    lease.release()
    thread.join()
    assert waiting == [2]


def test_twenty_racers_hold_it_one_at_a_time(hosts):
    inside = overlaps = 0
    numbers: list[int] = []
    failures: list[BaseException] = []

    def race() -> None:
        nonlocal inside, overlaps
        try:
            lease = locks_of(hosts).acquire("service-web", PATIENCE)
            inside += 1
            overlaps += inside > 1
            numbers.append(lease.fence.number)
            time.sleep(0.02)
            overlaps += inside > 1
            inside -= 1
            lease.check()
            lease.release()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=race) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert overlaps == 0
    assert numbers == list(range(1, 21))


def test_a_successor_lets_the_last_acts_of_the_dead_one_land(hosts, monkeypatch):
    pauses: list[float] = []
    sleep = time.sleep

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        sleep(min(seconds, 0.1))

    monkeypatch.setattr(time, "sleep", pause)
    patient = HostLocks(hosts, "lb1", this_holder("ann", "x"), LONG, root=ROOT)
    patient.acquire("service-web", 0).release()
    assert pauses.count(1.0) == 0
    elsewhere(hosts, "service-web", 0.0)
    patient.acquire("service-web", 0).check()
    assert pauses.count(1.0) == 1


@pytest.mark.parametrize("reaped", [False, True], ids=["zombie", "gone"])
def test_a_killed_holder_on_this_machine_is_taken_over_at_once(hosts, tmp_path, reaped):
    with child(tmp_path, LONG) as (process, number):
        with pytest.raises(LockHeld):
            locks_of(hosts).acquire("service-web", 0)
        process.send_signal(signal.SIGKILL)
        if reaped:
            process.wait()
        else:
            os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        ann = locks_of(hosts)
        assert ann.holder("service-web") is None
        lease = ann.acquire("service-web", 0)
        assert lease.fence.number == number + 1
        lease.check()


def test_a_frozen_holder_loses_the_lock_and_knows_it(hosts, tmp_path):
    with child(tmp_path, 5.0) as (process, number):
        assert ask(process) == "ok\n"
        process.send_signal(signal.SIGSTOP)
        lease = locks_of(hosts).acquire("service-web", PATIENCE)
        process.send_signal(signal.SIGCONT)
        assert lease.fence.number == number + 1
        assert ask(process).startswith("lost the lock of service web ")
        lease.check()


def test_a_holder_elsewhere_keeps_the_lock_to_the_end_of_its_lease(hosts):
    elsewhere(hosts, "service-web", LONG)
    with pytest.raises(LockHeld, match="bob@ci"):
        locks_of(hosts).acquire("service-web", 0.5)
    elsewhere(hosts, "service-api", SHORT)
    lease = locks_of(hosts).acquire("service-api", PATIENCE)
    assert lease.fence.number == 2
    lease.check()


def test_a_lease_is_renewed_beyond_its_time(hosts):
    lease = locks_of(hosts, lease=6.0).acquire("service-web", 0)
    first = renewals(hosts)
    deadline = time.monotonic() + PATIENCE
    while renewals(hosts) < first + 700 and time.monotonic() < deadline:
        lease.check()
        time.sleep(0.1)
    assert renewals(hosts) >= first + 700
    lease.check()


def renewals(hosts: FolderHosts) -> int:
    """When the lock was last renewed, in hundredths of a second of the host's uptime."""
    return int((hosts["lb1"].folder / "locks" / "service-web.lock").read_text().split()[5])


def forget(file: Path) -> None:
    file.unlink()


def scribble(file: Path) -> None:
    file.write_bytes(b"\0\0\xffnoise")


def empty(file: Path) -> None:
    file.write_bytes(b"")


@pytest.mark.parametrize("harm", [forget, scribble, empty])
def test_a_lock_file_that_was_lost_is_a_lock_lost(hosts, harm: Callable[[Path], None]):
    lease = locks_of(hosts, lease=SHORT).acquire("service-web", 0)
    harm(hosts["lb1"].folder / "locks" / "service-web.lock")
    becomes_lost(lease)
    again = locks_of(hosts).acquire("service-web", 0)
    again.raise_to(lease.fence.number + 1)
    assert again.fence.number == 2


def test_a_lock_host_that_is_lost_loses_the_lock_in_time(hosts):
    lease = locks_of(hosts, lease=SHORT).acquire("service-web", 0)
    hosts.cut("lb1")
    error = becomes_lost(lease)
    assert "was not renewed on lb1" in str(error)
    assert "lb1 does not answer" in str(error)
    hosts.mend("lb1")
    with pytest.raises(LockLost):
        lease.check()
    lease.release()


def test_releasing_never_raises(hosts):
    lease = locks_of(hosts).acquire("service-web", 0)
    hosts.cut("lb1")
    lease.release()


def test_no_clock_that_somebody_can_set_decides(hosts, tmp_path, monkeypatch):
    programs = tmp_path / "programs"
    programs.mkdir()
    date = programs / "date"
    lease = locks_of(hosts).acquire("service-web", 0)
    real = time.time
    for hours in (-1, 1):
        monkeypatch.setattr(time, "time", lambda hours=hours: real() + hours * 3600)
        date.write_text(f"#!/bin/sh\necho {int(real()) - hours * 3600}\n")
        date.chmod(0o755)
        hosts["lb1"].programs = str(programs)
        with pytest.raises(LockHeld):
            locks_of(hosts).acquire("service-web", 0)
        lease.check()
    elsewhere(hosts, "service-api", SHORT)
    locks_of(hosts).acquire("service-api", PATIENCE).check()


def test_after_a_reboot_of_the_lock_host_a_lease_lasts_its_whole_time_again(hosts):
    uptime = time.clock_gettime(time.CLOCK_BOOTTIME)
    for scope, lease in (("service-old", uptime / 2), ("service-new", uptime * 2)):
        elsewhere(hosts, scope, lease)
        file = hosts["lb1"].folder / "locks" / f"{scope}.lock"
        words = file.read_text().split(" ")
        words[4] = "another-boot"
        file.write_text(" ".join(words))
    locks_of(hosts).acquire("service-old", 0).check()
    with pytest.raises(LockHeld):
        locks_of(hosts).acquire("service-new", 0)


def test_a_person_holds_a_lock_until_it_is_freed(hosts):
    ann, eve = locks_of(hosts, lease=0.01), locks_of(hosts, "eve", lease=0.01)
    eve.hold("service-web", "moving the database")
    time.sleep(0.1)
    for attempt in (lambda: ann.acquire("service-web", 0), lambda: ann.hold("service-web", "x")):
        with pytest.raises(LockHeld) as caught:
            attempt()
        assert f"service web is locked by eve@{os.uname().nodename} since 20" in str(caught.value)
        assert str(caught.value).endswith(": moving the database")
        assert "`fleetctl unlock web`" in caught.value.hint
    found = ann.holder("service-web")
    assert (found.who, found.kind, found.reason) == ("eve", "person", "moving the database")
    assert ann.free("service-web") == found
    assert ann.free("service-web") is None
    assert ann.acquire("service-web", 0).fence.number == 2


def test_a_person_neither_takes_nor_frees_the_lock_of_a_run(hosts):
    lease = locks_of(hosts).acquire("service-web", 0)
    bob = locks_of(hosts, "bob")
    with pytest.raises(LockHeld, match="locked by ann"):
        bob.hold("service-web", "mine")
    with pytest.raises(LockHeld, match="locked by ann"):
        bob.free("service-web")
    lease.check()


def test_a_persons_lock_outlives_the_process_that_took_it(hosts):
    gone = subprocess.Popen(["true"])
    gone.wait()
    holder = dataclasses.replace(this_holder("eve", "fleetctl lock web"), pid=gone.pid)
    HostLocks(hosts, "lb1", holder, root=ROOT).hold("service-web", "r")
    with pytest.raises(LockHeld, match="locked by eve"):
        locks_of(hosts).acquire("service-web", 0)


def test_closing_releases_what_is_still_held(hosts):
    ann = locks_of(hosts)
    leases = [ann.acquire(scope, 0) for scope in ("service-web", "balancer-lb1")]
    ann.close()
    for lease in leases:
        with pytest.raises(LockLost):
            lease.check()
        assert ann.holder(lease.fence.scope) is None


@pytest.mark.parametrize("scope", ["../x", "a/b", "", "-x", "a b", "x;id", ".flock"])
def test_a_scope_is_a_name_and_no_path(hosts, scope):
    with pytest.raises(ValueError, match="not a scope"):
        locks_of(hosts).acquire(scope, 0)


def test_a_holder_is_dead_only_on_proof():
    me = this_holder("ann", "x")
    gone = subprocess.Popen(["true"])
    gone.wait()
    assert len(me.id) == 16
    assert me.id != this_holder("ann", "x").id
    assert not is_dead(me)
    assert is_dead(dataclasses.replace(me, pid=gone.pid))
    assert is_dead(dataclasses.replace(me, started=me.started + 1))
    for unknown in ({"host": "ci"}, {"boot": "other"}, {"boot": ""}, {"kind": "person"}):
        assert not is_dead(dataclasses.replace(me, pid=gone.pid, **unknown))
