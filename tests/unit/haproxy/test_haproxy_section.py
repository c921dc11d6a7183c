"""Edits of a section: slots, sizes, routes that never lead to nobody."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetctl.haproxy.section import admit, drain, withdraw
from fleetctl.model.balancing import Section
from fleetctl.model.instance import Binding, Instance
from fleetctl.model.routing import Route
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
