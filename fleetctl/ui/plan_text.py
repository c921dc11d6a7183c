"""A plan as text: the verdict first, then the steps by batch, each with its cause."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from fleetctl.model.plan import AnyStep, Plan, Unplaced
from fleetctl.ui.steps import subject
from fleetctl.ui.text import clean, plural, some

MANY = 60
"""Above this number of steps, those of one kind and cause share a line."""


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
    for batch, steps in _by_batch(plan.steps):
        yield ""
        yield f"batch {batch}" if batch else "before and after the batches"
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


def _by_batch(steps: Iterable[AnyStep]) -> list[tuple[int, list[AnyStep]]]:
    """Batches in the order in which their first step stands in the plan."""
    batches: dict[int, list[AnyStep]] = {}
    for step in steps:
        batches.setdefault(step.batch, []).append(step)
    return list(batches.items())


def _each(steps: list[AnyStep]) -> Iterator[str]:
    rows = [(subject(step), step.cause) for step in steps]
    hosts = max((len(s.host) for s, _ in rows), default=0)
    names = max((len(s.name) for s, _ in rows if len(s.name) <= 40), default=0)
    for s, cause in rows:
        line = f"  {s.action:<7} {s.host:<{hosts}}  {s.name:<{names}}  {clean(cause)}"
        yield line.rstrip()


def _compact(steps: list[AnyStep]) -> Iterator[str]:
    groups: dict[tuple[str, str], list[str]] = {}
    for step in steps:
        s = subject(step)
        groups.setdefault((s.action, step.cause), []).append(s.host or s.name)
    for (action, cause), places in groups.items():
        where = some(list(dict.fromkeys(places)))
        yield f"  {action:<7} x{len(places):<4} {where}: {clean(cause)}"
