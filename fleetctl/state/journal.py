"""This controller's own memory: runs, and what each step was to do and came to.

SQLite in WAL mode, synchronous=FULL: an intent that was acknowledged is there after a
crash. Several processes may write at once. Losing the file loses no fleet.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from fleetctl.errors import FleetError, Refused
from fleetctl.model.status import HistoryEntry
from fleetctl.state.localdisk import network_file_system

T = TypeVar("T")

VERSION = 1
_BUSY_MS = 20_000
_HINT = "name another file with `fleetctl_journal` in the inventory, or repair this one's disk"

_SCHEMA = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  deploy TEXT NOT NULL, command TEXT NOT NULL, service TEXT NOT NULL,
  revision INTEGER NOT NULL, previous INTEGER NOT NULL, by TEXT NOT NULL,
  started REAL NOT NULL, ended REAL NOT NULL, result TEXT NOT NULL,
  plan TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS runs_by_service ON runs (service, id);
CREATE TABLE IF NOT EXISTS steps (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at REAL NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('intent', 'outcome')),
  deploy TEXT NOT NULL, service TEXT NOT NULL, step TEXT NOT NULL,
  what TEXT NOT NULL, host TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS steps_by_service ON steps (service, deploy, step, id);
CREATE TRIGGER IF NOT EXISTS steps_stay BEFORE UPDATE ON steps
  BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER IF NOT EXISTS steps_remain BEFORE DELETE ON steps
  BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
PRAGMA user_version = {VERSION};
COMMIT;
"""


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
        self._path = path
        self._guard = threading.RLock()
        self._warnings: list[str] = []
        self._db: sqlite3.Connection | None = None
        self._do(lambda db: None)

    @property
    def warnings(self) -> tuple[str, ...]:
        return tuple(self._warnings)

    def begin(self, entry: HistoryEntry) -> None:
        """Writes a run down before its first step."""
        self._write(
            "INSERT INTO runs (deploy, command, service, revision, previous, by, started, ended,"
            " result, plan, detail) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            *(entry.deploy, entry.command, entry.service, entry.revision, entry.previous),
            *(entry.by, entry.started, entry.ended, entry.result, entry.plan, entry.detail),
        )

    def intent(self, deploy: str, service: str, step: str, what: str, host: str) -> None:
        """On the disk before the step has any effect."""
        self._step("intent", deploy, service, step, what=what, host=host)

    def outcome(self, deploy: str, service: str, step: str, outcome: str, detail: str) -> None:
        self._step("outcome", deploy, service, step, outcome=outcome, detail=detail)

    def end(self, deploy: str, service: str, result: str, ended: float, detail: str) -> None:
        """Ends the latest run of that deploy; ``ended`` is seconds since the epoch."""
        self._write(
            "UPDATE runs SET result = ?, ended = ?, detail = ? WHERE id ="
            " (SELECT max(id) FROM runs WHERE deploy = ? AND service = ?)",
            *(result, ended, detail, deploy, service),
        )

    def history(self, service: str, limit: int) -> tuple[HistoryEntry, ...]:
        """The last ``limit`` runs of a service, the newest first."""
        rows = self._do(
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
        rows = self._do(
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
        with self._guard:
            if self._db is not None:
                self._db.close()
                self._db = None

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
        self._do(lambda db: db.execute(statement, values))

    def _do(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """``act`` on the open file; once more on a new one when it proves damaged."""
        with self._guard:
            try:
                try:
                    return act(self._opened())
                except sqlite3.DatabaseError as error:
                    if not _is_damage(error):
                        raise
                    self.close()
                    self._set_aside()
                    return act(self._opened())
            except (sqlite3.Error, OSError) as error:
                raise FleetError(f"the journal {self._path}: {error}", hint=_HINT) from error

    def _opened(self) -> sqlite3.Connection:
        if self._db is not None:
            return self._db
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        kind = network_file_system(self._path.parent)
        if kind:
            raise Refused(
                f"the journal {self._path} is on a network file system ({kind}): "
                "SQLite loses data there",
                hint="name a file on a local disk with `fleetctl_journal` in the inventory",
            )
        os.close(os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))
        db = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            with self._alone():
                self._prepare(db)
        except BaseException:
            db.close()
            raise
        self._db = db
        return db

    def _prepare(self, db: sqlite3.Connection) -> None:
        db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        (version,) = db.execute("PRAGMA user_version").fetchone()
        if version > VERSION:
            raise Refused(
                f"the journal {self._path} was written by a newer fleetctl (version {version}; "
                f"this one reads {VERSION})",
                hint="upgrade fleetctl, or name another file with `fleetctl_journal`",
            )
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = FULL")
        if version < VERSION:
            db.executescript(_SCHEMA)

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps other processes out while the file is made, converted or replaced."""
        with open(f"{self._path}.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _set_aside(self) -> None:
        """Renames a damaged file, unless another process has done so already."""
        with self._alone():
            if not _damaged(self._path):
                return
            kept = f"{self._path}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
            for suffix in ("-wal", "-shm", ""):
                if os.path.exists(f"{self._path}{suffix}"):
                    os.replace(f"{self._path}{suffix}", f"{kept}{suffix}")
        self._warnings.append(
            f"the journal {self._path} was damaged: it is kept as {kept}, and a new one was "
            "started; the fleet's own record is not affected"
        )


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _damaged(path: Path) -> bool:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        return db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",)
    except sqlite3.DatabaseError as error:
        if _is_damage(error):
            return True
        raise
    finally:
        db.close()
