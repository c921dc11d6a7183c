"""One writer per scope on a host: later ones end earlier ones, earlier ones are refused."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import signal
import subprocess
import threading
from pathlib import Path

import pytest

from fleetctl.errors import CommandFailed, ConnectionLost, StaleFence
from fleetctl.model.record import Fence

SCOPE = "service-web"


def fence(number: int, holder: str = "h1", scope: str = SCOPE) -> Fence:
    return Fence(scope, number, holder)


@pytest.fixture
def server(sshd):
    return sshd()


@pytest.fixture
def both(server, pool):
    """Two controllers' connections to one host."""
    return pool(server).host("node1"), pool(server).host("node1")


def stored(server) -> list[str]:
    return (server.state / "fences" / SCOPE).read_text().splitlines()


def running(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


def test_the_first_writer_is_let_in_and_noted(server, both):
    node = both[0]
    assert node.run("echo in", fence=fence(3)).out == b"in\n"
    assert stored(server)[0] == "3 h1"
    assert (server.state.stat().st_mode & 0o777) == 0o700
    assert node.run("umask", fence=fence(3)).out == node.run("umask").out


def test_a_lower_number_is_refused(server, both):
    one, two = both
    one.run("true", fence=fence(5))
    for act in (
        lambda: two.run("touch $1", str(server.folder / "made"), fence=fence(4, "h2")),
        lambda: two.open(["touch", str(server.folder / "made")], fence(4, "h2")),
        lambda: two.shell(fence(4, "h2")).run("touch $1", str(server.folder / "made")),
        lambda: two.run("true", fence=fence(4)),
    ):
        with pytest.raises(StaleFence) as error:
            act()
        assert error.value.seen == 5
        assert error.value.host == "node1"
    assert not (server.folder / "made").exists()
    assert stored(server)[0] == "5 h1"


def test_an_equal_number_of_another_holder_is_refused(both):
    one, two = both
    channel = one.open(["cat"], fence(5))
    with pytest.raises(StaleFence) as error:
        two.open(["cat"], fence(5, "h2"))
    assert error.value.seen == 5
    channel.sendall(b"alive")
    assert channel.recv(10) == b"alive"


def test_scopes_do_not_disturb_each_other(both):
    one, two = both
    channel = one.open(["cat"], fence(5))
    two.run("true", fence=fence(9, "h2", "service-other"))
    two.run("true", fence=fence(1, "h2", "balancer-lb1.example"))
    channel.sendall(b"alive")
    assert channel.recv(10) == b"alive"


def test_one_holder_has_several_channels(server, both):
    one, two = both
    channels = [one.open(["cat"], fence(5)), two.open(["cat"], fence(5))]
    shell = one.shell(fence(5))
    assert shell.run("echo in").out == b"in\n"
    for channel in channels:
        channel.sendall(b"alive")
        assert channel.recv(10) == b"alive"
    assert len(stored(server)) == 4


def test_ended_commands_are_forgotten(server, both):
    for _ in range(3):
        both[0].run("true", fence=fence(5))
    with both[0].open(["cat"], fence(5)):
        assert len(stored(server)) <= 3


def test_a_later_writer_ends_the_earlier_ones(both):
    one, two = both
    channel, shell = one.open(["cat"], fence(5)), one.shell(fence(5))
    pid = int(shell.run("echo $$").out)
    errors = []

    def long() -> None:
        try:
            shell.run("sleep 10000", timeout=10_000)
        except ConnectionLost as error:
            errors.append(error)

    got: list[bytes] = []
    threads = [
        threading.Thread(target=long, daemon=True),
        threading.Thread(target=lambda: got.append(channel.recv(1)), daemon=True),
    ]
    for thread in threads:
        thread.start()
    two.open(["cat"], fence(6, "h2"))
    assert not running(pid)
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert got == [b""]
    assert len(errors) == 1
    with pytest.raises(StaleFence):
        shell.run("echo on")
    assert one.run("echo unfenced").out == b"unfenced\n"


def test_a_raised_number_of_the_same_holder_ends_its_own_older_channels(both):
    one = both[0]
    old = one.open(["cat"], fence(5))
    new = one.open(["cat"], fence(6))
    assert old.recv(1) == b""
    new.sendall(b"alive")
    assert new.recv(10) == b"alive"


def test_all_that_a_command_started_ends_with_it(both):
    one, two = both
    channel = one.open(
        ["sh", "-c", "timeout 10000 sleep 10000 & echo $!; sh -c 'echo $$; exec sleep 10000'"],
        fence(5),
    )
    lines = channel.makefile()
    pids = [int(lines.readline()) for _ in range(2)]
    assert all(running(pid) for pid in pids)
    two.open(["cat"], fence(6, "h2"))
    assert not any(running(pid) for pid in pids)


def test_what_outlived_its_command_is_ended_too(server, both):
    one, two = both
    channel = one.open(["sh", "-c", "sleep 10000 & echo $!; echo $$; wait"], fence(5))
    lines = channel.makefile()
    left, leader = int(lines.readline()), int(lines.readline())
    assert stored(server)[1].startswith(f"{leader} ")
    os.kill(leader, signal.SIGKILL)
    one.run("true", fence=fence(5))
    assert running(left)
    two.open(["cat"], fence(6, "h2"))
    assert not running(left)


def test_strangers_with_a_noted_number_are_left_alone(server, both):
    one, two = both
    one.run("true", fence=fence(5))
    reused = subprocess.Popen(["sleep", "10000"], start_new_session=True)
    leader = subprocess.Popen(
        ["sh", "-c", "sleep 10000 & echo $!"], start_new_session=True, stdout=subprocess.PIPE
    )
    orphan = int(leader.stdout.readline())
    leader.wait()
    try:
        (server.state / "fences" / SCOPE).write_text(
            f"5 h1\n{reused.pid} 1 fleetctl-0123\n{leader.pid} 1 fleetctl-4567\n"
        )
        two.open(["cat"], fence(6, "h2"))
        assert reused.poll() is None
        assert running(orphan)
    finally:
        reused.kill()
        reused.wait()
        os.kill(orphan, signal.SIGKILL)


def test_a_fence_outlives_connections(server, pool):
    first = pool(server)
    first.host("node1").run("true", fence=fence(7))
    first.close()
    with pytest.raises(StaleFence) as error:
        pool(server).host("node1").run("true", fence=fence(6))
    assert error.value.seen == 7
    assert pool(server).host("node1").run("echo in", fence=fence(8)).out == b"in\n"


def test_a_damaged_fence_lets_nobody_in(server, both):
    both[0].run("true", fence=fence(7))
    for text in ("", "seven h1\n", "7\n"):
        (server.state / "fences" / SCOPE).write_text(text)
        with pytest.raises(CommandFailed, match="damaged"):
            both[0].run("true", fence=fence(9))


@pytest.mark.parametrize(
    "wrong",
    [
        fence(1, scope="../x"),
        fence(1, scope="a/b"),
        fence(1, scope=".web.lock"),
        fence(1, scope="-n"),
        fence(1, scope="a b"),
        fence(1, scope="$(id)"),
        fence(1, scope=""),
        fence(1, scope="a\n"),
        fence(1, holder="h 1"),
        fence(1, holder="h\n9 x"),
        fence(1, holder=""),
        fence(0),
    ],
)
def test_names_that_are_none_are_refused(server, both, wrong):
    with pytest.raises(ValueError):
        both[0].run("true", fence=wrong)
    assert not server.state.exists()


def test_the_guard_waits_for_another_guard_of_its_scope(server, both, until):
    one, two = both
    one.run("true", fence=fence(5))
    answers: list[bytes] = []
    with open(server.state / "fences" / f".{SCOPE}.lock") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        thread = threading.Thread(
            target=lambda: answers.append(two.run("echo in", fence=fence(6, "h2")).out)
        )
        thread.start()
        waiting = re.compile(rf"-> FLOCK .*:{os.fstat(lock.fileno()).st_ino} ")
        until(lambda: waiting.search(Path("/proc/locks").read_text()))
        assert stored(server)[0] == "5 h1"
    thread.join(60)
    assert answers == [b"in\n"]
    assert stored(server)[0] == "6 h2"


def test_racing_writers_leave_the_highest(server, pool):
    nodes = [pool(server).host("node1") for _ in range(4)]
    held = []  # a channel that nobody holds is closed, and its command ends

    def race(node, number: int) -> None:
        with contextlib.suppress(StaleFence):
            held.append(node.open(["cat"], fence(number, f"h{number}")))

    threads = [
        threading.Thread(target=race, args=(node, number))
        for number, node in enumerate(nodes * 2, 1)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert stored(server)[0] == "8 h8"
    assert sum(running(int(line.split()[0])) for line in stored(server)[1:]) == 1
