"""A plan as text: the verdict first, then the steps by batch, each with its cause."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby

from fleetctl.model.plan import AnyStep, Plan, Unplaced
from fleetctl.ui.steps import subject
from fleetctl.ui.tables import aligned
from fleetctl.ui.text import clean, image_name, plural, some

MANY = 60
"""Above this number of steps, those of one kind and cause share a line."""
_NUMBERED = re.compile(r"[\w-]*\d[\w-]*")
WIDEST = 60
"""A longer name doesn't push the causes of all steps to the right."""


def verdict(plan: Plan, reason: str = "") -> str:
    """One line: from which revision to which, and how many slots change how."""
    if plan.nothing and not plan.unplaced:
        return f"{plan.service}: revision {plan.revision.number}: nothing to do"
    change = (
        f"revision {plan.previous} -> {plan.revision.number}"
        if plan.previous and plan.previous != plan.revision.number
        else f"revision {plan.revision.number}"
    )
    s = plan.summary
    counts = f"{s.replace} to replace, {s.create} to create, {s.remove} to remove, {s.keep} to keep"
    if s.move:
        counts += f", {s.move} to move"
    if plan.batches > 1:
        counts += f"; {plan.batches} batches"
    words = f" ({clean(reason)})" if reason else ""
    return f"{plan.service}: {change}{words}: {counts}"


def plan_lines(plan: Plan, reason: str = "") -> Iterator[str]:
    """The whole plan."""
    yield verdict(plan, reason)
    yield from warning_lines(plan)
    compact = len(plan.steps) > MANY
    for number, (batch, group) in enumerate(groupby(plan.steps, lambda step: step.batch)):
        steps = list(group)
        yield ""
        yield f"batch {batch}" if batch else "at the end" if number else "first"
        yield from _compact(steps) if compact else _each(steps)


def warning_lines(plan: Plan) -> Iterator[str]:
    """What keeps instances from a place, and what may go wrong."""
    for warning in plan.warnings:
        yield f"  warning: {clean(warning)}"
    for unplaced in plan.unplaced:
        yield from _unplaced(unplaced)


def _unplaced(unplaced: Unplaced) -> Iterator[str]:
    yield f"  {plural(unplaced.count, 'instance')} of {unplaced.service} without a host:"
    for reason, hosts in unplaced.reasons:
        yield f"    {plural(hosts, 'host')}: {clean(reason)}"
    if unplaced.hint:
        yield f"    hint: {clean(unplaced.hint)}"


def _each(steps: list[AnyStep]) -> Iterator[str]:
    rows = []
    for step in steps:
        s = subject(step)
        rows.append((f"{s.action:<7} {s.host}".rstrip(), image_name(s.name), clean(step.cause)))
    yield from (f"  {line}" for line in aligned(rows, widest=WIDEST))


def _compact(steps: list[AnyStep]) -> Iterator[str]:
    """Steps that differ only in their slots, hosts and numbers share a line."""
    groups: dict[tuple[str, str], list[AnyStep]] = {}
    for step in steps:
        key = (subject(step).action, _NUMBERED.sub("#", step.cause))
        groups.setdefault(key, []).append(step)
    for (action, _), group in groups.items():
        subjects = [subject(step) for step in group]
        where = some(list(dict.fromkeys(s.host or s.name for s in subjects)))
        alike = ", and alike" if any(step.cause != group[0].cause for step in group) else ""
        yield f"  {action:<7} x{len(group):<4} {where}: {clean(group[0].cause)}{alike}"
