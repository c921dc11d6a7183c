"""What a run tells while it goes. One sink turns events into a live view, lines, or JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from fleetctl.model.plan import Plan

Result = Literal[
    "ok",
    "nothing_to_do",
    "paused",
    "rolled_back",
    "mixed",
    "failed",
    "refused",
    "busy",
    "cancelled",
]


@dataclass(frozen=True, slots=True)
class RunStarted:
    command: str
    services: tuple[str, ...]
    fleet: str
    by: str


@dataclass(frozen=True, slots=True)
class Note:
    """Words about what happens, or a warning: progress of connecting, waiting, observing."""

    text: str
    service: str = ""
    host: str = ""
    level: Literal["info", "warning"] = "info"


@dataclass(frozen=True, slots=True)
class PlanMade:
    plan: Plan
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StepStarted:
    service: str
    step: str
    action: str
    host: str
    instance: str
    cause: str


@dataclass(frozen=True, slots=True)
class StepProgress:
    """How far a step is: bytes of an image, attempts of a health check."""

    service: str
    step: str
    text: str


@dataclass(frozen=True, slots=True)
class StepFinished:
    """``outcome`` skipped: it was already so, or a step that it needs failed."""

    service: str
    step: str
    action: str
    host: str
    instance: str
    outcome: Literal["ok", "failed", "skipped"]
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Failed:
    """Why a service's run can't go on: the report for people, and what is done about it."""

    service: str
    error_id: str
    message: str
    hint: str = ""
    host: str = ""
    then: str = ""


@dataclass(frozen=True, slots=True)
class ServiceResult:
    """``changed`` counts instances started and stopped, and changes of balancers alone."""

    name: str
    revision: int
    previous: int
    changed: int
    started: int = 0
    stopped: int = 0


@dataclass(frozen=True, slots=True)
class RunFinished:
    command: str
    result: Result
    exit_code: int
    services: tuple[ServiceResult, ...]
    seconds: float


Event: TypeAlias = (
    RunStarted | Note | PlanMade | StepStarted | StepProgress | StepFinished | Failed | RunFinished
)


EVENT_TYPES: dict[type, str] = {
    RunStarted: "run_started",
    Note: "note",
    PlanMade: "plan_made",
    StepStarted: "step_started",
    StepProgress: "step_progress",
    StepFinished: "step_finished",
    Failed: "failed",
    RunFinished: "run_finished",
}
