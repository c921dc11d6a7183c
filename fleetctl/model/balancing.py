"""What balancers are committed to serve: one section per service, the same on all of them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from fleetctl.model.routing import Balancing, Certificate, Internal, Mode, Route
from fleetctl.model.spec import Healthcheck


@dataclass(frozen=True, slots=True)
class Server:
    """A server slot that holds an instance. ``instance`` is its name, ``state`` what the
    balancers are to do with it: send requests, or none that are new. ``check`` is the path
    at which its own health check is asked, empty for a connection alone. ``held`` is what a
    person wants of it instead of requests, until ``held_until`` (seconds since the epoch, 0 for
    no end): a run leaves that as it is."""

    slot: int
    instance: str
    container_slot: int
    revision: int
    host: str
    address: str
    port: int
    state: Literal["ready", "drain"] = "ready"
    weight: int = 100
    check: str = ""
    held: Literal["", "drain", "maint"] = ""
    held_until: float = 0.0

    @property
    def wanted(self) -> Literal["ready", "drain", "maint"]:
        """What the balancers are to have it in."""
        return self.held or self.state

    def held_at(self, now: float) -> bool:
        """Whether a person holds it, and the time of that isn't over at ``now``."""
        return bool(self.held) and not 0.0 < self.held_until <= now


@dataclass(frozen=True, slots=True)
class Backend:
    """All servers of one port of a service. ``size`` is the number of server slots in the
    file (a power of two); ``last`` is the slot that was given out last, so that a slot
    which was just freed is not the next to be used."""

    port: str
    size: int
    servers: tuple[Server, ...] = ()
    last: int = 0
    mode: Mode = "http"


@dataclass(frozen=True, slots=True)
class Section:
    """The part of every balancer's file that belongs to one service. Adding one service
    changes no line of another's. ``certificates`` are all that any retained revision may name;
    what a route names is used."""

    service: str
    routes: tuple[Route, ...] = ()
    healthcheck: Healthcheck = field(default_factory=Healthcheck)
    drain_timeout: float = 30.0
    backends: tuple[Backend, ...] = ()
    internal: Internal | None = None
    balancing: Balancing = field(default_factory=Balancing)
    certificates: tuple[Certificate, ...] = ()

    def backend(self, port: str) -> Backend | None:
        return next((b for b in self.backends if b.port == port), None)

    def certificate(self, name: str) -> Certificate | None:
        return next((c for c in self.certificates if c.name == name), None)

    @property
    def drain_limit(self) -> float:
        """Seconds that connections get to end before their server goes."""
        return max(self.drain_timeout, self.balancing.tunnel_drain)

    def check_for(self, wanted: Healthcheck) -> Healthcheck:
        """``wanted``, but a connection alone as long as a server is here that is asked at
        another path: the one check of a backend must not mark it DOWN."""
        for backend in self.backends:
            path = wanted.path_at(backend.port)
            if path and any(server.check != path for server in backend.servers):
                return replace(wanted, kind="tcp", path="/", command=())
        return wanted

    def with_backend(self, backend: Backend) -> Section:
        """This section with ``backend`` in the place of the one for the same port."""
        others = [b for b in self.backends if b.port != backend.port]
        return replace(self, backends=tuple(sorted([*others, backend], key=lambda b: b.port)))


def backend_name(service: str, port: str) -> str:
    """The name of a backend in HAProxy's file and over its socket."""
    return f"{service}.{port}"


def server_name(slot: int) -> str:
    """The name of server slot ``slot`` (from 1) in HAProxy's file."""
    return f"slot{slot}"
