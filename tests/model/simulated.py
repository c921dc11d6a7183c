"""A fleet in memory with a clock of its own: hosts, engines, balancers, record, locks.

It has the shapes of fleetctl.engine.ports and refuses what real parts refuse. Each remote
effect passes ``Effects``, where a run can be killed before or after it, and after each the
invariants are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

from sim_balancers import SimBalancer, SimBalancerPort
from sim_effects import Effects, Fault
from sim_hosts import SimEngine, SimHost
from sim_state import SimJournal, SimLocks, SimRecord

from fleetctl.model.events import Event
from fleetctl.model.fleet import Balancer, Fleet, Host, Login
from fleetctl.model.instance import Container
from fleetctl.model.record import Document, Fence

REGISTRY = {
    "app:1": "app@sha256:1",
    "app:2": "app@sha256:2",
    "app:3": "app@sha256:3",
    "app:bad": "app@sha256:bad",
}


@dataclass
class SimClock:
    time: float = 1_000_000.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class SimFleet:
    """What persists: hosts, balancers, record, locks. Controllers come and go on it;
    ``waiting`` is called by one that finds a lock held, so that the other may go on."""

    def __init__(self, hosts: int = 3, balancers: int = 1) -> None:
        self.clock = SimClock()
        self.hosts = {
            f"node{i}": SimHost(f"node{i}", f"10.0.0.{i}", strangers={f"stranger-{i}": "running"})
            for i in range(1, hosts + 1)
        }
        self.balancers = {
            f"lb{i}": SimBalancer(f"lb{i}", SimHost(f"lb{i}", f"10.0.1.{i}"))
            for i in range(1, balancers + 1)
        }
        self.documents: dict[str, Document] = {}
        self.locks: dict[str, tuple[str, int]] = {}
        self.counters: dict[str, int] = {}
        self.silent: dict[str, float] = {}
        self.registry = REGISTRY
        self.last_id = 0
        self.waiting: Callable[[], None] = lambda: None

    def fork(self) -> SimFleet:
        """The same state, which goes its own way from here."""
        other = SimFleet(0, 0)
        other.clock = SimClock(self.clock.time)
        other.hosts = {name: host.fork() for name, host in self.hosts.items()}
        other.balancers = {name: lb.fork() for name, lb in self.balancers.items()}
        other.documents = dict(self.documents)
        other.locks = dict(self.locks)
        other.counters = dict(self.counters)
        other.silent = dict(self.silent)
        other.last_id = self.last_id
        return other

    def next_id(self) -> int:
        self.last_id += 1
        return self.last_id

    def inventory(self) -> Fleet:
        names = sorted([*self.hosts, *self.balancers])
        hosts = tuple(
            Host(
                name,
                Login(name),
                self.hosts[name].address if name in self.hosts else "10.0.1.1",
            )
            for name in names
        )
        balancers = tuple(
            Balancer(name, internal=self.balancers[name].machine.address)
            for name in sorted(self.balancers)
        )
        record = tuple(sorted(self.balancers)) or (names[0],)
        return Fleet("sim", hosts, balancers, record)

    def record_guard(self, fence: Fence) -> None:
        """The record lies on its hosts, and is written through their fences."""
        for name in self.inventory().record_hosts:
            if name in self.hosts:
                self.hosts[name].guard(fence)
            else:
                self.balancers[name].guard(fence)

    def containers(self, service: str = "") -> list[Container]:
        return [
            c
            for host in self.hosts.values()
            for c in host.containers.values()
            if not service or c.service == service
        ]

    def answering(self) -> dict[tuple[str, int], Container]:
        """The addresses behind which a healthy container is running, on a host that is up."""
        return {
            (c.address, binding.host): c
            for host in self.hosts.values()
            if host.up
            for c in host.containers.values()
            if c.running and not c.image.endswith("bad")
            for binding in c.bindings
        }

    def answers(self, address: str, port: int) -> bool:
        return (address, port) in self.answering()

    def silent_for(self, holder: str) -> float:
        """Seconds since a controller renewed its locks for the last time."""
        since = self.silent.get(holder)
        return 0.0 if since is None else self.clock.now() - since

    def controller(self, faults: dict[int, Fault] | None = None) -> SimWorld:
        return SimWorld(self, Effects(dict(faults or {})))


class SimWorld:
    """One controller on the fleet. ``limit`` is what its run may change hosts within;
    ``releases`` tells that its run ends holds."""

    def __init__(self, fleet: SimFleet, effects: Effects) -> None:
        self.fleet, self.effects = fleet, effects
        self.holder = f"controller-{fleet.next_id()}"
        self.record = SimRecord(fleet, effects)
        self.locks = SimLocks(fleet, effects, self.holder)
        self.journal = SimJournal()
        self.clock = fleet.clock
        self.emit: Callable[[Event], None] = lambda event: None
        self.limit: tuple[str, ...] | None = None
        self.releases = False

    def engine(self, host: str) -> SimEngine:
        machine = self.fleet.hosts.get(host) or self.fleet.balancers[host].machine
        return SimEngine(self.fleet, machine, self.effects)

    def balancer(self, name: str) -> SimBalancerPort:
        return SimBalancerPort(self.fleet, self.fleet.balancers[name], self.effects)

    def machine(self, name: str) -> Any:
        """What adopt asks of it: the digests of certificates that its file names."""
        file = self.fleet.balancers[name].file
        found = {f.path: f.text or f.digest for f in (file.files if file else ())}
        return SimpleNamespace(side_files=lambda: found)

    def connect(self, hosts: Iterable[str]) -> None: ...

    def new_id(self) -> str:
        """Ids that differ in the four digits by which containers are named."""
        return f"{self.fleet.next_id() * 2654435761 & 0xFFFFFFFF:08x}"

    def fall_silent(self) -> None:
        """It renews nothing from here on: it is frozen, or it is dead."""
        self.fleet.silent[self.holder] = self.fleet.clock.now()

    def close(self) -> None: ...
