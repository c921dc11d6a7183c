"""The vectors of SEMANTICS section 2."""

from __future__ import annotations

import pytest

from fleetctl.errors import ExitCode, InvalidFiles
from fleetctl.model.spec import Rollout
from fleetctl.planner.arithmetic import Limits, batch_caps, limits


@pytest.mark.parametrize(
    ("replicas", "surge", "unavailable", "expected"),
    [
        (10, "25%", "25%", (3, 2)),
        (1, "25%", "25%", (1, 0)),
        (3, "0", "25%", (0, 1)),
        (4, "0", "25%", (0, 1)),
        (10, "3", "2", (3, 2)),
        (6, "25%", "0", (2, 0)),
        (100, "12.5%", "0.5%", (13, 0)),
        (3, "0%", "1%", (0, 1)),
        (2, "300%", "100%", (6, 2)),
        (3, "0", "9", (0, 3)),
        (0, "25%", "0", (0, 1)),
    ],
)
def test_surge_rounds_up_and_unavailable_down(
    replicas: int, surge: str, unavailable: str, expected: tuple[int, int]
) -> None:
    found = limits(Rollout(max_surge=surge, max_unavailable=unavailable), replicas)
    assert (found.surge, found.unavailable) == expected


def test_ceiling_and_floor() -> None:
    assert Limits(10, 3, 2).ceiling == 13
    assert Limits(10, 3, 2).floor == 8
    assert Limits(1, 0, 3).floor == 0


@pytest.mark.parametrize(("surge", "unavailable"), [("0", "0"), ("0%", "0"), ("0", "0%")])
def test_both_literally_zero_is_invalid(surge: str, unavailable: str) -> None:
    with pytest.raises(InvalidFiles) as caught:
        limits(Rollout(max_surge=surge, max_unavailable=unavailable), 3)
    assert caught.value.exit_code is ExitCode.INVALID
    assert "both 0" in caught.value.diagnostics[0].message


@pytest.mark.parametrize("text", ["", "-1", "many", "-5%", "%", "1/0%", "2.5"])
def test_what_is_no_share_is_named(text: str) -> None:
    with pytest.raises(InvalidFiles) as caught:
        limits(Rollout(max_surge=text), 3)
    assert "max_surge" in caught.value.diagnostics[0].message


@pytest.mark.parametrize(
    ("serial", "replicas", "caps"),
    [
        ((), 5, (5,)),
        ((), 0, (1,)),
        (("1", "30%", "100%"), 10, (1, 3, 10)),
        (("30%",), 2, (1,)),
        (("0",), 4, (1,)),
    ],
)
def test_serial_is_ansibles(serial: tuple[str, ...], replicas: int, caps: tuple[int, ...]) -> None:
    assert batch_caps(serial, replicas) == caps
