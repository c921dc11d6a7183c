"""What the record and the running balancers say about a service's containers."""

from __future__ import annotations

from fleetctl.model.balancing import Server, backend_name, server_name
from fleetctl.model.instance import Binding, Container, port_of
from fleetctl.model.observed import ObservedServer
from fleetctl.planner.inputs import Situation
from fleetctl.planner.settings import changed_settings, lagging


class Serving:
    """Two questions with two burdens of proof: an instance serves for certain only when every
    balancer says so; it is given up as not serving only when every balancer says that."""

    def __init__(self, situation: Situation) -> None:
        spec = situation.target.spec
        self._situation = situation
        self._service = situation.service
        self._spec = spec
        self._section = situation.section
        self._now = situation.now
        self._balanced = bool(situation.balancers)
        self._balancers = tuple(
            sorted((b for b in situation.balancers if b.up), key=lambda b: b.name)
        )
        self._ports = tuple(port for port, _ in spec.balanced)
        self.servers: dict[str, dict[str, Server]] = {}
        self._known: set[tuple[str, str]] = set()
        for backend in situation.section.backends if situation.section else ():
            for server in backend.servers:
                self.servers.setdefault(server.instance, {})[backend.port] = server
                self._known.add((backend_name(self._service, backend.port), _line(server)))
        self._lines: dict[tuple[str, str, str], ObservedServer] = {}
        self._alive: set[tuple[str, int]] = set()
        for balancer in self._balancers:
            for line in balancer.servers:
                if not line.backend.startswith(f"{self._service}."):
                    continue
                self._lines[balancer.name, line.backend, line.name] = line
                if line.admin == "ready" and (line.up or not line.checked):
                    self._alive.add((line.address, line.port))

    @property
    def routed(self) -> bool:
        """Whether the wanted revision is reached through the balancers."""
        return bool(self._ports)

    @property
    def drains(self) -> bool:
        """Whether a container may have a server that must drain before it stops."""
        return self.routed and self._section is not None

    @property
    def shows(self) -> bool:
        """Whether the balancers, and not the hosts, are asked what serves before any goes."""
        return self.drains and self._balanced

    def sees(self, container: Container) -> bool:
        """Whether that question (engine/floor.py) finds this container serving, if all stays as
        it is. It is asked with more rigour than ``may_serve``: at every port."""
        if self.shows:
            return self.sees_named(container.name)
        return container.running and container.health not in ("starting", "unhealthy")

    def sees_named(self, name: str) -> bool:
        """The same of an instance that only the balancers tell of."""
        servers = self.servers.get(name, {}) if self.shows else {}
        return bool(servers) and any(
            all(self._alive_on(balancer.name, port, s) for port, s in servers.items())
            for balancer in self._balancers
        )

    def _alive_on(self, balancer: str, port: str, server: Server) -> bool:
        line = self._lines.get((balancer, backend_name(self._service, port), _line(server)))
        return (
            line is not None
            and not server.held
            and (line.address, line.port) == (server.address, server.port)
            and line.admin == "ready"
            and (line.up or not line.checked)
        )

    def held(self, name: str) -> str:
        """What a person keeps this instance in for now, so that it gets no requests; or empty."""
        servers = self.servers.get(name, {}) if self.shows else {}
        return next((s.held for _, s in sorted(servers.items()) if s.held_at(self._now)), "")

    def knows(self, container: Container) -> bool:
        """Whether a server in the record stands for this very container."""
        servers = self.servers.get(container.name, {})
        return any(server.host == container.host for server in servers.values())

    def gone(self, name: str) -> Container:
        """Stands for the server of an instance whose container is not to be found: it has no
        id, and can only be drained."""
        port, server = min(self.servers[name].items())
        return Container(
            id="",
            name=name,
            host=server.host,
            address=server.address,
            service=self._service,
            slot=server.container_slot,
            revision=server.revision,
            generation=0,
            deploy="",
            spec="",
            state="dead",
            bindings=(Binding(port, 0, server.port),),
        )

    def fault(self, container: Container) -> str:
        """Why a running container doesn't serve for certain; empty when it does."""
        for port in self._ports:
            fault = self._fault_at(container, port)
            if fault:
                return fault
        return ""

    def _fault_at(self, container: Container, port: str) -> str:
        server = self.servers.get(container.name, {}).get(port)
        where = (container.address, port_of(container.bindings, port))
        if server is None:
            return "not in the load balancer"
        if server.state != "ready":
            return "draining"
        if (server.address, server.port) != where:
            return "in the load balancer under another address"
        if server.held:
            over = not server.held_at(self._now)
            return f"is not to be held in {server.held} any longer" if over else ""
        for balancer in self._balancers:
            line = self._lines.get(
                (balancer.name, backend_name(self._service, port), _line(server))
            )
            if line is None or (line.address, line.port) != where:
                return f"not on {balancer.name}"
            if not (line.up and line.checked and line.admin == "ready"):
                return f"not UP on {balancer.name} ({line.status})"
        return ""

    def may_serve(self, container: Container) -> bool:
        """False only on evidence: every balancer that answers sends it nothing. That is none
        where requests are not to come through balancers."""
        if self._section is None or not self.routed:
            return True
        if self._balancers:
            return any((container.address, b.host) in self._alive for b in container.bindings)
        return any(s.wanted == "ready" for s in self.servers.get(container.name, {}).values())

    def out_of_line(self) -> str:
        """Why routes and settings must be applied although no server changes; or empty."""
        section = self._section
        if section is None:
            left = sorted({balancer for balancer, _, _ in self._lines})
            if self.routed:
                return "no routes in the load balancer yet"
            if self._situation.certificates:
                return "certificates that nothing names were left"
            return f"routes were taken away, and not on {', '.join(left)}" if left else ""
        if not self.routed:
            return "routes were taken away"
        if changed := changed_settings(self._situation, section):
            return changed
        for (balancer, backend, name), line in sorted(self._lines.items()):
            if line.admin != "maint" and (backend, name) not in self._known:
                return f"{balancer} has {backend}/{name}, which the record doesn't"
        return lagging(self._situation)

    @property
    def check_waits(self) -> bool:
        """Whether the wanted health check comes when the last server of another one is gone."""
        section, wanted = self._section, self._spec.healthcheck
        return self.drains and section is not None and section.check_for(wanted) != wanted


def _line(server: Server) -> str:
    return server_name(server.slot)
