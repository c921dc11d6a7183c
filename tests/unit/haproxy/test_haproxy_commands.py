"""Runtime commands: what is sent, which replies are good, what can't be sent at all."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import commands


def test_a_slot_comes_in_through_drain_and_down() -> None:
    assert [c.text for c in commands.come_in("web.http", "slot3", "ready")] == [
        "enable health web.http/slot3",
        "set server web.http/slot3 state drain",
        "set server web.http/slot3 health down",
        "set server web.http/slot3 state ready",
    ]


@pytest.mark.parametrize(
    "reply",
    [
        "IP changed from '127.0.0.1' to '127.0.0.2', port changed from '1' to '18081'"
        " by 'stats socket command'\n",
        "no need to change the addr, port changed from '18081' to '18082'"
        " by 'stats socket command'",
        "no need to change the addr, no need to change the port by 'stats socket command'",
        "IP changed from '127.0.0.1' to '10.0.0.2', no need to change the port"
        " by 'stats socket command'",
    ],
)
def test_good_replies_to_an_address(reply: str) -> None:
    commands.set_address("web.http", "slot1", "10.0.0.2", 80).check(reply)


@pytest.mark.parametrize(
    "reply",
    ["", "No such server.", "Proxy is disabled.", "Invalid addr 'x'", "IP changed", "[3]: oh"],
)
def test_everything_else_is_a_refusal(reply: str) -> None:
    with pytest.raises(BalancerFailed, match="HAProxy refused 'set server"):
        commands.set_address("web.http", "slot1", "10.0.0.2", 80).check(reply)
    if reply:
        with pytest.raises(BalancerFailed, match="refused"):
            commands.set_state("web.http", "slot1", "ready").check(reply)


def test_silence_is_good_for_the_others() -> None:
    for command in (
        commands.set_state("web.http", "slot1", "maint"),
        commands.set_weight("web.http", "slot1", 256),
        commands.enable_health("web.http", "slot1"),
        commands.health_down("web.http", "slot1"),
        commands.set_maxconn("web.http", "slot1", 0),
        commands.end_sessions("web.http", "slot1"),
        commands.change_map("/m", "add", "shop.example/", "web.http"),
    ):
        command.check("\n")


@pytest.mark.parametrize(
    "value", ["x;show env", "x\nshow env", "x y", "x\\", "", "x/y", "x\t", "<<", "é", "-x"]
)
def test_no_second_command_gets_in(value: str) -> None:
    for make in (
        lambda: commands.set_state(value, "slot1", "ready"),
        lambda: commands.set_state("web.http", value, "ready"),
        lambda: commands.set_state("web.http", "slot1", value),  # type: ignore[arg-type]
        lambda: commands.set_address("web.http", "slot1", value, 80),
        lambda: commands.set_address("web.http", "slot1", "10.0.0.1", value),  # type: ignore[arg-type]
        lambda: commands.set_weight("web.http", "slot1", value),  # type: ignore[arg-type]
        lambda: commands.set_maxconn("web.http", "slot1", value),  # type: ignore[arg-type]
        lambda: commands.end_sessions("web.http", value),
        lambda: commands.change_map(value, "set", "a/", "b"),
        lambda: commands.change_map("/m", value, "a/", "b"),  # type: ignore[arg-type]
    ):
        with pytest.raises(BalancerFailed):
            make()


@pytest.mark.parametrize("port", [0, 65536, 99999, -1, True])
def test_a_port_that_haproxy_would_wrap_is_refused(port: int) -> None:
    with pytest.raises(BalancerFailed):
        commands.set_address("web.http", "slot1", "10.0.0.1", port)


@pytest.mark.parametrize("value", ["a;b", "a\nb", "a b", "a\\", "", "é", "a\t", "$(a)", "#1", '"'])
def test_neither_key_nor_value_of_a_map_is_a_second_command(value: str) -> None:
    for make in (
        lambda: commands.change_map("/m", "add", value, "web.http"),
        lambda: commands.change_map("/m", "del", value),
        lambda: commands.change_map("/m", "set", "shop.example/", value),
    ):
        with pytest.raises(BalancerFailed):
            make()


@pytest.mark.parametrize(
    ("verb", "key", "value", "line"),
    [
        (
            "add",
            "*.shop.example/a/",
            "web.http|web-1",
            "add map /m *.shop.example/a/ web.http|web-1",
        ),
        ("set", "8080|shop.example/~x/", "web.http", "set map /m 8080|shop.example/~x/ web.http"),
        ("del", "internal|web.internal/", "", "del map /m internal|web.internal/"),
    ],
)
def test_entries_of_a_map(verb: str, key: str, value: str, line: str) -> None:
    command = commands.change_map("/m", verb, key, value)  # type: ignore[arg-type]
    assert command.text == line
    command.check("Key not found.")
    with pytest.raises(commands.NotOverTheSocket, match="Unknown map"):
        command.check("Unknown map identifier. Please use #<id> or <file>.")


@pytest.mark.parametrize("limit", [-1, True, 10**7, "5"])
def test_limits_are_bounded(limit: int) -> None:
    with pytest.raises(BalancerFailed):
        commands.set_maxconn("web.http", "slot1", limit)


@pytest.mark.parametrize("weight", [-1, 257, True])
def test_weights_are_bounded(weight: int) -> None:
    with pytest.raises(BalancerFailed):
        commands.set_weight("web.http", "slot1", weight)


@given(st.text(max_size=30), st.text(max_size=30), st.text(max_size=30))
def test_one_command_is_one_line_whatever_the_text(backend: str, server: str, address: str) -> None:
    try:
        made = [
            commands.set_address(backend, server, address, 80),
            commands.set_state(backend, server, "ready"),
        ]
    except BalancerFailed:
        return
    for command in made:
        assert not set(command.text) & set("\n\r\t;\\\x00")
        assert commands.session([command.text]).count(b"\n") == 3


@pytest.mark.parametrize("line", ["a;b", "a\nb", "a\\b", "a\rb", "set x <<", "ü", "a" * 5000])
def test_a_session_takes_single_lines_only(line: str) -> None:
    with pytest.raises(BalancerFailed):
        commands.session([line])


def test_replies_are_told_apart_by_the_prompt() -> None:
    answer = b"\n> one\nline\n\n> \n> No such server.\n\n> \n"
    assert commands.replies(answer, 3) == ("one\nline\n", "", "No such server.\n")


@pytest.mark.parametrize("answer", [b"", b"\n> ", b"\n> one\n\n> ", b"Permission denied\n"])
def test_a_session_cut_short_is_a_failure(answer: bytes) -> None:
    with pytest.raises(BalancerFailed, match="of 2 commands"):
        commands.replies(answer, 2)
