"""The record on its hosts: what is written is read back, whatever happened to a copy."""

from __future__ import annotations

import json
import shutil
import stat
import threading
from pathlib import Path

import pytest
from state_hosts import ROOT, FolderHosts

from fleetctl.errors import (
    CommandFailed,
    ForeignLineage,
    HostError,
    RecordLost,
    Refused,
    StaleWrite,
)
from fleetctl.model.record import Document, Fence
from fleetctl.state.record import HostRecord

FENCE = Fence("service-web", 1, "aa")
LINEAGE = {"lineage": "0123456789abcdef"}
BODIES = [{"name": "web", "n": number, "text": 'ü "quoted" \\ \n$(id) `id`'} for number in range(9)]


@pytest.fixture
def hosts(tmp_path: Path) -> FolderHosts:
    return FolderHosts(tmp_path, "lb1", "lb2")


@pytest.fixture
def record(hosts: FolderHosts) -> HostRecord:
    """Two record hosts that hold a fleet and generation 1 of a service."""
    record = HostRecord(hosts, ["lb1", "lb2"], root=ROOT)
    record.write("fleet", LINEAGE, 0, FENCE)
    record.write("service/web", BODIES[1], 0, FENCE)
    return record


def test_a_new_fleet_has_an_empty_record(hosts):
    assert HostRecord(hosts, ["lb1", "lb2"], root=ROOT).read() == {}


def test_what_was_written_is_read_back_from_each_host(hosts, record):
    assert record.write("service/web", BODIES[2], 1, FENCE) == Document("service/web", 2, BODIES[2])
    for names in (["lb1", "lb2"], ["lb1"], ["lb2"]):
        found = HostRecord(hosts, names, root=ROOT).read()
        assert found == {
            "fleet": Document("fleet", 1, LINEAGE),
            "service/web": Document("service/web", 2, BODIES[2]),
        }
    assert record.behind == {}


def test_reading_is_one_round_trip_per_host_and_writing_too(hosts, record):
    for key in range(30):
        record.write(f"section/s{key}", {"service": f"s{key}"}, 0, FENCE)
    before = hosts["lb1"].calls, hosts["lb2"].calls
    assert len(record.read()) == 32
    assert (hosts["lb1"].calls, hosts["lb2"].calls) == (before[0] + 1, before[1] + 1)
    record.write("section/s3", {"service": "s3", "more": True}, 1, FENCE)
    assert (hosts["lb1"].calls, hosts["lb2"].calls) == (before[0] + 2, before[1] + 2)


def test_a_large_body_survives_whole(record):
    body = {"text": "x" * 1_500_000, "list": list(range(20_000))}
    record.write("service/web", body, 1, FENCE)
    assert record.read()["service/web"].body == body


def test_only_the_owner_reads_the_files(hosts, record):
    assert stat.S_IMODE(hosts["lb1"].folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(hosts["lb1"].file("service/web").stat().st_mode) == 0o600


def test_a_file_is_json_that_people_can_read(hosts, record):
    found = json.loads(hosts["lb1"].file("service/web").read_text())
    assert (found["schema"], found["key"], found["generation"]) == (1, "service/web", 1)
    assert found["body"] == BODIES[1]
    assert len(found["sha256"]) == 64


def test_a_write_on_an_older_generation_than_the_last_is_refused(record):
    with pytest.raises(StaleWrite, match="service/web on lb1 is at generation 1 already"):
        record.write("service/web", BODIES[3], 0, FENCE)
    assert record.read()["service/web"] == Document("service/web", 1, BODIES[1])


def test_of_many_writers_of_one_generation_one_wins(hosts, record):
    outcomes: list[str] = []

    def write(number: int) -> None:
        mine = HostRecord(hosts, ["lb1", "lb2"], root=ROOT)
        try:
            mine.write("service/web", {"writer": number}, 1, FENCE)
            outcomes.append(f"won {number}")
        except StaleWrite:
            outcomes.append("stale")

    threads = [threading.Thread(target=write, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    (winner,) = [o for o in outcomes if o != "stale"]
    assert len(outcomes) == 8
    for name in ("lb1", "lb2"):
        found = HostRecord(hosts, [name], root=ROOT).read()["service/web"]
        assert found == Document("service/web", 2, {"writer": int(winner.split()[1])})


def test_writers_of_different_keys_do_not_disturb_each_other(hosts, record):
    failures: list[BaseException] = []

    def write(key: str) -> None:
        mine = HostRecord(hosts, ["lb1", "lb2"], root=ROOT)
        try:
            for generation in range(5):
                mine.write(key, {"n": generation + 1}, generation, FENCE)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(f"section/s{n}",)) for n in range(6)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        record.read()  # never sees half a file
    for thread in threads:
        thread.join()
    assert failures == []
    assert (
        record.read().items()
        >= {f"section/s{n}": Document(f"section/s{n}", 5, {"n": 5}) for n in range(6)}.items()
    )
    assert record.behind == {}


def test_a_deleted_document_stays_deleted(hosts, record):
    hosts.cut("lb2")
    assert record.write("service/web", None, 1, FENCE).body is None
    hosts.mend("lb2")
    assert record.read()["service/web"] == Document("service/web", 2, None)
    assert record.level(FENCE) == ("lb2",)
    shutil.rmtree(hosts["lb1"].folder)
    assert record.read()["service/web"] == Document("service/web", 2, None)
    assert record.write("service/web", BODIES[4], 2, FENCE).generation == 3


def test_reading_goes_on_with_the_hosts_that_answer(hosts, record):
    hosts.cut("lb1")
    assert record.read()["service/web"].body == BODIES[1]
    assert list(record.behind) == ["lb1"]
    hosts.cut("lb2")
    with pytest.raises(HostError, match="lb1 does not answer"):
        record.read()


def test_writing_needs_the_first_record_host(hosts, record):
    hosts.cut("lb1")
    with pytest.raises(HostError, match="lb1 does not answer"):
        record.write("service/web", BODIES[2], 1, FENCE)
    hosts.mend("lb1")
    assert record.read()["service/web"].generation == 1


def test_a_host_that_missed_a_write_is_behind_until_the_next_one(hosts, record):
    hosts.cut("lb2")
    record.write("service/web", BODIES[2], 1, FENCE)
    assert record.behind == {"lb2": "lb2 does not answer"}
    hosts.mend("lb2")
    assert record.read()["service/web"].body == BODIES[2]
    assert record.behind == {"lb2": "service/web: at generation 1 of 2"}
    record.write("service/web", BODIES[3], 2, FENCE)
    record.read()
    assert record.behind == {}


def test_level_brings_a_host_that_was_away_to_the_newest_of_everything(hosts, record):
    hosts.cut("lb2")
    record.write("service/web", BODIES[2], 1, FENCE)
    record.write("section/web", {"service": "web"}, 0, FENCE)
    hosts.mend("lb2")
    assert record.level(FENCE) == ("lb2",)
    assert record.behind == {}
    assert HostRecord(hosts, ["lb2"], root=ROOT).read() == record.read()
    assert record.level(FENCE) == ()


def test_a_first_host_restored_from_an_old_backup_follows_the_others(hosts, record):
    backup = hosts["lb1"].file("service/web").read_bytes()
    record.write("service/web", BODIES[2], 1, FENCE)
    hosts["lb1"].file("service/web").write_bytes(backup)
    assert record.read()["service/web"].body == BODIES[2]
    record.write("service/web", BODIES[3], 2, FENCE)
    for name in ("lb1", "lb2"):
        assert HostRecord(hosts, [name], root=ROOT).read()["service/web"].generation == 3


def test_a_host_that_knows_a_later_generation_stops_the_writer(hosts, record):
    alone = HostRecord(hosts, ["lb2"], root=ROOT)
    alone.write("service/web", BODIES[5], 1, FENCE)
    alone.write("service/web", BODIES[6], 2, FENCE)
    with pytest.raises(StaleWrite, match="lb2 is at generation 3"):
        record.write("service/web", BODIES[2], 1, FENCE)
    assert record.read()["service/web"].body == BODIES[6]


def test_of_two_bodies_at_one_generation_the_later_writer_counts(hosts, record):
    HostRecord(hosts, ["lb1"], root=ROOT).write("service/web", BODIES[5], 1, FENCE)
    later = Fence(FENCE.scope, 9, "bb")
    HostRecord(hosts, ["lb2"], root=ROOT).write("service/web", BODIES[6], 1, later)
    assert record.read()["service/web"].body == BODIES[6]
    assert record.behind == {"lb1": "service/web: another body at generation 2"}
    record.write("service/web", BODIES[7], 2, later)
    record.read()
    assert record.behind == {}


def cut_in_half(text: bytes) -> bytes:
    return text[: len(text) // 2]


DAMAGE = {
    "cut": cut_in_half,
    "cut at the line end": lambda text: text[: text.index(b"\n") + 1],
    "empty": lambda text: b"",
    "one byte of the body": lambda text: text.replace(b'"n":1', b'"n":2'),
    "its generation": lambda text: text.replace(b'"generation":1', b'"generation":8'),
    "noise": lambda text: b"\0\xff\xfe@ ./record/fleet.json\n\r\n" * 40,
    "another file's text": lambda text: text.replace(b"service/web", b"service/abc"),
}


@pytest.mark.parametrize("how", DAMAGE)
@pytest.mark.parametrize("name", ["lb1", "lb2"])
def test_a_damaged_copy_is_ignored_while_another_is_good(hosts, record, name, how):
    file = hosts[name].file("service/web")
    file.write_bytes(DAMAGE[how](file.read_bytes()))
    assert record.read()["service/web"] == Document("service/web", 1, BODIES[1])
    assert record.behind[name].startswith("service/web: damaged: ")
    assert record.write("service/web", BODIES[2], 1, FENCE).generation == 2
    record.read()
    assert record.behind == {}


def test_a_copy_under_the_name_of_another_is_damaged(hosts, record):
    for generation in range(3):
        record.write("section/web", {"service": "web"}, generation, FENCE)
    shutil.copy(hosts["lb1"].file("section/web"), hosts["lb1"].file("service/web"))
    assert record.read()["service/web"] == Document("service/web", 1, BODIES[1])
    assert record.behind == {"lb1": "service/web: damaged: it belongs to section/web"}
    assert record.level(FENCE) == ("lb1",)
    assert record.write("service/web", BODIES[2], 1, FENCE).generation == 2


@pytest.mark.parametrize("how", DAMAGE)
def test_level_repairs_a_damaged_copy(hosts, record, how):
    file = hosts["lb2"].file("service/web")
    good = file.read_bytes()
    file.write_bytes(DAMAGE[how](good))
    assert record.level(FENCE) == ("lb2",)
    assert file.read_bytes() == good


@pytest.mark.parametrize("how", DAMAGE)
def test_a_record_without_a_good_copy_is_lost(hosts, record, how):
    for name in ("lb1", "lb2"):
        file = hosts[name].file("service/web")
        file.write_bytes(DAMAGE[how](file.read_bytes()))
    with pytest.raises(RecordLost, match="the record of service/web is damaged") as caught:
        record.read()
    assert "fleetctl adopt" in caught.value.hint
    hosts.cut("lb2")
    with pytest.raises(RecordLost) as caught:
        record.read()
    assert "lb2 can't be asked" in caught.value.hint


def test_a_missing_copy_is_behind(hosts, record):
    hosts["lb1"].file("service/web").unlink()
    assert record.read()["service/web"].body == BODIES[1]
    assert record.behind == {"lb1": "service/web: missing"}


def test_all_files_gone_is_not_a_new_fleet(hosts, record):
    for name in ("lb1", "lb2"):
        shutil.rmtree(hosts[name].folder / "record")
    with pytest.raises(RecordLost, match="belong") as caught:
        record.read()
    assert "fleetctl adopt" in caught.value.hint


def test_a_record_without_its_fleet_is_lost(hosts, record):
    for name in ("lb1", "lb2"):
        hosts[name].file("fleet").unlink()
        (hosts[name].folder / "lineage").unlink()
    with pytest.raises(RecordLost, match="no `fleet` document"):
        record.read()


def test_an_empty_host_is_no_new_fleet_while_another_is_silent(hosts, record):
    shutil.rmtree(hosts["lb1"].folder)
    hosts.cut("lb2")
    with pytest.raises(HostError, match="no record on lb1, and lb2 can't be asked"):
        record.read()


def test_a_record_host_of_another_fleet_is_refused(hosts, record, tmp_path):
    other = FolderHosts(tmp_path, "lb3")
    HostRecord(other, ["lb3"], root=ROOT).write("fleet", {"lineage": "ffff"}, 0, FENCE)
    hosts.hosts.update(other.hosts)
    with pytest.raises(ForeignLineage, match="lb3 to ffff"):
        HostRecord(hosts, ["lb1", "lb2", "lb3"], root=ROOT).read()


def test_a_newer_schema_is_refused_and_not_overwritten(hosts, record):
    file = hosts["lb2"].file("service/web")
    newer = file.read_bytes().replace(b'"schema":1', b'"schema":2')
    file.write_bytes(newer)
    with pytest.raises(Refused, match=r"newer fleetctl \(schema 2; this one reads 1\)"):
        record.read()
    with pytest.raises(Refused, match="newer fleetctl"):
        record.write("service/web", BODIES[2], 1, FENCE)
    assert file.read_bytes() == newer


def test_a_host_that_can_not_write_fails_the_write_or_is_behind(hosts, record):
    for name in ("lb2", "lb1"):
        shutil.rmtree(hosts[name].folder / "record" / "section", ignore_errors=True)
        (hosts[name].folder / "record" / "section").write_text("in the way")
        if name == "lb2":
            record.write("section/web", {"service": "web"}, 0, FENCE)
            assert "write section/web into the record failed" in record.behind["lb2"]
    with pytest.raises(CommandFailed, match="write section/web into the record failed"):
        record.write("section/web", {"service": "web"}, 1, FENCE)


def test_a_folder_that_can_not_be_entered_is_not_an_empty_record(hosts, tmp_path):
    hosts["lb1"].folder.write_text("a file where the folder should be")
    with pytest.raises(CommandFailed, match="read the record failed"):
        HostRecord(hosts, ["lb1"], root=ROOT).read()


@pytest.mark.parametrize(
    "key", ["../x", "service/../x", "service/", "/etc/passwd", "a/b/c", "a b", "service/Web", ""]
)
def test_a_key_is_a_name_and_no_path(record, key):
    with pytest.raises(ValueError, match="not a key"):
        record.write(key, {}, 0, FENCE)


def test_files_of_strangers_are_left_alone(hosts, record):
    stranger = hosts["lb1"].folder / "record" / "service" / "Not ours=1.json"
    stranger.write_text("{}")
    (hosts["lb1"].folder / "record" / "service" / "web.json.new").write_text("half")
    assert sorted(record.read()) == ["fleet", "service/web"]
    assert record.behind == {}


def test_remains_are_the_newest_whole_copies_and_why_there_is_none(hosts, record):
    hosts["lb1"].file("service/web").unlink()
    for name in ("lb1", "lb2"):
        hosts[name].file("fleet").write_bytes(b"")
    found = record.remains()
    assert found.documents == {"service/web": Document("service/web", 1, BODIES[1])}
    assert found.damaged == {"fleet": "lb1: empty; lb2: empty"}
    assert set(found.lineages) == {"lb1", "lb2"}
    hosts["lb2"].down = HostError("no route")
    with pytest.raises(HostError, match="no route"):
        record.remains()
