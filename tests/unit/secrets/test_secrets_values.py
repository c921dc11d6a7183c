"""From a reference to its value, and errors that show none."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fleetctl.errors import Diagnostic, InvalidFiles, Span
from fleetctl.model.reference import Reference
from fleetctl.model.secret import Secret
from fleetctl.secrets import values
from fleetctl.secrets.values import Values, described

PLACE = Span("playbooks/web.yml", 3, 7)


def reference(kind: str, *words: str) -> Reference:
    return Reference(kind, words, PLACE)  # type: ignore[arg-type]


def wrong(root: Path, given: Reference, **defined: Reference) -> Diagnostic:
    with pytest.raises(InvalidFiles) as caught:
        Values(root, defined).of(given)
    (found,) = caught.value.diagnostics
    assert (found.id, found.span, found.warning) == ("secret-missing", PLACE, False)
    return found


def test_a_file_of_the_project_and_one_elsewhere(tmp_path: Path) -> None:
    root = tmp_path / "project"
    root.mkdir()
    (root / "key").write_bytes(b"word\n")
    (tmp_path / "other").write_bytes(b"\xff\x00")
    found = Values(root, {})
    assert found.of(reference("file", "key")) == Secret(b"word\n")
    assert found.of(reference("file", str(tmp_path / "other"))) == Secret(b"\xff\x00")


def test_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOP_KEY", "word")
    assert Values(tmp_path, {}).of(reference("env", "SHOP_KEY")) == Secret(b"word")
    monkeypatch.delenv("SHOP_KEY")
    found = wrong(tmp_path, reference("env", "SHOP_KEY"))
    assert "variable SHOP_KEY is not set" in found.message


def test_a_command_runs_in_the_project_without_a_shell(tmp_path: Path) -> None:
    given = reference("command", "sh", "-c", 'pwd; printf "%s" "$1"', "x", "$HOME; a  b")
    text = f"{tmp_path}\n$HOME; a  b".encode()
    assert Values(tmp_path, {}).of(given) == Secret(text)
    nothing_to_read = reference("command", "cat")
    assert "is empty" in wrong(tmp_path, nothing_to_read).message


def test_a_name_of_secrets_yml(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("word")
    defined = {"shop": Reference("file", ("key",))}
    assert Values(tmp_path, defined).of(reference("secret", "shop")) == Secret(b"word")
    assert "secrets.yml has no team" in wrong(tmp_path, reference("secret", "team")).message


def test_each_is_read_once(tmp_path: Path) -> None:
    given = reference("command", "sh", "-c", "echo x >> log; echo word")
    found = Values(tmp_path, {"again": given})
    for one in (given, Reference("command", given.words), reference("secret", "again")):
        assert found.of(one) == Secret(b"word\n")
    assert (tmp_path / "log").read_text() == "x\n"


def test_check_looks_at_files_alone(tmp_path: Path) -> None:
    (tmp_path / "key").write_text("word")
    defined = {
        "file": Reference("file", ("key",)),
        "env": Reference("env", ("NO_SUCH_VARIABLE",)),
        "command": Reference("command", ("sh", "-c", "echo x > log")),
    }
    found = Values(tmp_path, defined, files_only=True)
    assert found.of(reference("secret", "file")) == Secret(b"word")
    assert found.of(reference("secret", "env")) is None
    assert found.of(reference("secret", "command")) is None
    assert not (tmp_path / "log").exists()


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text(" \n")
    (tmp_path / "big").write_bytes(b"x" * (values.MAX_BYTES + 1))
    os.mkfifo(tmp_path / "pipe")
    for name, words in {
        "missing": "file missing does not exist",
        "empty": "file empty is empty",
        "big": "file big has over 1 MiB",
        "pipe": "is not a regular file",
        ".": "is not a regular file",
        "a\0b": "can't be read",
        "~nobody-of-that-name/x": "can't be read",
    }.items():
        assert words in wrong(tmp_path, reference("file", name)).message


def test_a_command_that_fails_says_so_without_its_value(tmp_path: Path) -> None:
    script = "echo opensesame; echo 'opensesame is locked' >&2; echo 'try again' >&2; exit 3"
    found = wrong(tmp_path, reference("command", "sh", "-c", script))
    assert found.message == "command sh ended with code 3: ... is locked try again"
    found = wrong(tmp_path, reference("command", "no-such-program", "opensesame"))
    assert found.message == "command no-such-program can't be run: No such file or directory"


def test_a_command_that_does_not_end_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(values, "COMMAND_SECONDS", 0.5)
    script = "sleep 600 & echo $! > child; wait"
    found = wrong(tmp_path, reference("command", "sh", "-c", script))
    assert "command sh took over 0.5 s" in found.message
    child = int((tmp_path / "child").read_text())
    state = Path(f"/proc/{child}/stat")
    assert not state.exists() or state.read_text().rsplit(")", 1)[1].split()[0] in "ZX"


def test_what_people_know_a_reference_as() -> None:
    assert described(reference("command", "pass", "show", "word")) == "command pass"
    assert described(reference("secret", "shop")) == "secret shop"
