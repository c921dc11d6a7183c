"""The lab for tests on real parts: one per machine, up once per session, gone afterwards."""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from harness import Fleet

from fleetctl.lab.lab import Lab


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests that make and break labs of their own come before the shared ones are up, those
    on two balancers before those on one."""

    def turn(item: pytest.Item) -> int:
        names = getattr(item, "fixturenames", ())
        own = {"no_lab", "own_lab"} & {*names}
        return 0 if own else 1 if "two_balancers" in names else 2

    items.sort(key=turn)


@pytest.fixture(scope="session")
def _lab_lock() -> Iterator[None]:
    """Two sessions on one machine take turns."""
    with Path(tempfile.gettempdir(), "fleetctl-lab.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def lab_inventory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the lab's inventory."""
    return tmp_path_factory.mktemp("project") / "inventories" / "lab"


@pytest.fixture
def no_lab(_lab_lock: None, lab_inventory: Path) -> Iterator[Lab]:
    """A machine without a lab, before and after the test."""
    lab = Lab(lab_inventory)
    lab.down()
    yield lab
    lab.down()


@pytest.fixture(scope="session")
def lab(_lab_lock: None, lab_inventory: Path) -> Iterator[Lab]:
    """Three hosts (node1 to node3) and a balancer (lb1), fresh for this session.

    A test leaves the hosts as it found them: no container, links up.
    """
    assert os.geteuid() == 0, "lab tests need root; leave them out with -m 'not lab'"
    lab = Lab(lab_inventory)
    lab.down()
    lab.up(hosts=3, balancers=1)
    yield lab
    lab.down()
    assert lab.remains() == []


@pytest.fixture(scope="session")
def two_balancers(_lab_lock: None, lab_inventory: Path) -> Iterator[Lab]:
    """Three hosts and two balancers (lb1, lb2), fresh for this session, as long as no test with
    another lab has begun."""
    lab = Lab(lab_inventory)
    lab.down()
    lab.up(hosts=3, balancers=2)
    yield lab
    lab.down()


@pytest.fixture
def pair(two_balancers: Lab, tmp_path: Path) -> Iterator[Fleet]:
    """A project on the lab of two balancers; hosts are as new before and after the test."""
    project = Fleet(two_balancers, tmp_path / "project")
    project.reset()
    yield project
    project.reset()


@pytest.fixture
def fleet(lab: Lab, tmp_path: Path) -> Iterator[Fleet]:
    """A project on the shared lab, whose hosts are as new before and after the test."""
    project = Fleet(lab, tmp_path / "project")
    project.reset()
    yield project
    project.reset()
