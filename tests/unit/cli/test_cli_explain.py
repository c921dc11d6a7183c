"""Every error has a page, and every page is of an error."""

from __future__ import annotations

import pytest

from fleetctl.cli import main
from fleetctl.cli.explanations import PAGES
from fleetctl.cli.failures import Bug
from fleetctl.errors import ExitCode, FleetError


def _ids(cls: type[FleetError]) -> set[str]:
    return {cls.id}.union(*(_ids(child) for child in cls.__subclasses__()))


def test_pages_are_the_errors() -> None:
    assert issubclass(Bug, FleetError)
    assert set(PAGES) == _ids(FleetError) | {"exit-codes"}


def test_exit_codes_are_all_told() -> None:
    words = PAGES["exit-codes"]
    assert [code for code in ExitCode if f"{code.value}" not in words] == []


@pytest.mark.parametrize("name", sorted(PAGES))
def test_page_is_shown(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", name]) == 0
    assert capsys.readouterr().out == PAGES[name] + "\n"


def test_ids_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain"]) == 0
    assert capsys.readouterr().out.splitlines() == sorted(PAGES)
