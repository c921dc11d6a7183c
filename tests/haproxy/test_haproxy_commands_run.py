"""What the runtime socket changes, on a real HAProxy: maps, limits, held servers, sessions."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from balancer_bench import DEADLINE, FENCE, App, Running, wait_for
from test_haproxy_apply import SPEC, apply, await_up, instance

from fleetctl.haproxy.render import render
from fleetctl.haproxy.section import admit, drain, hold, release, withdraw
from fleetctl.haproxy.sync import differences, in_sync
from fleetctl.model.balancing import Section
from fleetctl.model.routing import Route


@pytest.fixture
def serving(running: Running, app: Callable[[str], App]) -> tuple[Running, Section]:
    section = admit(None, SPEC, [instance(app("aaaa"), 1), instance(app("bbbb"), 2)])
    apply(running, section)
    await_up(running, "slot1", "slot2")
    return running, section


def routes_file(running: Running) -> str:
    return f"{running.paths.files}/live/routes.map"


def test_a_map_that_hands_changed_is_drift_told_and_mended(
    serving: tuple[Running, Section],
) -> None:
    running, section = serving
    section = replace(section, routes=(*section.routes, Route("http", "b.example", "/b")))
    apply(running, section)
    rendered = render(running.balancer, [section])
    file = routes_file(running)
    for line, told in (
        (f"del map {file} shop.example/", "shop.example/: wanted web.http, is nothing"),
        (f"set map {file} b.example/b/ nowhere", "b.example/b/: wanted web.http, is nowhere"),
        (f"add map {file} evil.example/ web.http", "evil.example/: wanted nothing, is web.http"),
        (
            f"add map {file} shop.example/ nowhere",
            "shop.example/: wanted web.http, is nowhere, web.http",
        ),
    ):
        running.command(line)
        seen = running.haproxy.observe()
        assert not in_sync(rendered, seen)
        (found,) = differences(rendered, seen)
        assert (found.kind, found.what) == ("map", f"route {told}")
        assert running.haproxy.apply(rendered, FENCE).how == "runtime"
        assert in_sync(rendered, running.haproxy.observe())
        assert running.get()[0] == 200
        assert running.get("/b", "b.example")[0] == 200
        assert running.get(host="evil.example")[0] == 404


def test_many_routes_come_and_go_by_commands(serving: tuple[Running, Section]) -> None:
    running, section = serving
    many = tuple(Route("http", f"h{n}.example", f"/p{n}") for n in range(500))
    applied = apply(running, replace(section, routes=(*section.routes, *many)))
    assert (applied.how, applied.commands) == ("runtime", 500)
    assert running.get("/p499/x", "h499.example")[0] == 200
    assert running.get("/p498", "h499.example")[0] == 404
    applied = apply(running, section)
    assert (applied.how, applied.commands) == ("runtime", 500)
    assert running.get("/p499/x", "h499.example")[0] == 404


def test_a_map_that_the_worker_does_not_know_is_brought_by_a_reload(
    running: Running, app: Callable[[str], App]
) -> None:
    """As with a template that has its own way of routing, told at start alone."""
    section = admit(None, SPEC, [instance(app("aaaa"), 1)])
    rendered = render(running.balancer, [section])
    apply(running, section)
    await_up(running, "slot1")
    file = routes_file(running)
    text = rendered.text.replace(file, f"{file}.not")
    more = render(
        running.balancer, [replace(section, routes=(*section.routes, Route("http", "n")))]
    )
    pid = running.haproxy.observe().pid
    (running.folder / "files" / "live" / "routes.map.not").write_text("")
    running.config.write_text(text)
    master = running.folder / "master.sock"
    with socket.socket(socket.AF_UNIX) as link:
        link.connect(str(master))
        link.sendall(b"reload\n")
        link.shutdown(socket.SHUT_WR)
        link.recv(100)
    wait_for("a new worker", lambda: running.haproxy.observe().pid not in (pid, 0))
    running.config.write_text(rendered.text)
    (running.folder / "files" / "live" / "routes.map.not").unlink()
    seen = running.haproxy.observe()
    assert (seen.skeleton, seen.routes) == (rendered.skeleton, ())
    assert running.haproxy.apply(more, FENCE).how == "reload"
    assert in_sync(more, running.haproxy.observe())


def test_limits_of_servers_change_by_command(serving: tuple[Running, Section]) -> None:
    running, section = serving
    for limit in (7, 3, 0):
        limited = replace(section, balancing=replace(section.balancing, maxconn=limit))
        applied = apply(running, limited)
        assert (applied.how, applied.commands) == ("runtime", 2)
        assert {running.server(n).maxconn for n in ("slot1", "slot2")} == {limit}
    running.command("set maxconn server web.http/slot2 5")
    rendered = render(running.balancer, [limited])
    (found,) = differences(rendered, running.haproxy.observe())
    assert "is 127.0.0.1" in found.what
    assert found.what.endswith("ready weight 100 maxconn 5")
    assert apply(running, limited).how == "runtime"


def test_a_limit_holds_for_a_slot_that_is_given_out_later(
    serving: tuple[Running, Section], app: Callable[[str], App]
) -> None:
    running, section = serving
    spec = replace(SPEC, balancing=replace(SPEC.balancing, maxconn=4))
    section = admit(section, spec, [instance(app("cccc"), 3)])
    assert apply(running, section).how == "runtime"
    assert running.server("slot3").maxconn == 4


@pytest.mark.parametrize("state", ["drain", "maint"])
def test_a_held_server_keeps_its_place_and_gets_nothing(
    serving: tuple[Running, Section], state: str
) -> None:
    running, section = serving
    port = running.server("slot1").port
    held = hold(section, ["web-1-1-aaaa"], state, 0.0)  # type: ignore[arg-type]
    assert apply(running, held).how == "runtime"
    server = running.server("slot1")
    assert (server.admin, server.port) == (state, port)
    assert {running.get() for _ in range(6)} == {(200, "bbbb")}
    assert apply(running, replace(held, drain_timeout=25.0)).how == "reload"
    await_up(running, "slot2")
    server = running.server("slot1")
    assert (server.admin, server.port) == (state, port)
    assert {running.get() for _ in range(6)} == {(200, "bbbb")}
    freed = release(held, ["web-1-1-aaaa"])
    apply(running, replace(freed, drain_timeout=25.0))
    await_up(running, "slot1", "slot2")
    assert {running.get()[1] for _ in range(8)} == {"aaaa", "bbbb"}


def test_sessions_are_ended_by_command_and_the_slot_is_free_then(
    running: Running, app: Callable[[str], App]
) -> None:
    hanging = app("aaaa")
    section = admit(None, SPEC, [instance(hanging, 1)])
    apply(running, section)
    await_up(running, "slot1")
    hanging.hold.clear()
    answers: list[int] = []
    slow = threading.Thread(target=lambda: answers.append(running.get("/slow")[0]))
    slow.start()
    wait_for("the slow request waits", lambda: running.server("slot1").sessions > 0)
    apply(running, drain(section, ["web-1-1-aaaa"]))
    assert slow.is_alive()
    running.haproxy.end_sessions([("web.http", "slot1")], FENCE)
    slow.join(DEADLINE)
    assert answers in ([502], [503])
    wait_for("no session", lambda: running.server("slot1").sessions == 0)
    apply(running, withdraw(section, ["web-1-1-aaaa"]))
    assert running.server("slot1").admin == "maint"


def test_figures_of_servers_are_read(serving: tuple[Running, Section]) -> None:
    running, _ = serving
    for _ in range(10):
        running.get()
    servers = [running.server("slot1"), running.server("slot2")]
    assert sum(s.requests for s in servers) >= 10
    assert sum(s.errors for s in servers) == 0


def test_each_difference_is_told_by_its_name(
    serving: tuple[Running, Section], app: Callable[[str], App]
) -> None:
    running, section = serving
    rendered = render(running.balancer, [section])
    assert differences(rendered, running.haproxy.observe()) == ()
    running.command("set server web.http/slot1 state maint")
    running.command("set server web.http/slot3 state ready")
    running.config.write_text(rendered.text.replace("timeout connect 1s", "timeout connect 2s"))
    told = [(d.kind, d.what) for d in differences(rendered, running.haproxy.observe())]
    port = running.server("slot1").port
    assert told == [
        ("file", "the file on the disk was changed by hand"),
        (
            "runtime",
            f"web.http/slot1: wanted 127.0.0.1:{port} ready weight 100 (web-1-1-aaaa), "
            f"is 127.0.0.1:{port} maint weight 100",
        ),
        ("runtime", "web.http/slot3: wanted free, is 127.0.0.1:1 ready weight 1"),
    ]
    bigger = replace(SPEC, name="more", routes=(Route("http", "more.example"),))
    more = admit(None, bigger, [replace(instance(app("cccc"), 1), service="more")])
    grown = render(running.balancer, [section, more])
    kinds = [d.kind for d in differences(grown, running.haproxy.observe())]
    assert kinds == ["file", "files", "reload", "runtime", "runtime", "runtime", "map"]
    running.config.write_text(running.foreign)
    (first, *_) = differences(rendered, running.haproxy.observe())
    assert first.what == "the file on the disk isn't fleetctl's"
