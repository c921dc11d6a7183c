"""The journal of another fleet under this one's name: it is history, and decides nothing."""

from __future__ import annotations

import shutil
from pathlib import Path

from fleetctl.model.status import HistoryEntry
from fleetctl.state.journal import SqliteJournal


def test_a_journal_of_another_fleet_is_read_as_it_is_and_goes_on(tmp_path: Path) -> None:
    theirs = SqliteJournal(tmp_path / "theirs.db")
    theirs.begin(HistoryEntry("a0000001", "deploy", "api", "eve@elsewhere", 5.0))
    theirs.intent("a0000001", "s1", "stop", "api-1-1-aaaa", ["db7"])
    theirs.close()
    shutil.copy(tmp_path / "theirs.db", tmp_path / "ours.db")

    ours = SqliteJournal(tmp_path / "ours.db")
    assert not ours.warnings
    assert ours.history("web", 10) == ()
    ours.begin(HistoryEntry("b0000001", "deploy", "web", "ann@laptop", 6.0))
    ours.intent("b0000001", "s1", "create", "web-1-1-bbbb", ["node1"])
    ours.outcome("b0000001", "s1", "ok", "")
    ours.end("b0000001", "ok", 7.0, "")
    (mine,) = ours.history("web", 10)
    assert (mine.run, mine.result, [s.hosts for s in mine.steps]) == (
        "b0000001",
        "ok",
        [("node1",)],
    )
    (left,) = ours.history("api", 10)
    assert (left.run, [s.hosts for s in left.steps]) == ("a0000001", [("db7",)])
