"""The load client against servers that break the rules in one way each."""

from __future__ import annotations

import json
import signal
import socket
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from fleetctl.lab.load import Load, Report

Serve = Callable[[Callable[[socket.socket, bytes], bool]], str]


def answer(
    revision: str = "1", status: str = "200 OK", extra: str = "", received: int = 0
) -> bytes:
    body = f"revision {revision}\ninstance i\nreceived {received}\n"
    return (
        f"HTTP/1.1 {status}\r\nX-Revision: {revision}\r\nX-Instance: i\r\n{extra}"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def right(request: bytes) -> bytes:
    return answer(received=512 if request.startswith(b"POST") else 0)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server whose behaviour gets a connection and each request; False closes it."""
    servers = []

    def begin(behaviour: Callable[[socket.socket, bytes], bool]) -> str:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                data = b""
                while more := self.request.recv(65536):
                    data += more
                    size = 512 if data.startswith(b"POST") else 0
                    head = data.find(b"\r\n\r\n")
                    if head < 0 or len(data) < head + 4 + size:
                        continue
                    request, data = data, b""
                    if not behaviour(self.request, request):
                        return

        server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/"

    yield begin
    for server in servers:
        server.shutdown()
        server.server_close()


def run(url: str, *, count: int = 20, allow: str = "") -> Report:
    """The report of ``count`` requests."""
    options = ["--rate", "200", "--seconds", str(count / 200), "--allow", allow, "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "fleetctl.lab.load", url, *options],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return Report(**json.loads(done.stdout))


def test_a_right_server_has_no_failures_and_kept_connections_are_kept(serve: Serve) -> None:
    def behave(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(right(request))
        return b"Connection: close" not in request

    report = run(serve(behave), count=200, allow="1")
    assert (report.sent, report.failed, report.revisions) == (200, 0, {"1": 200})
    assert report.connections < 150  # 100 of their own; the other 100 requests share


def test_connection_close_is_obeyed(serve: Serve) -> None:
    def behave(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(
            right(request).replace(b"X-Instance", b"Connection: close\r\nX-Instance")
        )
        return False

    report = run(serve(behave))
    assert (report.failed, report.connections) == (0, 20)


def test_an_idle_connection_that_the_server_closed_is_no_failure(serve: Serve) -> None:
    def behave(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(right(request))
        return False  # says keep-alive, and closes

    assert run(serve(behave)).failed == 0


def test_a_close_instead_of_an_answer_is_a_failure_and_is_not_repeated(serve: Serve) -> None:
    seen = []

    def behave(connection: socket.socket, request: bytes) -> bool:
        seen.append(request)
        return False

    report = run(serve(behave))
    assert report.failures == {"reset": 20}
    assert len(seen) == 20


def test_a_cut_body_is_a_failure(serve: Serve) -> None:
    def behave(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(right(request)[:-5])
        return False

    assert run(serve(behave)).failures == {"reset": 20}


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (answer(status="503 Service Unavailable"), "status"),
        (answer(status="404 Not Found"), "status"),
        (answer(received=1), "body"),
        (answer().replace(b"X-Revision: 1", b"X-Revision: 2"), "body"),
        (b"garbage\r\n\r\n", "body"),
        (answer(revision="3"), "revision"),
    ],
)
def test_wrong_answers_fail_by_kind(serve: Serve, data: bytes, kind: str) -> None:
    def behave(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(data)
        return False

    report = run(serve(behave), count=1, allow="1,2")
    assert report.failures == {kind: 1}
    assert kind in report.examples[0]


def test_nobody_there_is_a_failure_to_connect() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    assert run(f"http://127.0.0.1:{port}/").failures == {"connect": 20}


def test_no_answer_fails_after_the_limit(serve: Serve) -> None:
    report = run(serve(lambda connection, request: True), count=2)
    assert report.failures == {"timeout": 2}


def test_orders_change_what_is_allowed_while_it_runs(serve: Serve) -> None:
    def behave(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(right(request))
        return b"Connection: close" not in request

    with Load(serve(behave), rate=200, allow=["1"]) as load:
        while load.so_far().answered < 20:
            time.sleep(0.05)
        assert load.so_far().failed == 0
        load.allow("2")
        while load.so_far().failed < 3:
            time.sleep(0.05)
        report = load.stop()
    assert set(report.failures) == {"revision"}
    assert report.sent == report.answered + report.failed


def test_sigterm_ends_it_with_a_report(serve: Serve) -> None:
    arrived = threading.Event()

    def behave(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(right(request))
        arrived.set()
        return b"Connection: close" not in request

    command = [sys.executable, "-m", "fleetctl.lab.load", serve(behave), "--rate", "50"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert arrived.wait(60)
        process.send_signal(signal.SIGTERM)
        out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    assert "0 failed" in out
