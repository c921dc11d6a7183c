"""Three controllers take turns on one fleet: nothing but inventory and key is theirs alone."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from harness import Fleet

pytestmark = pytest.mark.lab


def clone(fleet: Fleet, root: Path, *, playbooks: bool = True) -> Fleet:
    """A fresh copy of the files, as a CI job has it: no journal, no history."""
    other = Fleet(fleet.lab, root)
    if playbooks:
        shutil.copytree(fleet.root / "playbooks", root / "playbooks", dirs_exist_ok=True)
    else:
        (root / "playbooks").rmdir()
    assert not (root / ".fleetctl").exists()
    return other


def test_laptop_ci_and_cron_take_turns(fleet: Fleet) -> None:
    folder = fleet.root.parent
    laptop, cron = fleet, clone(fleet, folder / "cron", playbooks=False)
    laptop.play(replicas=2)
    laptop("deploy", "web")
    old = folder / "older-journal"
    shutil.copytree(laptop.root / ".fleetctl", old)
    with fleet.load(60) as load:
        laptop.play(replicas=2, image="registry:5000/app:2")
        ci = clone(laptop, folder / "job1")
        job = ci.start("deploy", "web", "--json")
        assert job.stdout is not None
        begun = any('"health"' in line and '"step_finished"' in line for line in job.stdout)
        job.kill()
        job.communicate(timeout=120)
        assert begun, "it never came to a health check"
        done = cron("reconcile", "--json", "--wait", "60").finished
        assert (done["result"], done["services"][0]["revision"]) == ("ok", 2)
        assert laptop("deploy", "web", "--json").finished["result"] == "nothing_to_do"

        shutil.rmtree(laptop.root / ".fleetctl")
        shutil.copytree(old, laptop.root / ".fleetctl")
        assert laptop("rollback", "web", "--json").finished["services"][0]["revision"] == 1
        refused = clone(laptop, folder / "job2")("deploy", "web", code=9)
        assert "--again" in refused.err
        laptop.play(replicas=2, image="registry:5000/app:2", env={"GREETING": "again"})
        job = clone(laptop, folder / "job3")
        assert job("deploy", "web", "--json").finished["services"][0]["revision"] == 3
        shutil.rmtree(laptop.root / ".fleetctl")
        assert laptop("deploy", "web", "--json").finished["result"] == "nothing_to_do"
        assert cron("reconcile", "--json").finished["result"] == "nothing_to_do"
    statuses = [one("status", "--json").document["services"] for one in (laptop, ci, cron)]
    assert statuses[0] == statuses[1] == statuses[2]
    assert (statuses[0][0]["state"], statuses[0][0]["revision"]) == ("converged", 3)
    report = load.report
    assert report.failed == 0, report
    assert report.sent > 300
