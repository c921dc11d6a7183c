"""``history`` for people and for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fleetctl.model.codec import encode
from fleetctl.model.status import HistoryEntry
from fleetctl.ui.output import Output
from fleetctl.ui.tables import Cell, show_table
from fleetctl.ui.text import duration, moment

SCHEMA = "fleetctl.history/1"


def history_document(entries: Sequence[HistoryEntry]) -> dict[str, Any]:
    return {"schema": SCHEMA, "entries": encode(list(entries))}


def show_history(out: Output, service: str, entries: Sequence[HistoryEntry]) -> None:
    if not entries:
        out.line(f"{service}: this controller's journal has no run of it")
        return
    show_table(
        out,
        ("started", "command", "revision", "result", "took", "by", "run", "detail"),
        [
            (
                moment(e.started),
                e.command,
                _revisions(e),
                _result(e),
                duration(e.ended - e.started) if e.ended else "-",
                e.by,
                e.deploy,
                e.detail,
            )
            for e in entries
        ],
    )


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
