"""The example application as a plain process: keep-alive, bodies, and how it stops."""

from __future__ import annotations

import http.client
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleetctl.lab import image

Start = Callable[..., tuple[subprocess.Popen[str], int]]


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("app") / "app"
    path.write_bytes(image.application())
    path.chmod(0o755)
    return path


@pytest.fixture
def start(program: Path) -> Iterator[Start]:
    """Starts the application with these switches, once it listens: the process and its port."""
    running = []

    def begin(**switches: object) -> tuple[subprocess.Popen[str], int]:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        settings = {name: str(value) for name, value in switches.items()}
        process = subprocess.Popen(
            [program],
            env={"PORT": str(port), "REVISION": "7", "FLEETCTL_INSTANCE": "web-0", **settings},
            stdout=subprocess.PIPE,
            text=True,
        )
        running.append(process)
        assert process.stdout is not None
        while "listening" not in process.stdout.readline():
            assert process.poll() is None
        return process, port

    yield begin
    for process in running:
        with process:
            process.kill()


def connect(port: int) -> http.client.HTTPConnection:
    return http.client.HTTPConnection("127.0.0.1", port, timeout=30)


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, body: bytes | None = None
) -> tuple[int, str, str | None]:
    connection.request(method, path, body)
    answer = connection.getresponse()
    return answer.status, answer.read().decode(), answer.getheader("Connection")


def test_one_connection_carries_many_requests(start: Start) -> None:
    _, port = start()
    connection = connect(port)
    good = "revision 7\ninstance web-0\nreceived {}\n"
    assert ask(connection, "GET", "/") == (200, good.format(0), "keep-alive")
    assert ask(connection, "POST", "/", b"x" * 100_000) == (200, good.format(100_000), "keep-alive")
    assert ask(connection, "HEAD", "/") == (200, "", "keep-alive")
    assert ask(connection, "GET", "/nowhere")[0] == 404
    assert ask(connection, "GET", "/?query=1")[0] == 200


def test_pipelined_and_cut_up_requests_are_answered_in_order(start: Start) -> None:
    _, port = start()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\nPOST / HTTP/1.1\r\nHo")
        sock.sendall(b"st: a\r\nContent-Length: 3\r\n\r\nab")
        sock.sendall(b"cGET /version HTTP/1.1\r\nConnection: close\r\n\r\n")
        data = sock.makefile("rb").read()
    assert data.count(b"HTTP/1.1 200 OK") == 3
    assert data.index(b"ok\n") < data.index(b"received 3\n") < data.index(b'"revision": "7"')


def test_what_is_not_http_gets_400(start: Start) -> None:
    _, port = start()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(b"hello\r\n\r\n")
        assert sock.makefile("rb").read().startswith(b"HTTP/1.1 400 ")


def test_many_connections_at_once(start: Start) -> None:
    _, port = start()
    connections = [connect(port) for _ in range(200)]
    for connection in connections:
        connection.request("GET", "/slow?ms=100")
    assert all(connection.getresponse().status == 200 for connection in connections)
    for connection in connections:
        connection.close()


def test_sigterm_ends_idle_connections_and_finishes_open_requests(start: Start) -> None:
    process, port = start()
    idle, busy = connect(port), connect(port)
    assert ask(idle, "GET", "/")[0] == 200
    busy.request("GET", "/slow?ms=2000")
    assert idle.sock is not None
    wait_until_read(busy)
    process.send_signal(signal.SIGTERM)
    assert idle.sock.recv(1) == b""
    answer = busy.getresponse()
    assert (answer.status, answer.getheader("Connection")) == (200, "close")
    assert answer.read().startswith(b"revision 7")
    with pytest.raises(ConnectionRefusedError):
        connect(port).connect()
    assert process.wait(timeout=60) == 0


def wait_until_read(connection: http.client.HTTPConnection) -> None:
    """Until the server has taken the request off its socket: none of its queues holds a byte."""
    assert connection.sock is not None
    client = f"0100007F:{connection.sock.getsockname()[1]:04X}"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[2] == client and fields[3] == "01" and fields[4].endswith(":00000000"):
                return
        time.sleep(0.01)
    raise AssertionError("the request was never read")


def test_ignore_term_keeps_serving(start: Start) -> None:
    process, port = start(IGNORE_TERM=1)
    process.send_signal(signal.SIGTERM)
    assert ask(connect(port), "GET", "/")[0] == 200
    assert process.poll() is None


def test_an_answer_can_be_delayed(start: Start) -> None:
    process, port = start(DELAY_MS=300_000)
    connection = connect(port)
    assert ask(connection, "GET", "/healthz")[0] == 200
    connection.request("GET", "/")
    assert connection.sock is not None
    connection.sock.settimeout(1)
    with pytest.raises(TimeoutError):
        connection.sock.recv(1)
    assert process.poll() is None


def test_images_are_equal_for_equal_sources_and_differ_by_tag() -> None:
    first, second = image.build(), image.build()
    assert first == second
    assert len(set(first.manifests.values())) == len(image.TAGS)
    assert {"1", "2", "3", "broken", "exits"} <= set(first.manifests)


def test_below_a_prefix_everything_is_found_too(start: Start) -> None:
    _, port = start(PREFIX="/shop")
    connection = connect(port)
    whole = (200, "revision 7\ninstance web-0\nreceived 0\n", "keep-alive")
    for path in ("/", "/shop", "/shop/", "/shop?query=1"):
        assert ask(connection, "GET", path) == whole, path
    assert ask(connection, "GET", "/shop/healthz")[0] == 200
    assert [ask(connection, "GET", path)[0] for path in ("/shopping", "/shop/shop")] == [404, 404]


def test_a_download_comes_piece_by_piece(start: Start) -> None:
    _, port = start()
    status, body, _ = ask(connect(port), "GET", "/download?kb=5&ms=10")
    assert (status, len(body)) == (200, 5 * 1024)


def test_a_websocket_echoes_and_is_told_when_the_server_stops(start: Start) -> None:
    process, port = start()
    with socket.create_connection(("127.0.0.1", port), timeout=30) as sock:
        sock.sendall(
            b"GET /echo HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        head = sock.recv(4096)
        assert head.startswith(b"HTTP/1.1 101 ")
        assert b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n" in head  # RFC 6455, 1.3
        sock.sendall(b"\x81\x82\x01\x02\x03\x04" + bytes((ord("h") ^ 1, ord("i") ^ 2)))
        assert sock.recv(100) == b"\x81\x02hi"
        process.send_signal(signal.SIGTERM)
        assert sock.recv(100) == b"\x88\x02\x03\xe9"
        assert sock.recv(100) == b""
    assert process.wait(30) == 0
