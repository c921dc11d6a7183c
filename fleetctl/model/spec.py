"""What a play declares, resolved: templates evaluated, units parsed, names checked.

Seconds are floats, memory is in bytes. A ``ServiceSpec`` holds no secret and needs no
file: it is stored with its revision and is all that a reconcile reads.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fleetctl.model.codec import digest
from fleetctl.model.routing import Balancing, Internal, Mode, Pairs, Route

SERVICE_NAME = r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?"
"""What a service may be called: it goes into names of containers, files and HAProxy."""
SERVICE_NAME_HINT = "lower case letters, digits and -, beginning with a letter, at most 40"


@dataclass(frozen=True, slots=True)
class Port:
    """A named container port. The host port comes from the host's range."""

    name: str
    container: int


@dataclass(frozen=True, slots=True)
class Resources:
    """Limits of one instance and what placement counts. 0 means no limit."""

    cpus: float = 0.0
    memory: int = 0


@dataclass(frozen=True, slots=True)
class Healthcheck:
    """``http`` asks ``path`` at ``port``; ``tcp`` connects to ``port``; ``command`` runs in
    the container (the engine's HEALTHCHECK); ``none`` is healthy as soon as it runs."""

    kind: Literal["http", "tcp", "command", "none"] = "none"
    port: str = ""
    path: str = "/"
    command: tuple[str, ...] = ()
    interval: float = 1.0
    timeout: float = 1.0
    retries: int = 3
    start_period: float = 0.0

    def http_at(self, port: str) -> bool:
        """Whether a balancer asks by HTTP at this port, and doesn't only connect."""
        return self.kind == "http" and self.port in ("", port)

    def path_at(self, port: str) -> str:
        """What a balancer asks by HTTP at this port; empty where it only connects."""
        return self.path if self.http_at(port) else ""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where instances may run. ``spread`` names host labels, widest first."""

    strategy: Literal["spread", "pack"] = "spread"
    spread: tuple[str, ...] = ()
    max_per_host: int = 0


@dataclass(frozen=True, slots=True)
class Rollout:
    """How one revision replaces another. Shares such as ``25%`` stay text: they are of n."""

    strategy: Literal["rolling"] = "rolling"
    serial: tuple[str, ...] = ()
    max_surge: str = "25%"
    max_unavailable: str = "0"
    min_ready: float = 5.0
    healthy_deadline: float = 60.0
    progress_deadline: float = 600.0
    drain_timeout: float = 30.0
    on_failure: Literal["rollback", "pause", "stop"] = "rollback"


@dataclass(frozen=True, slots=True)
class Logging:
    driver: str = "json-file"
    options: Pairs = (("max-file", "3"), ("max-size", "10m"))


@dataclass(frozen=True, slots=True)
class ServiceSpec:
    """One service, fully resolved. ``image`` is a reference by digest once it is a revision's."""

    name: str
    image: str
    hosts: str = "all"
    replicas: int = 1
    command: tuple[str, ...] = ()
    entrypoint: tuple[str, ...] = ()
    environment: Pairs = ()
    labels: Pairs = ()
    user: str = ""
    working_dir: str = ""
    ports: tuple[Port, ...] = ()
    resources: Resources = field(default_factory=Resources)
    healthcheck: Healthcheck = field(default_factory=Healthcheck)
    stop_signal: str = "SIGTERM"
    stop_grace: float = 10.0
    restart: Literal["no", "always", "on-failure", "unless-stopped"] = "unless-stopped"
    read_only: bool = False
    tmpfs: tuple[str, ...] = ()
    cap_add: tuple[str, ...] = ()
    cap_drop: tuple[str, ...] = ()
    extra_hosts: Pairs = ()
    init: bool = False
    logging: Logging = field(default_factory=Logging)
    placement: Placement = field(default_factory=Placement)
    rollout: Rollout = field(default_factory=Rollout)
    routes: tuple[Route, ...] = ()
    internal: Internal | None = None
    balancing: Balancing = field(default_factory=Balancing)

    @property
    def balanced(self) -> tuple[tuple[str, Mode], ...]:
        """(port, mode) of all that is reached through the balancers, by port."""
        found = {(route.port, route.mode) for route in self.routes}
        if self.internal is not None:
            found.add((self.internal.port, self.internal.mode))
        return tuple(sorted(found))

    @property
    def drain_limit(self) -> float:
        """Seconds that connections get to end before their server goes."""
        return max(self.rollout.drain_timeout, self.balancing.tunnel_drain)


NOT_OF_THE_CONTAINER = (
    "hosts",
    "replicas",
    "placement",
    "rollout",
    "routes",
    "internal",
    "balancing",
)


def container_hash(spec: ServiceSpec) -> str:
    """Names what a container is made of. Replicas, placement, rollout and what balancers do are
    not in it: changing them alone replaces no container."""
    parts = {
        name: getattr(spec, name)
        for name in ServiceSpec.__dataclass_fields__
        if name not in NOT_OF_THE_CONTAINER
    }
    return digest(parts)
