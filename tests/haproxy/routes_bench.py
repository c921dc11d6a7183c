"""A real HAProxy that reads one rendered file, applications that tell what reached them, and raw
clients."""

from __future__ import annotations

import base64
import contextlib
import datetime
import hashlib
import http.server
import json
import os
import signal
import socket
import socketserver
import ssl
import struct
import subprocess
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from balancer_bench import DEADLINE, free_port, wait_for
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fleetctl.haproxy.render import render
from fleetctl.haproxy.rendered import LIVE, Rendered
from fleetctl.model.balancing import Section
from fleetctl.model.fleet import Balancer, HAProxyPaths
from fleetctl.model.routing import Certificate, Pairs

PUBLIC, INSIDE, PROXY = "127.0.0.1", "127.0.0.2", "127.0.0.3"
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
_WEBSOCKET = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_H2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
_H2_EMPTY_SETTINGS = b"\0\0\0\4\0\0\0\0\0"


class _Quiet(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        """HAProxy ends a check's connection as soon as it knows enough."""


class _Server:
    """``handler`` on a port of its own, until ``close``."""

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        self._server = _Quiet(("127.0.0.1", 0), handler)
        self.port = int(self._server.server_address[1])
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Teller(_Server):
    """An HTTP server that answers with what it was asked, as JSON, and echoes what comes after
    an upgrade. ``proxied``: a connection begins with the PROXY protocol, whose line it tells."""

    def __init__(self, name: str, *, proxied: bool = False) -> None:
        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle(self) -> None:
                self.proxy = self.rfile.readline().decode().strip() if proxied else ""
                super().handle()

            def do_GET(self) -> None:
                if self.headers.get("Upgrade") == "websocket":
                    self.send_response(101)
                    self.send_header("Connection", "Upgrade")
                    self.send_header("Upgrade", "websocket")
                    key = self.headers["Sec-WebSocket-Key"].encode() + _WEBSOCKET
                    accept = base64.b64encode(hashlib.sha1(key).digest()).decode()
                    self.send_header("Sec-WebSocket-Accept", accept)
                    self.end_headers()
                    while data := self.connection.recv(4096):
                        self.connection.sendall(data)
                    return
                length = int(self.headers.get("Content-Length", 0))
                self.rfile.read(length)
                names = {header.lower() for header in self.headers}
                told = {
                    "name": name,
                    "path": self.path,
                    "proxy": self.proxy,
                    "headers": {n: ", ".join(self.headers.get_all(n, [])) for n in names},
                }
                body = json.dumps(told).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            do_POST = do_GET

            def log_message(self, *args: object) -> None:
                pass

        super().__init__(Handler)


class Parrot(_Server):
    """A TCP server that says its name and then repeats what it hears."""

    def __init__(self, name: str) -> None:
        class Handler(socketserver.BaseRequestHandler):
            def handle(self) -> None:
                self.request.sendall(name.encode())
                while data := self.request.recv(4096):
                    self.request.sendall(data)

        super().__init__(Handler)


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def told(self) -> dict[str, Any]:
        assert self.status == 200, (self.status, self.body)
        return dict(json.loads(self.body))

    @property
    def who(self) -> str:
        """The application that answered, or the status."""
        return str(self.told["name"]) if self.status == 200 else str(self.status)


def ask(link: socket.socket, request: bytes) -> Answer:
    """Sends ``request`` as it is and reads one answer; the connection is closed after it."""
    with link:
        link.sendall(request)
        with link.makefile("rb") as stream:
            status = int(stream.readline().split()[1])
            headers = {}
            while line := stream.readline().strip():
                name, _, value = line.partition(b":")
                headers[name.decode().lower()] = value.strip().decode()
            length = headers.get("content-length")
            body = stream.read(int(length)) if length else stream.read()
    return Answer(status, headers, body)


@dataclass
class Serving:
    """A HAProxy with the file of ``balancer`` for the sections it is given, in ``folder``."""

    folder: Path
    balancer: Balancer = field(default_factory=lambda: Balancer("lb1"))
    pems: dict[str, bytes] = field(default_factory=dict)
    templates: Pairs = ()
    _process: subprocess.Popen[bytes] | None = None

    def __post_init__(self) -> None:
        self.port, self.tls_port = free_port(), free_port()
        self.config = self.folder / "haproxy.cfg"
        paths = HAProxyPaths(
            str(self.config), str(self.folder / "admin.sock"), files=str(self.folder / "files")
        )
        self.balancer = replace(
            self.balancer,
            paths=paths,
            listen=self.balancer.listen and ((PUBLIC, self.port),),
            listen_tls=self.balancer.listen_tls and ((PUBLIC, self.tls_port),),
        )

    def write(self, *sections: Section) -> Rendered:
        rendered = render(self.balancer, sections, self.templates)
        live = self.folder / "files" / LIVE
        for file in rendered.files:
            path = live / file.path
            path.parent.mkdir(parents=True, exist_ok=True)
            certificate = file.kind == "certificate"
            path.write_bytes(self.pems[file.digest] if certificate else file.text.encode())
        self.config.write_text(rendered.text)
        return rendered

    def check(self) -> str:
        """What ``haproxy -c`` has to say, besides that the file is valid."""
        done = subprocess.run(
            ["/usr/sbin/haproxy", "-c", "-f", str(self.config)],
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stderr

    def serve(self, *sections: Section) -> Rendered:
        rendered = self.write(*sections)
        said = self.check()
        assert not said, said
        self.stop()
        with (self.folder / "haproxy.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["/usr/sbin/haproxy", "-db", "-f", str(self.config)],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        wait_for("HAProxy answers", lambda: "Pid:" in self.command("show info"))
        return rendered

    def stop(self) -> None:
        if self._process is not None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def command(self, line: str) -> str:
        with socket.socket(socket.AF_UNIX) as link:
            try:
                link.connect(self.balancer.paths.socket)
                link.sendall(f"{line}\n".encode())
                with link.makefile() as answer:
                    return answer.read()
            except OSError:
                return ""

    def await_down(self, backend: str) -> None:
        def down() -> bool:
            rows = self.command("show stat").splitlines()
            return any(row.startswith(f"{backend},BACKEND") and ",DOWN," in row for row in rows)

        wait_for(f"{backend} DOWN", down)

    def connect(
        self, port: int = 0, *, address: str = PUBLIC, source: str = "", first: bytes = b""
    ) -> socket.socket:
        """A connection, from ``source``, on which ``first`` was sent."""
        where = (address, port or self.port)
        link = socket.create_connection(
            where, timeout=DEADLINE, source_address=(source, 0) if source else None
        )
        link.sendall(first)
        return link

    def get(
        self,
        target: str = "/",
        host: str = "shop.example",
        *,
        link: socket.socket | None = None,
        **headers: str,
    ) -> Answer:
        """GET ``target`` as it is written here. Underscores in names of headers stand for '-'."""
        lines = [f"GET {target} HTTP/1.1", *([f"Host: {host}"] if host else [])]
        lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
        request = "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1")
        return ask(link or self.connect(), request)

    def tls(self, name: str | None, *, alpn: Sequence[str] = ()) -> ssl.SSLSocket:
        """A TLS connection that shows ``name`` and looks at no certificate: that is the test's."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(list(alpn))
        return context.wrap_socket(self.connect(self.tls_port), server_hostname=name)


def h2_get(link: ssl.SSLSocket, host: str, path: bytes = b"/") -> tuple[int, bytes]:
    """GET by HTTP/2 in its plainest words: (status or 0, body)."""
    fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":path", path)]
    fields.append((b":authority", host.encode()))
    block = b"".join(b"\0" + bytes([len(n)]) + n + bytes([len(v)]) + v for n, v in fields)
    head = struct.pack(">I", len(block))[1:] + b"\1\5" + struct.pack(">I", 1)
    with link:
        link.sendall(_H2_PREFACE + _H2_EMPTY_SETTINGS + head + block)
        stream, status, body = link.makefile("rb"), 0, b""
        while len(frame := stream.read(9)) == 9:
            content = stream.read(int.from_bytes(frame[:3], "big"))
            kind, flags = frame[3], frame[4]
            if kind == 1 and content[:1] == b"\x88":  # :status 200 in the static table
                status = 200
            elif kind == 0:
                body += content
            if kind in (0, 1) and flags & 1:
                break
        stream.close()
    return status, body


def certificate(name: str, *hosts: str) -> tuple[Certificate, bytes]:
    """One that signs itself, and its text with the key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, hosts[0])])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(h) for h in hosts]), False)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    fingerprint = made.fingerprint(hashes.SHA1()).hex().upper()
    digest = hashlib.sha256(pem).hexdigest()
    return Certificate(name, digest, fingerprint, hosts), pem


def shown(link: ssl.SSLSocket) -> str:
    """The fingerprint of the certificate that this connection was given."""
    with link:
        found = link.getpeercert(binary_form=True)
    assert found is not None
    return hashlib.sha1(found).hexdigest().upper()


def first_words(link: socket.socket) -> str:
    """What a TCP server says of itself, empty when it hangs up."""
    with link, contextlib.suppress(ConnectionError):
        return link.recv(4096).decode()
    return ""
