"""A real HAProxy in master-worker mode on loopback, small servers behind it, and a client."""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import http.server
import os
import random
import signal
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from fleetctl.haproxy.balancer import HAProxy
from fleetctl.model.fleet import Balancer, HAProxyPaths
from fleetctl.model.record import Fence
from fleetctl.model.routing import Certificate
from fleetctl.model.secret import Secret
from fleetctl.ssh.completed import Completed

FENCE = Fence("balancer-lb1", 1, "test")
DEADLINE = 60.0


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, f"not within {DEADLINE:g} s: {what}"
        time.sleep(0.02)


def free_port() -> int:
    """One that no outgoing connection can take in the meantime."""
    while True:
        port = random.randrange(11000, 19000)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class LocalShell:
    """As ssh's Shell, on this machine. ``count`` are the scripts run so far, ``sent`` the bytes
    that each was given, ``words`` what stood in their command lines."""

    def __init__(self) -> None:
        self.count = 0
        self.sent: list[int] = []
        self.words: list[str] = []

    def run(self, script: str, *args: str, input: bytes = b"", timeout: float = 30.0) -> Completed:
        self.count += 1
        self.sent.append(len(input))
        self.words += [script, *args]
        done = subprocess.run(
            ["sh", "-c", script, "fleetctl", *args],
            input=input,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        return Completed(done.returncode, done.stdout, done.stderr, "lb1")


class LocalConnections:
    """As ssh's Connections, with one host: this machine."""

    def __init__(self) -> None:
        self.local = LocalShell()

    def host(self, name: str) -> LocalConnections:
        assert name == "lb1"
        return self

    def shell(self, fence: Fence | None = None) -> LocalShell:
        return self.local


class App:
    """A small HTTP server that says its name; ``healthy`` is the answer to its check."""

    def __init__(self, name: str) -> None:
        self.name, self.healthy, self.hold = name, True, threading.Event()
        self.hold.set()
        app = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if self.path == "/echo":
                    self.echo()
                else:
                    self.answer()

            def answer(self) -> None:
                if self.path == "/slow":
                    app.hold.wait(DEADLINE)
                good = app.healthy or self.path != "/healthz"
                body = app.name.encode()
                self.send_response(200 if good else 500)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                self.do_GET()

            def echo(self) -> None:
                """What a websocket is to a balancer: lines come back after an upgrade."""
                self.send_response(101)
                self.send_header("Connection", "Upgrade")
                self.send_header("Upgrade", "websocket")
                self.send_header("Sec-WebSocket-Accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
                self.end_headers()
                while line := self.rfile.readline():
                    self.wfile.write(line)
                self.close_connection = True

            def log_message(self, *args: object) -> None:
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

            def handle_error(self, *_: object) -> None:
                """HAProxy ends a check's connection as soon as it knows enough."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self.hold.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def make_pem(name: str, *hosts: str, padding: int = 0) -> tuple[Certificate, Secret]:
    """A new certificate with its key, and what is public of it. ``padding`` bytes of comment
    make its text longer."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(h) for h in hosts]), False)
        .sign(key, hashes.SHA256())
    )
    text = (
        (b"#" * padding + b"\n\n" if padding else b"")
        + made.public_bytes(Encoding.PEM)
        + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    return (
        Certificate(
            name,
            hashlib.sha256(text).hexdigest(),
            made.fingerprint(hashes.SHA1()).hex().upper(),
            hosts,
            made.not_valid_after_utc.timestamp(),
        ),
        Secret(text),
    )


def shown_certificate(port: int, host: str) -> str:
    """The fingerprint of what a client is shown that asks for ``host``."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as link,
        context.wrap_socket(link, server_hostname=host) as secured,
    ):
        shown = secured.getpeercert(binary_form=True)
    assert shown
    return hashlib.sha1(shown).hexdigest().upper()


FOREIGN = """\
global
    stats socket {socket} mode 600 level admin
defaults
    mode http
    timeout connect 1s
    timeout client 5s
    timeout server 5s
listen somebody-elses
    bind 127.0.0.1:{port}
"""


@dataclass
class Running:
    """A HAProxy that was started with a file of somebody else's."""

    folder: Path
    port: int = field(default_factory=free_port)

    def __post_init__(self) -> None:
        self.config = self.folder / "haproxy.cfg"
        self.log = self.folder / "haproxy.log"
        self.paths = HAProxyPaths(
            str(self.config),
            str(self.folder / "admin.sock"),
            (str(self.folder / "none.sock"), str(self.folder / "master.sock")),
            str(self.folder / "files"),
        )
        self.tls_port = free_port()
        self.balancer = Balancer(
            "lb1", self.paths, (("127.0.0.1", self.port),), (("127.0.0.1", self.tls_port),)
        )
        self.connections = LocalConnections()
        self.haproxy = HAProxy(self.connections, self.balancer)  # type: ignore[arg-type]
        self.foreign = FOREIGN.format(socket=self.paths.socket, port=free_port())
        self.config.write_text(self.foreign)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, admin: bool = True) -> None:
        master = f"{self.folder / 'master.sock'},mode,600"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/haproxy", "-W", "-S", master, "-f", str(self.config)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for("HAProxy answers", lambda: self._answers(admin))

    def _answers(self, admin: bool) -> bool:
        seen = self.haproxy.observe()
        return seen.up and (seen.pid > 0 or not admin)

    def stop(self) -> None:
        """Ends the master and all its workers: they are one process group of our own."""
        if self._process is None:
            return
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process = None

    def get(self, path: str = "/", host: str = "shop.example") -> tuple[int, str]:
        client = http.client.HTTPConnection("127.0.0.1", self.port, timeout=DEADLINE)
        try:
            client.request("GET", path, headers={"Host": host})
            answer = client.getresponse()
            return answer.status, answer.read().decode()
        finally:
            client.close()

    def serves(self, name: str) -> bool:
        try:
            return self.get() == (200, name)
        except OSError:
            return False

    def server(self, name: str, backend: str = "web.http"):  # type: ignore[no-untyped-def]
        seen = self.haproxy.observe()
        return next(s for s in seen.servers if (s.backend, s.name) == (backend, name))

    def command(self, line: str) -> str:
        with socket.socket(socket.AF_UNIX) as link:
            link.connect(self.paths.socket)
            link.sendall(f"{line}\n".encode())
            with link.makefile() as answer:
                return answer.read()
