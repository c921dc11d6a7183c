"""The bridge: batches of commands, and haproxyadmin on a socket of our own."""

from __future__ import annotations

import stat
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from balancer_bench import FENCE, App, Running, wait_for
from haproxyadmin import STATE_DRAIN, STATE_READY
from test_haproxy_apply import SPEC, instance

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import commands
from fleetctl.haproxy.render import render
from fleetctl.haproxy.section import admit
from fleetctl.haproxy.socket import admin, send


@pytest.fixture
def serving(running: Running, app: Callable[[str], App]) -> Running:
    section = admit(None, SPEC, [instance(app("aaaa"), 1)])
    running.haproxy.apply(render(running.balancer, [section]), FENCE)
    wait_for("UP", lambda: running.server("slot1").up)
    return running


def test_haproxyadmin_reads_and_sets_through_the_bridge(serving: Running) -> None:
    seen = serving.haproxy.observe()
    with admin(serving.connections.local, serving.paths.socket) as haproxy:  # type: ignore[arg-type]
        assert haproxy.version == seen.version
        assert seen.config_id in haproxy.description
        server = haproxy.server("slot1", backend="web.http")[0]
        assert server.status == "UP"
        assert server.setstate(STATE_DRAIN)
        assert serving.server("slot1").admin == "drain"
        assert server.setstate(STATE_READY)
        server.setweight(7)
    assert (serving.server("slot1").admin, serving.server("slot1").weight) == ("ready", 7)


def test_the_bridge_is_ours_alone_and_leaves_nothing(
    serving: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "t"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    with admin(serving.connections.local, serving.paths.socket):  # type: ignore[arg-type]
        (folder,) = place.iterdir()
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert list(place.iterdir()) == []


def test_a_socket_that_nobody_listens_on_is_told(serving: Running) -> None:
    shell = serving.connections.local
    with (
        pytest.raises(BalancerFailed, match="does not answer"),
        admin(shell, f"{serving.paths.socket}.none"),  # type: ignore[arg-type]
    ):
        pass
    with pytest.raises(BalancerFailed, match="can't be used"):
        send(shell, f"{serving.paths.socket}.none", [commands.set_state("a", "b", "ready")])  # type: ignore[arg-type]


def test_a_long_batch_is_split_and_a_refusal_is_found_in_it(
    serving: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    shell = serving.connections.local
    before = shell.count
    monkeypatch.setattr("fleetctl.haproxy.socket.BATCH", 100)
    many = [commands.set_weight("web.http", "slot1", n % 100) for n in range(250)]
    send(shell, serving.paths.socket, many)  # type: ignore[arg-type]
    assert shell.count == before + 3
    assert serving.server("slot1").weight == 49
    many[120] = commands.set_weight("web.http", "slot77", 1)
    with pytest.raises(BalancerFailed, match=r"slot77 weight 1': No such server\."):
        send(shell, serving.paths.socket, many)  # type: ignore[arg-type]
