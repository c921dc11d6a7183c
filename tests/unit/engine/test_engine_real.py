"""The real world's adapters: they open and close without a host."""

from __future__ import annotations

from pathlib import Path

from fleetctl.engine.real import open_world
from fleetctl.model.fleet import Balancer, Fleet, Host, Login


def test_a_world_opens_and_closes_without_a_connection(tmp_path: Path) -> None:
    login = Login(address="192.0.2.1")
    hosts = tuple(Host(name, login, "192.0.2.1") for name in ("lb1", "node1"))
    fleet = Fleet("lab", hosts, (Balancer("lb1"),), record_hosts=("lb1",))
    world = open_world(fleet, who="ana", command="test", parallel=2, journal=tmp_path / "j.db")
    world.close()
    world.close()
