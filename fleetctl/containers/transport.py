"""HTTP over a channel: a requests transport adapter with one connection, kept alive."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from http.client import HTTPResponse
from typing import Any, BinaryIO

import urllib3
from docker.transport.basehttpadapter import BaseHTTPAdapter
from urllib3.connection import HTTPConnection

from fleetctl.ssh.channel import Channel

SILENCE = 120.0
"""Seconds without a byte after which a call that gives no time-out of its own has failed."""


class ChannelAdapter(BaseHTTPAdapter):
    """Sends the requests of one session, one after another, over a channel.

    ``open_channel`` is called for the first request, and again only after the far side
    has announced the end of the connection in an answer. What it raises, and FleetErrors
    of the channel, pass through as they are. No request is ever sent twice.
    """

    def __init__(self, open_channel: Callable[[], Channel]) -> None:
        super().__init__(max_retries=0)
        self._pool = _OneConnection(open_channel)

    def get_connection(self, url: Any, proxies: Any = None) -> _OneConnection:
        return self._pool

    def request_url(self, request: Any, proxies: Any) -> str:
        return str(request.path_url)

    def send(self, request: Any, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = SILENCE
        return super().send(request, *args, **kwargs)

    def get_all(self, paths: Sequence[str], timeout: float) -> list[tuple[int, bytes]]:
        """Status and body of the answers to GETs of ``paths``, which are all sent before the
        first answer is read. ``timeout`` as for ``send``."""
        return self._pool.get_all(paths, timeout)

    def close(self) -> None:
        super().close()
        self._pool.close()


class _OneConnection(urllib3.HTTPConnectionPool):
    def __init__(self, open_channel: Callable[[], Channel]) -> None:
        super().__init__("engine", maxsize=1, block=True)
        self._open_channel = open_channel

    def _new_conn(self) -> _Connection:
        return _Connection(self._open_channel)

    def get_all(self, paths: Sequence[str], timeout: float) -> list[tuple[int, bytes]]:
        connection = self._get_conn()
        try:
            return connection.get_all(paths, timeout)
        except BaseException:
            connection.close()
            raise
        finally:
            self._put_conn(connection)


class _Connection(HTTPConnection):
    def __init__(self, open_channel: Callable[[], Channel]) -> None:
        super().__init__("engine")
        self._open_channel = open_channel

    def connect(self) -> None:
        channel = self._open_channel()
        channel.settimeout(self.timeout)
        self.sock = channel

    def get_all(self, paths: Sequence[str], timeout: float) -> list[tuple[int, bytes]]:
        if self.sock is None:
            self.connect()
        self.sock.settimeout(timeout)
        self.sock.sendall(
            b"".join(f"GET {path} HTTP/1.1\r\nHost: {self.host}\r\n\r\n".encode() for path in paths)
        )
        with self.sock.makefile("rb") as stream:
            answers = [_answer(stream) for _ in paths]
        if any(answer.will_close for answer, _ in answers):
            self.close()
        return [(answer.status, body) for answer, body in answers]

    @property
    def is_connected(self) -> bool:
        # A channel has no file descriptor to ask; a dead one shows with the next request.
        return self.sock is not None


def _answer(stream: BinaryIO) -> tuple[HTTPResponse, bytes]:
    answer = HTTPResponse(_Stream(stream), method="GET")  # type: ignore[arg-type]
    answer.begin()
    return answer, answer.read()


class _Stream:
    """What HTTPResponse wants for a socket: it reads one answer and leaves the rest."""

    def __init__(self, stream: BinaryIO) -> None:
        self.read = stream.read
        self.readline = stream.readline

    def makefile(self, _mode: str) -> _Stream:
        return self

    def flush(self) -> None:
        """Nothing is written."""

    def close(self) -> None:
        """The answers behind this one are still to be read."""
