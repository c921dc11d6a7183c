"""Instances: what a slot is to hold, and what was seen in it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

SCHEMA = 1
"""Version of the labels below. A newer one is refused, an older one read."""

PREFIX = "fleetctl."


@dataclass(frozen=True, slots=True)
class Binding:
    """A named container port and the host port it is published on."""

    name: str
    container: int
    host: int


@dataclass(frozen=True, slots=True)
class Instance:
    """One container that a plan wants: a service's slot at a revision, on a host."""

    service: str
    slot: int
    revision: int
    host: str
    address: str
    bindings: tuple[Binding, ...]
    deploy: str

    @property
    def name(self) -> str:
        return name_of(self.service, self.slot, self.revision, self.deploy)


def name_of(service: str, slot: int, revision: int, deploy: str) -> str:
    """For people; identity is labels and container id. What somebody renamed keeps it here."""
    return f"{service}-{slot}-{revision}-{deploy[:4]}"


@dataclass(frozen=True, slots=True)
class Container:
    """A container of this fleet, as its engine shows it.

    ``started`` is seconds since the epoch by the host's clock, 0 before the first start.
    ``health`` is the engine's own HEALTHCHECK verdict. ``spec`` is the container hash.
    """

    id: str
    name: str
    host: str
    address: str
    service: str
    slot: int
    revision: int
    generation: int
    deploy: str
    spec: str
    state: Literal["created", "running", "restarting", "paused", "exited", "dead", "removing"]
    image: str = ""
    health: Literal["", "starting", "healthy", "unhealthy"] = ""
    started: float = 0.0
    restarts: int = 0
    exit_code: int = 0
    restart_policy: str = "no"
    cpus: float = 0.0
    memory: int = 0
    bindings: tuple[Binding, ...] = ()

    @property
    def running(self) -> bool:
        return self.state == "running"


def port_of(bindings: tuple[Binding, ...], name: str) -> int:
    """The host port of the port ``name``; 0 where there is none."""
    for binding in bindings:
        if binding.name == name:
            return binding.host
    return 0
