"""Names inside the fleet: what a container knows, and where a name leads."""

from __future__ import annotations

from dataclasses import replace

import pytest
from scenarios import NODES, options, web
from simulated import SimFleet

from fleetctl.engine.deploy import deploy
from fleetctl.engine.observe import instance_hosts
from fleetctl.engine.view import view_of
from fleetctl.model.fleet import Balancer, Fleet
from fleetctl.model.instance import Container
from fleetctl.model.material import Material
from fleetctl.model.names import named_services, names_inside
from fleetctl.model.record import OpenDeploy, Revision, ServiceRecord
from fleetctl.model.routing import Internal, Pairs
from fleetctl.model.spec import ServiceSpec

NAMED = Internal("http")


def inside(fleet: Fleet, *addresses: str, mode: str = "balancers") -> Fleet:
    """``fleet`` with its balancers at these internal addresses."""
    pairs = zip(fleet.balancers, addresses, strict=True)
    balancers = tuple(replace(balancer, internal=address) for balancer, address in pairs)
    return replace(fleet, balancers=balancers, internal=mode)  # type: ignore[arg-type]


def known(fleet: SimFleet, service: str) -> dict[str, Pairs]:
    """What the containers of a service know, by host."""
    found = fleet.containers(service)
    return {c.host: fleet.hosts[c.host].names[c.name] for c in found}


def record(name: str, *specs: ServiceSpec, current: int = 0, target: int = 0) -> ServiceRecord:
    revisions = tuple(Revision(number, spec) for number, spec in enumerate(specs, 1))
    deploy = OpenDeploy("d", target, current, 0.0, "me", "h") if target else None
    return ServiceRecord(name, current, revisions=revisions, open=deploy)


def test_a_name_leads_to_all_balancers_each_host_beginning_with_another() -> None:
    fleet = inside(SimFleet(3, 2).inventory(), "10.9.0.1", "10.9.0.2")
    assert names_inside(fleet, "node1", ["api", "db"]) == (
        ("api.internal", "10.9.0.1"),
        ("api.internal", "10.9.0.2"),
        ("db.internal", "10.9.0.1"),
        ("db.internal", "10.9.0.2"),
    )
    assert names_inside(fleet, "node2", ["api"]) == (
        ("api.internal", "10.9.0.2"),
        ("api.internal", "10.9.0.1"),
    )


def test_a_balancer_without_an_internal_address_has_no_names() -> None:
    fleet = SimFleet(3, 2).inventory()
    assert names_inside(inside(fleet, "", ""), "node1", ["api"]) == ()
    one = inside(fleet, "", "10.9.0.2")
    assert {names_inside(one, host, ["api"]) for host in NODES} == {(("api.internal", "10.9.0.2"),)}


def test_with_a_balancer_on_every_host_a_name_leads_to_the_containers_own() -> None:
    fleet = inside(SimFleet(2, 1).inventory(), "10.9.0.1")
    own = [replace(fleet.balancers[0], name=f"node{n}", internal=f"10.0.0.{n}") for n in (1, 2)]
    every = replace(fleet, balancers=(*fleet.balancers, *own), internal="every_host")
    assert names_inside(every, "node2", ["api"]) == (("api.internal", "10.0.0.2"),)
    assert names_inside(every, "node1", ["api"]) == (("api.internal", "10.0.0.1"),)


@pytest.mark.parametrize(
    ("made", "names"),
    [
        (record("web", web()), ()),
        (record("web", replace(web(), internal=NAMED), current=1), ("web",)),
        (record("web", web(), replace(web(), internal=NAMED), current=1, target=2), ("web",)),
        (record("web", replace(web(), internal=NAMED), web(), current=1, target=2), ("web",)),
        (record("web", replace(web(), internal=NAMED), web(), current=2), ()),
    ],
)
def test_a_service_has_a_name_by_what_it_is_or_is_becoming(
    made: ServiceRecord, names: tuple[str, ...]
) -> None:
    assert named_services([made], ()) == names
    assert named_services([made], ["cache"]) == ("cache", *names)


def test_containers_know_what_is_deployed_declared_and_themselves() -> None:
    fleet = SimFleet(3, 2)
    inventory = inside(fleet.inventory(), "10.9.0.1", "10.9.0.2")

    def run(spec: ServiceSpec, *names: str) -> None:
        world = fleet.controller()
        material = Material(names=names)
        wanted = (world, inventory, spec, NODES, options("deploy"), world.emit, material)
        assert deploy(*wanted).exit_code == 0

    run(replace(web(name="api", replicas=3), internal=NAMED), "db")
    assert {n for pairs in known(fleet, "api").values() for n, _ in pairs} == {
        "api.internal",
        "db.internal",
    }
    before = [c.id for c in fleet.containers("api")]
    run(web(replicas=3))
    for host, pairs in known(fleet, "web").items():
        assert pairs == names_inside(inventory, host, ["api"])
        assert len(pairs) == 2
    run(replace(web(name="api", replicas=3), internal=NAMED), "db", "web")
    after: list[Container] = fleet.containers("api")
    assert [c.id for c in after] == before, "a new name replaces no container"


def test_a_host_with_a_haproxy_of_its_own_is_one_that_may_have_instances() -> None:
    fleet = SimFleet().inventory()
    local = tuple(Balancer(name, listen=(), internal="10.9.0.1") for name in NODES)
    fleet = replace(fleet, balancers=(*fleet.balancers, *local), internal="every_host")

    assert instance_hosts(fleet, view_of({})) == tuple(NODES)
