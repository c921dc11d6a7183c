"""The load client against servers that break the rules in one way each."""

from __future__ import annotations

import json
import signal
import socket
import socketserver
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleetctl.lab.load import Load, Report, Target

Serve = Callable[..., str]
SELF_SIGNED = ["openssl", "req", "-x509", "-newkey", "ed25519", "-nodes"]


def answer(
    revision: str = "1",
    status: str = "200 OK",
    extra: str = "",
    received: int = 0,
    instance: str = "web-1-1-ab12",
) -> bytes:
    body = f"revision {revision}\ninstance {instance}\nreceived {received}\n"
    return (
        f"HTTP/1.1 {status}\r\nX-Revision: {revision}\r\nX-Instance: {instance}\r\n{extra}"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


def right(request: bytes) -> bytes:
    return answer(received=512 if request.startswith(b"POST") else 0)


@pytest.fixture
def serve() -> Iterator[Serve]:
    """A server whose behaviour gets a connection and each request; False closes it."""
    servers = []

    def begin(
        behaviour: Callable[[socket.socket, bytes], bool], tls: ssl.SSLContext | None = None
    ) -> str:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                data, connection = b"", self.request
                if tls:
                    try:
                        connection = tls.wrap_socket(connection, server_side=True)
                    except OSError:
                        return
                while more := connection.recv(65536):
                    data += more
                    size = 512 if data.startswith(b"POST") else 0
                    head = data.find(b"\r\n\r\n")
                    if head < 0 or len(data) < head + 4 + size:
                        continue
                    request, data = data, b""
                    if not behaviour(connection, request):
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
        (answer(status="404 Not Found"), "404"),
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

    with Load([Target(serve(behave), allow=("1",))], rate=200) as load:
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


def known(request: bytes, **features: str) -> bytes:
    return answer(received=512 if request.startswith(b"POST") else 0, **features)


def host_of(request: bytes) -> str:
    return request.split(b"Host: ")[1].split(b"\r\n")[0].decode()


def test_each_target_gets_requests_of_all_kinds_in_turn(serve: Serve) -> None:
    """Two names at two balancers: as many to each, and nobody is asked for what is another's."""
    seen: dict[str, list[str]] = {"first": [], "second": []}

    def balancer(name: str) -> Callable[[socket.socket, bytes], bool]:
        def behave(connection: socket.socket, request: bytes) -> bool:
            close = "one-shot" if b"Connection: close" in request else "kept"
            method, path = request.split()[:2]
            seen[name].append(f"{method.decode()} {path.decode()} {host_of(request)} {close}")
            connection.sendall(known(request, instance=f"{host_of(request)}-2-1-ab12"))
            return close == "kept"

        return behave

    urls = [serve(balancer(name)) for name in seen]
    targets = [Target(f"{url}below", service, service) for url in urls for service in ("a", "b-c")]
    with Load(targets, rate=200) as load:
        while load.so_far().answered < 64:
            time.sleep(0.05)
        report = load.stop()
    assert report.failed == 0, report
    assert set(report.answered_at) == {target.name for target in targets}
    assert max(report.answered_at.values()) - min(report.answered_at.values()) <= 1
    kinds = {
        f"{method} /below {service} {way}"
        for method in ("GET", "POST")
        for service in ("a", "b-c")
        for way in ("kept", "one-shot")
    }
    assert {name: set(lines) for name, lines in seen.items()} == {"first": kinds, "second": kinds}


def test_another_service_or_a_revision_of_another_is_a_failure(serve: Serve) -> None:
    """One balancer takes two services for each other, with answers that are whole."""

    def behave(connection: socket.socket, request: bytes) -> bool:
        swapped = {"a": "b", "b": "a", "c": "c"}[host_of(request)]
        connection.sendall(known(request, instance=f"{swapped}-1-1-ab12"))
        return b"Connection: close" not in request

    url = serve(behave)
    targets = [Target(url, host, host, allow=("1",)) for host in ("a", "b", "c")]
    with Load(targets, rate=300) as load:
        while load.so_far().sent < 30:
            time.sleep(0.05)
        load.allow("2", service="c")
        while "revision" not in load.so_far().failures:
            time.sleep(0.05)
        report = load.stop()
    assert set(report.failures) == {"service", "revision"}, report
    per_target = report.sent // 3
    assert report.failures["service"] in range(2 * per_target, 2 * per_target + 3)
    assert set(report.answered_at) == {targets[2].name}
    assert set(report.failed_at) == {target.name for target in targets}
    assert any("b-1-1-ab12 answered for a" in words for words in report.examples)


@pytest.mark.parametrize(
    ("instance", "fails"), [("shop-eu-12-3-00ff", False), ("shop-12-3-00ff", True), ("", True)]
)
def test_the_service_is_read_from_the_instances_name(
    serve: Serve, instance: str, fails: bool
) -> None:
    def behave(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(known(request, instance=instance))
        return b"Connection: close" not in request

    with Load([Target(serve(behave), service="shop-eu")], rate=50) as load:
        while load.so_far().answered + load.so_far().failed < 4:
            time.sleep(0.05)
        report = load.stop()
    assert report.failures == ({"service": report.sent} if fails else {})


def test_a_sticky_client_sends_its_cookie_back_and_moves_are_counted(serve: Serve) -> None:
    """Each of the eight clients meets the instance of its cookie until that one is gone. (A
    client that asks again before its first answer gets a second cookie.)"""
    gone = threading.Event()
    given: list[str] = []

    def behave(connection: socket.socket, request: bytes) -> bool:
        cookie = request.split(b"Cookie: at=")
        if len(cookie) == 1:
            given.append(f"web-{len(given)}-1-ab12")
            instance, extra = given[-1], f"Set-Cookie: at={given[-1]}; path=/\r\n"
        else:
            instance, extra = cookie[1].split(b"\r\n")[0].decode(), ""
            if gone.is_set() and instance != "web-0-2-ffff":
                instance, extra = "web-0-2-ffff", "Set-Cookie: at=web-0-2-ffff; path=/\r\n"
        connection.sendall(known(request, instance=instance, extra=extra))
        return b"Connection: close" not in request

    with Load([Target(serve(behave), sticky=True)], rate=100) as load:
        while load.so_far().answered < 48:
            time.sleep(0.05)
        before = load.so_far()
        gone.set()
        while load.so_far().moves < before.moves + 8:
            time.sleep(0.05)
        report = load.stop()
    assert len(given) >= 8
    assert len(given) > 8 or before.moves == 0, before
    assert report.failed == 0


def test_tls_is_checked_against_the_given_certificate(serve: Serve, tmp_path: Path) -> None:
    """The handshake with a stranger's certificate is a failure to connect."""
    for name in ("ours", "theirs"):
        subject = ("-subj", "/CN=shop.example", "-addext", "subjectAltName=DNS:shop.example")
        subprocess.run(
            [*SELF_SIGNED, "-keyout", f"{name}.key", "-out", f"{name}.pem", *subject],
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "ours.pem", tmp_path / "ours.key")

    def behave(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(known(request))
        return b"Connection: close" not in request

    url = serve(behave, context).replace("http:", "https:")
    for name, right_one in (("ours", True), ("theirs", False)):
        target = Target(url, "shop.example", "web", ca=str(tmp_path / f"{name}.pem"))
        with Load([target], rate=100) as load:
            while load.so_far().answered + load.so_far().failed < 40:
                time.sleep(0.05)
            report = load.stop()
        assert report.failures == ({} if right_one else {"connect": report.sent}), report
        if right_one:
            assert report.connections < 40


def test_urls_or_a_file_of_targets_are_the_command_lines_choice(
    serve: Serve, tmp_path: Path
) -> None:
    def behave(connection: socket.socket, request: bytes) -> bool:
        connection.sendall(known(request))
        return b"Connection: close" not in request

    urls = [serve(behave), serve(behave)]
    listed = tmp_path / "targets.json"
    listed.write_text(json.dumps([{"url": url, "service": "web"} for url in urls]))
    command = [sys.executable, "-m", "fleetctl.lab.load", "--rate", "200", "--seconds", "0.1"]
    for where in (urls, ["--targets", str(listed)]):
        done = subprocess.run([*command, "--json", *where], capture_output=True, timeout=120)
        report = Report(**json.loads(done.stdout))
        assert (report.failed, list(report.answered_at.values())) == (0, [10, 10])
    assert subprocess.run(command, capture_output=True, timeout=120).returncode == 2
