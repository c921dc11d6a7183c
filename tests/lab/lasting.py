"""Clients whose connections last: websockets that talk, downloads that take their time."""

from __future__ import annotations

import http.client
import os
import socket
import threading


class _Client(threading.Thread):
    """Runs from its making on. ``lost`` says how it was cut off, empty as long as it wasn't."""

    def __init__(self, address: str, host: str) -> None:
        super().__init__(daemon=True)
        self.address, self.host = address, host
        self.instance = ""
        self.lost = ""
        self.begun = threading.Event()
        self.start()
        assert self.begun.wait(30), self.lost

    def run(self) -> None:
        try:
            self.work()
        except (OSError, http.client.HTTPException) as error:
            self.lost = f"{type(error).__name__}: {error}"
        finally:
            self.begun.set()

    def work(self) -> None:
        raise NotImplementedError


class Download(_Client):
    """``kib`` KiB in ``seconds`` from one instance; ``whole`` once all of it has come."""

    def __init__(self, address: str, host: str, *, kib: int, seconds: float) -> None:
        self.kib, self.seconds, self.whole = kib, seconds, False
        super().__init__(address, host)

    def work(self) -> None:
        connection = http.client.HTTPConnection(self.address, timeout=30)
        path = f"/download?kb={self.kib}&ms={1000 * self.seconds:.0f}"
        connection.request("GET", path, headers={"Host": self.host})
        answer = connection.getresponse()
        self.instance = answer.getheader("X-Instance", "")
        self.begun.set()
        got = answer.read()  # raises IncompleteRead for less than was announced
        assert (answer.status, len(got)) == (200, self.kib * 1024)
        self.whole = True


class Chat(_Client):
    """A websocket that says something ten times a second, until ``hang_up``."""

    def __init__(self, address: str, host: str) -> None:
        self.echoes = 0
        self._over = threading.Event()
        super().__init__(address, host)

    def hang_up(self) -> None:
        self._over.set()
        self.join(30)

    def work(self) -> None:
        with socket.create_connection((self.address, 80), timeout=10) as sock:
            sock.sendall(
                f"GET /echo HTTP/1.1\r\nHost: {self.host}\r\nConnection: Upgrade\r\n"
                "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
            )
            stream = sock.makefile("rb")
            status, headers = stream.readline(), http.client.parse_headers(stream)
            assert status.startswith(b"HTTP/1.1 101 "), status
            assert headers["Sec-WebSocket-Accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            self.instance = headers["X-Instance"]
            self.begun.set()
            while not self._over.wait(0.1):
                said, mask = os.urandom(20).hex().encode(), os.urandom(4)
                masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(said))
                sock.sendall(bytes((0x81, 0x80 | len(said))) + mask + masked)
                heard = stream.read(2 + len(said))
                if heard != bytes((0x81, len(said))) + said:
                    self.lost = f"heard {heard!r}"
                    return
                self.echoes += 1
