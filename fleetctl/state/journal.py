"""This controller's own memory: runs, and what each step was to do and came to.

SQLite in WAL mode, synchronous=FULL: an intent that was acknowledged is there after a
crash. Several processes may write at once. Losing the file loses no fleet.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from fleetctl.model.status import HistoryEntry
from fleetctl.state.journalfile import JournalFile

_LATEST = "(SELECT max(id) FROM runs WHERE deploy = ? AND service = ?)"


@dataclass(frozen=True, slots=True)
class OpenStep:
    """A step whose intent was written and whose outcome was not: it may have happened."""

    deploy: str
    step: str
    what: str
    host: str
    at: float


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
        """Writes a run down before its first step."""
        self._write(
            "INSERT INTO runs (deploy, command, service, revision, previous, by, started, ended,"
            " result, plan, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(entry.deploy, entry.command, entry.service, entry.revision, entry.previous),
            *(entry.by, entry.started, entry.ended, entry.result, entry.plan, entry.detail),
        )

    def planned(self, deploy: str, service: str, revision: int, previous: int, plan: str) -> None:
        """What the run that ``begin`` told of is going to do; ``plan`` is the plan's hash."""
        self._write(
            f"UPDATE runs SET revision = ?, previous = ?, plan = ? WHERE id = {_LATEST}",
            *(revision, previous, plan, deploy, service),
        )

    def intent(self, deploy: str, service: str, step: str, what: str, host: str) -> None:
        """On the disk before the step has any effect."""
        self._step("intent", deploy, service, step, what=what, host=host)

    def outcome(self, deploy: str, service: str, step: str, outcome: str, detail: str) -> None:
        self._step("outcome", deploy, service, step, outcome=outcome, detail=detail)

    def end(self, deploy: str, service: str, result: str, ended: float, detail: str) -> None:
        """Ends the latest run of that deploy; ``ended`` is seconds since the epoch."""
        self._write(
            f"UPDATE runs SET result = ?, ended = ?, detail = ? WHERE id = {_LATEST}",
            *(result, ended, detail, deploy, service),
        )

    def history(self, service: str, limit: int) -> tuple[HistoryEntry, ...]:
        """The last ``limit`` runs of a service, the newest first."""
        rows = self._file.do(
            lambda db: db.execute(
                "SELECT deploy, command, service, revision, previous, by, started, ended, result,"
                " plan, detail FROM runs WHERE service = ? ORDER BY id DESC LIMIT ?",
                (service, limit),
            ).fetchall()
        )
        return tuple(HistoryEntry(*row) for row in rows)

    def open_runs(self, service: str) -> tuple[OpenStep, ...]:
        """Intents without an outcome, the oldest first: what a killed run was in the middle
        of, on this controller."""
        rows = self._file.do(
            lambda db: db.execute(
                "SELECT deploy, step, what, host, at FROM steps AS s WHERE service = ?"
                " AND kind = 'intent' AND NOT EXISTS (SELECT 1 FROM steps AS later"
                " WHERE later.service = s.service AND later.deploy = s.deploy"
                " AND later.step = s.step AND later.id > s.id) ORDER BY id",
                (service,),
            ).fetchall()
        )
        return tuple(OpenStep(*row) for row in rows)

    def close(self) -> None:
        self._file.close()

    def _step(
        self,
        kind: str,
        deploy: str,
        service: str,
        step: str,
        *,
        what: str = "",
        host: str = "",
        outcome: str = "",
        detail: str = "",
    ) -> None:
        self._write(
            "INSERT INTO steps (at, kind, deploy, service, step, what, host, outcome, detail)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(time.time(), kind, deploy, service, step, what, host, outcome, detail),
        )

    def _write(self, statement: str, *values: object) -> None:
        self._file.do(lambda db: db.execute(statement, values))
