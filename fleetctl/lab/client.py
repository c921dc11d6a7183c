"""The requests of the load client: sent open loop, each one judged.

Requests start at a fixed rate whatever comes back, and none is ever repeated. In turn: GET and
POST, each on a kept connection and on one of its own. A request has failed if it could not
connect, was cut off, took longer than 5 s, was answered with anything but 200, with a body that
the application would not send, or by a revision that is not allowed (neither when it was sent
nor when it was answered). A kept connection that the server closed while it was idle, seen before
a byte of the next request was sent, is replaced and is no failure.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fleetctl.lab.exchange import Answer, Failed, connect, exchange, request_bytes, still_open

_LIMIT = 5.0  # seconds; a slower answer is a failed request
_KEPT = 8  # connections that are kept open
_EXAMPLES = 20
_BODY = b"x" * 512


@dataclass(frozen=True, slots=True)
class Report:
    """What the client saw. Times are in milliseconds, from when a request was due."""

    seconds: float = 0.0
    sent: int = 0
    failed: int = 0
    failures: dict[str, int] = field(default_factory=dict)  # by kind
    examples: list[str] = field(default_factory=list)  # the first failures, in words
    revisions: dict[str, int] = field(default_factory=dict)  # good answers, by revision
    connections: int = 0
    p50: float = 0.0
    p99: float = 0.0
    worst: float = 0.0

    @property
    def answered(self) -> int:
        """Good answers."""
        return sum(self.revisions.values())


class Client:
    """Sends requests to one URL. ``allowed`` are the revisions that may answer; empty: any."""

    def __init__(self, url: str, rate: float, host: str, allowed: Collection[str]) -> None:
        parts = urlsplit(url)
        self._port = parts.port or 80
        self._address = parts.hostname or ""
        self._target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        self._host = host or parts.netloc
        self._rate = rate
        self.allowed = frozenset(allowed)
        self._kept: list[socket.socket | None] = [None] * _KEPT
        self._times: list[float] = []
        self._failures: Counter[str] = Counter()
        self._revisions: Counter[str] = Counter()
        self._examples: list[str] = []
        self._sent = self._connections = 0
        self._begun = self._ended = time.monotonic()
        self.stop = asyncio.Event()

    async def run(self, seconds: float | None) -> None:
        """Send until ``stop`` is set or the time is over, then wait for open answers."""
        self._begun = time.monotonic()
        open_requests: set[asyncio.Task[None]] = set()
        number = 0
        while not self.stop.is_set() and (seconds is None or number < seconds * self._rate):
            due = self._begun + number / self._rate
            if (early := due - time.monotonic()) > 0:
                await asyncio.sleep(early)
            task = asyncio.create_task(self._request(number, due))
            open_requests.add(task)
            task.add_done_callback(open_requests.discard)
            number += 1
        await asyncio.gather(*open_requests)
        self._ended = time.monotonic()
        for sock in self._kept:
            if sock:
                sock.close()

    def report(self) -> Report:
        times = sorted(self._times) or [0.0]
        ended = self._ended if self._ended > self._begun else time.monotonic()
        return Report(
            seconds=round(ended - self._begun, 3),
            sent=self._sent,
            failed=sum(self._failures.values()),
            failures=dict(self._failures),
            examples=self._examples,
            revisions=dict(self._revisions),
            connections=self._connections,
            p50=round(1000 * times[len(times) // 2], 2),
            p99=round(1000 * times[len(times) * 99 // 100], 2),
            worst=round(1000 * times[-1], 2),
        )

    async def _request(self, number: int, due: float) -> None:
        body = _BODY if number % 2 else b""
        place = (number // 4) % _KEPT if number % 4 < 2 else None
        allowed = self.allowed
        self._sent += 1
        try:
            async with asyncio.timeout(_LIMIT):
                answer = await self._ask(body, place)
            revision = self._judge(answer, len(body), allowed)
        except (Failed, TimeoutError) as error:
            kind = error.kind if isinstance(error, Failed) else "timeout"
            self._failures[kind] += 1
            if len(self._examples) < _EXAMPLES:
                method = "POST" if body else "GET"
                way = "one-shot" if place is None else "kept"
                words = str(error) or f"no answer in {_LIMIT:.0f} s"
                self._examples.append(
                    f"{due - self._begun:.3f} s: {method}, {way}: {kind}: {words}"
                )
        else:
            self._revisions[revision] += 1
            self._times.append(time.monotonic() - due)

    async def _ask(self, body: bytes, place: int | None) -> Answer:
        sock = None
        if place is not None:
            sock, self._kept[place] = self._kept[place], None
            if sock and not still_open(sock):
                sock.close()
                sock = None
        if sock is None:
            sock = await connect(self._address, self._port)
            self._connections += 1
        method, keep = "POST" if body else "GET", place is not None
        try:
            answer = await exchange(
                sock, request_bytes(method, self._target, self._host, body, keep)
            )
        except BaseException:
            sock.close()
            raise
        if place is None or not answer.keeps or self._kept[place] or self.stop.is_set():
            sock.close()
        else:
            self._kept[place] = sock
        return answer

    def _judge(self, answer: Answer, size: int, allowed: Collection[str]) -> str:
        """The revision that answered. Raises Failed for an answer that is not right."""
        if answer.status != 200:
            raise Failed("status", f"{answer.status} {answer.body[:80]!r}")
        revision = answer.headers.get("x-revision", "")
        instance = answer.headers.get("x-instance", "")
        if answer.body != f"revision {revision}\ninstance {instance}\nreceived {size}\n".encode():
            raise Failed("body", f"{answer.body[:80]!r}")
        if (allowed or self.allowed) and revision not in {*allowed, *self.allowed}:
            raise Failed("revision", f"revision {revision} of {instance}")
        return revision
