"""What must hold after every remote effect (SEMANTICS section 4), on the simulated fleet.

Each check can be broken by a test: see test_model_mutants.py.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from simulated import SimFleet


@dataclass
class Invariants:
    """``floor`` and ``ceiling`` are for the service ``web``; ``lost`` are addresses
    whose container the world, not the controller, has ended."""

    fleet: SimFleet
    floor: int = 0
    ceiling: int = 1000
    lost: set[tuple[str, int]] = field(default_factory=set)
    fences: dict[tuple[str, str], int] = field(default_factory=dict)

    def __call__(self, what: str) -> None:
        self.fences_never_fall(what)
        self.ready_servers_answer(what)
        self.enough_serve(what)
        self.live_within_ceiling(what)
        self.two_containers_a_slot(what)
        self.generations_grow(what)

    def fences_never_fall(self, what: str) -> None:
        """I1."""
        for host in self.fleet.hosts.values():
            for scope, (number, _) in host.fences.items():
                assert number >= self.fences.get((host.name, scope), 0), f"I1 after {what}"
                self.fences[host.name, scope] = number

    def ready_servers_answer(self, what: str) -> None:
        """I3, I9: a server that gets requests is a running, healthy container."""
        for balancer in self.fleet.balancers.values():
            for key, server in balancer.servers.items():
                container = self.fleet.at(server.address, server.port)
                if server.admin != "ready" or (server.address, server.port) in self.lost:
                    continue
                assert self.fleet.answers(container), f"I3 after {what}: {key} on {balancer.name}"

    def enough_serve(self, what: str) -> None:
        """I2: ready and in every balancer, never under the floor."""
        for balancer in self.fleet.balancers.values():
            serving = sum(
                server.admin == "ready"
                and self.fleet.answers(self.fleet.at(server.address, server.port))
                for (backend, _), server in balancer.servers.items()
                if backend.startswith("web.")
            )
            assert serving >= self.floor, f"I2 after {what}: {serving} < {self.floor}"

    def live_within_ceiling(self, what: str) -> None:
        """I2: live never over replicas + surge."""
        live = sum(c.running for c in self.fleet.containers("web"))
        assert live <= self.ceiling, f"I2 after {what}: {live} live > {self.ceiling}"

    def two_containers_a_slot(self, what: str) -> None:
        """I4."""
        slots = Counter(
            c.slot for c in self.fleet.containers("web") if c.state in ("created", "running")
        )
        assert max(slots.values(), default=0) <= 2, f"I4 after {what}: {slots}"

    def generations_grow(self, what: str) -> None:
        """I11."""
        seen: dict[str, int] = {}
        for key, generation in self.fleet.generations:
            assert generation == seen.get(key, 0) + 1, f"I11 after {what}: {key}"
            seen[key] = generation
