"""Edits of a section: slots, sizes, routes that never lead to nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetctl.haproxy.section import admit, drain, expired, hold, release, withdraw
from fleetctl.model.balancing import Section, Server
from fleetctl.model.codec import decode
from fleetctl.model.instance import Binding, Instance
from fleetctl.model.routing import Balancing, Certificate, Internal, Route, Tls
from fleetctl.model.spec import Healthcheck, Port, Rollout, ServiceSpec

SPEC = ServiceSpec(
    name="web",
    image="app:1",
    replicas=2,
    ports=(Port("http", 8080), Port("admin", 9090)),
    healthcheck=Healthcheck("http", "http", "/healthz"),
    rollout=Rollout(max_surge="1", drain_timeout=12.0),
    routes=(Route("http", "shop.example"),),
)


def instance(slot: int, revision: int = 1, port: int = 20000) -> Instance:
    bindings = (Binding("http", 8080, port + slot), Binding("admin", 9090, port + 1000 + slot))
    return Instance("web", slot, revision, "node1", "10.0.0.1", bindings, f"deploy{revision}")


def slots(section: Section, port: str = "http") -> dict[str, int]:
    backend = section.backend(port)
    assert backend is not None
    return {s.instance: s.slot for s in backend.servers}


def test_settings_come_from_the_spec() -> None:
    section = admit(None, SPEC, [])
    assert (section.service, section.drain_timeout) == ("web", 12.0)
    assert section.routes == SPEC.routes
    assert section.healthcheck == SPEC.healthcheck
    assert [(b.port, b.size, b.servers) for b in section.backends] == [("http", 4, ())]


@pytest.mark.parametrize(
    ("replicas", "surge", "size"),
    [
        (1, "0", 4),
        (2, "0", 4),
        (2, "1", 4),
        (3, "25%", 8),
        (6, "25%", 8),
        (6, "50%", 16),
        (14, "2", 16),
        (100, "25%", 128),
        (100, "29%", 256),
    ],
)
def test_size_is_the_next_power_of_two(replicas: int, surge: str, size: int) -> None:
    spec = replace(SPEC, replicas=replicas, rollout=Rollout(max_surge=surge))
    assert admit(None, spec, []).backends[0].size == size


def test_a_freed_slot_is_not_the_next_to_be_used() -> None:
    section = admit(None, SPEC, [instance(1), instance(2)])
    assert slots(section) == {"web-1-1-depl": 1, "web-2-1-depl": 2}
    section = withdraw(section, ["web-1-1-depl"])
    section = admit(section, SPEC, [instance(1, 2)])
    assert slots(section)["web-1-2-depl"] == 3
    section = withdraw(section, ["web-2-1-depl"])
    section = admit(section, SPEC, [instance(2, 2)])
    assert slots(section)["web-2-2-depl"] == 4
    section = admit(section, SPEC, [instance(1, 3)])
    assert slots(section)["web-1-3-depl"] == 1


def test_full_doubles_and_never_shrinks() -> None:
    section = admit(None, SPEC, [instance(n) for n in range(1, 6)])
    assert section.backends[0].size == 8
    assert slots(section)["web-5-1-depl"] == 5
    section = withdraw(section, [s.instance for s in section.backends[0].servers])
    assert admit(section, SPEC, []).backends[0].size == 8


def test_a_known_instance_keeps_its_slot_and_serves_again() -> None:
    section = drain(admit(None, SPEC, [instance(1), instance(2)]), ["web-1-1-depl"])
    assert [s.state for s in section.backends[0].servers] == ["drain", "ready"]
    again = admit(section, SPEC, [instance(1)])
    assert slots(again) == slots(section)
    assert [s.state for s in again.backends[0].servers] == ["ready", "ready"]
    assert admit(again, SPEC, [instance(1)]) == again


def test_each_routed_port_has_its_backend() -> None:
    spec = replace(SPEC, routes=(Route("http", "a.example"), Route("admin", "b.example")))
    section = admit(None, spec, [instance(1)])
    assert [b.port for b in section.backends] == ["admin", "http"]
    assert [b.servers[0].port for b in section.backends] == [21001, 20001]
    only_http = replace(instance(2), bindings=(Binding("http", 8080, 20002),))
    section = admit(section, spec, [only_http])
    assert [len(b.servers) for b in section.backends] == [1, 2]
    assert withdraw(section, ["web-1-1-depl"]).backends[0].servers == ()


def test_a_route_moves_to_another_port_once_somebody_is_there() -> None:
    section = admit(None, SPEC, [instance(1)])
    moved = replace(SPEC, routes=(Route("admin", "shop.example"), Route("admin", "new.example")))
    only_http = replace(section)
    settings = admit(only_http, moved, [])
    assert Route("http", "shop.example") in settings.routes
    assert Route("admin", "new.example") in settings.routes
    assert settings.backend("http") == section.backend("http")
    served = admit(settings, moved, [instance(2, 2)])
    assert set(served.routes) == set(moved.routes)
    gone = admit(withdraw(served, ["web-1-1-depl"]), moved, [])
    assert gone.backend("http") is None


def test_no_routes_no_backends() -> None:
    section = admit(None, SPEC, [instance(1)])
    quiet = replace(SPEC, routes=())
    assert admit(withdraw(section, ["web-1-1-depl"]), quiet, []).backends == ()
    assert admit(None, quiet, [instance(1)]).backends == ()


def checked(path: str) -> ServiceSpec:
    return replace(SPEC, healthcheck=Healthcheck("http", "http", path, interval=2.0))


def test_two_checks_are_a_connection_alone_until_the_last_of_the_old_is_gone() -> None:
    section = admit(None, SPEC, [instance(1), instance(2)])
    section = admit(section, checked("/ready"), [instance(1, 2)])
    assert (section.healthcheck.kind, section.healthcheck.interval) == ("tcp", 2.0)
    for name in ("web-1-1-depl", "web-2-1-depl"):
        assert admit(section, checked("/ready"), []).healthcheck.kind == "tcp"
        section = withdraw(section, [name])
    assert admit(section, checked("/ready"), []).healthcheck == checked("/ready").healthcheck


def test_the_way_back_from_another_check_asks_a_connection_too() -> None:
    section = admit(admit(None, SPEC, [instance(1)]), checked("/ready"), [instance(1, 2)])
    assert admit(section, SPEC, []).healthcheck.kind == "tcp"
    assert admit(withdraw(section, ["web-1-2-depl"]), SPEC, []).healthcheck == SPEC.healthcheck


def test_the_same_question_at_another_interval_applies_at_once() -> None:
    section = admit(None, SPEC, [instance(1)])
    assert admit(section, checked("/healthz"), []).healthcheck == checked("/healthz").healthcheck


def test_a_connection_alone_is_passed_by_servers_of_any_check() -> None:
    section = admit(None, SPEC, [instance(1)])
    plain = replace(SPEC, healthcheck=Healthcheck("tcp", "http"))
    assert admit(section, plain, [instance(1, 2)]).healthcheck == plain.healthcheck


def server(section: Section, slot: int, port: str = "http") -> Server:
    backend = section.backend(port)
    assert backend is not None
    return next(s for s in backend.servers if s.container_slot == slot)


def test_balancing_and_the_name_inside_are_settings_too() -> None:
    spec = replace(
        SPEC,
        routes=(Route("admin", mode="tcp", listen=9443),),
        internal=Internal("http"),
        balancing=Balancing("leastconn", maxconn=9, tunnel_drain=60.0),
    )
    section = admit(None, spec, [instance(1)])
    assert [(b.port, b.mode) for b in section.backends] == [("admin", "tcp"), ("http", "http")]
    assert (section.internal, section.balancing) == (spec.internal, spec.balancing)
    assert (section.drain_timeout, section.drain_limit) == (12.0, 60.0)
    plain = admit(section, SPEC, [])
    assert (plain.internal, plain.balancing, plain.drain_limit) == (None, Balancing(), 12.0)
    assert plain.routes == SPEC.routes


def test_a_service_for_others_alone_has_a_backend() -> None:
    spec = replace(SPEC, routes=(), internal=Internal("http"))
    assert slots(admit(None, spec, [instance(1)])) == {"web-1-1-depl": 1}


def test_the_name_inside_moves_to_another_port_once_somebody_is_there() -> None:
    before = replace(SPEC, routes=(), internal=Internal("http"))
    moved = replace(before, internal=Internal("admin", listen=81))
    section = admit(None, before, [instance(1)])
    waiting = admit(section, moved, [])
    assert waiting.internal == before.internal
    there = admit(waiting, moved, [instance(2, 2)])
    assert there.internal == moved.internal
    assert admit(section, replace(before, internal=None), []).internal is None


def test_a_route_is_known_by_its_listen_and_headers_too() -> None:
    """Only what is served under the very key stays with its port."""
    beta = (("x-beta", "1"),)
    spec = replace(SPEC, routes=(Route("http", "shop.example"),))
    moved = replace(
        SPEC,
        routes=(
            Route("admin", "shop.example"),
            Route("admin", "shop.example", headers=beta),
            Route("admin", "shop.example", listen=8080),
        ),
    )
    section = admit(admit(None, spec, [instance(1)]), moved, [])
    assert {(r.port, r.headers, r.listen) for r in section.routes} == {
        ("http", (), 0),
        ("admin", beta, 0),
        ("admin", (), 8080),
    }


def test_a_route_that_waits_keeps_its_certificate_and_guards() -> None:
    old = Route("http", "shop.example", tls=Tls("old"), allow=("10.0.0.0/8",))
    new = Route("admin", "shop.example", tls=Tls("new"))
    section = admit(
        None, replace(SPEC, routes=(old,)), [instance(1)], [Certificate("old", "1", "A")]
    )
    section = admit(section, replace(SPEC, routes=(new,)), [], [Certificate("new", "2", "B")])
    assert section.routes == (old,)
    assert [c.name for c in section.certificates] == ["new", "old"]


def test_a_renewed_certificate_takes_the_place_of_the_one_of_its_name() -> None:
    shop, api = Certificate("shop", "1", "A"), Certificate("api", "2", "B")
    section = admit(None, SPEC, [], [shop, api])
    assert section.certificates == (api, shop)
    renewed = replace(shop, digest="3", fingerprint="C")
    assert admit(section, SPEC, [], [renewed]).certificates == (api, renewed)
    assert admit(section, SPEC, []).certificates == (api, shop)


def test_servers_are_weighed_by_their_hosts() -> None:
    section = admit(None, SPEC, [instance(1)], weights={"node1": 30})
    assert server(section, 1).weight == 30
    section = admit(section, SPEC, [replace(instance(2), host="node2")], weights={"node1": 30})
    assert [server(section, n).weight for n in (1, 2)] == [30, 100]
    assert server(admit(section, SPEC, [], weights={"node1": 0}), 1).weight == 0
    assert server(admit(section, SPEC, [instance(1)]), 1).weight == 30


def test_what_is_held_stays_held_when_it_is_admitted_and_at_another_port() -> None:
    section = hold(admit(None, SPEC, [instance(1), instance(2)]), ["web-1-1-depl"], "maint", 50.0)
    both = replace(SPEC, routes=(*SPEC.routes, Route("admin", "b.example")))
    section = admit(drain(section, ["web-1-1-depl"]), both, [instance(1), instance(2)])
    for port in ("http", "admin"):
        held = server(section, 1, port)
        assert (held.state, held.held, held.held_until, held.wanted) == (
            "ready",
            "maint",
            50.0,
            "maint",
        )
        assert server(section, 2, port).wanted == "ready"


def test_a_hold_is_over_at_its_time_and_by_a_word() -> None:
    section = admit(None, SPEC, [instance(n) for n in (1, 2, 3)])
    section = hold(section, ["web-1-1-depl"], "drain", 50.0)
    section = hold(section, ["web-2-1-depl"], "maint")
    assert expired(section, 49.9) == ()
    assert expired(section, 50.0) == ("web-1-1-depl",)
    section = release(section, expired(section, 50.0))
    assert [server(section, n).wanted for n in (1, 2, 3)] == ["ready", "maint", "ready"]
    assert expired(section, 1e12) == ()
    assert release(section, ["web-2-1-depl"]) == admit(None, SPEC, [instance(n) for n in (1, 2, 3)])


def test_a_route_waits_for_a_port_where_somebody_gets_requests() -> None:
    moved = replace(SPEC, routes=(Route("admin", "shop.example"),))
    only_http = replace(instance(1), bindings=(Binding("http", 8080, 20001),))
    section = admit(None, SPEC, [only_http])
    both = replace(SPEC, routes=(*SPEC.routes, Route("admin", "b.example")))
    held = hold(admit(section, both, [instance(2)]), ["web-2-1-depl"], "drain")
    assert admit(held, moved, []).routes == SPEC.routes
    assert admit(release(held, ["web-2-1-depl"]), moved, []).routes == moved.routes


def test_a_section_of_an_earlier_version_is_read() -> None:
    """As it was written before there were names inside, certificates, balancing and holds."""
    body = {
        "service": "web",
        "routes": [{"port": "http", "host": "shop.example", "path": "/"}],
        "healthcheck": {"kind": "http", "port": "http", "path": "/healthz", "interval": 1.0},
        "drain_timeout": 12.0,
        "backends": [
            {
                "port": "http",
                "size": 4,
                "servers": [
                    {
                        "slot": 1,
                        "instance": "web-1-1-depl",
                        "container_slot": 1,
                        "revision": 1,
                        "host": "node1",
                        "address": "10.0.0.1",
                        "port": 20001,
                        "state": "ready",
                        "weight": 100,
                        "check": "/healthz",
                    }
                ],
                "last": 1,
            }
        ],
    }
    assert decode(Section, body) == admit(None, SPEC, [instance(1)])


operation = st.tuples(
    st.sampled_from(["admit", "drain", "withdraw"]), st.integers(1, 12), st.integers(1, 4)
)


@given(st.lists(operation, max_size=40))
def test_whatever_is_done_slots_stay_distinct_and_kept(operations: list) -> None:  # type: ignore[type-arg]
    section = admit(None, SPEC, [])
    for what, slot, revision in operations:
        before = slots(section)
        one = instance(slot, revision)
        if what == "admit":
            section = admit(section, SPEC, [one])
            assert one.name in slots(section)
        else:
            section = (drain if what == "drain" else withdraw)(section, [one.name])
            assert (one.name in slots(section)) == (what == "drain" and one.name in before)
        now, size = slots(section), section.backends[0].size
        assert len(set(now.values())) == len(now)
        assert all(1 <= n <= size for n in now.values())
        assert size & (size - 1) == 0
        assert all(now[name] == before[name] for name in now if name in before)
