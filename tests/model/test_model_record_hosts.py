"""The engine on a record that lies on two hosts: one that lost it, or has an older one, is
brought level by the next run that takes the service's lock."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest
from scenarios import FIRST, SECOND, reconciling
from simulated import SimFleet, SimWorld

from fleetctl.model.events import Event, Note
from fleetctl.state.record import HostRecord

sys.path.insert(0, str(Path(__file__).parents[1] / "unit" / "state"))
from state_hosts import ROOT, FolderHosts

KEYS = ("fleet", "service/web", "section/web")


def controller(fleet: SimFleet, hosts: FolderHosts) -> SimWorld:
    world = fleet.controller()
    world.record = HostRecord(hosts, ["lb1", "lb2"], root=ROOT)  # type: ignore[assignment, arg-type]
    return world


@pytest.mark.parametrize(
    ("late", "loss"), [("lb1", "older"), ("lb2", "older"), ("lb1", "gone"), ("lb2", "cut")]
)
def test_a_record_host_that_is_behind_is_levelled(tmp_path: Path, late: str, loss: str) -> None:
    fleet, hosts = SimFleet(balancers=2), FolderHosts(tmp_path, "lb1", "lb2")
    assert FIRST(controller(fleet, hosts)).exit_code == 0
    record = hosts[late].folder / "record"
    if loss == "older":
        shutil.copytree(record, tmp_path / "older")
    assert SECOND(controller(fleet, hosts)).exit_code == 0
    before = {key: hosts["lb1"].file(key).read_bytes() for key in KEYS}
    if loss == "cut":
        for key in KEYS:
            hosts[late].file(key).write_bytes(before[key][:-30])
    else:
        shutil.rmtree(record)
    if loss == "older":
        shutil.copytree(tmp_path / "older", record)

    world = controller(fleet, hosts)
    told: list[Event] = []
    world.emit = told.append
    assert reconciling(world).result == "nothing_to_do"
    assert world.effects.log == []
    notes = [event.text for event in told if isinstance(event, Note)]
    assert any(late in text and "level again" in text for text in notes), notes
    assert {key: hosts[late].file(key).read_bytes() for key in KEYS} == before
