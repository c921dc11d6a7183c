"""Faults of the record on its host: gone, cut off, older. Nothing changes, and it is said."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from harness import Fleet

pytestmark = pytest.mark.lab

STATE = "/var/lib/fleetctl"
ASKED = (("deploy", "web"), ("reconcile",), ("rollback", "web"), ("status",))


@contextmanager
def untouched(fleet: Fleet) -> Iterator[None]:
    """Neither containers nor the balancer's file are different after the block."""

    def seen() -> tuple[list[str], str]:
        ids = [
            fleet.on(host.name, "docker", "ps", "-aq", "--no-trunc")
            for host in fleet.lab.hosts
            if not host.balancer
        ]
        return ids, fleet.on("lb1", "sha256sum", "/etc/haproxy/haproxy.cfg")

    before = seen()
    yield
    assert seen() == before


def sh(fleet: Fleet, script: str) -> str:
    return fleet.on("lb1", "sh", "-c", script)


def quiet_again(fleet: Fleet, revision: int) -> None:
    """The record is back: nothing has happened meanwhile."""
    assert fleet("reconcile", "--json").finished["result"] == "nothing_to_do"
    service = fleet.status()
    assert (service["revision"], service["state"]) == (revision, "converged")


def test_a_record_that_is_gone_or_cut_off_is_refused(fleet: Fleet) -> None:
    fleet.play(replicas=2)
    fleet("deploy", "web")
    sh(fleet, f"cp -a {STATE} /root/state")
    fleet.play(replicas=2, image="registry:5000/app:2")
    spoilt = (
        (f"rm -r {STATE}/record", "gone", ASKED),
        (f"find {STATE} -mindepth 1 -delete", "empty", ASKED[:2]),
        (f"truncate -s -9 {STATE}/record/service/web.json", "cut off", ASKED[:2]),
    )
    with untouched(fleet), fleet.load(50) as load:
        for spoil, said, commands in spoilt:
            sh(fleet, spoil)
            for command in commands:
                ran = fleet(*command, code=9)
                assert said in ran.err, (spoil, command)
                assert "fleetctl adopt" in ran.err, (spoil, command)
            sh(fleet, f"find {STATE} -mindepth 1 -delete; cp -a /root/state/. {STATE}")
    assert load.report.failed == 0, load.report
    quiet_again(fleet, 1)


def test_an_older_copy_of_the_record_is_refused(fleet: Fleet) -> None:
    """A backup of revision 1 over the record of revision 2: following it would be a rollback
    that nobody asked for."""
    fleet.play(replicas=2)
    fleet("deploy", "web")
    sh(fleet, f"cp -a {STATE}/record /root/older")
    fleet.play(replicas=2, image="registry:5000/app:2")
    fleet("deploy", "web")
    with untouched(fleet), fleet.load(50) as load:
        sh(fleet, f"mv {STATE}/record /root/newer; mv /root/older {STATE}/record")
        for command in ASKED[:2]:
            ran = fleet(*command, code=9)
            assert "older copy" in ran.err, command
            assert "fleetctl adopt" in ran.err, command
        sh(fleet, f"rm -r {STATE}/record; mv /root/newer {STATE}/record")
        quiet_again(fleet, 2)
    assert load.report.failed == 0, load.report
    fleet.play(replicas=2)
    fleet("deploy", "web")
    assert fleet.status()["revision"] == 3
