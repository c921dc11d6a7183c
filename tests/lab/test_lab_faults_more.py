"""Hands on single containers, and a line that loses packets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from harness import Fleet

pytestmark = pytest.mark.lab

REPLICAS = 3


def test_containers_that_somebody_stopped_paused_and_renamed(fleet: Fleet) -> None:
    """One reconcile: every slot is whole, and the renamed container is still its slot's."""
    fleet.play(replicas=REPLICAS, surge=1, min_ready="0s")
    fleet("deploy", "web")
    before = fleet.instances()
    for slot, verb in ((2, "stop"), (3, "pause")):
        fleet.on(before[slot]["host"], "docker", verb, before[slot]["name"])
    fleet.on(before[1]["host"], "docker", "rename", before[1]["name"], "mine")
    fleet("reconcile")
    after = fleet.instances()
    assert after[1]["container"] == before[1]["container"]
    assert {i["state"] for i in after.values()} == {"running"}, after
    assert fleet("reconcile", "--json").finished["result"] == "nothing_to_do"
    status = fleet.status()
    assert (status["state"], status["ready"]) == ("converged", REPLICAS), status
    assert len(fleet.containers()) == REPLICAS, fleet.containers()


@contextmanager
def lossy_ssh(fleet: Fleet, share: float) -> Iterator[None]:
    """This share of the packets of every SSH connection is lost, both ways."""
    rules = (
        f"INPUT -p tcp --dport 22 -m statistic --mode random --probability {share} -j DROP",
        f"OUTPUT -p tcp --sport 22 -m statistic --mode random --probability {share} -j DROP",
    )
    hosts = [host.name for host in fleet.lab.hosts]
    try:
        for host in hosts:
            fleet.on(host, "sh", "-c", " && ".join(f"iptables -w -I {rule}" for rule in rules))
        yield
    finally:
        for host in hosts:
            script = "; ".join(f"iptables -w -D {rule} 2>/dev/null" for rule in rules)
            fleet.on(host, "sh", "-c", f"{script}; true")


@pytest.mark.soak
def test_a_line_that_loses_one_packet_in_ten(fleet: Fleet) -> None:
    fleet.play(replicas=2, min_ready="0s", deadline="60s")
    fleet("deploy", "web")
    fleet.play(replicas=2, min_ready="0s", deadline="60s", image="registry:5000/app:2")
    with fleet.load(60) as load:
        with lossy_ssh(fleet, 0.1):
            done = fleet("deploy", "web", "--json")
        assert done.finished["result"] == "ok", done.out
        assert fleet("reconcile", "--json").finished["result"] == "nothing_to_do"
    assert load.report.failed == 0, load.report
    assert fleet.status()["revision"] == 2
