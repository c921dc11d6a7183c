from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from fake_docker import FakeConnections, FakeDocker

from fleetctl.containers.probing import probe
from fleetctl.errors import ConnectionLost, DeadlinePassed
from fleetctl.model.observed import Probe
from fleetctl.model.spec import Healthcheck

HTTP = Healthcheck("http", "http", "/healthz?deep=1", timeout=30.0)
TCP = Healthcheck("tcp", "http", timeout=30.0)


@contextmanager
def served(answer: Callable[[socket.socket], None]) -> Iterator[int]:
    """A port that gives each connection to ``answer``, one after another."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    answer(connection)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(30)


def ask(port: int, check: Healthcheck = HTTP) -> Probe:
    return probe(FakeConnections(FakeDocker()), "127.0.0.1", port, check)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("line", "ok", "words"),
    [
        (b"HTTP/1.1 200 OK\r\n", True, "200 after "),
        (b"HTTP/1.0 204\r\n", True, "204 after "),
        (b"HTTP/1.1 399 Odd\r\n\r\nbody", True, "399 after "),
        (b"HTTP/1.1 404 Not Found\r\n", False, "404 after "),
        (b"HTTP/1.1 503 Service Unavailable\r\n", False, "503 after "),
        (b"HTTP/1.1 100 Continue\r\n", False, "100 after "),
        (b"SSH-2.0-OpenSSH\r\n", False, "not HTTP"),
        (b"x" * 10_000, False, "not HTTP"),
        (b"", False, "closed without an answer"),
    ],
)
def test_answers(line: bytes, ok: bool, words: str) -> None:
    seen: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        seen.append(connection.recv(4096))
        connection.sendall(line)

    with served(answer) as port:
        found = ask(port)
    assert (found.ok, words in found.answer) == (ok, True), found
    assert found.asked == f"GET http://127.0.0.1:{port}/healthz?deep=1"
    request = seen[0].split(b"\r\n")
    assert request[0] == b"GET /healthz?deep=1 HTTP/1.1"
    assert f"Host: 127.0.0.1:{port}".encode() in request
    assert b"Connection: close" in request


def test_an_answer_in_pieces() -> None:
    def answer(connection: socket.socket) -> None:
        connection.recv(4096)
        for piece in (b"HTTP/1", b".1 20", b"0 OK\r\n"):
            connection.sendall(piece)

    with served(answer) as port:
        assert ask(port).ok


def test_no_answer_in_time() -> None:
    done = threading.Event()
    with served(lambda connection: bool(done.wait(30))) as port:
        found = ask(port, Healthcheck("http", "http", "/", timeout=0.1))
        assert (found.ok, found.answer.startswith("no answer after ")) == (False, True)
        done.set()


def test_a_trickle_does_not_prolong_the_question() -> None:
    done = threading.Event()

    def answer(connection: socket.socket) -> None:
        try:
            while not done.wait(0.02):
                connection.sendall(b"H")
        except OSError:
            pass

    with served(answer) as port:
        found = ask(port, Healthcheck("http", "http", "/", timeout=0.2))
        done.set()
    assert (found.ok, found.answer.startswith("no answer after ")) == (False, True)


def test_nobody_there_and_a_plain_connection() -> None:
    with served(lambda connection: None) as port:
        found = ask(port, TCP)
        assert (found.ok, found.asked) == (True, f"connect 127.0.0.1:{port}")
    for check in (TCP, HTTP):
        found = ask(port, check)
        assert (found.ok, found.answer.startswith("no connection")) == (False, True)


def test_a_path_is_one_line() -> None:
    seen: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        seen.append(connection.recv(4096))

    with served(answer) as port:
        ask(port, Healthcheck("http", "http", "/a b\r\nHost: evil\r\n", timeout=30.0))
    assert seen[0].startswith(b"GET /a%20b%0D%0AHost:%20evil%0D%0A HTTP/1.1\r\n")


class Ends:
    """A connection on which opening ends so."""

    def __init__(self, error: Exception, alive: bool) -> None:
        self.error = error
        self.alive = alive

    def tcp(self, address: str, port: int, timeout: float) -> socket.socket:
        raise self.error


def test_the_instance_is_told_from_the_connection() -> None:
    lost = ConnectionLost("ended")
    with pytest.raises(ConnectionLost):
        probe(Ends(lost, alive=False), "::1", 1, HTTP)  # type: ignore[arg-type]
    found = probe(Ends(lost, alive=True), "::1", 1, HTTP)  # type: ignore[arg-type]
    assert (found.ok, found.asked) == (False, "GET http://[::1]:1/healthz?deep=1")
    slow = probe(Ends(DeadlinePassed("slow"), alive=True), "::1", 1, HTTP)  # type: ignore[arg-type]
    assert (slow.ok, "no answer" in slow.answer) == (False, True)
