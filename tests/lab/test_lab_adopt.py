"""The record is lost on real hosts, and rebuilt from them: nothing restarts, nothing fails."""

from __future__ import annotations

from pathlib import Path

import pytest
from harness import Fleet

pytestmark = pytest.mark.lab

PLAIN = """\
- service: {name}
  hosts: {hosts}
  replicas: 1
  image: registry:5000/app:1
  expose: {{http: 8080}}
  healthcheck: {{http: /healthz, interval: 1s}}
  rollout: {{min_ready: 0s}}
"""


def lose(fleet: Fleet, what: str = "") -> None:
    """All of fleetctl's on the record host, locks and fences too, or one folder or file."""
    where = f"/var/lib/fleetctl/{what}" if what else "/var/lib/fleetctl"
    fleet.on("lb1", "sh", "-c", f"find {where} -mindepth {0 if what else 1} -delete")


def without_record(picture: dict[str, str]) -> dict[str, str]:
    return {name: text for name, text in picture.items() if not name.endswith(" record")}


def adopted(fleet: Fleet) -> list[dict[str, object]]:
    """Adopts; no container and no file of HAProxy is another after it. Returns the services."""
    before = without_record(fleet.picture())
    document = fleet("adopt", "--yes", "--json").document
    assert (document["schema"], document["written"]) == ("fleetctl.adopt/1", True)
    assert without_record(fleet.picture()) == before
    services: list[dict[str, object]] = document["services"]
    return services


def nothing_to_do(fleet: Fleet) -> None:
    before = without_record(fleet.picture())
    ran = fleet("reconcile", "--json")
    assert ran.finished["result"] == "nothing_to_do", ran.out
    assert without_record(fleet.picture()) == before


def test_a_lost_record_is_rebuilt_with_no_restart(fleet: Fleet) -> None:
    fleet.play(replicas=3)
    fleet("deploy", "web")
    fleet.play(replicas=3, image="registry:5000/app:2")
    fleet("deploy", "web")
    with fleet.load(60) as load:
        lose(fleet)
        before = fleet.picture()
        commands = (
            ("deploy", "web"),
            ("plan", "web"),
            ("rollback", "web"),
            ("reconcile",),
            ("status",),
        )
        for command in commands:
            ran = fleet(*command, code=9)
            assert "fleetctl adopt" in ran.err, (command, ran.err)
        assert "--yes" in fleet("adopt", code=9).err
        shown = fleet("adopt", "--dry-run").out
        assert "nothing was written" in shown
        assert fleet.picture() == before
        (web,) = adopted(fleet)
        assert (web["name"], web["revision"], web["instances"], web["servers"]) == ("web", 2, 3, 3)
        assert web["revisions"] == [1, 2]
        # With the record went the files that HAProxy's own names.
        assert fleet("reconcile", "--json").finished["result"] == "ok"
        nothing_to_do(fleet)
        status = fleet.status()
        assert (status["state"], status["ready"], status["revision"]) == ("converged", 3, 2)
        assert "whole" in fleet("adopt", "--yes", code=9).err
        fleet.play(replicas=2)
        assert fleet("deploy", "web", "--json").finished["services"][0]["revision"] == 3
        assert fleet.status()["state"] == "converged"
    assert load.report.failed == 0, load.report
    assert load.report.sent > 300


def test_a_record_lost_in_the_middle_of_a_roll_goes_back(fleet: Fleet) -> None:
    fleet.play(replicas=3, surge=1)
    fleet("deploy", "web")
    with fleet.load(60) as load:
        fleet.play(replicas=3, surge=1, image="registry:5000/app:2")
        process = fleet.start("deploy", "web", "--json")
        assert process.stdout is not None
        stopped = any('"stop"' in line and '"step_finished"' in line for line in process.stdout)
        process.kill()
        process.communicate(timeout=120)
        assert stopped, "it never came to a stop"
        lose(fleet)
        (web,) = adopted(fleet)
        assert (web["revision"], web["state"]) == (1, "goes back from revision 2")
        assert fleet("reconcile", "--json").finished["exit_code"] == 0
        status = fleet.status()
        assert (status["state"], status["revision"], status["ready"]) == ("converged", 1, 3)
        assert {i["revision"] for i in status["instances"]} == {1}
        nothing_to_do(fleet)
    assert load.report.failed == 0, load.report


def test_what_is_left_of_a_record_is_kept(fleet: Fleet) -> None:
    fleet.play(replicas=2)
    fleet("deploy", "web")
    kept = fleet.on("lb1", "cat", "/var/lib/fleetctl/record/service/web.json")
    fleet.on("lb1", "truncate", "-s", "-20", "/var/lib/fleetctl/record/fleet.json")
    lose(fleet, "record/section/web.json")
    assert "fleetctl adopt" in fleet("reconcile", code=9).err
    (web,) = adopted(fleet)
    assert web["state"] == "kept as recorded"
    assert fleet.on("lb1", "cat", "/var/lib/fleetctl/record/service/web.json") == kept
    nothing_to_do(fleet)


def inventory(fleet: Fleet, root: Path, *hosts: str) -> Fleet:
    """Another project, whose inventory names these hosts and no balancer."""
    other = Fleet(fleet.lab, root)
    (root / "inventories/lab").unlink(missing_ok=True)
    folder = root / "inventories/mine"
    folder.mkdir(parents=True, exist_ok=True)
    mine = fleet.lab.inventory.resolve()
    lines = [
        "all:",
        "  vars:",
        "    ansible_user: root",
        f"    ansible_ssh_private_key_file: {mine / 'key'}",
        f"    fleetctl_known_hosts: {mine / 'known_hosts'}",
        "    fleetctl_balancers: nobody",
        "  children:",
        "    nobody: {}",
        "    app:",
        "      hosts:",
    ]
    for name in hosts:
        address = fleet.lab.host(name).address
        lines.append(f"        {name}: {{ansible_host: {address}, fleetctl_address: {address}}}")
    (folder / "hosts.yml").write_text("\n".join(lines) + "\n")
    return other


def test_two_inventories_that_share_a_host(fleet: Fleet) -> None:
    """The first has its record on lb1. The second can neither take its hosts nor its name."""
    (fleet.root / "playbooks/web.yml").write_text(PLAIN.format(name="web", hosts="node2"))
    fleet("deploy", "web")
    before = fleet.picture()
    root = fleet.root.parent / "second"
    second = inventory(fleet, root, "node2", "node3")
    (root / "playbooks/api.yml").write_text(PLAIN.format(name="api", hosts="all"))
    refused = second("deploy", "api", code=9).err
    assert "node2 belongs to a fleet" in refused
    assert "hosts of another fleet" in refused
    doubled = second("adopt", "--yes", code=9).err
    assert fleet.lab.host("lb1").address in doubled
    assert "two fleets of one" in doubled
    assert fleet.picture() == before

    second = inventory(fleet, root, "node1")
    second("deploy", "api")
    second = inventory(fleet, root, "node1", "node2")
    refused = second("deploy", "api", code=9)
    assert "node2 belongs to another fleet" in refused.err
    assert {h for n, h in fleet.containers().items() if n.startswith("api")} == {"node1"}
    assert fleet.status()["state"] == "converged"
