"""Addresses and inventory of the lab, and how it keeps out of the machine's own networks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fleetctl.config.inventory import load_inventory
from fleetctl.errors import Refused, Usage
from fleetctl.lab import inventory, network
from fleetctl.lab.lab import Lab
from fleetctl.lab.layout import MOST_BALANCERS, MOST_HOSTS, SUBNETS, Layout


def test_every_member_has_an_address_of_its_own() -> None:
    layout = Layout(MOST_HOSTS, MOST_BALANCERS, SUBNETS[0])
    addresses = [layout.controller, layout.registry]
    addresses += [address for host in layout.members for address in host.addresses]
    assert len(set(addresses)) == len(addresses) == MOST_HOSTS + 2 * MOST_BALANCERS + 2
    assert all(len(host.name) <= 15 for host in layout.members)  # a link's name


def test_nodes_run_an_engine_and_balancers_run_haproxy() -> None:
    members = Layout(1, 1, SUBNETS[0]).members
    assert [(host.name, host.parts) for host in members] == [
        ("node1", ("engine",)),
        ("lb1", ("haproxy",)),
    ]


def test_with_local_balancers_hosts_run_both_at_their_own_address() -> None:
    node, balancer = Layout(1, 1, SUBNETS[0], local_balancers=True).members
    assert node.parts == ("engine", "haproxy")
    assert node.addresses == (node.internal,)
    assert balancer == Layout(1, 1, SUBNETS[0]).members[1]


@pytest.mark.parametrize("local", [False, True])
def test_the_written_inventory_is_the_fleet_that_was_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, local: bool
) -> None:
    keys = tmp_path / "keys"
    keys.mkdir()
    for name in ("key", "key.pub"):
        (keys / name).write_text("a key\n")
    monkeypatch.setattr(inventory, "KEY", keys / "key")
    monkeypatch.setattr(inventory, "_WRITTEN", tmp_path / "written")
    monkeypatch.setattr(inventory, "_known", lambda member: f"{member.name} key\n")
    layout = Layout(2, 2, SUBNETS[0], local)
    inventory.write(tmp_path / "lab", layout)

    fleet = load_inventory(tmp_path / "lab").fleet()

    by_name = {member.name: member for member in layout.members}
    assert {host.name: host.address for host in fleet.hosts} == {
        name: member.address for name, member in by_name.items()
    }
    public = [b for b in fleet.balancers if b.listen]
    assert [b.name for b in public] == ["lb1", "lb2"]
    for balancer in public:
        member = by_name[balancer.name]
        assert balancer.listen == ((member.address, 80),)
        assert balancer.listen_tls == ((member.address, 443),)
    assert {b.name: b.internal for b in fleet.balancers} == {
        name: member.internal for name, member in by_name.items() if member.internal
    }
    assert fleet.record_hosts == ("lb1", "lb2")
    assert fleet.internal == ("every_host" if local else "balancers")


def routes(monkeypatch: pytest.MonkeyPatch, *destinations: str) -> None:
    shown = json.dumps([{"dst": destination} for destination in destinations])
    monkeypatch.setattr(network, "call", lambda argv: shown)


def test_a_subnet_in_use_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    routes(monkeypatch, "default", "10.0.0.0/8", f"{SUBNETS[0]}.128/25", f"{SUBNETS[1]}.7")
    assert network.free_subnet() == SUBNETS[2]


def test_no_free_subnet_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    routes(monkeypatch, "198.18.0.0/15")
    with pytest.raises(Refused, match="routed already"):
        network.free_subnet()


@pytest.mark.parametrize("size", [(0, 1), (MOST_HOSTS + 1, 0), (1, -1), (1, MOST_BALANCERS + 1)])
def test_impossible_sizes_are_refused_before_anything_happens(size: tuple[int, int]) -> None:
    with pytest.raises(Usage, match="is not possible"):
        Lab().up(*size)
