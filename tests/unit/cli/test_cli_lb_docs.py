"""What the guide to the lb commands shows is right."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from fleetctl.cli import main
from fleetctl.engine.lb_check import SOON
from fleetctl.ui import lb_view

GUIDE = (Path(__file__).parents[3] / "docs" / "load-balancer.md").read_text()


def commands() -> list[str]:
    typed = re.findall(r"^    \$ fleetctl ([^#;\n]*)", GUIDE, re.MULTILINE)
    return sorted({" ".join(command.split()) for command in typed})


@pytest.mark.parametrize("command", commands())
def test_a_command_is_one(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*shlex.split(command), "--help"]) == 0


def test_all_lb_commands_are_shown() -> None:
    shown = {command.split()[1] for command in commands()}
    assert shown == {"install", "show", "render", "check", "drain", "maint", "ready"}


def test_the_days_before_a_certificate_s_end_are_the_check_s() -> None:
    assert SOON == lb_view.SOON
    assert f"within {SOON / 86400:g} days" in " ".join(GUIDE.split())
