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
from fleetctl.ssh.known_hosts import host_name
from fleetctl.ssh.transport import log_in
from fleetctl.ssh.watchdog import PATIENCE, Watchdog

# A host that was lost, or does not answer, is tried again by whoever asks for it, but not
# sooner than this after it was given up: those who wait for it would add up.
AGAIN_AFTER = 5.0
# What a host that was silent before has to show that it is back: three SYNs' time.
SHORT_PATIENCE = 4.0


class _Place:
    """One host's connection, or why there is none. ``known`` is when (monotonic) that showed,
    ``failed`` when the last login failed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.connection: Connection | None = None
        self.failure: HostError | None = None
        self.known = 0.0
        self.failed = 0.0


class Connections:
    """Thread-safe. ``logins`` by host name; at most ``parallel`` logins at once. A host that
    never answered stays failed until ``connect`` is asked for it again; one that was lost is
    connected to anew when it is next asked for, one that fell silent by ``connect`` or some
    seconds later, so that its silence isn't waited for once more by everybody. ``state_dir``
    is fleetctl's folder on the hosts."""

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
            if place.connection is not None and place.connection.alive:
                return place.connection
            self._notice_silence(name, place)
            due = place.connection is not None and time.monotonic() - place.known > AGAIN_AFTER
            if place.failure is None or due:
                return self._open(name, place)
            raise place.failure

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
            self._notice_silence(name, place)
            silent = isinstance(place.failure, Unreachable)
            if silent and time.monotonic() - place.failed < AGAIN_AFTER:
                return
            with contextlib.suppress(HostError):
                self._open(name, place)

    def _notice_silence(self, name: str, place: _Place) -> None:
        """A connection that ended because its host fell silent is a failure from then on."""
        connection = place.connection
        if place.failure is not None or connection is None or connection.silent is None:
            return
        login = self._logins[name]
        place.known = connection.silent
        place.failure = Unreachable(
            f"{name}: {host_name(login.address, login.port)} fell silent: no sign of life for "
            f"{PATIENCE:g} s",
            hint="is the host up, and is the way to it open (firewall, route)?",
            host=name,
        )

    def _open(self, name: str, place: _Place) -> Connection:
        login = self._logins[name]
        patience = SHORT_PATIENCE if isinstance(place.failure, Unreachable) else None
        try:
            if self._closed:
                raise HostError(f"{name}: this run has ended its connections", host=name)
            if place.connection is not None:
                place.connection.close()
            with self._slots:
                connected, sock = log_in(name, login, patience)
        except HostError as failure:
            place.failure = failure
            place.known = place.failed = time.monotonic()
            raise
        place.failure = None
        self._watchdog.watch(sock)
        place.connection = Connection(
            name, connected, sock, become=login.become, state_dir=self._state_dir
        )
        return place.connection
