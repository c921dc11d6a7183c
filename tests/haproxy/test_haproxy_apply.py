"""The balancer port on a real HAProxy: every way a file gets to serve."""

from __future__ import annotations

import re
import socket
import subprocess
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from balancer_bench import FENCE, App, Running, free_port, wait_for
from balancer_load import Load

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy.render import render, with_disabled
from fleetctl.haproxy.rendered import Applied, Rendered
from fleetctl.haproxy.section import admit, drain, withdraw
from fleetctl.haproxy.sync import in_sync
from fleetctl.haproxy.templates import effective
from fleetctl.model.balancing import Section
from fleetctl.model.instance import Binding, Instance
from fleetctl.model.routing import Route
from fleetctl.model.spec import Healthcheck, Port, Rollout, ServiceSpec

SPEC = ServiceSpec(
    name="web",
    image="app:1",
    replicas=2,
    ports=(Port("http", 8080),),
    healthcheck=Healthcheck("http", "http", "/healthz", interval=0.2, timeout=2.0, retries=2),
    rollout=Rollout(max_surge="1", drain_timeout=20.0),
    routes=(Route("http", "shop.example", "/"),),
)


def instance(app: App, slot: int, revision: int = 1) -> Instance:
    bindings = (Binding("http", 8080, app.port),)
    return Instance("web", slot, revision, "node1", "127.0.0.1", bindings, app.name)


def apply(running: Running, *sections: Section) -> Applied:
    rendered = render(running.balancer, sections)
    running.haproxy.prepare(rendered, FENCE)
    applied = running.haproxy.apply(rendered, FENCE)
    assert in_sync(rendered, running.haproxy.observe())
    again = running.haproxy.apply(rendered, FENCE)
    assert (again.how, again.commands) == ("nothing", 0)
    return applied


def rendered_for(running: Running, section: Section) -> Rendered:
    return render(running.balancer, [section])


def await_up(running: Running, *names: str) -> None:
    def up() -> bool:
        servers = {s.name: s for s in running.haproxy.observe().servers}
        return all(servers[n].up and servers[n].checked for n in names)

    wait_for(f"{names} UP by a check", up)


def test_a_foreign_haproxy_is_taken_over_and_its_file_kept(
    running: Running, app: Callable[[str], App]
) -> None:
    seen = running.haproxy.observe()
    assert seen.up
    assert (seen.file_id, seen.config_id, seen.skeleton) == ("", "", "")
    assert seen.version.startswith("2.") or seen.version.startswith("3.")
    section = admit(None, SPEC, [instance(app("aaaa"), 1)])
    assert apply(running, section).how == "reload"
    await_up(running, "slot1")
    assert running.get() == (200, "aaaa")
    assert running.get(host="other.example")[0] == 404
    kept = running.config.with_name("haproxy.cfg.before-fleetctl")
    assert kept.read_text() == running.foreign
    apply(running, admit(section, SPEC, [instance(app("bbbb"), 2)]))
    assert kept.read_text() == running.foreign


def test_the_file_alone_serves_the_same_after_a_restart(
    running: Running, app: Callable[[str], App]
) -> None:
    section = admit(None, SPEC, [instance(app("aaaa"), 1), instance(app("bbbb"), 2)])
    apply(running, section)
    apply(running, drain(section, ["web-2-1-bbbb"]))
    running.stop()
    running.start()
    await_up(running, "slot1")
    assert {running.get() for _ in range(8)} == {(200, "aaaa")}
    assert running.haproxy.observe().skeleton == rendered_for(running, section).skeleton


def test_a_new_server_comes_in_by_command_and_only_by_a_passed_check(
    running: Running, app: Callable[[str], App]
) -> None:
    first, second = app("aaaa"), app("bbbb")
    section = admit(None, SPEC, [instance(first, 1)])
    apply(running, section)
    await_up(running, "slot1")
    pid = running.haproxy.observe().pid
    second.healthy = False
    section = admit(section, SPEC, [instance(second, 2)])
    applied = apply(running, section)
    assert applied.how == "runtime"
    assert applied.commands >= 5
    wait_for("a check has failed", lambda: running.server("slot2").check.startswith("L7STS"))
    assert not running.server("slot2").up
    assert {running.get() for _ in range(6)} == {(200, "aaaa")}
    second.healthy = True
    await_up(running, "slot2")
    assert {running.get()[1] for _ in range(6)} == {"aaaa", "bbbb"}
    assert running.haproxy.observe().pid == pid


def test_no_server_is_503_and_no_route_404(running: Running) -> None:
    apply(running, admit(None, SPEC, []))
    assert running.get()[0] == 503
    assert running.get(host="unknown.example")[0] == 404


def test_longest_path_first_and_a_host_before_any(
    running: Running, app: Callable[[str], App]
) -> None:
    routes = (Route("http", "", "/"),)
    web = admit(None, replace(SPEC, routes=routes), [instance(app("web"), 1)])
    routes = (Route("http", "shop.example", "/api"), Route("http", "", "/api/v2"))
    api_spec = replace(SPEC, name="api", routes=routes)
    api = admit(None, api_spec, [replace(instance(app("api"), 1), service="api")])
    apply(running, web, api)
    wait_for("both UP", lambda: sum(s.up for s in running.haproxy.observe().servers) == 2)
    for host, path, who in (
        ("shop.example", "/", "web"),
        ("shop.example", "/apis", "web"),
        ("shop.example", "/api", "api"),
        ("SHOP.example:80", "/api/x?y=1", "api"),
        ("other.example", "/api", "web"),
        ("other.example", "/api/v2/", "api"),
    ):
        assert running.get(path, host) == (200, who), (host, path)


def test_drained_gets_nothing_new_and_finishes_what_it_has(
    running: Running, app: Callable[[str], App]
) -> None:
    old, new = app("aaaa"), app("bbbb")
    section = admit(None, SPEC, [instance(old, 1), instance(new, 2)])
    apply(running, section)
    await_up(running, "slot1", "slot2")
    old.hold.clear()
    new.hold.clear()
    answers: list[tuple[int, str]] = []
    slow = [threading.Thread(target=lambda: answers.append(running.get("/slow"))) for _ in range(4)]
    for thread in slow:
        thread.start()
    wait_for("sessions", lambda: running.server("slot1").sessions > 0)
    section = drain(section, ["web-1-1-aaaa"])
    assert apply(running, section).how == "runtime"
    assert running.server("slot1").admin == "drain"
    assert {running.get() for _ in range(6)} == {(200, "bbbb")}
    assert running.server("slot1").sessions > 0
    old.hold.set()
    new.hold.set()
    for thread in slow:
        thread.join()
    assert {status for status, _ in answers} == {200}
    wait_for("no session", lambda: running.server("slot1").sessions == 0)
    apply(running, withdraw(section, ["web-1-1-aaaa"]))
    assert running.server("slot1").admin == "maint"
    assert "aaaa" not in running.config.read_text()


def test_a_drained_server_that_is_wanted_again_serves_again(
    running: Running, app: Callable[[str], App]
) -> None:
    one, two = instance(app("aaaa"), 1), instance(app("bbbb"), 2)
    section = admit(None, SPEC, [one, two])
    apply(running, section)
    await_up(running, "slot1", "slot2")
    apply(running, drain(section, [one.name]))
    applied = apply(running, section)
    assert (applied.how, applied.commands) == ("runtime", 1)
    assert {running.get()[1] for _ in range(6)} == {"aaaa", "bbbb"}


def test_a_reload_keeps_the_drained_drained_and_the_failed_out(
    running: Running, app: Callable[[str], App]
) -> None:
    apps = [app("aaaa"), app("bbbb"), app("cccc")]
    section = admit(None, SPEC, [instance(a, n) for n, a in enumerate(apps, 1)])
    apply(running, section)
    await_up(running, "slot1", "slot2", "slot3")
    apps[2].healthy = False
    wait_for("slot3 DOWN", lambda: not running.server("slot3").up)
    section = drain(section, ["web-2-1-bbbb"])
    section = replace(section, drain_timeout=25.0)
    assert apply(running, section).how == "reload"
    assert running.server("slot2").admin == "drain"
    assert not running.server("slot3").up
    assert {running.get() for _ in range(8)} == {(200, "aaaa")}
    assert running.config.read_text() == rendered_for(running, section).text
    apps[2].healthy = True
    await_up(running, "slot3")


def test_growth_is_a_reload_that_keeps_slots_and_addresses(
    running: Running, app: Callable[[str], App]
) -> None:
    first = [instance(app(f"a{n}"), n) for n in range(1, 5)]
    section = admit(None, SPEC, first)
    apply(running, section)
    before = {s.name: s.port for s in running.haproxy.observe().servers}
    assert len(before) == 4
    section = admit(section, SPEC, [instance(app("b"), 5)])
    assert apply(running, section).how == "reload"
    after = {s.name: s.port for s in running.haproxy.observe().servers}
    assert len(after) == 8
    assert {name: after[name] for name in before} == before


def test_a_slot_is_used_again_only_when_it_is_quiet(
    running: Running, app: Callable[[str], App], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fleetctl.haproxy.balancer.QUIET", 0.5)
    old, keep, new = app("aaaa"), app("bbbb"), app("cccc")
    section = admit(None, SPEC, [instance(old, 1), instance(keep, 2)])
    apply(running, section)
    await_up(running, "slot1", "slot2")
    old.hold.clear()
    keep.hold.clear()
    slow = [threading.Thread(target=running.get, args=("/slow",)) for _ in range(4)]
    for thread in slow:
        thread.start()
    wait_for("a session", lambda: running.server("slot1").sessions > 0)
    backend = section.backends[0]
    moved = replace(backend.servers[0], instance="web-1-2-cccc", port=new.port)
    section = section.with_backend(replace(backend, servers=(moved, backend.servers[1])))
    rendered = rendered_for(running, section)
    with pytest.raises(BalancerFailed, match=r"web\.http/slot1 still has connections"):
        running.haproxy.apply(rendered, FENCE)
    seen = running.server("slot1")
    assert (seen.admin, seen.port) == ("maint", old.port)
    old.hold.set()
    keep.hold.set()
    for thread in slow:
        thread.join()
    wait_for("no session", lambda: running.server("slot1").sessions == 0)
    assert running.server("slot1").idle > 0
    assert apply(running, section).how == "runtime"
    await_up(running, "slot1")
    assert {running.get()[1] for _ in range(6)} == {"bbbb", "cccc"}


def test_changes_by_hand_are_found_and_undone(running: Running, app: Callable[[str], App]) -> None:
    section = admit(None, SPEC, [instance(app("aaaa"), 1), instance(app("bbbb"), 2)])
    apply(running, section)
    await_up(running, "slot1", "slot2")
    rendered = rendered_for(running, section)
    for line in (
        "set server web.http/slot1 state maint",
        "set server web.http/slot2 weight 7",
        "set server web.http/slot3 state ready",
        "set server web.http/slot1 addr 127.0.0.9 port 9",
    ):
        running.command(line)
        assert not in_sync(rendered, running.haproxy.observe()), line
        assert apply(running, section).how == "runtime"
    running.config.write_text(rendered.text.replace("timeout connect 1s", "timeout connect 2s"))
    assert running.haproxy.observe().file_id == "edited"
    assert apply(running, section).how == "reload"
    assert running.config.read_text() == rendered.text
    running.config.write_text(rendered.text.rsplit("\n", 3)[0] + "\n")
    assert running.haproxy.observe().file_id == "edited"
    apply(running, section)


def test_a_file_that_haproxy_refuses_changes_nothing(
    running: Running, app: Callable[[str], App]
) -> None:
    section = admit(None, SPEC, [instance(app("aaaa"), 1)])
    apply(running, section)
    await_up(running, "slot1")
    before = running.config.read_text()
    good = rendered_for(running, replace(section, drain_timeout=26.0))
    bad = replace(good, text=good.text.replace("balance roundrobin", "balance sideways"))
    for act in (running.haproxy.prepare, running.haproxy.apply):
        with pytest.raises(BalancerFailed, match=r"cfg\.fleetctl-check:\d+\] : balance only"):
            act(bad, FENCE)
        assert running.config.read_text() == before
        assert sorted(p.name for p in running.folder.glob("*fleetctl-*")) == []
    assert running.get() == (200, "aaaa")


def test_a_port_of_another_process_is_found_before_and_survived_after(
    running: Running, app: Callable[[str], App]
) -> None:
    section = admit(None, SPEC, [instance(app("aaaa"), 1)])
    apply(running, section)
    await_up(running, "slot1")
    before = running.config.read_text()
    with socket.socket() as stranger:
        stranger.bind(("127.0.0.1", free_port()))
        stranger.listen()
        port = stranger.getsockname()[1]
        listen = (*running.balancer.listen, ("127.0.0.1", port))
        rendered = render(replace(running.balancer, listen=listen), [section])
        with pytest.raises(
            BalancerFailed, match=rf"can't listen on 127\.0\.0\.1:{port}: .*process"
        ):
            running.haproxy.prepare(rendered, FENCE)
        with pytest.raises(BalancerFailed, match="could not load the new file"):
            running.haproxy.apply(rendered, FENCE)
    assert running.config.read_text() == before
    wait_for("the old worker serves", lambda: running.serves("aaaa"))
    assert apply(running, replace(section, drain_timeout=27.0)).how == "reload"
    await_up(running, "slot1")
    assert running.get() == (200, "aaaa")


@pytest.mark.parametrize("grown", [False, True])
def test_a_change_cut_off_after_the_file_is_finished_by_the_next(
    running: Running, app: Callable[[str], App], grown: bool
) -> None:
    section = admit(None, SPEC, [instance(app("aaaa"), 1)])
    apply(running, section)
    await_up(running, "slot1")
    more = [instance(app(f"b{n}"), n) for n in range(2, 7 if grown else 3)]
    section = admit(section, SPEC, more)
    running.config.write_text(rendered_for(running, section).text)
    assert running.haproxy.observe().file_id == rendered_for(running, section).config_id
    assert apply(running, section).how == ("reload" if grown else "runtime")
    await_up(running, "slot1", "slot2")


def test_a_reload_cut_off_before_its_servers_came_in_is_finished_by_the_next(
    running: Running, app: Callable[[str], App]
) -> None:
    section = admit(None, SPEC, [instance(app("aaaa"), 1)])
    apply(running, section)
    rendered = rendered_for(running, section)
    running.stop()
    running.config.write_text(with_disabled(rendered, frozenset({("web.http", "slot1")})))
    running.start()
    assert not in_sync(rendered, running.haproxy.observe())
    assert apply(running, section).how == "runtime"
    await_up(running, "slot1")
    assert running.config.read_text() == rendered.text


def test_a_lost_socket_is_told_and_nothing_is_touched(
    running: Running, app: Callable[[str], App]
) -> None:
    section = admit(None, SPEC, [instance(app("aaaa"), 1)])
    apply(running, section)
    await_up(running, "slot1")
    before = running.config.read_text()
    Path(running.paths.socket).unlink()
    seen = running.haproxy.observe()
    assert (seen.state, seen.servers) == ("unknown", ())
    assert "is gone" in seen.error
    with pytest.raises(BalancerFailed, match="restart HAProxy"):
        running.haproxy.apply(rendered_for(running, replace(section, drain_timeout=28.0)), FENCE)
    assert running.config.read_text() == before
    assert running.get() == (200, "aaaa")


def test_sockets_that_may_not_be_used_are_told_and_not_taken_for_a_dead_haproxy(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    def as_nobody(words: list[str], **options: Any) -> subprocess.CompletedProcess[bytes]:
        return real(words, **options, user=65534, group=65534, extra_groups=[])

    real = subprocess.run
    monkeypatch.setattr("balancer_bench.subprocess.run", as_nobody)
    seen = running.haproxy.observe()
    assert seen.state == "unknown"
    assert "may not be used" in seen.error
    with pytest.raises(BalancerFailed, match="Permission denied") as caught:
        running.haproxy.prepare(render(running.balancer, []), FENCE)
    assert "ansible_become" in caught.value.hint


def test_a_foreign_haproxy_without_the_socket_is_taken_over_also_after_a_crash(
    running: Running, app: Callable[[str], App]
) -> None:
    running.stop()
    running.config.write_text(running.foreign.replace("stats socket", "# stats socket"))
    Path(running.paths.socket).unlink()
    running.start(admin=False)
    seen = running.haproxy.observe()
    assert (seen.state, seen.pid, seen.file_id) == ("up", 0, "")
    section = admit(None, SPEC, [instance(app("aaaa"), 1)])
    running.config.write_text(rendered_for(running, section).text)
    assert running.haproxy.observe().up
    assert apply(running, section).how == "reload"
    await_up(running, "slot1")
    assert running.get() == (200, "aaaa")


def test_a_haproxy_that_does_not_run_is_down_and_says_so(running: Running) -> None:
    running.stop()
    seen = running.haproxy.observe()
    assert (seen.state, seen.servers) == ("down", ())
    assert "does not run" in seen.error
    with pytest.raises(BalancerFailed, match="does not run") as caught:
        running.haproxy.prepare(render(running.balancer, []), FENCE)
    assert "systemctl start haproxy" in caught.value.hint


def test_no_request_fails_through_reloads_and_changes(
    running: Running, app: Callable[[str], App]
) -> None:
    apps = [app(f"app{n}") for n in range(4)]
    section = admit(None, SPEC, [instance(a, n) for n, a in enumerate(apps[:2], 1)])
    apply(running, section)
    await_up(running, "slot1", "slot2")
    done: Counter[str] = Counter()

    def act(changed: Section) -> Section:
        done[running.haproxy.apply(rendered_for(running, changed), FENCE).how] += 1
        return changed

    with Load(running.port) as load:
        present, spare, spec = apps[:2], apps[2:], SPEC
        for number in range(10):
            spec = replace(spec, rollout=replace(SPEC.rollout, drain_timeout=30.0 + number))
            section = act(admit(section, spec, []))
            for _ in range(2):
                old, new = present.pop(0), spare.pop(0)
                section = act(admit(section, spec, [instance(new, 1, 2 + done.total())]))
                servers = {s.port: s for s in section.backends[0].servers}
                await_up(running, f"slot{servers[new.port].slot}")
                gone = servers[old.port]
                section = act(drain(section, [gone.instance]))
                left = f"slot{gone.slot}"
                wait_for("drained", lambda left=left: running.server(left).sessions == 0)
                section = act(withdraw(section, [gone.instance]))
                present.append(new)
                spare.append(old)
    assert done == {"reload": 10, "runtime": 60}
    assert in_sync(rendered_for(running, section), running.haproxy.observe())
    assert load.failures == []
    assert load.sent > 500
    assert load.bodies == {a.name for a in apps}


def test_the_load_would_notice(running: Running, app: Callable[[str], App], tmp_path: Path) -> None:
    """Without the option that our template has, a reload cuts idle clients off."""
    built_in = Path(__file__).parents[2] / "templates" / "haproxy" / "defaults.cfg.j2"
    broken = built_in.read_text().replace("option idle-close-on-response", "")
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "defaults.cfg.j2").write_text(broken)
    section = admit(None, SPEC, [instance(app("aaaa"), 1)])
    apply(running, section)
    await_up(running, "slot1")
    with Load(running.port) as load:
        for number in range(100):
            changed = replace(section, drain_timeout=30.0 + number)
            rendered = render(running.balancer, [changed], effective(tmp_path / "templates"))
            running.haproxy.apply(rendered, FENCE)
            if load.failures:
                break
    assert load.failures


def test_one_look_is_one_round_trip(running: Running) -> None:
    before = running.connections.local.count
    running.haproxy.observe()
    assert running.connections.local.count == before + 1


def test_the_worker_runs_without_root(running: Running) -> None:
    apply(running, admit(None, SPEC, []))
    pid = running.haproxy.observe().pid
    status = Path(f"/proc/{pid}/status").read_text()
    assert re.search(r"^Uid:\s+([1-9]\d*)\s", status, re.MULTILINE)
