"""The journal: what was acknowledged is there, whatever became of process or file."""

from __future__ import annotations

import dataclasses
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from fleetctl.errors import FleetError, Refused
from fleetctl.model.codec import digest
from fleetctl.model.plan import Plan, Summary
from fleetctl.model.record import Revision
from fleetctl.model.spec import ServiceSpec
from fleetctl.model.status import HistoryEntry, HistoryStep
from fleetctl.state.journal import KEPT, KEPT_QUIET, SqliteJournal
from fleetctl.state.localdisk import network_file_system

ENTRY = HistoryEntry("d0000001", "deploy", "web", "ann@laptop", 1000.5)

WRITER = """
import sys
from pathlib import Path
from fleetctl.state.journal import SqliteJournal
journal = SqliteJournal(Path(sys.argv[1]))
for number in range(int(sys.argv[3])):
    journal.intent(sys.argv[2], f"s{number}", "start", "web-1-2", ["node1"])
    print(number, flush=True)
"""


VERSION_1 = """
CREATE TABLE runs (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  deploy TEXT NOT NULL, command TEXT NOT NULL, service TEXT NOT NULL,
  revision INTEGER NOT NULL, previous INTEGER NOT NULL, by TEXT NOT NULL,
  started REAL NOT NULL, ended REAL NOT NULL, result TEXT NOT NULL,
  plan TEXT NOT NULL, detail TEXT NOT NULL
);
CREATE TABLE steps (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  at REAL NOT NULL, kind TEXT NOT NULL, deploy TEXT NOT NULL, service TEXT NOT NULL,
  step TEXT NOT NULL, what TEXT NOT NULL, host TEXT NOT NULL, outcome TEXT NOT NULL,
  detail TEXT NOT NULL
);
INSERT INTO runs VALUES (1, 'd1', 'deploy', 'web', 0, 0, 'ann', 1.0, 2.0, 'ok', '', '');
INSERT INTO steps VALUES (1, 1.0, 'intent', 'd0', 'web', 's1', 'create web-1', 'node1', '', '');
PRAGMA user_version = 1;
"""

VERSION_2 = """
DROP TRIGGER steps_remain;
CREATE TRIGGER steps_remain BEFORE DELETE ON steps
  BEGIN SELECT RAISE(ABORT, 'the audit is append-only'); END;
PRAGMA user_version = 2;
"""


def entry(number: int, service: str = "web") -> HistoryEntry:
    run = f"{service[0]}{number:07}"
    return dataclasses.replace(ENTRY, run=run, service=service, revision=number)


def plan(number: int, **counts: int) -> Plan:
    revision = Revision(number, ServiceSpec("web", "registry:5000/app:1", hosts="app"))
    return Plan("web", revision, number - 1, "0123abcd", summary=Summary(**counts))


def steps(path: Path, run: str) -> tuple[HistoryStep, ...]:
    """What a new process finds of a run."""
    journal = SqliteJournal(path)
    journal.begin(dataclasses.replace(ENTRY, run=run))
    return journal.history("web", 1)[0].steps


def writer(path: Path, name: str, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), name, str(count)],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "deeper" / ".fleetctl" / "lab.db"


def test_history_is_the_latest_runs_of_a_service_newest_first(path):
    journal = SqliteJournal(path)
    for number in range(1, 6):
        journal.begin(entry(number))
        journal.begin(entry(number, "api"))
    journal.end("w0000004", "ok", 1010.0, "")
    journal.end("w0000005", "rolled_back", 1020.0, "not healthy")
    expected = [
        dataclasses.replace(entry(5), ended=1020.0, result="rolled_back", detail="not healthy"),
        dataclasses.replace(entry(4), ended=1010.0, result="ok"),
        entry(3),
    ]
    assert list(journal.history("web", 3)) == expected
    journal.close()
    assert list(SqliteJournal(path).history("web", 3)) == expected
    assert SqliteJournal(path).history("none", 3) == ()


def test_a_run_keeps_its_first_plan(path):
    journal = SqliteJournal(path)
    journal.begin(ENTRY)
    journal.begin(entry(9, "api"))
    journal.planned(ENTRY.run, plan(2, replace=6))
    journal.planned(ENTRY.run, plan(1, keep=6))
    (found,) = journal.history("web", 9)
    assert (found.deploy, found.revision, found.previous) == ("0123abcd", 2, 1)
    assert (found.plan, found.summary) == (digest(plan(2, replace=6)), Summary(replace=6))
    assert journal.history("api", 9) == (entry(9, "api"),)


def test_steps_of_a_run_have_the_outcome_of_their_own_intent(path):
    journal = SqliteJournal(path)
    journal.begin(ENTRY)
    journal.begin(dataclasses.replace(ENTRY, run="d0000002", command="reconcile"))
    journal.intent(ENTRY.run, "s1", "create", "web-1-2", ["node1"])
    journal.outcome(ENTRY.run, "s1", "ok", "")
    journal.intent(ENTRY.run, "s2", "admit", "web-1-2 web-2-2", ["lb1", "lb2"])
    journal.outcome(ENTRY.run, "s2", "failed", "boom")
    journal.intent("d0000002", "s2", "stop", "web-1-1", ["node2"])
    journal.intent(ENTRY.run, "s1", "remove", "web-1-2", ["node1"])
    second, first = SqliteJournal(path).history("web", 9)
    told = [(s.step, s.action, s.instance, s.hosts, s.outcome, s.detail) for s in first.steps]
    assert told == [
        ("s1", "create", "web-1-2", ("node1",), "ok", ""),
        ("s2", "admit", "web-1-2 web-2-2", ("lb1", "lb2"), "failed", "boom"),
        ("s1", "remove", "web-1-2", ("node1",), "", ""),
    ]
    assert [(s.action, s.outcome) for s in second.steps] == [("stop", "")]
    assert all(s.ended >= s.started > 0 for s in first.steps if s.outcome)


def test_one_run_by_the_beginning_of_its_id(path):
    journal = SqliteJournal(path)
    for number in (1, 2, 12):
        journal.begin(entry(number))
    assert [e.run for e in journal.history("web", 9, "w000001")] == ["w0000012"]
    assert [e.run for e in journal.history("web", 9, "w000000")] == ["w0000002", "w0000001"]
    assert journal.history("web", 9, "%") == ()


def test_the_audit_is_append_only(path):
    journal = SqliteJournal(path)
    journal.begin(dataclasses.replace(ENTRY, run="d1"))
    journal.intent("d1", "s1", "create", "web-1-2", ["node1"])
    with sqlite3.connect(path) as db:
        for statement in ("UPDATE steps SET action = 'x'", "DELETE FROM steps"):
            with pytest.raises(sqlite3.IntegrityError, match="append-only"):
                db.execute(statement)
    db.close()


def finished(path: Path, *results: str, service: str = "web") -> None:
    """Runs that ended so, each with one step, as a journal of long ago has them."""
    rows = [(f"{service}-{number:06}", service, one) for number, one in enumerate(results)]
    with sqlite3.connect(path) as db:
        db.executemany(
            "INSERT INTO runs (run, command, service, by, started, ended, result, detail, deploy,"
            " revision, previous, plan, summary)"
            " VALUES (?, 'reconcile', ?, '', 1, 2, ?, '', '', 1, 1, '', '{}')",
            rows,
        )
        db.executemany(
            "INSERT INTO steps (at, kind, run, step, action, instance, hosts, outcome, detail)"
            " VALUES (1, 'intent', ?, 's1', '', '', '', '', '')",
            [(run,) for run, *_ in rows],
        )
    db.close()


def counted(path: Path, what: str = "runs") -> int:
    with sqlite3.connect(path) as db:
        (count,) = db.execute(f"SELECT count(*) FROM {what}").fetchone()
    db.close()
    return int(count)


def test_old_runs_go_with_their_steps_and_those_that_found_nothing_to_do_go_first(path):
    journal = SqliteJournal(path)
    finished(path, *["ok"] * 3, *["nothing_to_do", "busy"] * (KEPT_QUIET // 2 + 3))
    journal.begin(entry(1))
    left = [e.result for e in journal.history("web", 9999)]
    assert left == ["", *["busy", "nothing_to_do"] * (KEPT_QUIET // 2), *["ok"] * 3]
    assert counted(path, "steps") == KEPT_QUIET + 3


def test_runs_that_came_to_something_stay_longer_and_unfinished_ones_for_good(path):
    journal = SqliteJournal(path)
    finished(path, "", *["ok"] * (KEPT + 250))
    finished(path, *["failed"] * (KEPT + 7), service="cache")
    for number in range(3):
        journal.begin(entry(number))
        if number == 0:
            assert counted(path) > 2 * KEPT + 100, "many go in one run"
    web = journal.history("web", 9999)
    assert [e.run for e in web][2:4] == ["w0000000", f"web-{KEPT + 250:06}"]
    assert (web[-1].run, web[-1].result, len(web)) == ("web-000000", "", KEPT + 4)
    assert len(journal.history("cache", 9999)) == KEPT + 7
    assert counted(path, "steps") == counted(path) - 3


def test_a_step_stays_as_long_as_its_run(path):
    journal = SqliteJournal(path)
    journal.begin(dataclasses.replace(ENTRY, run="d1"))
    journal.intent("d1", "s1", "create", "web-1-2", ["node1"])
    journal.close()
    with sqlite3.connect(path) as db:  # as version 2 had it
        db.executescript(VERSION_2)
    db.close()
    journal = SqliteJournal(path)
    finished(path, *["ok"] * (KEPT + 1))
    journal.begin(entry(1))
    assert counted(path, "steps") == KEPT + 1
    assert len(journal.history("web", 9999)[-1].steps) == 1


def test_an_acknowledged_intent_survives_sigkill(path):
    process = writer(path, "d1", 1_000_000)
    acknowledged = [int(process.stdout.readline()) for _ in range(20)][-1]
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    found = steps(path, "d1")
    assert {s.step for s in found} >= {f"s{number}" for number in range(acknowledged + 1)}
    assert {s.outcome for s in found} == {""}


def test_several_processes_and_threads_write_at_once(path):
    processes = [writer(path, f"p{number}", 25) for number in range(4)]
    journal = SqliteJournal(path)
    threads = [
        threading.Thread(
            target=lambda name=f"t{number}": [
                journal.intent(name, f"s{step}", "x", "y", ["h"]) for step in range(25)
            ]
        )
        for number in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for process in processes:
        process.communicate()
        assert process.returncode == 0
    written = [len(steps(path, f"{kind}{number}")) for kind in "pt" for number in range(4)]
    assert written == [25] * 8
    assert journal.warnings == ()


def overwrite(path: Path, at: int, data: bytes) -> None:
    with open(path, "r+b") as file:
        file.seek(at)
        file.write(data)


DAMAGE = {
    "not SQLite": lambda path: path.write_bytes(b"hello, this is no database\n" * 99),
    "the first page": lambda path: overwrite(path, 0, b"\xff" * 4096),
    "all pages but the first": lambda path: overwrite(
        path, 4096, b"\xff" * (path.stat().st_size - 4096)
    ),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:4096]),
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_file_is_set_aside_and_started_anew(path, how):
    journal = SqliteJournal(path)
    for number in range(200):
        journal.begin(entry(number))
    journal.close()
    DAMAGE[how](path)
    harmed = path.read_bytes()
    journal = SqliteJournal(path)
    journal.begin(entry(7))
    assert journal.history("web", 9) == (entry(7),)
    (warning,) = journal.warnings
    (kept,) = [p for p in path.parent.glob("lab.db.damaged-*") if p.suffix not in ("-wal", "-shm")]
    assert str(kept) in warning
    assert kept.read_bytes() == harmed
    journal.close()
    again = SqliteJournal(path)
    assert again.warnings == ()
    assert len(again.history("web", 9)) == 1


def test_a_deleted_file_is_started_anew(path):
    SqliteJournal(path).begin(ENTRY)
    for file in path.parent.iterdir():
        file.unlink()
    assert SqliteJournal(path).history("web", 9) == ()


def test_a_newer_file_is_refused_and_left_alone(path):
    SqliteJournal(path).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 4")
    db.close()
    before = path.read_bytes()
    with pytest.raises(Refused, match=r"newer fleetctl \(version 4; this one reads 3\)"):
        SqliteJournal(path)
    assert path.read_bytes() == before
    assert list(path.parent.glob("*.damaged-*")) == []


def test_the_runs_of_a_file_of_version_1_are_kept(path):
    path.parent.mkdir(parents=True)
    with sqlite3.connect(path) as db:
        db.executescript(VERSION_1)
    db.close()
    journal = SqliteJournal(path)
    assert journal.history("web", 9) == (
        HistoryEntry("d1", "deploy", "web", "ann", 1.0, 2.0, "ok"),
    )
    journal.begin(entry(7))
    journal.intent("w0000007", "s1", "create", "web-1-2", ["node1"])
    journal.close()
    new, _ = SqliteJournal(path).history("web", 9)
    assert (new.run, len(new.steps)) == ("w0000007", 1)


def test_a_file_that_can_not_be_opened_is_one_clear_error(tmp_path):
    (tmp_path / "lab.db").mkdir()
    with pytest.raises(FleetError, match=r"the journal .*lab\.db") as caught:
        SqliteJournal(tmp_path / "lab.db")
    assert "fleetctl_journal" in caught.value.hint
    (tmp_path / "file").write_text("")
    with pytest.raises(FleetError, match="the journal"):
        SqliteJournal(tmp_path / "file" / "lab.db")


def test_only_the_owner_reads_it(path):
    SqliteJournal(path).begin(ENTRY)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/home/ann/project", "nfs4"),
        ("/home/anna", ""),
        ("/home/ann/local/x", ""),
        ("/with space/x", "cifs"),
        ("/", ""),
    ],
)
def test_a_network_file_system_is_told_from_a_local_one(tmp_path, folder, kind):
    mounts = tmp_path / "mounts"
    mounts.write_text(
        "/dev/vda1 / ext4 rw 0 0\n"
        "srv:/ann /home/ann nfs4 rw 0 0\n"
        "/dev/vdb /home/ann/local xfs rw 0 0\n"
        "//srv/x /with\\040space cifs rw 0 0\n"
    )
    assert network_file_system(Path(folder), mounts) == kind


def test_a_journal_on_a_network_file_system_is_refused(path, monkeypatch):
    monkeypatch.setattr("fleetctl.state.journalfile.network_file_system", lambda folder: "nfs4")
    with pytest.raises(Refused, match=r"network file system \(nfs4\)"):
        SqliteJournal(path)
    assert not path.exists()
