"""Record and locks over a real sshd: the host's shell, its fences, its silence."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from state_hosts import PATIENCE, becomes_lost

from fleetctl.errors import LockHeld, StaleFence, StaleWrite
from fleetctl.model.record import Document, Fence
from fleetctl.state.holder import this_holder
from fleetctl.state.locks import HostLocks
from fleetctl.state.record import HostRecord

FENCE = Fence("service-web", 1, "aa")

CHILD = """
import sys, time
from fleetctl.model.fleet import Login
from fleetctl.ssh.connections import Connections
from fleetctl.state.holder import this_holder
from fleetctl.state.locks import HostLocks
port, key, known, state = sys.argv[1:]
login = Login("127.0.0.1", int(port), USER, key, known_hosts=(known,))
connections = Connections({"lb1": login}, state_dir=state)
locks = HostLocks(connections, "lb1", this_holder("child", "deploy"), 600.0, root=state)
print(locks.acquire("service-web", 60).fence.number, flush=True)
time.sleep(600)
"""


@pytest.fixture
def server(sshd):
    return sshd()


def locks_of(connections, server, who: str = "ann", lease: float = 600.0) -> HostLocks:
    holder = this_holder(who, "fleetctl deploy web")
    return HostLocks(connections, "lb1", holder, lease, settle=0.01, root=str(server.state))


def test_the_record_over_ssh(server, pool):
    connections = pool(server, lb1=server.login())
    record = HostRecord(connections, ["lb1"], root=str(server.state))
    assert record.read() == {}
    record.write("fleet", {"lineage": "00ff"}, 0, FENCE)
    large = {"text": "é\n" * 200_000, "$(id)": "`id`"}
    for generation in range(3):
        record.write("service/web", large | {"n": generation}, generation, FENCE)
    assert record.read() == {
        "fleet": Document("fleet", 1, {"lineage": "00ff"}),
        "service/web": Document("service/web", 3, large | {"n": 2}),
    }
    with pytest.raises(StaleWrite):
        record.write("service/web", {}, 1, FENCE)
    assert record.level(FENCE) == ()


def test_a_writer_that_was_taken_over_writes_no_record(server, pool):
    connections = pool(server, lb1=server.login())
    record = HostRecord(connections, ["lb1"], root=str(server.state))
    record.write("fleet", {"lineage": "00ff"}, 0, Fence("service-web", 2, "bb"))
    with pytest.raises(StaleFence) as caught:
        record.write("service/web", {}, 0, FENCE)
    assert caught.value.seen == 2
    assert list(record.read()) == ["fleet"]


def test_twenty_racers_over_four_connections(server, pool):
    inside = overlaps = 0
    numbers: list[int] = []
    failures: list[BaseException] = []
    pools = [pool(server, lb1=server.login()) for _ in range(4)]

    def race(number: int) -> None:
        nonlocal inside, overlaps
        try:
            lease = locks_of(pools[number % 4], server).acquire("service-web", PATIENCE)
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

    threads = [threading.Thread(target=race, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert overlaps == 0
    assert numbers == list(range(1, 21))


def test_a_killed_controller_is_taken_over_at_once(server, pool):
    login = server.login()
    told = [str(server.port), login.key_file, login.known_hosts[0], str(server.state)]
    child = CHILD.replace("USER", repr(login.user))
    process = subprocess.Popen(
        [sys.executable, "-c", child, *told], stdout=subprocess.PIPE, text=True
    )
    try:
        number = int(process.stdout.readline())
        ann = locks_of(pool(server, lb1=login), server)
        with pytest.raises(LockHeld, match="locked by child@"):
            ann.acquire("service-web", 0)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    assert ann.acquire("service-web", 0).fence.number == number + 1


def test_a_lock_host_that_falls_silent_loses_the_lock(server, pool, peer):
    connections = pool(server, lb1=server.login())
    lease = locks_of(connections, server, lease=5.0).acquire("service-web", 0)
    os.kill(peer(connections.host("lb1")), signal.SIGSTOP)
    message = str(becomes_lost(lease))
    assert message.startswith("the lock of service web was not renewed on lb1 for ")
    assert "stood still" not in message


def test_a_lost_connection_to_the_lock_host_is_made_again(server, pool, peer):
    connections = pool(server, lb1=server.login())
    lease = locks_of(connections, server, lease=60.0).acquire("service-web", 0)
    file = Path(server.state, "locks", "service-web.lock")
    os.kill(peer(connections.host("lb1")), signal.SIGKILL)
    before = file.read_text()
    deadline = time.monotonic() + PATIENCE
    while file.read_text() == before and time.monotonic() < deadline:
        lease.check()
        time.sleep(0.1)
    assert file.read_text() != before
    lease.check()
