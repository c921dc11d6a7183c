"""The answers to ``status`` and ``history``: documents with a schema, for people and scripts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fleetctl.model.plan import Summary


@dataclass(frozen=True, slots=True)
class InstanceStatus:
    """One slot's container, or its absence (``container`` empty, state ``missing``)."""

    name: str
    slot: int
    host: str
    address: str
    port: int
    revision: int
    container: str
    state: str
    health: str
    since: float
    lb: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceStatus:
    name: str
    revision: int
    image: str
    desired: int
    ready: int
    state: Literal["converged", "rolling", "drifted", "failed", "paused"]
    instances: tuple[InstanceStatus, ...] = ()
    message: str = ""


@dataclass(frozen=True, slots=True)
class Amount:
    cpus: float
    memory: int


@dataclass(frozen=True, slots=True)
class HostStatus:
    name: str
    state: Literal["up", "unknown", "cordoned"]
    capacity: Amount
    used: Amount
    instances: int
    error: str = ""


@dataclass(frozen=True, slots=True)
class BalancerStatus:
    name: str
    version: str
    in_sync: bool
    revision: str
    state: str = "up"
    error: str = ""


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """``fleetctl.status/1``."""

    services: tuple[ServiceStatus, ...]
    hosts: tuple[HostStatus, ...]
    balancers: tuple[BalancerStatus, ...]


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """A step of a run: what was intended, and what it came to. ``hosts`` are those that it
    touched. ``outcome`` empty: never told, as the run ended before; it may have happened."""

    step: str
    action: str
    instance: str
    hosts: tuple[str, ...]
    started: float
    ended: float = 0.0
    outcome: str = ""
    detail: str = ""


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One run of one service in this controller's journal. ``ended`` 0: never told its end.

    ``deploy`` is the open deploy that it worked on, as in the containers' labels; several
    runs may share one. ``plan`` is the hash of the first plan, ``revision``, ``previous``
    and ``summary`` are what it was to do.
    """

    run: str
    command: str
    service: str
    by: str
    started: float
    ended: float = 0.0
    result: str = ""
    detail: str = ""
    deploy: str = ""
    revision: int = 0
    previous: int = 0
    plan: str = ""
    summary: Summary = field(default_factory=Summary)
    steps: tuple[HistoryStep, ...] = ()
