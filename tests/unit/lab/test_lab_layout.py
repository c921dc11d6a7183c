"""Addresses of the lab, and how it keeps out of the machine's own networks."""

from __future__ import annotations

import json

import pytest

from fleetctl.errors import Refused, Usage
from fleetctl.lab import network
from fleetctl.lab.lab import Lab
from fleetctl.lab.layout import MOST_BALANCERS, MOST_HOSTS, SUBNETS, Layout


def test_every_member_has_an_address_of_its_own() -> None:
    layout = Layout(MOST_HOSTS, MOST_BALANCERS, SUBNETS[0])
    addresses = [host.address for host in layout.members] + [layout.controller, layout.registry]
    assert len(set(addresses)) == MOST_HOSTS + MOST_BALANCERS + 2
    assert all(len(host.name) <= 15 for host in layout.members)  # a link's name


def test_nodes_run_an_engine_and_balancers_run_haproxy() -> None:
    members = Layout(1, 1, SUBNETS[0]).members
    assert [(host.name, host.parts) for host in members] == [
        ("node1", ("engine",)),
        ("lb1", ("haproxy",)),
    ]


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
