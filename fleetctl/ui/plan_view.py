"""Plans for people and for scripts: ``plan`` and every ``--dry-run``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from fleetctl.model.events import PlanMade
from fleetctl.model.plan import Plan
from fleetctl.ui.output import Output
from fleetctl.ui.plan_text import plan_lines

SCHEMA = "fleetctl.plan/1"


def plans_document(
    plans: Sequence[Plan], document: Callable[[Plan], dict[str, Any]]
) -> dict[str, Any]:
    """One document for any number of plans. Of several, summaries are added up, and step ids
    and warnings get the service's name before them, so that they stay unique."""
    documents = [document(plan) for plan in plans]
    if len(plans) == 1:
        return {"schema": SCHEMA} | documents[0]
    summary = {
        key: sum(one["summary"][key] for one in documents)
        for key in ("create", "replace", "remove", "keep", "move")
    }
    steps = [_named(step) for one in documents for step in one["steps"]]
    return {
        "schema": SCHEMA,
        "summary": summary,
        "steps": steps,
        "unplaced": [missing for one in documents for missing in one["unplaced"]],
        "warnings": [
            f"{one['service']}: {words}" for one in documents for words in one["warnings"]
        ],
    }


def _named(step: dict[str, Any]) -> dict[str, Any]:
    service = step["service"]
    needs = [f"{service}/{needed}" for needed in step["needs"]]
    return step | {"id": f"{service}/{step['id']}", "needs": needs}


def show_plans(out: Output, made: Sequence[PlanMade], *, brief: bool = False) -> None:
    """``brief``: the verdicts alone."""
    if not made:
        out.line("nothing to do: there is no service")
    for number, one in enumerate(made):
        if number and not brief:
            out.line("")
        first, *more = plan_lines(one.plan, one.reason)
        out.line(first, "bold")
        for line in more if not brief else ():
            out.line(line)
