"""What a step of a plan is called and what it is done to, for people."""

from __future__ import annotations

from dataclasses import dataclass

from fleetctl.model import plan as p
from fleetctl.ui.text import some


@dataclass(frozen=True, slots=True)
class Subject:
    """``action`` on ``host`` to ``name``; either of the two may be empty."""

    action: str
    host: str = ""
    name: str = ""


def subject(step: p.AnyStep) -> Subject:
    """Raises TypeError for something that is no step."""
    action = type(step).__name__.lower()
    match step:
        case p.Pull():
            return Subject(action, step.host, step.image)
        case p.Create() | p.Start() | p.Health():
            return Subject(action, step.instance.host, step.instance.name)
        case p.Stop() | p.Remove():
            return Subject(action, step.container.host, step.container.name)
        case p.Admit():
            return Subject(action, "", some([i.name for i in step.instances]))
        case p.Drain():
            return Subject(action, "", some([c.name for c in step.containers]))
        case p.Prune():
            return Subject(action, step.host, f"revisions {_numbers(step.revisions)}")
        case p.Commit():
            return Subject(action, "", f"revision {step.revision}")
    raise TypeError(f"no step: {type(step).__name__}")


def _numbers(revisions: tuple[int, ...]) -> str:
    return ", ".join(str(number) for number in revisions)
