"""A container engine behind socket pairs, and the connections that lead to it."""

from __future__ import annotations

import json
import socket
import struct
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from fleetctl.errors import CommandFailed, StaleFence
from fleetctl.model.fleet import Host, Login
from fleetctl.model.record import Fence

HOST = Host("node1", Login("10.0.0.1"), "10.0.0.1")
FENCE = Fence("service-web", 7, "me")
DIGEST = "sha256:" + "d" * 64
IMAGE_ID = "sha256:" + "e" * 64


@dataclass
class FakeDocker:
    """``die_on`` and ``hang_on`` are parts of "METHOD path": the channel ends before the
    answer, or the answer never comes. ``times`` is how often ``die_on`` happens."""

    version: str = "1.41"
    containers: dict[str, dict[str, Any]] = field(default_factory=dict)
    images: dict[str, dict[str, Any]] = field(default_factory=dict)
    registry: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)
    pull_lines: list[dict[str, Any]] = field(default_factory=list)
    list_error: str = ""
    start_error: str = ""
    update_error: str = ""
    die_on: str = ""
    times: int = 1
    hang_on: str = ""
    released: threading.Event = field(default_factory=threading.Event)
    asked: list[str] = field(default_factory=list)
    bodies: list[Any] = field(default_factory=list)

    def changes(self) -> list[str]:
        return [a for a in self.asked if not a.startswith("GET ")]

    def serve(self, far: socket.socket) -> None:
        class Handler(_Handler):
            engine = self

        try:
            Handler(far, ("", 0), None)  # type: ignore[arg-type]
        except OSError:
            pass
        finally:
            far.close()

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        parts = path.strip("/").split("/")
        match method, parts:
            case "GET", ["info"]:
                return 200, {
                    "ServerVersion": "20.10.24",
                    "Architecture": "x86_64",
                    "NCPU": 4,
                    "MemTotal": 8 << 30,
                }
            case "GET", ["containers", "json"]:
                return 200, [listed(c) for c in self.containers.values()]
            case "POST", ["containers", "create"]:
                return self._create(query["name"], body)
            case _, ["containers", name, *_]:
                return self._container(method, name, parts[2:], query, body)
            case "GET", ["distribution", *name, "json"]:
                return self.registry.get(
                    "/".join(name), (404, {"message": "manifest unknown: manifest unknown"})
                )
            case "POST", ["images", "create"]:
                return 200, self.pull_lines
            case "GET", ["images", "json"]:
                if self.list_error:
                    return 500, {"message": self.list_error}
                assert json.loads(query["filters"]) == {"reference": ["fleetctl/*"]}
                return 200, list({i["Id"]: i for i in self.images.values()}.values())
            case _, ["images", *name]:
                return self._image(method, "/".join(name), query)
        return 404, {"message": "page not found"}

    def _create(self, name: str, body: dict[str, Any]) -> tuple[int, Any]:
        for other in self.containers.values():
            if other["Name"] == f"/{name}":
                return 409, {
                    "message": f'Conflict. The container name "/{name}" is already in use by'
                    f' container "{other["Id"]}".'
                }
        if body["Image"] not in self.images:
            return 404, {"message": f"No such image: {body['Image']}"}
        document = inspected(f"{len(self.containers):064x}", name, body)
        self.containers[document["Id"]] = document
        return 201, {"Id": document["Id"], "Warnings": []}

    def _container(
        self, method: str, name: str, verb: list[str], query: dict[str, str], body: Any
    ) -> tuple[int, Any]:
        found = next(
            (c for c in self.containers.values() if name in (c["Id"], c["Name"].lstrip("/"))), None
        )
        if found is None:
            return 404, {"message": f"No such container: {name}"}
        state = found["State"]
        match method, verb:
            case "GET", ["json"]:
                return 200, found
            case "GET", ["logs"]:
                lines = [b"one\n", b"two \xff\n", b"three\n"][-int(query["tail"]) :]
                return 200, b"".join(struct.pack(">BxxxL", 1, len(x)) + x for x in lines)
            case "POST", ["start"]:
                if self.start_error:
                    return 500, {"message": self.start_error}
                state.update(Status="running", StartedAt="2026-11-21T22:00:00.5Z")
                return 204, None
            case "POST", ["stop"]:
                was = state["Status"]
                state.update(Status="exited")
                return (204 if was == "running" else 304), None
            case "POST", ["update"]:
                found["HostConfig"]["RestartPolicy"] = body["RestartPolicy"]
                return 200, {"Warnings": None}
            case "DELETE", []:
                if state["Status"] == "running":
                    return 409, {"message": f"You cannot remove a running container {name}."}
                del self.containers[found["Id"]]
                return 204, None
        return 404, {"message": "page not found"}

    def _image(self, method: str, name: str, query: dict[str, str]) -> tuple[int, Any]:
        name = name.removesuffix("/json")
        if name.endswith("/tag"):
            name = name.removesuffix("/tag")
        image = self.images.get(name)
        if image is None:
            return 404, {"message": f"No such image: {name}"}
        if method == "GET":
            return 200, image
        if method == "POST":
            tag = f"{query['repo']}:{query['tag']}"
            image["RepoTags"].append(tag)
            self.images[tag] = image
            return 201, None
        used = any(c["Config"]["Image"] == name for c in self.containers.values())
        if used:
            return 409, {"message": f"conflict: unable to remove repository reference {name}"}
        del self.images[name]
        for names in (image["RepoTags"], image["RepoDigests"]):
            if name in names:
                names.remove(name)
        return 200, []


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    engine: FakeDocker

    def _any(self) -> None:
        engine, url = self.engine, urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        version, _, path = url.path.lstrip("/").partition("/")
        if not version.startswith("v1."):
            path = url.path
        asked = f"{self.command} {unquote(path)}"
        engine.asked.append(asked)
        engine.bodies.append((version, json.loads(body) if body else None))
        if engine.die_on and engine.die_on in asked and engine.times:
            engine.times -= 1
            self.close_connection = True
            return
        if engine.hang_on and engine.hang_on in asked:
            engine.released.wait(60)
            self.close_connection = True
            return
        if path == "/_ping":
            self._send(200, b"OK")
            return
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        status, answer = engine.answer(
            self.command, unquote(path), query, json.loads(body) if body else None
        )
        if path == "images/create":
            self._stream(answer)
        elif isinstance(answer, bytes):
            self._send(status, answer)
        else:
            self._send(status, b"" if answer is None else json.dumps(answer).encode())

    do_GET = do_POST = do_DELETE = _any

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Api-Version", self.engine.version)
        if status not in (204, 304):
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, lines: list[dict[str, Any]]) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in lines:
            if line.get("die"):
                self.close_connection = True
                return
            data = json.dumps(line).encode() + b"\r\n"
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, *_: Any) -> None:
        pass


def inspected(id: str, name: str, body: dict[str, Any]) -> dict[str, Any]:
    """What ``inspect`` shows of a container that was created from ``body``."""
    return {
        "Id": id,
        "Name": f"/{name}",
        "Image": IMAGE_ID,
        "RestartCount": 0,
        "State": {"Status": "created", "ExitCode": 0, "StartedAt": "0001-01-01T00:00:00Z"},
        "Config": {"Tty": False} | {k: v for k, v in body.items() if k != "HostConfig"},
        "HostConfig": dict(body.get("HostConfig", {})),
    }


def listed(document: dict[str, Any]) -> dict[str, Any]:
    running = document["State"]["Status"] == "running"
    bound = document["HostConfig"].get("PortBindings") or {}
    return {
        "Id": document["Id"],
        "Labels": document["Config"].get("Labels"),
        "Ports": [
            {"IP": place["HostIp"], "PublicPort": int(place["HostPort"]), "Type": "tcp"}
            for places in bound.values()
            for place in places
            if running
        ],
    }


@dataclass(frozen=True)
class Completed:
    code: int
    out: bytes = b""
    err: bytes = b""

    def check(self, what: str) -> Completed:
        if self.code:
            raise CommandFailed(f"{what} failed", code=self.code)
        return self


class FakeConnections:
    """One host. ``facts`` is what scripts print; ``refuse`` is raised by the fence guard;
    with ``dial`` given, channels open, lead nowhere, and that is what the diagnosis says."""

    name = HOST.name
    alive = True

    def __init__(self, docker: FakeDocker) -> None:
        self.docker = docker
        self.channels: list[tuple[Fence | None, socket.socket]] = []
        self.facts = b""
        self.scripts: list[tuple[str, tuple[str, ...], Fence | None]] = []
        self.dial: Completed | None = None
        self.refuse: StaleFence | None = None
        self.lost: Exception | None = None
        self.most_open = 0
        self._lock = threading.Lock()

    def host(self, name: str) -> FakeConnections:
        assert name == HOST.name
        if self.lost:
            raise self.lost
        return self

    def open(self, command: Any, fence: Fence | None = None) -> socket.socket:
        assert tuple(command) == ("docker", "system", "dial-stdio")
        if fence is not None and self.refuse is not None:
            raise self.refuse
        near, far = socket.socketpair()
        self.channels.append((fence, near))
        if self.dial is not None:
            far.close()
            return near
        threading.Thread(target=self.docker.serve, args=(far,), daemon=True).start()
        with self._lock:
            still_open = sum(channel.fileno() >= 0 for _, channel in self.channels)
            self.most_open = max(self.most_open, still_open)
        return near

    def shell(self, fence: Fence | None = None) -> FakeConnections:
        return self

    def run(self, script: str, *args: str, fence: Fence | None = None, **_: Any) -> Completed:
        self.scripts.append((script, args, fence))
        if self.dial is not None and "dial-stdio" in script:
            return self.dial
        return Completed(0, self.facts)

    def tcp(self, address: str, port: int, timeout: float) -> socket.socket:
        try:
            return socket.create_connection((address, port), timeout)
        except ConnectionRefusedError:
            raise CommandFailed(f"can't connect to {address}:{port}") from None
