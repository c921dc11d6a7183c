"""What was seen, just now, on hosts and balancers. Unknown is never empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fleetctl.model.instance import Container


@dataclass(frozen=True, slots=True)
class ObservedHost:
    """One host. With ``state`` unknown, ``error`` says why and nothing else is meant.

    ``cpus`` and ``memory`` are what the engine reports; ``ports`` are host ports that
    something else than this fleet's containers holds; ``fences`` are the highest numbers
    that the host has accepted, per scope; ``kept`` are (service, number) of the revisions
    that fleetctl keeps the image or the spec of there.
    """

    name: str
    state: Literal["up", "unknown"] = "up"
    error: str = ""
    boot_id: str = ""
    lineage: str = ""
    engine: str = ""
    arch: str = ""
    cpus: float = 0.0
    memory: int = 0
    containers: tuple[Container, ...] = ()
    ports: tuple[int, ...] = ()
    fences: tuple[tuple[str, int], ...] = ()
    kept: tuple[tuple[str, int], ...] = ()

    @property
    def up(self) -> bool:
        return self.state == "up"


@dataclass(frozen=True, slots=True)
class Probe:
    """One health question: whether it was answered well, and what came back."""

    ok: bool
    asked: str
    answer: str


@dataclass(frozen=True, slots=True)
class ObservedServer:
    """One server line of a backend, as the running worker has it.

    ``checked`` tells whether a health check has spoken since it was set (check_status
    neither INI nor UNK). ``maxconn`` is 0 where it has no limit; ``rate`` are sessions in the
    last second, ``requests`` and ``errors`` (answers of 500 and above) all since it was loaded.
    """

    backend: str
    name: str
    id: int
    address: str
    port: int
    up: bool
    admin: Literal["ready", "drain", "maint"]
    status: str
    weight: int = 0
    sessions: int = 0
    queue: int = 0
    idle: int = 0
    checked: bool = False
    check: str = ""
    maxconn: int = 0
    rate: int = 0
    requests: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class ObservedBalancer:
    """One HAProxy. ``config_id`` and ``skeleton`` name the file that the running worker
    loaded, ``file_id`` the file on the disk and ``files_id`` what lies beside it for it; empty
    where it isn't ours, ``edited`` where somebody else changed it. ``routes`` are (key, value)
    of the running worker's map of routes, ``certificates`` (path, fingerprint) of what it has
    loaded.
    """

    name: str
    state: Literal["up", "down", "unknown"] = "up"
    error: str = ""
    version: str = ""
    pid: int = 0
    config_id: str = ""
    skeleton: str = ""
    file_id: str = ""
    old_workers: int = 0
    servers: tuple[ObservedServer, ...] = ()
    files_id: str = ""
    routes: tuple[tuple[str, str], ...] = ()
    certificates: tuple[tuple[str, str], ...] = ()

    @property
    def up(self) -> bool:
        return self.state == "up"
