from __future__ import annotations

import pytest

from fleetctl.containers.failures import LONGEST, explain, shorten
from fleetctl.errors import DiskFull, EngineFailed, ImageMissing, NameTaken, PortTaken


@pytest.mark.parametrize(
    ("status", "text", "kind", "words"),
    [
        (
            500,
            "driver failed programming external connectivity on endpoint web: Bind for"
            " 10.0.0.1:20001 failed: port is already allocated",
            PortTaken,
            "10.0.0.1:20001 is held by something else",
        ),
        (
            500,
            "driver failed: Error starting userland proxy: listen tcp4 10.0.0.1:20001: bind:"
            " address already in use",
            PortTaken,
            "10.0.0.1:20001 is held",
        ),
        (
            500,
            "failed to bind host port for 10.0.0.1:20001:172.17.0.2:8080/tcp: address already"
            " in use",
            PortTaken,
            "10.0.0.1:20001 is held",
        ),
        (500, "listen tcp6 [fd00::1]:20001: bind: address already in use", PortTaken, "[fd00::1]:"),
        (500, "something: address already in use", PortTaken, "its port is held"),
        (
            409,
            'Conflict. The container name "/a" is already in use by container "0123456789abcdef".',
            NameTaken,
            "another container has that name",
        ),
        (500, "mkdir /var/lib/docker/x: no space left on device", DiskFull, "disk is full"),
        (404, "No such image: app:1", ImageMissing, "app:1"),
        (404, "No such container: x", EngineFailed, "is gone"),
        (400, 'invalid CapAdd: unknown capability: "CAP_X"', EngineFailed, "CAP_X"),
        (418, "teapot", EngineFailed, "teapot"),
    ],
)
def test_what_the_engine_says(status: int, text: str, kind: type, words: str) -> None:
    found = explain(text, status, "starting web-1", "node1")
    assert type(found) is kind
    assert found.message.startswith("starting web-1 on node1 failed: ")
    assert words in found.message
    assert found.host == "node1"


def test_words_of_a_host_are_one_bounded_line() -> None:
    assert shorten("a\n  b\tc") == "a b c"
    assert shorten("\x1b[2Jgone") == "\\x1b[2Jgone"
    assert len(shorten("x" * 10_000)) == LONGEST
