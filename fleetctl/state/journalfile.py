"""The journal's file: made, opened, converted, and set aside when it proves damaged."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from fleetctl.errors import FleetError, Refused
from fleetctl.state.localdisk import network_file_system

T = TypeVar("T")

VERSION = 3
_BUSY_MS = 20_000
_HINT = "name another file with `fleetctl_journal` in the inventory, or repair this one's disk"

_SCHEMA = f"""
CREATE TABLE IF NOT EXISTS runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  run TEXT NOT NULL UNIQUE, command TEXT NOT NULL, service TEXT NOT NULL, by TEXT NOT NULL,
  started REAL NOT NULL, ended REAL NOT NULL, result TEXT NOT NULL, detail TEXT NOT NULL,
  deploy TEXT NOT NULL, revision INTEGER NOT NULL, previous INTEGER NOT NULL,
  plan TEXT NOT NULL, summary TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS runs_by_service ON runs (service, id);
CREATE TABLE IF NOT EXISTS steps (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at REAL NOT NULL, kind TEXT NOT NULL CHECK (kind IN ('intent', 'outcome')),
  run TEXT NOT NULL, step TEXT NOT NULL, action TEXT NOT NULL, instance TEXT NOT NULL,
  hosts TEXT NOT NULL, outcome TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE INDEX IF NOT EXISTS steps_by_run ON steps (run, id);
CREATE TRIGGER IF NOT EXISTS steps_stay BEFORE UPDATE ON steps
  BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
CREATE TRIGGER IF NOT EXISTS steps_remain BEFORE DELETE ON steps
  WHEN EXISTS (SELECT 1 FROM runs WHERE runs.run = OLD.run)
  BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
PRAGMA user_version = {VERSION};
"""

_FROM_1 = """
ALTER TABLE runs RENAME COLUMN deploy TO run;
ALTER TABLE runs ADD COLUMN deploy TEXT NOT NULL DEFAULT '';
ALTER TABLE runs ADD COLUMN summary TEXT NOT NULL DEFAULT '{}';
DROP TABLE steps;
"""
"""Steps of version 1 named no run: they can't be shown."""
_FROM_2 = "DROP TRIGGER steps_remain;"
_CONVERT = {1: _FROM_1, 2: _FROM_2}


class JournalFile:
    """An SQLite file at ``path`` with the tables of ``journal``. Thread-safe; other
    processes may use it too. ``warnings`` tells of a file that was set aside."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._guard = threading.RLock()
        self._db: sqlite3.Connection | None = None
        self.warnings: tuple[str, ...] = ()

    def do(self, act: Callable[[sqlite3.Connection], T]) -> T:
        """``act`` on the open file; once more on a new one when it proves damaged. Raises
        Refused for a newer schema and on a network file system, FleetError when the file
        can't be used."""
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

    def close(self) -> None:
        with self._guard:
            if self._db is not None:
                self._db.close()
                self._db = None

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
            convert = _CONVERT.get(version, "")
            db.executescript(f"BEGIN IMMEDIATE;{convert}{_SCHEMA}COMMIT;")

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Keeps other processes out while the file is made, converted or replaced."""
        with open(f"{self._path}.lock", "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _set_aside(self) -> None:
        """Renames a damaged file, unless another process has done so already."""
        with self._alone():
            if not self._path.exists() or not _damaged(self._path):
                return
            kept = f"{self._path}.damaged-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}"
            for suffix in ("-wal", "-shm", ""):
                if os.path.exists(f"{self._path}{suffix}"):
                    os.replace(f"{self._path}{suffix}", f"{kept}{suffix}")
        self.warnings += (
            f"the journal {self._path} was damaged: it is kept as {kept}, and a new one was "
            "started; the fleet's own record is not affected",
        )


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _damaged(path: Path) -> bool:
    db = sqlite3.connect(path, isolation_level=None)
    try:
        db.execute(f"PRAGMA busy_timeout = {_BUSY_MS}")
        return bool(db.execute("PRAGMA quick_check(1)").fetchone() != ("ok",))
    except sqlite3.DatabaseError as error:
        if _is_damage(error):
            return True
        raise
    finally:
        db.close()
