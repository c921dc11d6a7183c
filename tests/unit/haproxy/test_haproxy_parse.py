"""Parsers on what a HAProxy 2.6 answered, and on what none should."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy.header import read_description
from fleetctl.haproxy.parse import (
    Processes,
    parse_info,
    parse_processes,
    parse_servers,
    parse_status,
)

RECORDED = Path(__file__).parents[2] / "golden" / "haproxy"


def recorded(name: str) -> str:
    return (RECORDED / f"{name}.txt").read_text()


@pytest.mark.parametrize(
    ("text", "operational", "administrative"),
    [
        ("UP", "up", "ready"),
        ("UP 1/3", "up", "ready"),
        ("DOWN", "down", "ready"),
        ("DOWN 2/3", "down", "ready"),
        ("DOWN (agent)", "down", "ready"),
        ("NOLB", "up", "ready"),
        ("NOLB 1/2", "up", "ready"),
        ("DRAIN", "up", "drain"),
        ("DRAIN 1/2", "up", "drain"),
        ("MAINT", "down", "maint"),
        ("MAINT (via other/srv1)", "down", "maint"),
        ("MAINT (resolution)", "down", "maint"),
        ("no check", "unchecked", "ready"),
    ],
)
def test_status(text: str, operational: str, administrative: str) -> None:
    assert parse_status(text) == (operational, administrative)


@pytest.mark.parametrize("text", ["", "UPDOG", "UP 1", "UP 1/x", "up", "DOWN (", "OPEN"])
def test_an_unknown_status_is_never_guessed(text: str) -> None:
    with pytest.raises(BalancerFailed, match="unknown status"):
        parse_status(text)


def test_servers() -> None:
    servers = parse_servers(recorded("show_servers_state"), recorded("show_stat"))
    assert [s.name for s in servers] == ["slot1", "slot2", "slot3", "slot4"]
    drained, failing, free, _ = servers
    assert (drained.backend, drained.id, drained.address) == ("web.http", 1, "127.0.0.1")
    assert drained.port > 1024
    assert (drained.admin, drained.weight, drained.up, drained.checked) == ("drain", 0, True, True)
    assert drained.check == "L7OK 200"
    assert (failing.admin, failing.status, failing.up) == ("ready", "UP 1/2", True)
    assert (failing.idle, failing.weight) == (1, 100)
    assert failing.check == "L7STS 500 Internal Server Error"
    assert (free.admin, free.up, free.checked, free.port) == ("maint", False, False, 1)


def test_a_server_that_nothing_has_checked_says_so() -> None:
    stat = recorded("show_stat")
    for status, checked in (("INI", False), ("UNK", False), ("* L7OK", True), ("L4CON", True)):
        servers = parse_servers(
            recorded("show_servers_state"), stat.replace(",L7OK,", f",{status},")
        )
        assert servers[0].checked is checked, status


def test_a_server_put_back_by_hand_is_ready_whatever_the_file_had() -> None:
    state = recorded("show_servers_state").replace("slot3 127.0.0.1 0 5", "slot3 127.0.0.1 2 4")
    servers = parse_servers(state, recorded("show_stat"))
    assert servers[2].admin == "ready"


def test_info() -> None:
    info = parse_info(recorded("show_info"))
    assert info["Version"] == "2.6.12-1+deb12u4"
    assert int(info["Pid"]) > 1
    config_id, skeleton = read_description(info["description"])
    assert len(config_id) == len(skeleton) == 16
    assert read_description("somebody's balancer") == ("", "")


def test_processes() -> None:
    assert parse_processes(recorded("show_proc")) == Processes(4378, (6087,), (4869,), 0)
    failed = parse_processes(recorded("show_proc_failed"))
    assert (failed.failed, failed.workers) == (1, (6087,))
    assert failed.all == {4378, 6087, 4869}


@pytest.mark.parametrize("text", ["", "Unknown command", "Permission denied\n"])
def test_an_error_text_is_no_data(text: str) -> None:
    with pytest.raises(BalancerFailed):
        parse_processes(text)
    with pytest.raises(BalancerFailed):
        parse_servers(text, recorded("show_stat"))
    with pytest.raises(BalancerFailed):
        parse_servers(recorded("show_servers_state"), text)


def test_half_an_answer_is_no_answer() -> None:
    stat = "\n".join(recorded("show_stat").splitlines()[:3])
    with pytest.raises(BalancerFailed, match="slot3"):
        parse_servers(recorded("show_servers_state"), stat)
