"""Connections that end in the middle: every wait ends with ConnectionLost."""

from __future__ import annotations

import os
import signal
import threading

import pytest

from fleetctl.errors import ConnectionLost, HostError, Unreachable
from fleetctl.ssh import connections, transport, watchdog

LONG = 10_000.0


class Waiting(threading.Thread):
    """Runs a call to its end; ``error`` is what it raised."""

    def __init__(self, call) -> None:
        super().__init__(daemon=True)
        self.call = call
        self.error: BaseException | None = None
        self.start()

    def run(self) -> None:
        try:
            self.call()
        except BaseException as error:
            self.error = error


def wait_for_all(waiting: list[Waiting]) -> None:
    for thread in waiting:
        thread.join(120)
        assert not thread.is_alive()
        assert isinstance(thread.error, ConnectionLost), thread.error
        assert thread.error.host == "node1"
        assert "not known" in thread.error.message or "has ended" in thread.error.message


def begin_waits(node, until) -> list[Waiting]:
    """One wait of each kind, all under way when this returns."""
    silent, full = node.open(["sleep", "10000"]), node.open(["sleep", "10000"])
    shell = node.shell()
    begun = [node.run("mktemp -u").out.decode().strip() for _ in range(2)]
    waiting = [
        Waiting(lambda: silent.recv(1)),
        Waiting(lambda: full.sendall(b"x" * (64 << 20))),
        Waiting(lambda: shell.run('touch "$1"; sleep 10000', begun[0], timeout=LONG)),
        Waiting(lambda: node.run('touch "$1"; sleep 10000', begun[1], timeout=LONG)),
    ]
    for path in begun:
        until(lambda path=path: os.path.exists(path))
        os.unlink(path)
    return waiting


def test_a_cut_ends_every_wait(node, peer, until):
    pid = peer(node)
    waiting = begin_waits(node, until)
    os.kill(pid, signal.SIGKILL)
    wait_for_all(waiting)
    assert not node.alive
    for act in (
        lambda: node.run("true"),
        lambda: node.open(["cat"]),
        lambda: node.shell().run("true"),
        lambda: node.tcp("127.0.0.1", 1, 5),
    ):
        with pytest.raises(ConnectionLost):
            act()


def test_a_silent_peer_is_noticed(sshd, pool, peer, monkeypatch, until):
    monkeypatch.setattr(transport, "ASK_EVERY", 1)
    monkeypatch.setattr(watchdog, "PATIENCE", 4.0)
    node = pool(sshd()).host("node1")
    pid = peer(node)
    waiting = begin_waits(node, until)
    os.kill(pid, signal.SIGSTOP)
    wait_for_all(waiting)


def test_an_idle_peer_that_answers_is_kept(sshd, pool, monkeypatch, until):
    monkeypatch.setattr(transport, "ASK_EVERY", 1)
    server = sshd("LogLevel DEBUG3")
    node = pool(server).host("node1")

    def asked() -> int:
        return server.log().count("rtype keepalive@openssh.com want_reply 1")

    before = asked()
    until(lambda: asked() >= before + 2)
    assert node.run("echo there").out == b"there\n"


def test_a_command_killed_on_the_host_is_no_exit_code(node):
    with pytest.raises(ConnectionLost, match="ended on the host"):
        node.run("kill -KILL $$")


def test_a_lost_host_is_connected_to_anew(sshd, pool, peer, monkeypatch, until):
    monkeypatch.setattr(connections, "AGAIN_AFTER", 0.0)
    server = sshd()
    made = pool(server)
    node = made.host("node1")
    os.kill(peer(node), signal.SIGKILL)
    until(lambda: not node.alive)
    assert made.host("node1").run("echo back").out == b"back\n"
    os.kill(peer(made.host("node1")), signal.SIGKILL)
    server.stop()
    until(lambda: not made._places["node1"].connection.alive)
    for _ in range(2):
        with pytest.raises(Unreachable):
            made.host("node1")


def test_failures_are_remembered_until_connect_is_asked_again(sshd, pool):
    server = sshd()
    known = server.known.read_text()
    lost = server.folder / "later"
    made = pool(server, good=server.login(), bad=server.login(known_hosts=(str(lost),)))
    made.connect(["good", "bad"])
    assert made.host("good").run("echo in").out == b"in\n"
    with pytest.raises(HostError) as first:
        made.host("bad")
    lost.write_text(known)
    with pytest.raises(HostError) as second:
        made.host("bad")
    assert second.value is first.value
    made.connect(["good", "bad"])
    assert made.host("bad").run("echo in").out == b"in\n"


def test_a_silent_host_is_not_waited_for_again_at_once(sshd, pool, monkeypatch):
    server = sshd()
    made = pool(server)
    tried = []

    def never(name, login, patience):
        tried.append(name)
        raise Unreachable(f"{name}: does not answer", host=name)

    with monkeypatch.context() as patched:
        patched.setattr("fleetctl.ssh.connections.log_in", never)
        for _ in range(3):
            made.connect(["node1"])
            with pytest.raises(Unreachable):
                made.host("node1")
        assert tried == ["node1"]
        patched.setattr("fleetctl.ssh.connections.AGAIN_AFTER", 0.0)
        made.connect(["node1"])
        assert tried == ["node1"] * 2
    monkeypatch.setattr("fleetctl.ssh.connections.AGAIN_AFTER", 0.0)
    made.connect(["node1"])
    assert made.host("node1").run("echo back").out == b"back\n"


def test_a_host_that_fell_silent_is_not_waited_for_by_everybody(
    sshd, pool, peer, frozen, monkeypatch, until
):
    monkeypatch.setattr(transport, "ASK_EVERY", 1)
    monkeypatch.setattr(watchdog, "PATIENCE", 4.0)
    monkeypatch.setattr(connections, "AGAIN_AFTER", LONG)
    monkeypatch.setattr(connections, "SHORT_PATIENCE", 0.5)
    logins = []

    def noted(name, login, patience):
        logins.append(patience)
        return transport.log_in(name, login, patience)

    monkeypatch.setattr(connections, "log_in", noted)
    server = sshd()
    made = pool(server)
    node = made.host("node1")
    frozen(server.process.pid, peer(node))
    until(lambda: not node.alive)
    for _ in range(3):
        with pytest.raises(Unreachable, match="fell silent"):
            made.host("node1")
    assert logins == [None]
    for _ in range(3):
        made.connect(["node1"])
        with pytest.raises(Unreachable, match="no further"):
            made.host("node1")
    assert logins == [None, 0.5]
    os.kill(server.process.pid, signal.SIGCONT)
    monkeypatch.setattr(connections, "SHORT_PATIENCE", 60.0)
    monkeypatch.setattr(connections, "AGAIN_AFTER", 0.0)
    assert made.host("node1").run("echo back").out == b"back\n"
    assert logins == [None, 0.5, 60.0]


def test_a_host_that_fell_silent_is_found_back_by_the_next_look(
    sshd, pool, peer, frozen, monkeypatch, until
):
    monkeypatch.setattr(transport, "ASK_EVERY", 1)
    monkeypatch.setattr(watchdog, "PATIENCE", 4.0)
    monkeypatch.setattr(connections, "AGAIN_AFTER", LONG)
    monkeypatch.setattr(connections, "SHORT_PATIENCE", 60.0)
    made = pool(sshd())
    node = made.host("node1")
    frozen(peer(node))
    until(lambda: not node.alive)
    with pytest.raises(Unreachable, match="fell silent"):
        made.host("node1")
    made.connect(["node1"])
    assert made.host("node1").run("echo back").out == b"back\n"


def test_many_threads_share_one_connection(sshd, pool):
    server = sshd()
    made = pool(server)
    found = []
    threads = [threading.Thread(target=lambda: found.append(made.host("node1"))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(found) == 8
    assert len(set(map(id, found))) == 1
    assert server.log().count("Accepted publickey") == 1


def test_closed_connections_stay_closed(sshd, pool):
    made = pool(sshd())
    node = made.host("node1")
    made.close()
    with pytest.raises(ConnectionLost):
        node.run("true")
    with pytest.raises(HostError):
        made.host("node1")
