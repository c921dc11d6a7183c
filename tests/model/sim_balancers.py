"""Balancers in memory: a file, a running worker, and what its checks say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from sim_effects import Effect, Effects
from sim_hosts import SimHost

from fleetctl.errors import BalancerFailed, ConnectionLost
from fleetctl.haproxy.rendered import Applied, How, Rendered
from fleetctl.model.balancing import Server, backend_name, server_name
from fleetctl.model.observed import ObservedBalancer, ObservedServer
from fleetctl.model.record import Fence
from fleetctl.model.secret import Secret

if TYPE_CHECKING:
    from simulated import SimFleet


@dataclass(frozen=True)
class SimServer:
    """A server of the running worker; ``since`` is when it got this address. One that was taken
    out keeps its address, and is of no service, until its slot is used or a worker is new."""

    address: str
    port: int
    admin: str
    since: float
    service: str
    weight: int = 100


FREE = SimServer("127.0.0.1", 1, "maint", 0.0, "")


@dataclass
class SimBalancer:
    """``live`` is the files_id of the side files that the link leads to, ``pems`` are the texts
    of certificates that it was given. ``sessions`` are those that clients have open at an
    address, whatever becomes of its server; ``cut`` counts what was ended."""

    name: str
    machine: SimHost
    file: Rendered | None = None
    running: Rendered | None = None
    servers: dict[tuple[str, str], SimServer] = field(default_factory=dict)
    live: str = ""
    pems: dict[str, Secret] = field(default_factory=dict)
    sessions: dict[tuple[str, int], int] = field(default_factory=dict)
    cut: int = 0

    def fork(self) -> SimBalancer:
        return replace(
            self,
            servers=dict(self.servers),
            machine=self.machine.fork(),
            pems=dict(self.pems),
            sessions=dict(self.sessions),
        )

    @property
    def up(self) -> bool:
        return self.machine.up

    def guard(self, fence: Fence) -> None:
        self.machine.guard(fence)

    def reboot(self, file: Rendered, now: float) -> None:
        self.file, self.running, self.servers, self.sessions = file, None, {}, {}
        self.load(file, now)

    def load(self, rendered: Rendered, now: float) -> None:
        """By the socket when only servers differ; else by a worker that checks all anew."""
        fresh = self.running is None or self.running.skeleton != rendered.skeleton
        servers = {}
        if not fresh:
            for key, left in self.servers.items():
                servers[key] = replace(left, admin="maint", service="")
        for key, (service, server) in wanted(rendered).items():
            known = self.servers.get(key)
            stays = known and (known.address, known.port) == (server.address, server.port)
            since = known.since if known and stays and not fresh else now
            servers[key] = SimServer(
                server.address, server.port, server.wanted, since, service, server.weight
            )
        self.servers = servers
        self.running = rendered

    def busy(self, rendered: Rendered) -> str:
        """A slot that the socket can't give another instance yet."""
        if self.running is None or self.running.skeleton != rendered.skeleton:
            return ""
        for key, (_, server) in wanted(rendered).items():
            known = self.servers.get(key, FREE)
            stays = (known.address, known.port) == (server.address, server.port)
            if not stays and self.sessions.get((known.address, known.port)):
                return "/".join(key)
        return ""


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
            files_id=balancer.live,
            routes=running.routes if running else (),
            certificates=tuple(
                (path, known.fingerprint)
                for path, known in (running.certificates if running else ())
            ),
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

    def _limits(self) -> dict[str, int]:
        running = self.balancer.running
        return {s.service: s.balancing.maxconn for s in (running.sections if running else ())}

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
            weight=server.weight,
            maxconn=self._limits().get(server.service, 0),
            sessions=self.balancer.sessions.get((server.address, server.port), 0),
            checked=checked,
        )

    def _ask(self) -> None:
        self.effects.read()
        if not self.balancer.up:
            raise ConnectionLost(f"{self.name} is silent", host=self.name)

    def lacking(self, rendered: Rendered) -> tuple[str, ...]:
        self._ask()
        digests = {certificate.digest for _, certificate in rendered.certificates}
        return tuple(sorted(digests - set(self.balancer.pems)))

    def certificate(self, digest: str) -> Secret | None:
        self._ask()
        return self.balancer.pems.get(digest)

    def text(self) -> str:
        self._ask()
        return self.balancer.file.text if self.balancer.file else ""

    def prepare(
        self, rendered: Rendered, fence: Fence, pems: Mapping[str, Secret] | None = None
    ) -> How:
        def check() -> None:
            self.balancer.guard(fence)
            self.balancer.pems.update(pems or {})
            if lacking := self.lacking(rendered):
                raise BalancerFailed(f"{self.name} has no text of {', '.join(lacking)}")

        self.effects.do(Effect("prepare", self.name, rendered.config_id, fence.scope), check)
        running = self.balancer.running
        same = running is not None and running.skeleton == rendered.skeleton
        return "runtime" if same else "reload"

    def apply(self, rendered: Rendered, fence: Fence) -> Applied:
        balancer = self.balancer

        def link() -> None:
            balancer.guard(fence)
            assert not self.lacking(rendered), "a certificate's text is nowhere here"
            balancer.live = rendered.files_id

        def write() -> None:
            balancer.guard(fence)
            balancer.file = rendered

        def run() -> None:
            balancer.guard(fence)
            if busy := balancer.busy(rendered):
                raise BalancerFailed(f"{self.name}: {busy} has connections of another instance")
            balancer.file = rendered  # its text, which is on the disk, may be of other sections
            balancer.load(rendered, self.fleet.clock.now())

        if balancer.live != rendered.files_id:
            self.effects.do(Effect("files", self.name, rendered.files_id, fence.scope), link)
        if balancer.file is None or balancer.file.config_id != rendered.config_id:
            self.effects.do(Effect("file", self.name, rendered.config_id, fence.scope), write)
        self.effects.do(Effect("runtime", self.name, rendered.config_id, fence.scope), run)
        return Applied("runtime")

    def end_sessions(self, servers: Sequence[tuple[str, str]], fence: Fence) -> None:
        def cut() -> None:
            self.balancer.guard(fence)
            for key in servers:
                server = self.balancer.servers.get(key, FREE)
                self.balancer.cut += self.balancer.sessions.pop((server.address, server.port), 0)

        names = " ".join("/".join(key) for key in servers)
        self.effects.do(Effect("end sessions", self.name, names, fence.scope), cut)
