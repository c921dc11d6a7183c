"""The record, the locks and a controller's journal, in memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sim_effects import Effect, Effects

from fleetctl.errors import LockHeld, LockLost, RecordLost, StaleWrite
from fleetctl.model.evidence import RecordRemains
from fleetctl.model.plan import Plan
from fleetctl.model.record import FLEET_KEY, Document, Fence, Holder
from fleetctl.model.status import HistoryEntry

if TYPE_CHECKING:
    from simulated import SimFleet

LEASE = 15.0
"""Seconds that the lock of a silent holder lasts."""


class SimRecord:
    behind: Mapping[str, str] = {}

    def __init__(self, fleet: SimFleet, effects: Effects) -> None:
        self.fleet, self.effects = fleet, effects

    def level(self, fence: Fence) -> tuple[str, ...]:
        return ()

    def read(self) -> Mapping[str, Document]:
        self.effects.read()
        if self.fleet.documents and FLEET_KEY not in self.fleet.documents:
            raise RecordLost("there are documents and no `fleet`")
        return dict(self.fleet.documents)

    def remains(self) -> RecordRemains:
        self.effects.read()
        return RecordRemains(dict(self.fleet.documents))

    def write(self, key: str, body: dict[str, Any] | None, expected: int, fence: Fence) -> Document:
        def change() -> Document:
            self.fleet.record_guard(fence)
            known = self.fleet.documents.get(key)
            if (known.generation if known else 0) > expected:
                raise StaleWrite(f"{key} moved on")
            self.fleet.documents[key] = Document(key, expected + 1, body)
            return self.fleet.documents[key]

        written: Document = self.effects.do(Effect("record", "record", key, fence.scope), change)
        return written


class SimLease:
    def __init__(self, fleet: SimFleet, effects: Effects, fence: Fence, over: bool) -> None:
        self.fleet, self.effects, self.fence, self.over = fleet, effects, fence, over

    def check(self) -> None:
        if self.fleet.silent_for(self.fence.holder) >= LEASE * 2 / 3 or not self._held:
            raise LockLost(f"{self.fence.scope} was taken over")

    @property
    def _held(self) -> bool:
        return self.fleet.locks.get(self.fence.scope) == (self.fence.holder, self.fence.number)

    def raise_to(self, number: int) -> None:
        self.check()
        number = max(number, self.fence.number)
        self.fleet.counters[self.fence.scope] = number
        self.fence = replace(self.fence, number=number)
        self.fleet.locks[self.fence.scope] = (self.fence.holder, number)

    def release(self) -> None:
        if not self.effects.dead and self._held:
            del self.fleet.locks[self.fence.scope]


class SimLocks:
    """Live holders renew by themselves; a silent one's lock ends with its lease."""

    def __init__(self, fleet: SimFleet, effects: Effects, holder: str) -> None:
        self.fleet, self.effects, self.id = fleet, effects, holder

    def acquire(
        self, scope: str, wait: float, check: Callable[[], None] = lambda: None
    ) -> SimLease:
        deadline = self.fleet.clock.now() + wait
        while True:
            self.effects.read()
            check()
            held = self.fleet.locks.get(scope)
            if held is None or self.fleet.silent_for(held[0]) >= LEASE:
                break
            if self.fleet.clock.now() >= deadline:
                raise LockHeld(f"{scope} is held by {held[0]}")
            self.fleet.clock.sleep(0.3)
            self.fleet.waiting()
        number = self.fleet.counters.get(scope, 0) + 1
        self.fleet.counters[scope] = number
        self.fleet.locks[scope] = (self.id, number)
        return SimLease(self.fleet, self.effects, Fence(scope, number, self.id), held is not None)

    def hold(self, scope: str, reason: str) -> None:
        self.acquire(scope, 0)

    def free(self, scope: str) -> Holder | None:
        self.fleet.locks.pop(scope, None)
        return None

    def holder(self, scope: str) -> Holder | None:
        return None


class SimJournal:
    """One controller's memory, lost with it. ``pending`` are steps that were meant and have no
    outcome yet, with their hosts; ``runs`` those that began and did not end."""

    warnings: Sequence[str] = ()

    def __init__(self) -> None:
        self.runs: set[str] = set()
        self.pending: dict[tuple[str, str], tuple[str, ...]] = {}

    def begin(self, entry: HistoryEntry) -> None:
        self.runs.add(entry.run)

    def planned(self, run: str, plan: Plan) -> None: ...

    def intent(self, run: str, step: str, action: str, instance: str, hosts: Iterable[str]) -> None:
        self.pending[run, step] = tuple(hosts)

    def outcome(self, run: str, step: str, outcome: str, detail: str) -> None:
        self.pending.pop((run, step), None)

    def end(self, run: str, result: str, ended: float, detail: str) -> None:
        self.runs.discard(run)

    def history(self, service: str, limit: int, run: str = "") -> tuple[HistoryEntry, ...]:
        return ()
