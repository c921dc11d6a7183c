"""``history`` for people and for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fleetctl.model.codec import encode
from fleetctl.model.status import HistoryEntry, HistoryStep
from fleetctl.ui.output import Output
from fleetctl.ui.tables import Cell, show_table
from fleetctl.ui.text import duration, moment, some

SCHEMA = "fleetctl.history/1"
UNFINISHED = "unfinished"
"""The result of a run that never told its end: it is under way, or was killed."""


def history_document(entries: Sequence[HistoryEntry]) -> dict[str, Any]:
    return {"schema": SCHEMA, "entries": [_entry(entry) for entry in entries]}


def _entry(e: HistoryEntry) -> dict[str, Any]:
    """``hosts`` are the steps by the hosts that they touched, each in order."""
    hosts: dict[str, list[dict[str, Any]]] = {}
    for step in e.steps:
        for host in step.hosts:
            hosts.setdefault(host, []).append(_step(step))
    said: dict[str, Any] = encode(e)
    del said["steps"]
    result = e.result if e.ended else UNFINISHED
    return said | {"result": result, "ended": e.ended or None, "hosts": dict(sorted(hosts.items()))}


def _step(s: HistoryStep) -> dict[str, Any]:
    said: dict[str, Any] = encode(s)
    del said["hosts"]
    return said | {"ended": s.ended or None, "outcome": s.outcome or "unknown"}


def show_history(out: Output, service: str, entries: Sequence[HistoryEntry]) -> None:
    """One line per run."""
    if not entries:
        out.line(f"{service}: this controller's journal has no run of it")
        return
    show_table(
        out,
        ("run", "started", "command", "revision", "result", "took", "by", "detail"),
        [
            (
                e.run,
                moment(e.started),
                e.command,
                _revisions(e),
                _result(e),
                duration(e.ended - e.started) if e.ended else "-",
                e.by,
                _detail(e),
            )
            for e in entries
        ],
    )


def show_run(out: Output, e: HistoryEntry) -> None:
    """What one run was to do, how it ended, and what was done on each host."""
    s = e.summary
    took = f" after {duration(e.ended - e.started)}" if e.ended else ""
    out.line(f"run {e.run}: {e.command} {e.service}, by {e.by}, {moment(e.started)}", "bold")
    if e.plan:
        out.line(
            f"  plan {e.plan[:12]}: revision {_revisions(e)}: {s.replace} to replace, "
            f"{s.create} to create, {s.remove} to remove, {s.keep} to keep"
        )
    result = _result(e)
    out.line(f"  {result.text}{took}{': ' if _detail(e) else ''}{_detail(e)}", result.style)
    for host in sorted({host for step in e.steps for host in step.hosts}):
        out.line("")
        out.line(host, "bold")
        mine = [step for step in e.steps if host in step.hosts]
        show_table(
            out,
            ("at", "action", "instance", "outcome", "took", "detail"),
            [
                (
                    moment(step.started)[11:],
                    step.action,
                    some(step.instance.split()),
                    _outcome(step),
                    duration(step.ended - step.started) if step.ended else "-",
                    step.detail,
                )
                for step in mine
            ],
        )


def _outcome(s: HistoryStep) -> Cell:
    if not s.outcome:
        return Cell("no outcome known", "yellow")
    return Cell(s.outcome, "green" if s.outcome == "ok" else "red")


def _detail(e: HistoryEntry) -> str:
    if e.ended:
        return e.detail
    last = next((step for step in reversed(e.steps) if not step.outcome), None)
    return f"in the middle of: {last.action} {some(last.instance.split())}" if last else ""


def _revisions(e: HistoryEntry) -> str:
    if not e.revision:
        return "-"
    if e.previous and e.previous != e.revision:
        return f"{e.previous} -> {e.revision}"
    return str(e.revision)


def _result(e: HistoryEntry) -> Cell:
    if not e.ended:
        return Cell("no end known", "yellow")
    words = e.result.replace("_", " ")
    return Cell(words, "green" if e.result in ("ok", "nothing_to_do") else "red")
