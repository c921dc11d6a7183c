"""A mistyped command line is exit code 64 and one line, never 2."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleetctl.cli import main


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["deploi"], "No such command 'deploi'"),
        (["deploy", "--nope"], "No such option: --nope"),
        (["rollback"], "Missing argument 'SERVICE'"),
        (["rollback", "web", "--to", "x"], "Invalid value for '--to'"),
        (["rollback", "web", "--to", "0"], "Invalid value for '--to'"),
        (["deploy", "web", "--wait", "-1"], "Invalid value for '--wait'"),
        (["lock", "web"], "Missing option '--message'"),
        (["explain", "not-helthy"], "there is no error 'not-helthy'"),
        (["deploy"], "name a service"),
        (["rollback", "../x"], "'../x' is no service name"),
        (["lock", "a;b", "-m", "x"], "'a;b' is no service name"),
        (["unlock", "a\nb"], r"'a\nb' is no service name"),
        (["reconcile", "web", "Web"], "'Web' is no service name"),
        (["status", "$(id)"], "'$(id)' is no service name"),
        (["history", "x" * 41], "is no service name"),
        (["drift", "web_1"], "'web_1' is no service name"),
    ],
)
def test_usage_is_64(args: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(args) == 64
    out, err = capsys.readouterr()
    assert out == ""
    first, *rest = err.splitlines()
    assert first.startswith("error[usage]: ")
    assert words in first
    assert all(line.startswith("  hint: ") for line in rest)


def test_an_option_before_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-i", "lab", "status"]) == 64
    assert "hint: options stand after the command" in capsys.readouterr().err


def test_usage_of_a_run_as_events(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["deploy", "--nope", "--json"]) == 64
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert events[0] == {"type": "version", "schema": "fleetctl.events/1"}
    assert events[1]["type"] == "failed"
    assert events[1]["error_id"] == "usage"
    assert events[-1]["type"] == "run_finished"
    assert events[-1]["exit_code"] == 64


def test_usage_of_a_query_as_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--nope", "--json"]) == 64
    out, err = capsys.readouterr()
    document = json.loads(out)
    assert document["schema"] == "fleetctl.error/1"
    assert (document["id"], document["exit_code"]) == ("usage", 64)
    assert "No such option" in err


def test_what_lab_up_says_to_try_is_a_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Up:
        hosts = ()

        def __init__(self, inventory: Path, tell: object) -> None:
            pass

        def up(self, hosts: int, balancers: int, local_balancers: bool) -> bool:
            return True

    monkeypatch.setattr("fleetctl.cli.lab.Lab", Up)
    assert main(["lab", "up", "-i", "inventories/lab"]) == 0
    _, _, said = capsys.readouterr().err.partition("try: fleetctl ")
    assert main([*said.split(), "--help"]) == 0
