"""The difference between a worker and its sections, against a small model of a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetctl.haproxy.render import render
from fleetctl.haproxy.rendered import Rendered
from fleetctl.haproxy.runtime import Change, difference, leaving, untried
from fleetctl.haproxy.sync import in_sync
from fleetctl.model.balancing import Backend, Section, Server
from fleetctl.model.fleet import Balancer
from fleetctl.model.observed import ObservedBalancer, ObservedServer

SIZE = 4


def section(*servers: Server) -> Section:
    return Section("web", backends=(Backend("http", SIZE, tuple(servers)),))


def wanted(slot: int, port: int = 20000, state: str = "ready", weight: int = 100) -> Server:
    name = f"web-{slot}-{port}"
    return Server(slot, name, slot, 1, "node1", "10.0.0.1", port, state, weight)  # type: ignore[arg-type]


def seen(slot: int, port: int = 20000, admin: str = "ready", **more: object) -> ObservedServer:
    base = ObservedServer(
        "web.http",
        f"slot{slot}",
        slot,
        "10.0.0.1",
        port,
        admin != "maint",
        admin,
        "UP",
        100,  # type: ignore[arg-type]
    )
    return replace(base, **more)  # type: ignore[arg-type]


def free(slot: int) -> ObservedServer:
    return seen(slot, 1, "maint", address="127.0.0.1", weight=1)


def texts(sections: Section, *servers: ObservedServer) -> list[str]:
    return [c.text.removeprefix("set server web.http/") for c in commands_of(sections, servers)]


def commands_of(sections: Section, servers: tuple[ObservedServer, ...]):  # type: ignore[no-untyped-def]
    return change([sections], servers).commands


def change(sections: Sequence[Section], servers: Sequence[ObservedServer]) -> Change:
    rendered = Rendered("", "", "", tuple(sections))
    return difference(rendered, ObservedBalancer("lb1", servers=tuple(servers)))


def test_in_line_is_nothing() -> None:
    assert not change([section(wanted(1))], [seen(1), free(2), free(3), free(4)])


def test_coming_in_at_a_free_slot() -> None:
    assert texts(section(wanted(1)), free(1)) == [
        "slot1 addr 10.0.0.1 port 20000",
        "slot1 weight 100",
        "enable health web.http/slot1",
        "slot1 state drain",
        "slot1 health down",
        "slot1 state ready",
    ]


@pytest.mark.parametrize(
    ("want", "have", "sent"),
    [
        (None, seen(1), ["slot1 state maint"]),
        (None, seen(1, admin="drain"), ["slot1 state maint"]),
        (wanted(1, state="drain"), seen(1), ["slot1 state drain"]),
        (wanted(1, state="drain"), seen(1, admin="drain", weight=0), []),
        (wanted(1), seen(1, admin="drain"), ["slot1 state ready"]),
        (wanted(1), seen(1, admin="drain", weight=0), ["slot1 weight 100", "slot1 state ready"]),
        (wanted(1, weight=5), seen(1), ["slot1 weight 5"]),
        (
            wanted(1),
            seen(1, admin="maint"),
            [
                "enable health web.http/slot1",
                "slot1 state drain",
                "slot1 health down",
                "slot1 state ready",
            ],
        ),
        (
            wanted(1, state="drain"),
            seen(1, admin="maint"),
            ["enable health web.http/slot1", "slot1 state drain", "slot1 health down"],
        ),
    ],
)
def test_each_step(want: Server | None, have: ObservedServer, sent: list[str]) -> None:
    assert texts(section(*([want] if want else [])), have) == sent


@pytest.mark.parametrize("busy", ["sessions", "queue", "idle"])
def test_a_slot_is_given_on_only_when_quiet(busy: str) -> None:
    goal = section(wanted(1, 20001))
    found = change([goal], [seen(1)])
    assert [c.text for c in found.commands] == ["set server web.http/slot1 state maint"]
    assert found.busy == ("web.http/slot1",)
    found = change([goal], [seen(1, admin="maint", **{busy: 1})])
    sent = [c.text.removeprefix("set server web.http/slot1 ") for c in found.commands]
    assert sent == (["state drain", "state maint"] if busy == "idle" else [])
    assert found.busy == ("web.http/slot1",)
    found = change([goal], [seen(1, admin="maint")])
    assert found.commands[0].text.endswith("port 20001")
    assert found.busy == ()


def test_before_a_reload_drains_what_the_next_worker_will_not_use() -> None:
    goal = section(wanted(1), wanted(2, state="drain"), wanted(3, 20009))
    other = seen(1, backend="gone.http")
    have = [seen(1), seen(2), seen(3), seen(4), other]
    drained = [c.text.split()[2] for c in leaving([goal], have)]
    assert drained == ["web.http/slot2", "web.http/slot3", "web.http/slot4"]


def test_untried_is_all_that_is_not_up_where_it_is_wanted() -> None:
    goal = section(wanted(1), wanted(2), wanted(3, 20009), wanted(4, state="drain"))
    have = [seen(1), seen(2, up=False), seen(3), seen(4, up=False)]
    assert untried([goal], have) == {("web.http", "slot2"), ("web.http", "slot3")}
    assert untried([goal], []) == {("web.http", f"slot{n}") for n in (1, 2, 3)}


def test_in_sync_needs_file_worker_and_servers() -> None:
    rendered = render(Balancer("lb1"), [section(wanted(1))])
    good = ObservedBalancer(
        "lb1",
        config_id="0" * 16,
        skeleton=rendered.skeleton,
        file_id=rendered.config_id,
        files_id=rendered.files_id,
        routes=rendered.routes,
        servers=(seen(1), free(2), free(3), free(4)),
    )
    assert in_sync(rendered, good)
    assert not in_sync(rendered, replace(good, state="unknown"))
    assert not in_sync(rendered, replace(good, file_id="edited"))
    assert not in_sync(rendered, replace(good, skeleton="0" * 16))
    assert not in_sync(rendered, replace(good, servers=(seen(1, admin="maint"), *good.servers[1:])))


class Worker:
    """What HAProxy does with the commands, and what must never be asked of it."""

    def __init__(self, servers: list[ObservedServer]) -> None:
        self.servers = {s.name: s for s in servers}

    def take(self, text: str) -> None:
        words = text.split()
        if words[0] == "enable":
            return
        name = words[2].split("/")[1]
        server = self.servers[name]
        match words[3:]:
            case ["addr", address, "port", port]:
                assert server.admin == "maint", "an address changes in maintenance alone"
                assert (server.sessions, server.queue, server.idle) == (0, 0, 0)
                server = replace(server, address=address, port=int(port), up=False)
            case ["weight", weight]:
                server = replace(server, weight=int(weight))
            case ["health", "down"]:
                server = replace(server, up=False)
            case ["state", "ready" | "drain" | "maint" as admin]:
                was_out = server.admin == "maint" and admin != "maint"
                idle = 0 if admin == "maint" != server.admin else server.idle
                server = replace(server, admin=admin, up=server.up or was_out, idle=idle)
        self.servers[name] = server

    def quieten(self) -> None:
        for name, server in self.servers.items():
            if server.admin != "ready":
                idle = server.idle + server.sessions
                self.servers[name] = replace(server, sessions=0, queue=0, idle=idle)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[Section, list[ObservedServer]]:
    servers, have = [], []
    for slot in range(1, SIZE + 1):
        port = st.sampled_from([20000 + slot, 30000 + slot])
        if draw(st.booleans()):
            state = draw(st.sampled_from(["ready", "drain"]))
            servers.append(wanted(slot, draw(port), state, draw(st.sampled_from([5, 100]))))
        have.append(
            seen(
                slot,
                draw(port),
                draw(st.sampled_from(["ready", "drain", "maint"])),
                sessions=draw(st.integers(0, 1)),
                idle=draw(st.integers(0, 1)),
                weight=draw(st.sampled_from([0, 100])),
            )
        )
    return section(*servers), have


@given(worlds())
def test_it_always_gets_there_and_no_server_serves_unchecked(
    world: tuple[Section, list[ObservedServer]],
) -> None:
    goal, have = world
    worker = Worker(have)
    places = {s.name: (s.admin, s.port) for s in have}
    for _ in range(5):
        for command in change([goal], list(worker.servers.values())).commands:
            worker.take(command.text)
        worker.quieten()
    assert not change([goal], list(worker.servers.values()))
    for server in goal.backends[0].servers:
        now = worker.servers[f"slot{server.slot}"]
        assert (now.port, now.admin) == (server.port, server.state)
        admin, port = places[now.name]
        if server.state == "ready" and (admin == "maint" or port != server.port):
            assert not now.up, "it waits for its check"
