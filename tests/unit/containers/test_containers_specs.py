"""Specs beside containers: written whole, found again, never half believed."""

from __future__ import annotations

import os
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from fake_docker import FENCE

from fleetctl.containers.specs import Specs, to_text
from fleetctl.errors import CommandFailed, Refused
from fleetctl.model.evidence import StoredSpec
from fleetctl.model.record import Fence, Revision
from fleetctl.model.spec import ServiceSpec
from fleetctl.ssh.completed import Completed

SPEC = ServiceSpec("web", "app@sha256:1", environment=(("GREETING", "gr\u00fc\u00dfe\n'$(id)'"),))
STORED = StoredSpec(Revision(3, SPEC, "app:1", 12.5, "ana"), 0, ("10.0.0.9",))


@dataclass
class Here:
    """A host that is this machine: its shells run where they are asked. ``fenced`` are the
    fences that shells were opened behind."""

    fenced: list[Fence | None] = field(default_factory=list)

    def shell(self, fence: Fence | None = None) -> Here:
        self.fenced.append(fence)
        return self

    def run(self, script: str, *args: str, input: bytes = b"", timeout: float = 30) -> Completed:
        done = subprocess.run(
            ["sh", "-c", script, "fleetctl", *args], input=input, capture_output=True, timeout=60
        )
        return Completed(done.returncode, done.stdout, done.stderr, "node1")


@pytest.fixture
def here() -> Here:
    return Here()


@pytest.fixture
def specs(here: Here, tmp_path: Path) -> Specs:
    return Specs(lambda: here, str(tmp_path / "state"))  # type: ignore[arg-type, return-value]


def file(tmp_path: Path, number: int = 3) -> Path:
    return tmp_path / f"state/specs/web/{number}.json"


def test_what_is_kept_is_read_again(specs: Specs, here: Here, tmp_path: Path) -> None:
    assert specs.read() == ((), ())
    assert specs.keep(STORED, FENCE)
    assert specs.read() == ((STORED,), ())
    assert file(tmp_path).stat().st_mode & 0o777 == 0o600
    assert file(tmp_path).parent.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in file(tmp_path).parent.iterdir()] == ["3.json"]
    assert here.fenced.count(FENCE) == 1


def test_the_same_is_not_written_twice(specs: Specs, here: Here, tmp_path: Path) -> None:
    committed = replace(STORED, committed=7)
    assert specs.keep(committed, FENCE)
    before = file(tmp_path).stat()
    here.fenced.clear()
    for same in (STORED, committed, replace(STORED, committed=6)):
        assert not specs.keep(same, FENCE)
    assert FENCE not in here.fenced
    assert file(tmp_path).stat().st_ino == before.st_ino
    assert specs.keep(replace(STORED, committed=8), FENCE)
    assert specs.read()[0][0].committed == 8


def test_another_spec_of_that_number_is_replaced(specs: Specs) -> None:
    specs.keep(replace(STORED, committed=7), FENCE)
    other = replace(STORED, revision=replace(STORED.revision, spec=replace(SPEC, replicas=9)))
    assert specs.keep(other, FENCE)
    assert specs.read() == ((other,), ())


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: b"",
        lambda text: text[:-20],
        lambda text: text.replace(b'"replicas":1', b'"replicas":2'),
        lambda text: text.partition(b"\n")[0] + b"\n",
        lambda text: b"\xff\xfe" + text,
    ],
    ids=["empty", "cut", "edited", "head alone", "not text"],
)
def test_a_damaged_one_is_named_and_mended(specs: Specs, tmp_path: Path, spoil: object) -> None:
    other = replace(STORED, revision=replace(STORED.revision, number=4))
    specs.keep(STORED, FENCE)
    specs.keep(other, FENCE)
    file(tmp_path).write_bytes(spoil(to_text(STORED)))  # type: ignore[operator]
    assert specs.read() == ((other,), ("web/3.json",))
    assert specs.keep(STORED, FENCE)
    assert specs.read() == ((STORED, other), ())


def test_a_file_under_another_name_is_not_believed(specs: Specs, tmp_path: Path) -> None:
    specs.keep(STORED, FENCE)
    os.rename(file(tmp_path), file(tmp_path, 5))
    assert specs.read() == ((), ("web/5.json",))


def test_one_of_a_newer_fleetctl_is_refused(specs: Specs, tmp_path: Path) -> None:
    specs.keep(STORED, FENCE)
    text = file(tmp_path).read_bytes()
    file(tmp_path).write_bytes(text.replace(b'{"schema":1', b'{"schema":2', 1))
    with pytest.raises(Refused, match="newer fleetctl"):
        specs.read()


def test_dropped_ones_are_gone_and_the_rest_stays(specs: Specs, tmp_path: Path) -> None:
    for number in (3, 4, 5):
        specs.keep(replace(STORED, revision=replace(STORED.revision, number=number)), FENCE)
    specs.drop("web", (3, 4, 99), FENCE)
    assert [stored.revision.number for stored in specs.read()[0]] == [5]
    specs.drop("web", (5,), FENCE)
    specs.drop("web", (5,), FENCE)
    assert not file(tmp_path).parent.exists()


def test_a_disk_that_takes_nothing_leaves_the_old_one(specs: Specs, tmp_path: Path) -> None:
    specs.keep(STORED, FENCE)
    folder = file(tmp_path).parent
    text = file(tmp_path).read_bytes()
    target = folder.parent / "elsewhere"
    folder.rename(target)
    folder.write_text("in the way")
    with pytest.raises(CommandFailed, match="writing the spec"):
        specs.keep(replace(STORED, committed=9), FENCE)
    assert (target / "3.json").read_bytes() == text


@pytest.mark.parametrize("name", ["../web", "Web", "", "web/x"])
def test_a_name_that_is_no_service_goes_nowhere(specs: Specs, here: Here, name: str) -> None:
    spec = replace(SPEC, name=name)
    with pytest.raises(ValueError, match="not a service"):
        specs.keep(replace(STORED, revision=replace(STORED.revision, spec=spec)), FENCE)
    assert here.fenced == []
