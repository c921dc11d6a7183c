"""HTTP over a channel: a requests transport adapter with one connection, kept alive."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Protocol

import urllib3
from docker.transport.basehttpadapter import BaseHTTPAdapter
from urllib3.connection import HTTPConnection

SILENCE = 120.0
"""Seconds without a byte after which a call that gives no time-out of its own has failed."""


class Channel(Protocol):
    """What of a channel of ``fleetctl.ssh`` is needed here."""

    def sendall(self, data: bytes) -> None: ...

    def recv_into(self, buffer: Any) -> int: ...

    def settimeout(self, timeout: float | None) -> None: ...

    def close(self) -> None: ...


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

    def close(self) -> None:
        super().close()
        self._pool.close()


class _OneConnection(urllib3.HTTPConnectionPool):
    def __init__(self, open_channel: Callable[[], Channel]) -> None:
        super().__init__("engine", maxsize=1, block=True)
        self._open_channel = open_channel

    def _new_conn(self) -> _Connection:
        return _Connection(self._open_channel)


class _Connection(HTTPConnection):
    def __init__(self, open_channel: Callable[[], Channel]) -> None:
        super().__init__("engine")
        self._open_channel = open_channel

    def connect(self) -> None:
        channel = self._open_channel()
        channel.settimeout(self.timeout)  # type: ignore[arg-type]
        self.sock = _Socket(channel)  # type: ignore[assignment]

    @property
    def is_connected(self) -> bool:
        # A channel has no file descriptor to ask; a dead one shows with the next request.
        return self.sock is not None


class _Socket:
    """A channel with the life time of a socket: closed when its last reader is closed too."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._readers = 0
        self._closed = False

    def sendall(self, data: bytes) -> None:
        self.channel.sendall(data)

    def settimeout(self, timeout: float | None) -> None:
        self.channel.settimeout(timeout)

    def makefile(self, *_: Any) -> io.BufferedReader:
        self._readers += 1
        return io.BufferedReader(_Reader(self))

    def reader_closed(self) -> None:
        self._readers -= 1
        self._close_when_unused()

    def close(self) -> None:
        self._closed = True
        self._close_when_unused()

    def _close_when_unused(self) -> None:
        if self._closed and self._readers <= 0:
            self.channel.close()


class _Reader(io.RawIOBase):
    def __init__(self, socket: _Socket) -> None:
        super().__init__()
        self._socket = socket

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._socket.channel.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._socket.reader_closed()
