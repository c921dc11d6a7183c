"""Every error has a page, and every page is of an error."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import fleetctl
from fleetctl import errors
from fleetctl.cli import main
from fleetctl.cli.explanations import PAGES
from fleetctl.cli.explanations_files import FILE_PAGES
from fleetctl.cli.failures import Bug


def test_pages_are_the_errors() -> None:
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    ids = {cls.id for cls in classes if issubclass(cls, errors.FleetError)}
    assert set(PAGES) == ids | {Bug.id, "exit-codes"}


def test_every_diagnostic_of_the_files_has_a_page() -> None:
    package = Path(fleetctl.__file__).parent
    text = "".join(p.read_text() for p in sorted(package.glob("config/*.py")))
    said = set(re.findall(r'(?:Diagnostic|note)\(\s*"([a-z-]+)"', text))
    assert {"unknown-key", "bad-yaml"} <= said
    assert said - set(FILE_PAGES) == set()


def test_exit_codes_are_all_told() -> None:
    words = PAGES["exit-codes"]
    assert [code for code in errors.ExitCode if f"{code.value}" not in words] == []


@pytest.mark.parametrize("name", sorted(PAGES | FILE_PAGES))
def test_page_is_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", name]) == 0
    assert capsys.readouterr().out == (PAGES | FILE_PAGES)[name] + "\n"


def test_ids_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    assert capsys.readouterr().out.splitlines() == sorted(PAGES | FILE_PAGES)
