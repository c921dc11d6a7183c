"""The shape of a play: pydantic models, strict, with no key that nobody reads."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from fleetctl.config.fields import (
    Addresses,
    Batches,
    Bytes,
    Cpus,
    Seconds,
    Settings,
    Share,
    Test,
    Text,
    Texts,
    Truth,
    Words,
    choice,
    text_like,
    whole_number,
)
from fleetctl.model.spec import SERVICE_NAME, SERVICE_NAME_HINT

_PORT = r"[a-z]([a-z0-9-]{0,13}[a-z0-9])?"
_LABEL = r"[A-Za-z_][A-Za-z0-9._/-]{0,62}"
_DNS_LABEL = r"[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST = rf"(?=.{{1,253}}$){_DNS_LABEL}(\.{_DNS_LABEL})*"
_USER = r"[A-Za-z0-9_][A-Za-z0-9_.-]*"
_PATH = r"/[A-Za-z0-9._~/+=:@,%-]{0,1023}"
_CHECK_PATH = r"/[A-Za-z0-9._~/+=:@,%?&-]{0,1023}"
_PATH_HINT = "begin it with /; no blanks, quotes or semicolons"

ServiceName: Any = text_like(SERVICE_NAME, "service name", SERVICE_NAME_HINT)
PortName: Any = text_like(_PORT, "port name", "lower case letters, digits and -, at most 15")
LabelName: Any = text_like(_LABEL, "label name")
RoutePath: Any = text_like(_PATH, "path", _PATH_HINT)
CheckPath: Any = text_like(_CHECK_PATH, "path", _PATH_HINT)
HostName: Any = text_like(_HOST, "DNS name", "no wildcard, no dot at the end")
Driver: Any = text_like(r"[a-z0-9][a-z0-9_./-]*", "logging driver")
User: Any = text_like(rf"{_USER}(:{_USER})?", "user")
Folder: Any = text_like(r"/[^\n\r]*", "absolute path")
Signal: Any = text_like(r"(SIG)?[A-Z][A-Z0-9+]{1,14}", "signal", "write its name: SIGTERM")
Capability: Any = text_like(r"[A-Z_]+", "capability", "upper case: NET_BIND_SERVICE, ALL")
PortNumber: Any = whole_number(1, 65535)
Count: Any = whole_number(0, 10_000)
Tries: Any = whole_number(1, 100)
Spreading: Any = choice("spread", "pack")
Rolling: Any = choice("rolling", later=("canary", "blue_green", "recreate"))
Failing: Any = choice("rollback", "pause", "stop")
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


class RoutePart(Part):
    """``port`` is a name under expose; it may be left out when there is only one."""

    host: HostName | None = None
    path: RoutePath = "/"
    port: PortName | None = None


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
    vars: dict[str, Any] = {}


PARTS: dict[str, type[Part]] = {
    "healthcheck": HealthcheckPart,
    "logging": LoggingPart,
    "placement": PlacementPart,
    "resources": ResourcesPart,
    "rollout": RolloutPart,
    "routes": RoutePart,
}

NOT_YET: dict[str, tuple[str, ...]] = {
    "": (
        "allow_downtime", "autoscale", "configs", "connections", "deploy", "devices", "env_file",
        "internal", "max_connections", "max_skew", "max_unreachable", "mode", "needs", "ports",
        "post_tasks", "pre_tasks", "privileged", "reschedule", "secrets", "shm_size", "sysctls",
        "ulimits", "volumes",
    ),
    "resources": ("gpus",),
    "placement": ("affinity", "anti_affinity", "max_skew", "prefer", "require"),
    "rollout": ("hold", "max_fail_percentage", "steps"),
    "routes": ("listen", "mode", "tls"),
}  # fmt: skip
"""Keys that are declared for later versions, by the part of the play that they are of."""

HARMLESS = {"mode": ("replicated", "http")}
"""Values of such keys that ask for what is done anyway; so does every empty value."""


def play_schema() -> dict[str, Any]:
    """The JSON Schema of a playbook, for editors. A template may stand for any value."""
    schema = Play.model_json_schema(ref_template="#/$defs/{model}")
    defs = schema.pop("$defs", {})
    template = {"type": "string", "pattern": r"\{[{%]"}

    def with_templates(node: Any) -> Any:
        if isinstance(node, list):
            return [with_templates(item) for item in node]
        if not isinstance(node, dict):
            return node
        found = {key: with_templates(item) for key, item in node.items()}
        if node.get("type") in ("integer", "number", "boolean") or "enum" in node:
            return {"anyOf": [found, template]}
        return found

    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "fleetctl playbook",
        "type": "array",
        "items": {"$ref": "#/$defs/Play"},
        "$defs": with_templates({**defs, "Play": schema}),
    }
