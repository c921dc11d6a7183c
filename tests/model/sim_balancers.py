"""Balancers in memory: a file, a running worker, and what its checks say."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sim_effects import Effect, Effects
from sim_hosts import SimHost

from fleetctl.haproxy.rendered import Applied, Rendered
from fleetctl.model.balancing import Server, backend_name, server_name
from fleetctl.model.observed import ObservedBalancer, ObservedServer
from fleetctl.model.record import Fence

if TYPE_CHECKING:
    from simulated import SimFleet


@dataclass(frozen=True)
class SimServer:
    """A server of the running worker; ``since`` is when it got this address."""

    address: str
    port: int
    admin: str
    since: float
    service: str


FREE = SimServer("127.0.0.1", 1, "maint", 0.0, "")


@dataclass
class SimBalancer:
    name: str
    machine: SimHost
    file: Rendered | None = None
    running: Rendered | None = None
    servers: dict[tuple[str, str], SimServer] = field(default_factory=dict)

    def fork(self) -> SimBalancer:
        return replace(self, servers=dict(self.servers), machine=self.machine.fork())

    @property
    def up(self) -> bool:
        return self.machine.up

    def guard(self, fence: Fence) -> None:
        self.machine.guard(fence)

    def reboot(self, file: Rendered, now: float) -> None:
        self.file, self.running, self.servers = file, None, {}
        self.load(file, now)

    def load(self, rendered: Rendered, now: float) -> None:
        """By the socket when only servers differ; else by a worker that checks all anew."""
        fresh = self.running is None or self.running.skeleton != rendered.skeleton
        servers = {}
        for key, (service, server) in wanted(rendered).items():
            known = self.servers.get(key)
            stays = known and (known.address, known.port) == (server.address, server.port)
            since = known.since if known and stays and not fresh else now
            servers[key] = SimServer(server.address, server.port, server.state, since, service)
        self.servers = servers
        self.running = rendered


def wanted(rendered: Rendered) -> dict[tuple[str, str], tuple[str, Server]]:
    return {
        (backend_name(section.service, backend.port), server_name(s.slot)): (section.service, s)
        for section in rendered.sections
        for backend in section.backends
        for s in backend.servers
    }


class SimBalancerPort:
    """Reads a check's verdict one second after an address was set, as HAProxy would."""

    def __init__(self, fleet: SimFleet, balancer: SimBalancer, effects: Effects) -> None:
        self.fleet, self.balancer, self.effects = fleet, balancer, effects
        self.name = balancer.name

    def observe(self) -> ObservedBalancer:
        self.effects.read()
        balancer = self.balancer
        if not balancer.up:
            return ObservedBalancer(self.name, "unknown", f"{self.name} is silent")
        file, running = balancer.file, balancer.running
        return ObservedBalancer(
            self.name,
            version="2.6.12",
            config_id=running.config_id if running else "",
            skeleton=running.skeleton if running else "",
            file_id=file.config_id if file else "",
            servers=tuple(self._server(key) for key in sorted(self._slots())),
        )

    def _slots(self) -> set[tuple[str, str]]:
        """All of the running worker's, the free ones too."""
        sections = self.balancer.running.sections if self.balancer.running else ()
        return {
            (backend_name(section.service, backend.port), server_name(slot))
            for section in sections
            for backend in section.backends
            for slot in range(1, backend.size + 1)
        }

    def _server(self, key: tuple[str, str]) -> ObservedServer:
        backend, name = key
        server = self.balancer.servers.get(key, FREE)
        checked = self.fleet.clock.now() - server.since >= 1.0
        up = checked and self.fleet.answers(server.address, server.port)
        return ObservedServer(
            backend=backend,
            name=name,
            id=int(name.removeprefix("slot")),
            address=server.address,
            port=server.port,
            up=up,
            admin=server.admin,  # type: ignore[arg-type]
            status="UP" if up else "DOWN",
            weight=100,
            checked=checked,
        )

    def prepare(self, rendered: Rendered, fence: Fence) -> None:
        effect = Effect("prepare", self.name, rendered.config_id, fence.scope)
        self.effects.do(effect, lambda: self.balancer.guard(fence))

    def apply(self, rendered: Rendered, fence: Fence) -> Applied:
        balancer = self.balancer

        def write() -> None:
            balancer.guard(fence)
            balancer.file = rendered

        def run() -> None:
            balancer.guard(fence)
            balancer.load(rendered, self.fleet.clock.now())

        if balancer.file is None or balancer.file.config_id != rendered.config_id:
            self.effects.do(Effect("file", self.name, rendered.config_id, fence.scope), write)
        self.effects.do(Effect("runtime", self.name, rendered.config_id, fence.scope), run)
        return Applied("runtime")
