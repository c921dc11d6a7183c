"""The answers of ``lb``: what balancers serve, what is wrong there, what is to be set up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "error"]
ServerState = Literal["UP", "DOWN", "DRAIN", "MAINT", "NONE", "UNKNOWN"]


@dataclass(frozen=True, slots=True)
class Gap:
    """One thing that is not as the record has it. ``kind`` says where: file, files, runtime,
    map, certificate, reload, or record (where no file can be made of it)."""

    kind: str
    what: str


@dataclass(frozen=True, slots=True)
class ServerStatus:
    """A recorded server on one balancer. ``state`` NONE: it isn't there, or leads elsewhere;
    ``status`` and ``check`` are HAProxy's own words. ``held`` is what a person set, until
    ``held_until`` (seconds since the epoch, 0: no end). ``rate`` are sessions in the last
    second; ``requests`` and ``errors`` count since the worker was started."""

    service: str
    backend: str
    server: str
    instance: str
    host: str
    address: str
    port: int
    revision: int
    state: ServerState
    status: str = ""
    held: str = ""
    held_until: float = 0.0
    weight: int = 0
    sessions: int = 0
    queue: int = 0
    rate: int = 0
    requests: int = 0
    errors: int = 0
    check: str = ""


@dataclass(frozen=True, slots=True)
class CertificateStatus:
    """A certificate that a route names. ``expires`` is seconds since the epoch; ``loaded``:
    the running worker has this very one."""

    service: str
    name: str
    names: tuple[str, ...]
    expires: float
    loaded: bool


@dataclass(frozen=True, slots=True)
class BalancerView:
    """One balancer, beside the record."""

    name: str
    state: str
    version: str
    in_sync: bool
    differences: tuple[Gap, ...] = ()
    old_workers: int = 0
    certificates: tuple[CertificateStatus, ...] = ()
    servers: tuple[ServerStatus, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class LbStatus:
    """``fleetctl.lb/1``."""

    balancers: tuple[BalancerView, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that ``lb check`` looked at. ``level`` error fails the check, warning doesn't;
    ``hint`` is what to do."""

    check: str
    level: Level
    message: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class BalancerCheck:
    """All findings of one balancer. ``reached``: its host could be asked."""

    name: str
    reached: bool
    findings: tuple[Finding, ...]

    @property
    def failed(self) -> bool:
        return any(finding.level == "error" for finding in self.findings)


@dataclass(frozen=True, slots=True)
class FileText:
    """A file as the record gives it, and the unified ``diff`` from the balancer's own (empty:
    equal, or not compared). Hashes of passwords are masked in both."""

    path: str
    text: str
    diff: str = ""


@dataclass(frozen=True, slots=True)
class BalancerFiles:
    name: str
    config_id: str
    files_id: str
    files: tuple[FileText, ...]

    @property
    def differs(self) -> bool:
        return any(file.diff for file in self.files)


@dataclass(frozen=True, slots=True)
class SetupStep:
    """A step of ``lb install``. ``disruptive`` is what it does to clients, empty for nothing."""

    action: Literal["package", "user", "folders", "file", "unit", "enable", "start", "restart"]
    what: str
    disruptive: str = ""


@dataclass(frozen=True, slots=True)
class BalancerSetup:
    """What there is to do on a balancer, or was done. ``notes`` say what is left as it is."""

    name: str
    steps: tuple[SetupStep, ...] = ()
    done: tuple[SetupStep, ...] = ()
    notes: tuple[str, ...] = ()
    error: str = ""
    hint: str = ""
    exit_code: int = 0
