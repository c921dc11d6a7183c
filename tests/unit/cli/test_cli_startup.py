"""Help is quick: nothing heavy is imported for it. Every command shows examples."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from fleetctl import __version__
from fleetctl.cli import main

HEAVY = ("fabric", "paramiko", "docker", "jinja2", "haproxyadmin", "yaml", "requests")
COMMANDS = ("deploy", "rollback", "reconcile", "plan", "drift", "status", "history", "lock",
            "unlock", "adopt", "explain", "check", "schema", "hosts list", "hosts trust",
            "config show", "lb show", "lb drain", "lb maint", "lb ready", "lb render", "lb check",
            "lb install")  # fmt: skip


@pytest.mark.parametrize(
    ("args", "heavy"),
    [
        (["--help"], (*HEAVY, "pydantic")),
        ([], (*HEAVY, "pydantic")),
        (["--version"], (*HEAVY, "pydantic")),
        (["deploy", "--help"], HEAVY),
        (["explain", "mixed"], HEAVY),
    ],
)
def test_help_imports_nothing_heavy(args: list[str], heavy: tuple[str, ...]) -> None:
    script = (
        "import sys; from fleetctl.cli import main; code = main(sys.argv[2:]); "
        "found = [m for m in sys.argv[1].split(',') if m in sys.modules]; "
        "sys.exit(f'imported: {found}' if found else code)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, ",".join(heavy), *args],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout


def test_module_runs_as_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fleetctl", "--version"], capture_output=True, text=True, timeout=120
    )
    assert done.stdout == f"fleetctl {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_examples(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert f"\n   fleetctl {command}" in out
    assert "<bool>" not in out


def test_paragraphs_of_help_fill_the_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    assert main(["deploy", "--help"]) == 0
    out = capsys.readouterr().out
    assert "\n balancer before the old one goes. A revision that fails is undone." in out


@pytest.mark.parametrize("command", [c for c in COMMANDS if c not in ("explain", "schema")])
def test_a_script_may_give_all_commands_the_same_options(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command.split(), "--yes", "--no-input", "--json", "-i", "lab", "--help"]) == 0


def test_bare_fleetctl_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    out = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out)
    assert all(f" {command.split()[0]} " in out for command in (*COMMANDS, "lab"))


@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-", "<&- >&- 2>&-"])
def test_a_stream_that_is_closed_from_the_start_is_no_error(closed: str) -> None:
    command = f"{sys.executable} -m fleetctl explain lock-held {closed}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert ("lock" in done.stdout) == (" >&-" not in f" {closed}")


@pytest.mark.parametrize("args", ["--help", "explain", "explain exit-codes"])
def test_a_reader_that_went_away_is_no_error(args: str) -> None:
    command = f"{sys.executable} -m fleetctl {args} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
