"""This controller's own memory: runs, and what each step was to do and came to.

SQLite in WAL mode, synchronous=FULL: an intent that was acknowledged is there after a
crash. Several processes may write at once. Losing the file loses no fleet. The oldest runs
of a service go as newer ones come; one whose end was never told stays.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

from fleetctl.model.codec import decode, digest, encode
from fleetctl.model.plan import Plan, Summary
from fleetctl.model.status import HistoryEntry, HistoryStep
from fleetctl.state.journalfile import JournalFile

_RUN = (
    "run, command, service, by, started, ended, result, detail, deploy, revision, previous,"
    " plan, summary"
)

KEPT = 1000
KEPT_QUIET = 100
"""Finished runs of a service that stay: those that came to something, and those that found
nothing to do or the lock held. A reconcile every 30 s leaves 2,880 of these a day."""
_QUIET = "result IN ('nothing_to_do', 'busy')"
_AT_ONCE = 100


class SqliteJournal:
    """The journal in the file ``path``; it and its folder are made when missing. A damaged
    file is set aside, with a line in ``warnings``. Raises Refused for a newer schema and for
    a network file system, FleetError when the file can't be used. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self._file = JournalFile(path)
        self._file.do(lambda db: None)

    @property
    def warnings(self) -> tuple[str, ...]:
        return self._file.warnings

    def begin(self, entry: HistoryEntry) -> None:
        """Writes a run down before its first step, and lets old ones of its service go. Its
        steps come with ``intent``."""
        e = entry

        def write(db: sqlite3.Connection) -> None:
            with db:
                db.execute("BEGIN IMMEDIATE")
                db.execute(
                    f"INSERT INTO runs ({_RUN}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    (
                        *(e.run, e.command, e.service, e.by, e.started, e.ended, e.result),
                        *(e.detail, e.deploy, e.revision, e.previous, e.plan, _text(e.summary)),
                    ),
                )
                _let_go(db, e.service, f"NOT {_QUIET}", KEPT)
                _let_go(db, e.service, _QUIET, KEPT_QUIET)

        self._file.do(write)

    def planned(self, run: str, plan: Plan) -> None:
        """What ``run`` is going to do. Its first plan stays: a later one is the way back."""
        self._write(
            "UPDATE runs SET deploy = ?, revision = ?, previous = ?, plan = ?, summary = ?"
            " WHERE run = ? AND plan = ''",
            *(plan.deploy, plan.revision.number, plan.previous, digest(plan)),
            *(_text(plan.summary), run),
        )

    def intent(self, run: str, step: str, action: str, instance: str, hosts: Iterable[str]) -> None:
        """On the disk before the step has any effect. ``hosts`` are those that it touches."""
        self._step("intent", run, step, action, instance, " ".join(hosts), "", "")

    def outcome(self, run: str, step: str, outcome: str, detail: str) -> None:
        """What the latest intent of that step came to."""
        self._step("outcome", run, step, "", "", "", outcome, detail)

    def end(self, run: str, result: str, ended: float, detail: str) -> None:
        """``ended`` is in seconds since the epoch."""
        self._write(
            "UPDATE runs SET result = ?, ended = ?, detail = ? WHERE run = ?",
            *(result, ended, detail, run),
        )

    def history(self, service: str, limit: int, run: str = "") -> tuple[HistoryEntry, ...]:
        """The last ``limit`` runs of a service with their steps, the newest first; ``run``
        leaves only those whose id begins so."""

        def read(db: sqlite3.Connection) -> tuple[HistoryEntry, ...]:
            rows = db.execute(
                f"SELECT {_RUN} FROM runs WHERE service = ? AND substr(run, 1, ?) = ?"
                " ORDER BY id DESC LIMIT ?",
                (service, len(run), run, limit),
            ).fetchall()
            return tuple(replace(_entry(row), steps=_steps(db, row[0])) for row in rows)

        return self._file.do(read)

    def close(self) -> None:
        self._file.close()

    def _step(self, kind: str, *values: str) -> None:
        self._write(
            "INSERT INTO steps (at, kind, run, step, action, instance, hosts, outcome, detail)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(time.time(), kind, *values),
        )

    def _write(self, statement: str, *values: object) -> None:
        self._file.do(lambda db: db.execute(statement, values))


def _let_go(db: sqlite3.Connection, service: str, which: str, kept: int) -> None:
    """Finished runs beyond the newest ``kept``, with their steps; of many, some at a time."""
    runs = db.execute(
        f"SELECT run FROM runs WHERE service = ? AND result <> '' AND {which}"
        f" ORDER BY id DESC LIMIT {_AT_ONCE} OFFSET {kept}",
        (service,),
    ).fetchall()
    db.executemany("DELETE FROM runs WHERE run = ?", runs)
    db.executemany("DELETE FROM steps WHERE run = ?", runs)


def _text(summary: Summary) -> str:
    return json.dumps(encode(summary))


def _entry(row: tuple[Any, ...]) -> HistoryEntry:
    return HistoryEntry(*row[:-1], summary=decode(Summary, json.loads(row[-1])))


def _steps(db: sqlite3.Connection, run: str) -> tuple[HistoryStep, ...]:
    """In the order of their intents. An outcome belongs to the latest intent of its step:
    the way back of a run may count its steps from one again."""
    found: list[HistoryStep] = []
    latest: dict[str, int] = {}
    rows = db.execute(
        "SELECT kind, at, step, action, instance, hosts, outcome, detail FROM steps"
        " WHERE run = ? ORDER BY id",
        (run,),
    )
    for kind, at, step, action, instance, hosts, outcome, detail in rows:
        if kind == "intent":
            latest[step] = len(found)
            found.append(HistoryStep(step, action, instance, tuple(hosts.split()), at))
        elif step in latest:
            place = latest[step]
            found[place] = replace(found[place], ended=at, outcome=outcome, detail=detail)
    return tuple(found)
