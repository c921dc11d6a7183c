"""A registry that fails, in the place of the lab's own.

It serves what the lab's registry has in store, but for what it gets wrong:

    refused  nothing listens
    404      no manifest is known
    500      every answer is 500
    cut      a blob's answer ends in the middle
    wrong    a blob's content isn't what its digest says

    nsenter --net=/run/netns/NAMESPACE python -m fleetctl.lab.bad_registry ADDRESS cut
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from fleetctl.lab import network, processes, registry
from fleetctl.lab.layout import NAMESPACE, STATE, Layout

FAULTS = ("refused", "404", "500", "cut", "wrong")
_STORE = STATE / "registry/docker/registry/v2"
_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"


@contextmanager
def bad_registry(layout: Layout, fault: str) -> Iterator[None]:
    """For the block, the lab's registry has this fault."""
    # A control group that there is not: the hosts' containers are to live.
    processes.end_all({network.namespaces()[NAMESPACE]}, group="registry")
    program = [sys.executable, "-m", "fleetctl.lab.bad_registry", layout.registry, fault]
    enter = ["nsenter", f"--net=/run/netns/{NAMESPACE}"]
    stand_in = None
    try:
        if fault != "refused":
            stand_in = subprocess.Popen([*enter, *program], stdout=subprocess.PIPE)
            assert stand_in.stdout is not None
            stand_in.stdout.readline()
        yield
    finally:
        if stand_in is not None:
            stand_in.kill()
            stand_in.communicate()
        registry.start(layout)
        registry.wait(layout)


class _Handler(BaseHTTPRequestHandler):
    fault = ""
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        _, _, rest = self.path.partition("/v2/")
        repository, _, name = rest.rpartition("/")
        repository, _, kind = repository.rpartition("/")
        if self.fault == "500":
            self._answer(500, b'{"errors":[{"code":"UNKNOWN","message":"out of order"}]}')
        elif not rest:
            self._answer(200, b"{}")
        elif kind == "manifests" and self.fault != "404":
            self._manifest(repository, name)
        elif kind == "blobs":
            self._blob(name)
        else:
            self._missing()

    do_HEAD = do_GET

    def _manifest(self, repository: str, name: str) -> None:
        link = _STORE / f"repositories/{repository}/_manifests/tags/{name}/current/link"
        try:
            digest = name if ":" in name else link.read_text().strip()
            body = _stored(digest)
        except OSError:
            self._missing()
            return
        self._answer(200, body, _MANIFEST, digest)

    def _blob(self, digest: str) -> None:
        try:
            body = _stored(digest)
        except OSError:
            self._missing()
            return
        if self.fault == "wrong":
            body = hashlib.sha256(body).digest() * (len(body) // 32 + 1)
        self._answer(200, body, "application/octet-stream", digest, cut=self.fault == "cut")

    def _missing(self) -> None:
        self._answer(404, b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}')

    def _answer(
        self,
        status: int,
        body: bytes,
        kind: str = "application/json",
        digest: str = "",
        *,
        cut: bool = False,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Docker-Distribution-Api-Version", "registry/2.0")
        if digest:
            self.send_header("Docker-Content-Digest", digest)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body[: len(body) // 2] if cut else body)
        if cut:
            self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the engines' own words are what is tested."""


def _stored(digest: str) -> bytes:
    kind, _, number = digest.partition(":")
    return Path(_STORE, "blobs", kind, number[:2], number, "data").read_bytes()


def main() -> None:
    address, _Handler.fault = sys.argv[1:]
    server = ThreadingHTTPServer((address, registry.PORT), _Handler)
    print("ready", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
