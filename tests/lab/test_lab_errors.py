"""Each thing that can be wrong: its exit code, one clear message, the old revision serving."""

from __future__ import annotations

import shutil

import pytest
from harness import Fleet

pytestmark = pytest.mark.lab


@pytest.fixture
def served(fleet: Fleet) -> Fleet:
    """Revision 1 on two hosts' worth of slots."""
    fleet.play(replicas=3)
    fleet("deploy", "web")
    return fleet


def own_inventory(fleet: Fleet) -> None:
    """A copy that the test may spoil."""
    link = fleet.root / "inventories/lab"
    link.unlink()
    shutil.copytree(fleet.lab.inventory, link)


def still_serving(fleet: Fleet, containers: dict[str, str]) -> None:
    assert fleet.containers() == containers


def test_files_that_are_wrong(served: Fleet) -> None:
    containers = served.containers()
    play = served.root / "playbooks/web.yml"
    text = play.read_text()
    play.write_text(text.replace("replicas:", "replicsa:"))
    ran = served("deploy", "web", code=3)
    assert "playbooks/web.yml:3:" in ran.err
    assert "replicas" in ran.err
    play.write_text(text)
    ran = served("deploy", "wbe", code=3)
    assert "wbe" in ran.err
    assert "web" in ran.err
    still_serving(served, containers)


def test_an_image_that_is_nowhere(served: Fleet) -> None:
    containers = served.containers()
    served.play(replicas=3, image="registry:5000/app:nowhere")
    ran = served("deploy", "web", code=1)
    assert "app:nowhere" in ran.err
    still_serving(served, containers)
    assert served.status()["state"] == "converged"


def test_a_host_that_is_silent(served: Fleet) -> None:
    containers = served.containers()
    victim = next(iter(containers.values()))
    served.lab.link(victim, False)
    try:
        served.play(replicas=3, image="registry:5000/app:2")
        ran = served("deploy", "web", code=4)
        assert victim in ran.err
        states = {h["name"]: h["state"] for h in served("status", "--json").document["hosts"]}
        assert states[victim] == "unknown"
    finally:
        served.lab.link(victim, True)
    still_serving(served, containers)
    served("deploy", "web")


def test_a_key_that_opens_nothing(served: Fleet) -> None:
    containers = served.containers()
    own_inventory(served)
    key = served.root / "inventories/lab/key"
    served.on(
        "node1", "sh", "-c", "rm -f /tmp/k /tmp/k.pub; ssh-keygen -qt ed25519 -N '' -f /tmp/k"
    )
    key.write_text(served.on("node1", "cat", "/tmp/k"))
    key.chmod(0o600)
    hosts = served.root / "inventories/lab/hosts.yml"
    hosts.write_text(
        hosts.read_text().replace(str(served.lab.inventory.resolve() / "key"), str(key))
    )
    ran = served("deploy", "web", code=4)
    assert "key" in ran.err
    still_serving(served, containers)


def test_a_host_key_that_changed_and_one_that_is_unknown(served: Fleet) -> None:
    containers = served.containers()
    own_inventory(served)
    known = served.root / "inventories/lab/known_hosts"
    lines = known.read_text().splitlines()
    keys = {line.split()[0].split(",")[0]: line for line in lines}
    swapped = keys["node1"].split()[0] + " " + " ".join(keys["node2"].split()[1:])
    known.write_text("\n".join(swapped if line == keys["node1"] else line for line in lines) + "\n")
    ran = served("deploy", "web", code=4)
    assert "node1" in ran.err
    assert "changed" in ran.err
    known.write_text("\n".join(line for line in lines if line != keys["lb1"]) + "\n")
    ran = served("deploy", "web", code=4)
    assert "lb1" in ran.err
    assert "SHA256:" in ran.err
    still_serving(served, containers)


def test_what_fits_nowhere_is_refused_before_anything_starts(served: Fleet) -> None:
    containers = served.containers()
    served.play(replicas=3, image="registry:5000/app:2")
    play = served.root / "playbooks/web.yml"
    play.write_text(play.read_text().replace("memory: 64M", "memory: 900G"))
    ran = served("deploy", "web", code=9)
    assert "memory" in ran.err
    still_serving(served, containers)


def test_an_engine_that_is_down_on_a_host(served: Fleet) -> None:
    containers = served.containers()
    victim = next(iter(containers.values()))
    served.on(victim, "sh", "-c", "kill -STOP $(cat /run/docker.pid)")
    try:
        served.play(replicas=3, image="registry:5000/app:2")
        ran = served("deploy", "web", code=4)
        assert victim in ran.err
    finally:
        served.on(victim, "sh", "-c", "kill -CONT $(cat /run/docker.pid)")
    still_serving(served, containers)
