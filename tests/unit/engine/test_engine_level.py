"""What is out of line with the record: balancers that are behind, a record that is older."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from fleetctl.engine.balancing import behind
from fleetctl.engine.guard import guard
from fleetctl.engine.view import View
from fleetctl.errors import RecordLost
from fleetctl.haproxy.render import render
from fleetctl.haproxy.section import admit
from fleetctl.model.balancing import Section
from fleetctl.model.fleet import Balancer
from fleetctl.model.instance import Binding, Container, Instance
from fleetctl.model.observed import ObservedBalancer, ObservedHost, ObservedServer
from fleetctl.model.record import Document, OpenDeploy, Revision, ServiceRecord, service_key
from fleetctl.model.routing import Route
from fleetctl.model.spec import Healthcheck, Port, ServiceSpec
from fleetctl.planner.inputs import Situation

SPEC = ServiceSpec(
    name="web",
    image="app:1",
    ports=(Port("http", 8080),),
    healthcheck=Healthcheck("http", "http", "/healthz"),
    routes=(Route("http"),),
)
ONE = Instance("web", 1, 1, "node1", "10.0.0.1", (Binding("http", 8080, 20001),), "deploy1")
BALANCER = Balancer("lb1")


def as_recorded(section: Section) -> ObservedBalancer:
    rendered = render(BALANCER, [section])
    server = ObservedServer(
        "web.http", "slot1", 1, "10.0.0.1", 20001, True, "ready", "UP", weight=100, checked=True
    )
    return ObservedBalancer(
        "lb1",
        file_id=rendered.config_id,
        skeleton=rendered.skeleton,
        servers=(server,),
        files_id=rendered.files_id,
        routes=rendered.routes,
    )


def session(section: Section, others: ServiceRecord | None = None) -> Any:
    services = {"web": ServiceRecord("web", current=1)}
    if others is not None:
        services[others.name] = others
    document = Document(service_key("web"), 4, {})
    view = View("lineage", services, {"web": section}, {service_key("web"): document})
    fleet = SimpleNamespace(templates=(), balancers=(BALANCER,))
    record = services["web"]
    return SimpleNamespace(
        templates=(),
        view=view,
        fleet=fleet,
        service="web",
        record=record,
        lineage="lineage",
        note=print,
    )


def lagging(
    section: Section, seen: ObservedBalancer, others: ServiceRecord | None = None
) -> tuple[str, ...]:
    return tuple(name for name, _ in behind(session(section, others), [seen]))


def test_a_balancer_as_recorded_is_not_behind_and_any_difference_is() -> None:
    section = admit(None, SPEC, [ONE])
    seen = as_recorded(section)
    (server,) = seen.servers
    assert lagging(section, seen) == ()
    for other in (
        replace(seen, file_id="edited"),
        replace(seen, file_id="", skeleton=""),
        replace(seen, skeleton="0" * 16),
        replace(seen, servers=(replace(server, weight=7),)),
        replace(seen, servers=(replace(server, admin="maint"),)),
        replace(seen, servers=(replace(server, port=20002),)),
    ):
        assert lagging(section, other) == ("lb1",)
    assert lagging(section, replace(seen, state="down", file_id="edited")) == ()


def test_nothing_is_said_while_another_service_may_be_changing_it() -> None:
    section = admit(None, SPEC, [ONE])
    odd = replace(as_recorded(section), file_id="edited")
    opened = OpenDeploy("d", 1, 0, 0.0, "me", "holder")
    assert lagging(section, odd, ServiceRecord("api", open=opened)) == ()
    paused = ServiceRecord("api", open=replace(opened, paused=True))
    assert lagging(section, odd, paused) == ("lb1",)


@pytest.mark.parametrize(("generation", "older"), [(3, False), (4, False), (5, True)])
def test_a_record_older_than_a_container_is_refused(generation: int, older: bool) -> None:
    container = Container(
        id="c1",
        name="web-1-1-depl",
        host="node1",
        address="10.0.0.1",
        service="web",
        slot=1,
        revision=1,
        generation=generation,
        deploy="deploy1",
        spec="hash",
        state="running",
    )
    given = Situation(
        service="web",
        target=Revision(1, SPEC),
        current=1,
        open=False,
        deploy="d",
        hosts=(),
        candidates=("node1",),
        observed=(ObservedHost("node1", lineage="lineage", containers=(container,)),),
    )
    if older:
        with pytest.raises(RecordLost, match="older copy, of generation 4"):
            guard(session(Section("web")), given)
    else:
        guard(session(Section("web")), given)
