"""The bounded pool of one run: one connection per host, opened side by side."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from fleetctl.errors import HostError, Unreachable
from fleetctl.model.fleet import Login
from fleetctl.ssh.connection import Connection
from fleetctl.ssh.fence import STATE_DIR
from fleetctl.ssh.transport import log_in
from fleetctl.ssh.watchdog import Watchdog

# A host that was lost, or does not answer, is tried again by whoever asks for it, but not
# sooner than this after the last attempt ended: those who wait for it would add up.
AGAIN_AFTER = 5.0


class _Place:
    """One host's connection, or why there is none."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connection: Connection | None = None
        self.failure: HostError | None = None
        self.tried = 0.0


class Connections:
    """Thread-safe. ``logins`` by host name; at most ``parallel`` logins at once. A host that
    never answered stays failed until ``connect`` is asked for it again; one that was lost is
    connected to anew when it is next asked for. ``state_dir`` is fleetctl's folder on the
    hosts."""

    def __init__(
        self, logins: Mapping[str, Login], *, parallel: int = 32, state_dir: str = STATE_DIR
    ) -> None:
        self._logins = dict(logins)
        self._places = {name: _Place() for name in self._logins}
        self._parallel = max(1, parallel)
        self._slots = threading.BoundedSemaphore(self._parallel)
        self._state_dir = state_dir
        self._watchdog = Watchdog()
        self._closed = False

    def connect(self, names: Iterable[str]) -> None:
        """Connects to the hosts of ``names`` that aren't connected. Failures are remembered:
        ``host`` raises them."""
        wanted = sorted(set(names))
        if not wanted:
            return
        with ThreadPoolExecutor(min(self._parallel, len(wanted)), "ssh-login") as pool:
            for _ in pool.map(self._try, wanted):
                pass

    def host(self, name: str) -> Connection:
        """The connection to a host. Raises HostError's children: now's, or the remembered.
        KeyError for a name without a login."""
        place = self._places[name]
        with place.lock:
            connection, failure = place.connection, place.failure
            if connection is not None and connection.alive:
                return connection
            lost = connection is not None and time.monotonic() - place.tried > AGAIN_AFTER
            if failure is None or lost:
                return self._open(name, place)
            raise failure

    def close(self) -> None:
        """Ends all connections. None is opened afterwards."""
        self._closed = True
        for place in self._places.values():
            with place.lock:
                if place.connection is not None:
                    place.connection.close()
        self._watchdog.close()

    def _try(self, name: str) -> None:
        place = self._places[name]
        with place.lock:
            if place.connection is not None and place.connection.alive:
                return
            silent = isinstance(place.failure, Unreachable)
            if silent and time.monotonic() - place.tried < AGAIN_AFTER:
                return
            with contextlib.suppress(HostError):
                self._open(name, place)

    def _open(self, name: str, place: _Place) -> Connection:
        login = self._logins[name]
        place.tried = time.monotonic()
        try:
            if self._closed:
                raise HostError(f"{name}: this run has ended its connections", host=name)
            if place.connection is not None:
                place.connection.close()
            with self._slots:
                connected, sock = log_in(name, login)
        except HostError as failure:
            place.failure, place.tried = failure, time.monotonic()
            raise
        place.failure = None
        self._watchdog.watch(sock)
        place.connection = Connection(
            name, connected, sock, become=login.become, state_dir=self._state_dir
        )
        return place.connection
