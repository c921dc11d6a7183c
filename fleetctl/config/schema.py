"""The shape of a play: pydantic models, strict, with no key that nobody reads."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from fleetctl.config.fields import (
    Addresses,
    Batches,
    Bytes,
    Cpus,
    Networks,
    Seconds,
    Settings,
    Share,
    Sticky,
    Test,
    Text,
    Texts,
    Truth,
    Words,
    choice,
    source_of,
    text_like,
    whole_number,
)
from fleetctl.model.spec import SERVICE_NAME, SERVICE_NAME_HINT

_PORT = r"[a-z]([a-z0-9-]{0,13}[a-z0-9])?"
_LABEL = r"[A-Za-z_][A-Za-z0-9._/-]{0,62}"
_DNS_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"(?=.{{1,253}}$){_DNS_LABEL}(\.{_DNS_LABEL})*"
_USER = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_PATH = r"(?=.{1,1024}$)(/(?!\.{1,2}(/|$))[A-Za-z0-9._~+=:@,-]+)*/?"
_CHECK_PATH = r"/[A-Za-z0-9._~/+=:@,%?&-]{0,1023}"
_PATH_HINT = "begin it with /; no blanks, quotes or semicolons"

ServiceName: Any = text_like(SERVICE_NAME, "service name", SERVICE_NAME_HINT)
PortName: Any = text_like(_PORT, "port name", "lower case letters, digits and -, at most 15")
LabelName: Any = text_like(_LABEL, "label name")
RoutePath: Any = text_like(_PATH, "path", f"{_PATH_HINT}, no //, .. or %")
CheckPath: Any = text_like(_CHECK_PATH, "path", _PATH_HINT)
HostName: Any = text_like(
    rf"(\*\.)?{_HOST}", "DNS name", "NAME, or *.NAME for one label more; no dot at the end"
)
HeaderName: Any = text_like(r"[A-Za-z][A-Za-z0-9-]{0,63}", "name of a header")
HeaderValue: Any = text_like(
    r"[A-Za-z0-9 ._~/+=:@!?*()'&|^-]{1,255}",
    "value of a header",
    "letters, digits, blanks and ._~/+=:@!?*()'&|^-",
)
Certificate: Any = source_of(key=True)
Users: Any = source_of()
Driver: Any = text_like(r"[a-z0-9][a-z0-9_./-]*", "logging driver")
User: Any = text_like(rf"{_USER}(:{_USER})?", "user")
Folder: Any = text_like(r"/[^\n\r]*", "absolute path")
Signal: Any = text_like(r"(SIG)?[A-Z][A-Z0-9+]{1,14}", "signal", "write its name: SIGTERM")
Capability: Any = text_like(r"[A-Z_]+", "capability", "upper case: NET_BIND_SERVICE, ALL")
PortNumber: Any = whole_number(1, 65535)
Count: Any = whole_number(0, 10_000)
Requests: Any = whole_number(1, 1_000_000)
Connections: Any = whole_number(0, 1_000_000)
Tries: Any = whole_number(1, 100)
Spreading: Any = choice("spread", "pack")
Rolling: Any = choice("rolling", later=("canary", "blue_green", "recreate"))
Failing: Any = choice("rollback", "pause", "stop")
Mode: Any = choice("http", "tcp")
Algorithm: Any = choice("roundrobin", "leastconn", "source", "random", "first")
ProxyProtocol: Any = choice("v1", "v2")
Restarting: Any = choice("no", "always", "on-failure", "unless-stopped")


class Part(BaseModel):
    """What all parts of a play have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class ResourcesPart(Part):
    cpus: Cpus = 0.0
    memory: Bytes = 0


class HealthcheckPart(Part):
    """One of http, tcp and test. ``port`` is a name under expose."""

    http: CheckPath | None = None
    tcp: PortName | None = None
    test: Test | None = None
    port: PortName | None = None
    interval: Seconds = 1.0
    timeout: Seconds | None = None
    retries: Tries = 3
    start_period: Seconds = 0.0


class LoggingPart(Part):
    driver: Driver = "json-file"
    options: Settings = {}


class PlacementPart(Part):
    strategy: Spreading = "spread"
    spread: list[LabelName] = []
    max_per_host: Count = 0


class RolloutPart(Part):
    strategy: Rolling = "rolling"
    serial: Batches = []
    max_surge: Share = "25%"
    max_unavailable: Share = "0"
    min_ready: Seconds = 5.0
    healthy_deadline: Seconds = 60.0
    progress_deadline: Seconds = 600.0
    drain_timeout: Seconds = 30.0
    on_failure: Failing = "rollback"


class TlsPart(Part):
    certificate: Certificate
    redirect: Truth = True
    hsts: Seconds = 0.0


class RatePart(Part):
    requests: Requests
    per: Seconds


class RoutePart(Part):
    """``port`` is a name under expose; it may be left out when there is only one."""

    host: HostName | None = None
    path: RoutePath | None = None
    headers: dict[HeaderName, HeaderValue] = {}
    port: PortName | None = None
    mode: Mode = "http"
    listen: PortNumber | None = None
    tls: TlsPart | None = None
    allow: Networks = []
    rate_limit: RatePart | None = None
    basic_auth: Users | None = None


class InternalPart(Part):
    port: PortName | None = None
    mode: Mode = "http"
    listen: PortNumber | None = None


class BalancingPart(Part):
    algorithm: Algorithm = "roundrobin"
    sticky: Sticky = ""
    maxconn: Connections = 0
    queue_timeout: Seconds = 5.0
    slowstart: Seconds = 0.0
    send_proxy: ProxyProtocol | None = None
    server_timeout: Seconds = 60.0
    tunnel_timeout: Seconds = 3600.0
    tunnel_drain: Seconds = 0.0
    maintenance: Truth = False
    maintenance_page: Text | None = None
    snippet: Text = ""


class Play(Part):
    """One service."""

    service: ServiceName
    hosts: Text = "all"
    replicas: Count = 1
    image: Text
    command: Words = []
    entrypoint: Words = []
    environment: Settings = {}
    labels: Settings = {}
    user: User | None = None
    working_dir: Folder | None = None
    expose: dict[PortName, PortNumber] = {}
    resources: ResourcesPart = ResourcesPart()
    healthcheck: HealthcheckPart | None = None
    stop_signal: Signal = "SIGTERM"
    stop_grace_period: Seconds = 10.0
    restart: Restarting = "unless-stopped"
    read_only: Truth = False
    tmpfs: Texts = []
    cap_add: list[Capability] = []
    cap_drop: list[Capability] = []
    extra_hosts: Addresses = {}
    init: Truth = False
    logging: LoggingPart | None = None
    placement: PlacementPart = PlacementPart()
    rollout: RolloutPart = RolloutPart()
    routes: list[RoutePart] = []
    internal: InternalPart | None = None
    balancing: BalancingPart = BalancingPart()
    vars: dict[str, Any] = {}


PARTS: dict[str, type[Part]] = {
    "balancing": BalancingPart,
    "healthcheck": HealthcheckPart,
    "internal": InternalPart,
    "logging": LoggingPart,
    "placement": PlacementPart,
    "resources": ResourcesPart,
    "rollout": RolloutPart,
    "rate_limit": RatePart,
    "routes": RoutePart,
    "tls": TlsPart,
}

NOT_YET: dict[str, tuple[str, ...]] = {
    "": (
        "allow_downtime", "autoscale", "configs", "connections", "deploy", "devices", "env_file",
        "max_connections", "max_skew", "max_unreachable", "mode", "needs", "ports",
        "post_tasks", "pre_tasks", "privileged", "reschedule", "secrets", "shm_size", "sysctls",
        "ulimits", "volumes",
    ),
    "resources": ("gpus",),
    "placement": ("affinity", "anti_affinity", "max_skew", "prefer", "require"),
    "rollout": ("hold", "max_fail_percentage", "steps"),
}  # fmt: skip
"""Keys that are declared for later versions, by the part of the play that they are of."""

HARMLESS = {"mode": ("replicated",)}
"""Values of such keys that ask for what is done anyway; so does every empty value."""
