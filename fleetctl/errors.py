"""Every error a user can meet: what happened, where, why, and what to do.

Each class has a stable ``id`` (``fleetctl explain ID``) and the exit code of its
class. Adapters raise these and nothing of their libraries.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """Exit codes of every command (README, "Exit codes")."""

    DONE = 0
    FAILED = 1
    CHANGES_PENDING = 2
    INVALID = 3
    UNREACHABLE = 4
    ROLLED_BACK = 5
    MIXED = 6
    BUSY = 7
    STALE_PLAN = 8
    REFUSED = 9
    CANCELLED = 10
    USAGE = 64
    BUG = 70
    SIGINT = 130
    SIGTERM = 143


@dataclass(frozen=True, slots=True)
class Span:
    """A place in a file. ``line`` and ``column`` count from 1; ``text`` is that line."""

    file: str
    line: int = 0
    column: int = 0
    text: str = ""

    def __str__(self) -> str:
        if not self.line:
            return self.file
        return (
            f"{self.file}:{self.line}:{self.column}" if self.column else f"{self.file}:{self.line}"
        )


@dataclass(frozen=True, slots=True)
class Diagnostic:
    """One thing wrong (or worth a warning) in a user's file."""

    id: str
    message: str
    span: Span | None = None
    hint: str = ""
    warning: bool = False


class FleetError(Exception):
    """The root: a message for people, a hint that says what to do, an exit code."""

    id: ClassVar[str] = "failed"
    exit_code: ClassVar[ExitCode] = ExitCode.FAILED

    def __init__(
        self, message: str, *, hint: str = "", span: Span | None = None, host: str = ""
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.span = span
        self.host = host


class Usage(FleetError):
    id, exit_code = "usage", ExitCode.USAGE


class InvalidFiles(FleetError):
    """All errors of all files at once."""

    id, exit_code = "invalid-files", ExitCode.INVALID

    def __init__(self, diagnostics: tuple[Diagnostic, ...]) -> None:
        count = sum(not d.warning for d in diagnostics)
        super().__init__(
            f"{count} error{'s' if count != 1 else ''} in the files; nothing was changed"
        )
        self.diagnostics = diagnostics


class HostError(FleetError):
    """A host can't be used: access, keys, network."""

    id, exit_code = "host-error", ExitCode.UNREACHABLE


class Unreachable(HostError):
    id = "unreachable"


class AuthenticationRefused(HostError):
    id = "authentication-refused"


class HostKeyUnknown(HostError):
    id = "host-key-unknown"


class HostKeyChanged(HostError):
    id = "host-key-changed"


class ConnectionLost(HostError):
    """The connection ended before the answer came: the outcome is unknown, observe."""

    id = "connection-lost"


class DeadlinePassed(FleetError):
    id = "deadline-passed"


class CommandFailed(FleetError):
    """A command on a host ended with a code other than 0."""

    id = "command-failed"

    def __init__(self, message: str, *, code: int = 0, hint: str = "", host: str = "") -> None:
        super().__init__(message, hint=hint, host=host)
        self.code = code


class EngineFailed(FleetError):
    """The container engine refused or failed."""

    id = "engine-failed"


class EngineDown(EngineFailed):
    id = "engine-down"


class ImageMissing(EngineFailed):
    id = "image-missing"


class NameTaken(EngineFailed):
    """A container of that name is there and isn't the one that was to be made."""

    id = "name-taken"


class PortTaken(EngineFailed):
    """Something else holds the host port of an instance."""

    id = "port-taken"


class DiskFull(EngineFailed):
    id = "disk-full"


class NotHealthy(FleetError):
    """An instance did not become healthy by its deadline; the message is the whole report."""

    id = "not-healthy"


class BalancerFailed(FleetError):
    """HAProxy refused a file, a reload or a command, or did not do what it said."""

    id = "balancer-failed"


class LockHeld(FleetError):
    id, exit_code = "lock-held", ExitCode.BUSY


class LockLost(FleetError):
    """This run was taken for dead and another took over: it changes nothing more."""

    id, exit_code = "lock-lost", ExitCode.BUSY


class StaleFence(LockLost):
    """A host has seen a later writer of this scope. ``seen`` is that writer's number."""

    id = "stale-fence"

    def __init__(self, message: str, *, seen: int = 0, hint: str = "", host: str = "") -> None:
        super().__init__(message, hint=hint, host=host)
        self.seen = seen


class StaleWrite(FleetError):
    """The record moved on since it was read."""

    id, exit_code = "stale-write", ExitCode.STALE_PLAN


class Refused(FleetError):
    """A guard says no: capacity, floor, freeze, lineage."""

    id, exit_code = "refused", ExitCode.REFUSED


class TooFewServe(Refused):
    """A step of a plan would leave fewer instances in service than the rollout's floor."""

    id = "too-few-serve"


class DoesNotFit(Refused):
    id = "does-not-fit"


class ForeignLineage(Refused):
    id = "foreign-lineage"


class RecordLost(Refused):
    id = "record-lost"


class RolledBack(FleetError):
    id, exit_code = "rolled-back", ExitCode.ROLLED_BACK


class Mixed(FleetError):
    id, exit_code = "mixed", ExitCode.MIXED


class Cancelled(FleetError):
    id, exit_code = "cancelled", ExitCode.CANCELLED


class Interrupted(FleetError):
    """SIGINT or SIGTERM ended the run in order; ``signal_number`` decides the exit code."""

    id, exit_code = "interrupted", ExitCode.SIGINT

    def __init__(self, message: str, *, signal_number: int = 2, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.signal_number = signal_number
