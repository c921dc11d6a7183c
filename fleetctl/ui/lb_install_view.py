"""``lb install``: what is to be done, what was done, and a document of either."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fleetctl.model.lb import BalancerSetup, SetupStep
from fleetctl.ui.output import Output
from fleetctl.ui.text import clean, plural

SCHEMA = "fleetctl.lb-install/1"


def install_document(found: Sequence[BalancerSetup], *, carried_out: bool) -> dict[str, Any]:
    """``state``: ready, to_do (of a plan), done, or failed."""
    balancers = [
        {
            "name": one.name,
            "state": _state(one, carried_out),
            "steps": [_step(step) for step in (one.done if carried_out else one.steps)],
            "notes": list(one.notes),
            "error": one.error,
            "hint": one.hint,
        }
        for one in found
    ]
    return {"schema": SCHEMA, "balancers": balancers}


def _state(one: BalancerSetup, carried_out: bool) -> str:
    if one.error:
        return "failed"
    if not one.steps:
        return "ready"
    return "done" if carried_out else "to_do"


def _step(step: SetupStep) -> dict[str, str]:
    return {"action": step.action, "what": step.what, "disruptive": step.disruptive}


def show_plans(out: Output, found: Sequence[BalancerSetup]) -> None:
    """Each balancer's steps, with what one of them does to clients."""
    for one in found:
        if one.steps:
            out.line(clean(f"{one.name}: {plural(len(one.steps), 'step')}"), "bold")
        for number, step in enumerate(one.steps, 1):
            out.line(clean(f"  {number}. {step.what}"))
            if step.disruptive:
                out.line(clean(f"     disruptive: {step.disruptive}"), "yellow")
        if not one.steps:
            _end(out, one)
        _notes(out, one)


def show_results(out: Output, found: Sequence[BalancerSetup]) -> None:
    for one in found:
        _end(out, one)
        if not one.steps:
            _notes(out, one)


def _notes(out: Output, one: BalancerSetup) -> None:
    for words in one.notes:
        out.line(clean(f"  {words}"))


def _end(out: Output, one: BalancerSetup) -> None:
    if one.error:
        out.line(clean(f"{one.name}: failed: {one.error}"), "red")
        if one.hint:
            out.line(clean(f"  hint: {one.hint}"))
    elif one.done:
        next_ = "next: `fleetctl reconcile`, or a first `fleetctl deploy`"
        out.line(clean(f"{one.name}: set up in {plural(len(one.done), 'step')}; {next_}"), "green")
    else:
        out.line(clean(f"{one.name}: nothing to do"), "green")
