"""The locks of a fleet, on its first record host."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from fleetctl.errors import LockHeld
from fleetctl.model.record import Fence, Holder
from fleetctl.ssh.fence import STATE_DIR
from fleetctl.state.holder import is_dead
from fleetctl.state.lease import HostLease, Keeper, elapsing, subject
from fleetctl.state.lockfile import Held, LockFiles, Taken

if TYPE_CHECKING:
    from fleetctl.ssh.connections import Connections

_POLL = 0.3


def _nothing() -> None:
    """A check that never objects."""


class HostLocks:
    """Locks that ``holder`` takes on ``host``. Thread-safe; a scope that one thread has is
    held for the others of this process too. ``lease`` is how many seconds a holder that
    fell silent keeps a lock; ``settle`` how long a successor lets its last acts land."""

    def __init__(
        self,
        connections: Connections,
        host: str,
        holder: Holder,
        lease: float = 15.0,
        *,
        settle: float = 1.0,
        root: str = STATE_DIR,
    ) -> None:
        self._files = LockFiles(connections, host, root)
        self._holder = holder
        self._keeper = Keeper(self._files, lease)
        self._settle = settle
        self._tokens = itertools.count(1)
        self._here: dict[str, threading.Lock] = {}

    def acquire(
        self, scope: str, wait: float, check: Callable[[], None] | None = None
    ) -> HostLease:
        """The lock of ``scope``, at a fence above all that this lock ever had. Raises
        LockHeld, naming the holder, when it isn't free within ``wait`` seconds; HostError;
        and what ``check`` raises, several times a second while there is something to wait
        for."""
        check = check or _nothing
        deadline = elapsing() + wait
        here = self._here.setdefault(scope, threading.Lock())
        while not here.acquire(timeout=min(max(deadline - elapsing(), 0.0), _POLL)):
            if elapsing() >= deadline:
                raise self._refusal(scope, self._files.show(scope))
            check()
        try:
            token = f"{self._holder.id}.{next(self._tokens)}"
            taken, asked = self._take(scope, token, deadline, check)
            fence = Fence(scope, taken.fence, self._holder.id)
            lease = HostLease(
                self._files, self._keeper, fence, token, asked, here.release, taken.over
            )
        except BaseException:
            here.release()
            raise
        self._keeper.add(lease)
        if taken.over:
            try:
                time.sleep(self._settle)
            except BaseException:
                lease.release()
                raise
        return lease

    def holder(self, scope: str) -> Holder | None:
        """Who has the lock, unless its lease has ended or it is dead on this machine."""
        found = self._files.show(scope)
        return None if found is None or is_dead(found.holder) else found.holder

    def hold(self, scope: str, reason: str) -> None:
        """A person's lock: no end but ``free``. Raises LockHeld."""
        person = replace(self._holder, kind="person", reason=reason)
        found = self._attempt(scope, person.id, person)
        if isinstance(found, Held):
            raise self._refusal(scope, found)

    def free(self, scope: str) -> Holder | None:
        """Ends a person's lock and tells whose it was; None: there was none. Raises LockHeld
        for the lock of a run, which ends by itself."""
        verdict, found = self._files.free(scope)
        if verdict == "held":
            raise self._refusal(scope, found)
        return found.holder if found else None

    def close(self) -> None:
        """Releases what is still held."""
        for lease in self._keeper.leases():
            lease.release()

    def _take(
        self, scope: str, token: str, deadline: float, check: Callable[[], None]
    ) -> tuple[Taken, float]:
        while True:
            asked = elapsing()
            found = self._attempt(scope, token, self._holder)
            if isinstance(found, Taken):
                return found, asked
            if elapsing() >= deadline:
                raise self._refusal(scope, found)
            check()
            time.sleep(min(random.uniform(_POLL / 2, _POLL * 3 / 2), deadline - asked))

    def _attempt(self, scope: str, token: str, holder: Holder) -> Taken | Held:
        found = self._files.take(scope, token, holder, self._keeper.lease, "-")
        if isinstance(found, Held) and is_dead(found.holder):
            found = self._files.take(scope, token, holder, self._keeper.lease, found.token)
        return found

    def _refusal(self, scope: str, held: Held | None) -> LockHeld:
        if held is None:
            return LockHeld(
                f"{subject(scope)} is locked by another part of this run",
                hint="wait for it with --wait SECONDS",
            )
        holder = held.holder
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() - held.seconds))
        by = f"{subject(scope)} is locked by {holder.who}@{holder.host}"
        if holder.kind == "person":
            reason = f": {holder.reason}" if holder.reason else ""
            return LockHeld(
                f"{by} since {since}{reason}",
                hint=f"`fleetctl unlock {scope.partition('-')[2]}` frees it; ask first",
            )
        return LockHeld(
            f"{by} ({holder.command or 'a run'}) since {since}, {held.seconds:.0f} s ago; its "
            f"lease runs {held.left:.0f} s more unless it is renewed",
            hint="wait for it with --wait SECONDS; a run that died frees it at the end of its "
            "lease, without help",
        )
