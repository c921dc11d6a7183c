"""The difference between a worker and its sections, against a small model of a worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetctl.haproxy.render import render
from fleetctl.haproxy.rendered import Rendered
from fleetctl.haproxy.runtime import (
    Change,
    difference,
    leaving,
    routes,
    stale_certificates,
    untried,
)
from fleetctl.haproxy.sync import MOST, differences, in_sync
from fleetctl.model.balancing import Backend, Section, Server
from fleetctl.model.fleet import Balancer
from fleetctl.model.observed import ObservedBalancer, ObservedServer
from fleetctl.model.routing import Balancing, Certificate

SIZE = 4


def section(*servers: Server) -> Section:
    return Section("web", backends=(Backend("http", SIZE, tuple(servers)),))


def wanted(
    slot: int, port: int = 20000, state: str = "ready", weight: int = 100, held: str = ""
) -> Server:
    name = f"web-{slot}-{port}"
    server = Server(slot, name, slot, 1, "node1", "10.0.0.1", port, state, weight)  # type: ignore[arg-type]
    return replace(server, held=held)  # type: ignore[arg-type]


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
        (wanted(1, held="maint"), seen(1), ["slot1 state maint"]),
        (wanted(1, held="maint"), seen(1, admin="drain"), ["slot1 state maint"]),
        (wanted(1, held="maint"), seen(1, admin="maint", weight=1), []),
        (wanted(1, held="drain"), seen(1), ["slot1 state drain"]),
        (wanted(1, held="drain"), seen(1, admin="drain", weight=0), []),
        (wanted(1, state="drain", held="maint"), seen(1, admin="drain"), ["slot1 state maint"]),
        (wanted(1, held="maint"), free(1), ["slot1 addr 10.0.0.1 port 20000"]),
        (wanted(1), seen(1, maxconn=5), ["set maxconn server web.http/slot1 0"]),
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
        if words[1] == "maxconn":
            name = words[3].split("/")[1]
            self.servers[name] = replace(self.servers[name], maxconn=int(words[4]))
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
            held = draw(st.sampled_from(["", "drain", "maint"]))
            servers.append(wanted(slot, draw(port), state, draw(st.sampled_from([5, 100])), held))
        have.append(
            seen(
                slot,
                draw(port),
                draw(st.sampled_from(["ready", "drain", "maint"])),
                sessions=draw(st.integers(0, 1)),
                idle=draw(st.integers(0, 1)),
                weight=draw(st.sampled_from([0, 100])),
                maxconn=draw(st.sampled_from([0, 9])),
            )
        )
    limit = draw(st.sampled_from([0, 7]))
    return replace(section(*servers), balancing=Balancing(maxconn=limit)), have


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
        assert (now.port, now.admin) == (server.port, server.wanted)
        assert now.maxconn == goal.balancing.maxconn
        admin, port = places[now.name]
        if server.wanted == "ready" and (admin == "maint" or port != server.port):
            assert not now.up, "it waits for its check"


Map = st.lists(
    st.tuples(st.sampled_from(["a/", "a/b/", "*/", "8080|a/"]), st.sampled_from(["x", "y", "x|g"]))
)


@given(st.dictionaries(st.sampled_from(["a/", "a/b/", "*/"]), st.sampled_from(["x", "y"])), Map)
def test_a_map_gets_there_at_once_and_no_key_that_stays_is_ever_gone(
    goal: dict[str, str], have: list[tuple[str, str]]
) -> None:
    entries = list(have)
    stay = goal.keys() & {key for key, _ in have}
    for verb, key, value in routes(sorted(goal.items()), have):
        if verb == "add":
            entries.append((key, value))
        elif verb == "set":
            entries = [(k, value if k == key else v) for k, v in entries]
        else:
            entries = [(k, v) for k, v in entries if k != key]
        assert stay <= {k for k, _ in entries}
    assert set(entries) == set(goal.items())
    assert list(routes(sorted(goal.items()), entries)) == []


def test_certificates_that_are_not_loaded_are_no_matter_of_the_socket() -> None:
    certificates = (
        ("certs/a.pem", Certificate("a", "0" * 64, "AA")),
        ("certs/b.pem", Certificate("b", "1" * 64, "BB")),
        ("certs/c.pem", Certificate("c", "2" * 64, "CC")),
    )
    rendered = replace(Rendered("", "", "", ()), certificates=certificates)
    seen = ObservedBalancer("lb1", certificates=(("certs/a.pem", "AA"), ("certs/b.pem", "99")))
    assert [(p, c.name, was) for p, c, was in stale_certificates(rendered, seen)] == [
        ("certs/b.pem", "b", "99")
    ]
    assert difference(rendered, seen).certificates == (("certs/b.pem", "1" * 64),)


def test_of_many_differences_the_first_are_told_and_the_others_counted() -> None:
    backend = Backend("http", 512, tuple(wanted(n) for n in range(1, 513)))
    rendered = Rendered("", "", "", (Section("web", backends=(backend,)),))
    servers = tuple(seen(n, weight=1) for n in range(1, 513))
    told = differences(rendered, ObservedBalancer("lb1", servers=servers))
    assert len(told) == MOST + 1
    assert told[0].what == (
        "web.http/slot1: wanted 10.0.0.1:20000 ready weight 100 (web-1-20000), "
        "is 10.0.0.1:20000 ready weight 1"
    )
    assert told[-1].what == f"and {512 - MOST} more differences"
