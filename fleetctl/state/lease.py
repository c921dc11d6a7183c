"""A lock that is held, and the one thread that keeps all of a run's locks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from fleetctl.errors import FleetError, LockLost
from fleetctl.model.record import Fence
from fleetctl.state.lockfile import LockFiles

# Goes on while the machine sleeps, where the platform tells the two apart.
_CLOCK = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)


def elapsing() -> float:
    """Seconds of a clock that nobody can set and that a suspended machine doesn't stop."""
    return time.clock_gettime(_CLOCK)


class HostLease:
    """One acquired lock. ``asked`` is when the host was asked for it, by ``elapsing``;
    ``over`` tells that it was taken from a holder that had fallen silent."""

    def __init__(
        self,
        files: LockFiles,
        keeper: Keeper,
        fence: Fence,
        token: str,
        asked: float,
        released: Callable[[], None],
        over: bool = False,
    ) -> None:
        self.fence = fence
        self.over = over
        self.token = token
        self._files = files
        self._keeper = keeper
        self._renewed = asked
        self._lost = ""
        self._doubt = ""
        self._released: Callable[[], None] | None = released
        self._guard = threading.Lock()

    def check(self) -> None:
        """Raises LockLost once another has the lock, or it was not renewed for two thirds of
        its time: from then on nothing may be started. Once lost it stays lost."""
        with self._guard:
            silent = elapsing() - self._renewed
            if not self._lost and silent >= self._keeper.lease * 2 / 3:
                why = self._doubt or "this process stood still"
                self._lost = f"was not renewed on {self._files.host} for {silent:.0f} s ({why})"
            if self._lost:
                raise LockLost(
                    f"the lock of {subject(self.fence.scope)} {self._lost}; nothing more was "
                    "started",
                    hint="run the same command again: it carries on from what it finds",
                    host=self._files.host,
                )

    def raise_to(self, number: int) -> None:
        """Makes the fence's number at least ``number``: a host had seen a later one. Raises
        LockLost, HostError."""
        self.check()
        found = self._files.raise_to(self.fence.scope, self.token, number)
        if found is None:
            self.lost()
            self.check()
        else:
            self.fence = Fence(self.fence.scope, found, self.fence.holder)

    def release(self) -> None:
        """Frees the lock; a second time does nothing. Never raises: a lock that can't be
        freed ends with its lease."""
        with self._guard:
            released, self._released = self._released, None
            self._lost = self._lost or "was released"
        if released is None:
            return
        self._keeper.drop(self)
        try:
            self._files.release(self.fence.scope, self.token)
        except FleetError:
            pass
        finally:
            released()

    def renewed(self, asked: float) -> None:
        """The host took a renewal that was asked for at ``asked``."""
        with self._guard:
            self._renewed = asked
            self._doubt = ""

    def doubt(self, why: str) -> None:
        """A renewal failed, or has no answer yet; whether the lock is lost, time tells."""
        with self._guard:
            self._doubt = why

    def lost(self) -> None:
        """The lock's file names another holder, or none."""
        with self._guard:
            self._lost = self._lost or "was taken over by another run"


class Keeper:
    """Renews leases of ``lease`` seconds, five times in that time, from one thread that
    lives as long as there are any."""

    def __init__(self, files: LockFiles, lease: float) -> None:
        self.lease = lease
        self._files = files
        self._changed = threading.Condition()
        self._leases: list[HostLease] = []
        self._thread: threading.Thread | None = None

    def add(self, lease: HostLease) -> None:
        with self._changed:
            self._leases.append(lease)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="leases", daemon=True)
                self._thread.start()

    def drop(self, lease: HostLease) -> None:
        with self._changed:
            self._leases.remove(lease)
            self._changed.notify_all()

    def leases(self) -> list[HostLease]:
        with self._changed:
            return list(self._leases)

    def _run(self) -> None:
        due = elapsing() + self.lease / 5
        while True:
            with self._changed:
                while self._leases and elapsing() < due:
                    self._changed.wait(max(0.0, due - elapsing()))
                leases = list(self._leases)
                if not leases:
                    self._thread = None
                    return
            due = elapsing() + self.lease / 5
            self._renew(leases)

    def _renew(self, leases: list[HostLease]) -> None:
        asked = elapsing()
        pairs = [(lease.fence.scope, lease.token) for lease in leases]
        for lease in leases:
            lease.doubt("it does not answer")
        try:
            kept = self._files.renew(pairs, self.lease / 3)
        except FleetError as error:
            for lease in leases:
                lease.doubt(str(error))
            return
        for lease in leases:
            if lease.fence.scope in kept:
                lease.renewed(asked)
            else:
                lease.lost()


def subject(scope: str) -> str:
    """What a scope is called in messages: ``service web``, ``balancer lb1``, ``placement``."""
    return scope.replace("-", " ", 1)
