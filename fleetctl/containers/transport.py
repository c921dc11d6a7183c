"""HTTP over a channel: a requests transport adapter with one connection, kept alive."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

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
        channel.settimeout(self.timeout)
        self.sock = channel

    @property
    def is_connected(self) -> bool:
        # A channel has no file descriptor to ask; a dead one shows with the next request.
        return self.sock is not None
