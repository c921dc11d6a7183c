"""What the README shows is right: its playbook, and every command in it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from fleetctl.cli import main
from fleetctl.config.project import Project

README = (Path(__file__).parents[3] / "README.md").read_text()
INVENTORY = "app: {hosts: {n1: {}}}\nloadbalancers: {hosts: {lb1: {}}}\n"


def shown() -> list[str]:
    typed = re.findall(r"^    \$ fleetctl ([^#;\n]*)", README, re.MULTILINE)
    named = re.findall(r"`fleetctl\s([^`]*)`", README)
    return sorted({" ".join(command.split()) for command in typed + named} - {"COMMAND --help"})


@pytest.mark.parametrize("command", shown())
def test_a_command_is_one(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*shlex.split(command), "--help"]) == 0


def test_the_playbook_takes_what_the_commands_give(tmp_path: Path) -> None:
    (playbook,) = re.findall(r"```yaml\n(.*?)```", README, re.DOTALL)
    for name, text in (("playbooks/web.yml", playbook), ("inventories/lab/hosts.yml", INVENTORY)):
        (tmp_path / name).parent.mkdir(parents=True)
        (tmp_path / name).write_text(text)
    project = Project.find(tmp_path, "lab")
    assert project.diagnostics() == ()
    given = dict(re.findall(r" -e (\w+)=(\w+)", README))
    spec = project.spec("web", given)
    assert (spec.image, spec.rollout.healthy_deadline) == ("registry.example/web:broken", 8.0)


def test_exit_codes_are_the_program_s() -> None:
    from fleetctl.errors import ExitCode

    told = {
        int(n) for row in re.findall(r"^\| ([0-9, ]+) \|", README, re.M) for n in row.split(",")
    }
    assert told == {*ExitCode, 129}


def test_documents_are_the_program_s() -> None:
    source = Path(__file__).parents[3] / "fleetctl"
    text = "\n".join(path.read_text() for path in source.rglob("*.py"))
    made = set(re.findall(r'"fleetctl\.([a-z-]+/1)"', text))
    told = set(re.findall(r"([a-z-]+/1)`", README)) | set(
        re.findall(r"fleetctl\.([a-z]+/1)", README)
    )
    assert told == made
