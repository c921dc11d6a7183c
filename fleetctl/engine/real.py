"""The world of a real fleet: every adapter over one connection a host."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

from fleetctl.containers.docker import DockerEngine
from fleetctl.haproxy.balancer import HAProxy
from fleetctl.haproxy.machine import Machine
from fleetctl.model.fleet import Fleet
from fleetctl.ssh.connections import Connections
from fleetctl.state.holder import this_holder
from fleetctl.state.journal import SqliteJournal
from fleetctl.state.locks import HostLocks
from fleetctl.state.record import HostRecord


class SystemClock:
    """Seconds of this machine."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float) -> None:
        time.sleep(seconds)


class RealWorld:
    """Adapters share one pool of connections; the locks have a connection of their own, so
    that renewing never waits for a pull."""

    def __init__(
        self, fleet: Fleet, *, who: str, command: str, parallel: int, journal: Path
    ) -> None:
        self._fleet = fleet
        logins = {host.name: host.login for host in fleet.hosts}
        self._connections = Connections(logins, parallel=parallel)
        first = fleet.record_hosts[0]
        self._lock_connections = Connections({first: logins[first]}, parallel=1)
        self.clock = SystemClock()
        self.record = HostRecord(self._connections, fleet.record_hosts)
        self.locks = HostLocks(self._lock_connections, first, this_holder(who, command))
        self.journal = SqliteJournal(journal)
        self._engines = {host.name: DockerEngine(self._connections, host) for host in fleet.hosts}
        self._balancers = {b.name: HAProxy(self._connections, b) for b in fleet.balancers}
        self._machines = {b.name: Machine(self._connections, b) for b in fleet.balancers}

    def engine(self, host: str) -> DockerEngine:
        return self._engines[host]

    def balancer(self, name: str) -> HAProxy:
        return self._balancers[name]

    def machine(self, name: str) -> Machine:
        return self._machines[name]

    def connect(self, hosts: Iterable[str]) -> None:
        self._connections.connect(hosts)

    def new_id(self) -> str:
        return os.urandom(4).hex()

    def close(self) -> None:
        self.locks.close()
        self._lock_connections.close()
        self.journal.close()
        self._connections.close()


def open_world(fleet: Fleet, *, who: str, command: str, parallel: int, journal: Path) -> RealWorld:
    """Connects to nothing yet. ``journal`` is this controller's own SQLite file."""
    return RealWorld(fleet, who=who, command=command, parallel=parallel, journal=journal)
