"""Registries, disks and containers that fail: nothing that serves is touched."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from harness import Fleet, Ran

from fleetctl.lab import image, registry
from fleetctl.lab.bad_registry import FAULTS, bad_registry
from fleetctl.lab.faults import (
    ENGINE_FOLDER,
    fill_disk,
    fill_inodes,
    free_disk,
    small_disk,
    small_engine_disk,
)
from fleetctl.lab.lab import Lab

pytestmark = pytest.mark.lab

STATE_FOLDER = "/var/lib/fleetctl"
RATE = 60
REPLICAS = 3


@pytest.fixture
def served(fleet: Fleet) -> Fleet:
    """Revision 1 on three hosts."""
    fleet.play(replicas=REPLICAS)
    fleet("deploy", "web")
    return fleet


@pytest.fixture
def fresh(served: Fleet) -> str:
    """An image in the registry that no host has a layer of; its tag."""
    tag = f"fresh{os.getpid()}"
    layout = served.lab.layout
    assert layout is not None
    registry.push(layout, "app", image.unique(tag, os.urandom(200_000)))
    served.play(replicas=REPLICAS, image=f"registry:5000/app:{tag}")
    return tag


def nothing_to_do(fleet: Fleet) -> None:
    assert fleet("reconcile", "--json").finished["result"] == "nothing_to_do"
    assert fleet.status()["state"] == "converged"


def told(ran: Ran, *words: str) -> None:
    """The message has these words, and says what to do or what is done."""
    for word in words:
        assert word in ran.err, ran.err
    assert "hint:" in ran.err, ran.err


def test_a_registry_that_fails(served: Fleet, fresh: str) -> None:
    containers = served.containers()
    layout = served.lab.layout
    assert layout is not None
    words = {
        "refused": ("could not be asked", f"app:{fresh}"),
        "404": ("no image", f"app:{fresh}"),
        "500": ("could not be asked", f"app:{fresh}"),
        "cut": ("pulling", "unexpected EOF"),
        "wrong": ("pulling", "verification failed"),
    }
    with served.load(RATE) as load:
        for fault in FAULTS:
            with bad_registry(layout, fault):
                ran = served("deploy", "web", code=1)
            told(ran, "node", *words[fault])
            assert served.containers() == containers
        nothing_to_do(served)
        assert served("deploy", "web", "--json").finished["result"] == "ok"
    assert load.report.failed == 0, load.report
    assert fresh in load.report.revisions


@pytest.mark.soak
def test_the_disk_of_an_engine_is_full(fleet: Fleet, request: pytest.FixtureRequest) -> None:
    with small_engine_disk(fleet.lab, "node1", size="64m"):
        served = request.getfixturevalue("served")
        request.getfixturevalue("fresh")
        containers = served.containers()
        with served.load(RATE) as load:
            fill_disk(served.lab, "node1", ENGINE_FOLDER)
            ran = served("deploy", "web", code=1)
            told(ran, "disk is full", "node1")
            assert served.containers() == containers
            free_disk(served.lab, "node1", ENGINE_FOLDER)
            nothing_to_do(served)
            assert served("deploy", "web", "--json").finished["result"] == "ok"
        assert load.report.failed == 0, load.report
        served.reset()


@pytest.mark.parametrize(
    "fill", [fill_disk, pytest.param(fill_inodes, marks=pytest.mark.soak)], ids=["bytes", "inodes"]
)
def test_the_disk_of_fleetctls_folder_is_full(
    served: Fleet, fill: Callable[[Lab, str, str], None]
) -> None:
    """On a host that gets an instance, and on the record host."""
    containers = served.containers()
    served.play(replicas=REPLICAS, image="registry:5000/app:2")
    with served.load(RATE) as load:
        for host in ("node1", "lb1"):
            with small_disk(served.lab, host, STATE_FOLDER):
                fill(served.lab, host, STATE_FOLDER)
                ran = served("deploy", "web", code=1)
                told(ran, host, "No space left")
                assert served.containers() == containers
                free_disk(served.lab, host, STATE_FOLDER)
                nothing_to_do(served)
        assert served("deploy", "web", "--json").finished["result"] == "ok"
    assert load.report.failed == 0, load.report


def test_the_record_hosts_disk_fills_up_in_a_roll(served: Fleet) -> None:
    served.play(replicas=REPLICAS, image="registry:5000/app:2", surge=1)
    with served.load(RATE) as load:
        with small_disk(served.lab, "lb1", STATE_FOLDER):
            ran = served.during(
                "deploy",
                "web",
                at="health",
                act=lambda: fill_disk(served.lab, "lb1", STATE_FOLDER),
            )
            assert ran.code in (6, 7), (ran.out, ran.err)
            words = [e for e in ran.events if e["type"] == "failed"]
            assert "No space left" in words[0]["message"], words
            assert "lb1" in words[0]["message"], words
            free_disk(served.lab, "lb1", STATE_FOLDER)
        assert served("reconcile", "--json", "--wait", "30").finished["exit_code"] == 0
        nothing_to_do(served)
    assert load.report.failed == 0, load.report


def test_containers_that_fail(served: Fleet) -> None:
    containers = served.containers()
    wrong: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
        "exits at once": ({"image": "registry:5000/app:exits"}, ("exited, exit code 1",)),
        "exits in the window": (
            {"env": {"EXIT_AFTER": "2"}, "min_ready": "6s"},
            ("exited, exit code 1",),
        ),
        "hangs": ({"env": {"HANG": "1"}, "deadline": "2s"}, ("no answer", "healthy_deadline")),
    }
    with served.load(RATE) as load:
        for settings, words in wrong.values():
            served.play(replicas=REPLICAS, surge=1, **settings)
            ran = served("deploy", "web", code=5)
            told(ran, "web-", "on node", "of its log", *words)
            assert served.containers() == containers
        nothing_to_do(served)
    assert load.report.failed == 0, load.report
