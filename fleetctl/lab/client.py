"""The requests of the load client: sent open loop, each one judged.

Requests start at a fixed rate whatever comes back, to one target after the other, and none is
ever repeated. In turn: GET and POST, each on a kept connection and on one of its own. A request
has failed if it could not connect, was cut off, took longer than 5 s, was answered with anything
but 200, with a body that the application would not send, by another service, or by a revision
that is not allowed (neither when it was sent nor when it was answered). A kept connection that the
server closed while it was idle, seen before a byte of the next request was sent, is replaced and
is no failure.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from fleetctl.lab.line import Failed
from fleetctl.lab.target import Pool, Target, Way

_LIMIT = 5.0  # seconds; a slower answer is a failed request, so no more than these are open
_EXAMPLES = 20
_BODY = b"x" * 512


@dataclass(frozen=True, slots=True)
class Report:
    """What the client saw. Times are in milliseconds, from when a request was due."""

    seconds: float = 0.0
    sent: int = 0
    failed: int = 0
    failures: dict[str, int] = field(default_factory=dict)  # by kind
    failed_at: dict[str, int] = field(default_factory=dict)  # by name of the target
    examples: list[str] = field(default_factory=list)  # the first failures, in words
    revisions: dict[str, int] = field(default_factory=dict)  # good answers, by revision
    answered_at: dict[str, int] = field(default_factory=dict)  # good answers, by target
    connections: int = 0
    moves: int = 0  # sticky clients that another instance answered than the time before
    p50: float = 0.0
    p99: float = 0.0
    worst: float = 0.0

    @property
    def answered(self) -> int:
        """Good answers."""
        return sum(self.revisions.values())


class Client:
    """Sends ``rate`` requests a second to ``targets`` in turn."""

    def __init__(self, targets: Sequence[Target], rate: float) -> None:
        self._pools: dict[tuple[object, ...], Pool] = {}
        self._ways = [Way(target, self._pools) for target in targets]
        self._rate = rate
        self._allowed = {target.service: frozenset(target.allow) for target in targets}
        self._times: list[float] = []
        self._failures: Counter[str] = Counter()
        self._failed_at: Counter[str] = Counter()
        self._revisions: Counter[str] = Counter()
        self._answered_at: Counter[str] = Counter()
        self._examples: list[str] = []
        self._sent = 0
        self._begun = self._ended = time.monotonic()
        self.stop = asyncio.Event()

    def allow(self, service: str, revisions: Iterable[str]) -> None:
        """From now on only these may answer for ``service``; none: any."""
        self._allowed[service] = frozenset(revisions)

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
        for way in self._ways:
            way.done = True
        await asyncio.gather(*open_requests)
        self._ended = time.monotonic()
        for line in (line for pool in self._pools.values() for line in pool.places if line):
            line.close()

    def report(self) -> Report:
        times = sorted(self._times) or [0.0]
        ended = self._ended if self._ended > self._begun else time.monotonic()
        return Report(
            seconds=round(ended - self._begun, 3),
            sent=self._sent,
            failed=sum(self._failures.values()),
            failures=dict(self._failures),
            failed_at=dict(self._failed_at),
            examples=self._examples,
            revisions=dict(self._revisions),
            answered_at=dict(self._answered_at),
            connections=sum(way.connections for way in self._ways),
            moves=sum(way.moves for way in self._ways),
            p50=round(1000 * times[len(times) // 2], 2),
            p99=round(1000 * times[len(times) * 99 // 100], 2),
            worst=round(1000 * times[-1], 2),
        )

    async def _request(self, number: int, due: float) -> None:
        turn, which = divmod(number, len(self._ways))
        way, kind = self._ways[which], (turn + which) % 4
        body, keep = _BODY if kind % 2 else b"", kind < 2
        service = way.target.service
        before = self._allowed[service]
        self._sent += 1
        try:
            async with asyncio.timeout(_LIMIT):
                answer = await way.ask(turn, body, keep)
            after = self._allowed[service]
            revision = way.judge(answer, len(body), before | after if before and after else ())
        except (Failed, TimeoutError) as error:
            self._fail(way, error, due, f"{'POST' if body else 'GET'}, {_words(keep)}")
        else:
            self._revisions[revision] += 1
            self._answered_at[way.name] += 1
            self._times.append(time.monotonic() - due)

    def _fail(self, way: Way, error: Failed | TimeoutError, due: float, what: str) -> None:
        kind = error.kind if isinstance(error, Failed) else "timeout"
        self._failures[kind] += 1
        self._failed_at[way.name] += 1
        if len(self._examples) < _EXAMPLES:
            words = str(error) or f"no answer in {_LIMIT:.0f} s"
            at = f"{due - self._begun:.3f} s: {way.name}: {what}"
            self._examples.append(f"{at}: {kind}: {words}")


def _words(keep: bool) -> str:
    return "kept" if keep else "one-shot"
