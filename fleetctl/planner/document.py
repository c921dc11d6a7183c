"""A plan as the JSON of the contract."""

from __future__ import annotations

from typing import Any

from fleetctl.model.codec import encode
from fleetctl.model.plan import Admit, AnyStep, Commit, Drain, Plan, Prune, Pull, Remove, Stop

SCHEMA = "fleetctl.plan/1"


def plan_document(plan: Plan) -> dict[str, Any]:
    """``plan --json`` of one service."""
    return {
        "schema": SCHEMA,
        "service": plan.service,
        "revision": plan.revision.number,
        "previous": plan.previous,
        "summary": encode(plan.summary),
        "steps": [_step(plan.service, step) for step in plan.steps],
        "unplaced": [
            {
                "service": missing.service,
                "count": missing.count,
                "reasons": dict(missing.reasons),
                "hint": missing.hint,
            }
            for missing in plan.unplaced
        ],
        "warnings": list(plan.warnings),
    }


def _step(service: str, step: AnyStep) -> dict[str, Any]:
    host, instance = _place(step)
    return {
        "id": step.id,
        "action": type(step).__name__.lower(),
        "service": service,
        "host": host,
        "instance": instance,
        "batch": step.batch,
        "needs": list(step.needs),
        "cause": step.cause,
    }


def _place(step: AnyStep) -> tuple[str, str]:
    """Host and instance; an Admit or a Drain names all of its instances and no host."""
    match step:
        case Pull() | Prune():
            return step.host, ""
        case Admit():
            return "", " ".join(instance.name for instance in step.instances)
        case Drain():
            return "", " ".join(container.name for container in step.containers)
        case Commit():
            return "", ""
        case Stop() | Remove():
            return step.container.host, step.container.name
        case _:
            return step.instance.host, step.instance.name
