"""The JSON of a plan: golden files, one for each command of the demo.

``UPDATE_GOLDEN=1`` writes them anew.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from planned_world import World, deployed, host, spec

from fleetctl.model.plan import Plan
from fleetctl.planner.document import plan_document
from fleetctl.planner.plan import make_plan

GOLDEN = Path(__file__).parents[1] / "golden" / "plan"


def fleet() -> World:
    return World([host(1, "a"), host(2, "b"), host(3, "c")])


def first_deploy() -> Plan:
    world = fleet()
    return make_plan(world.situation(world.revision(spec())))


def update() -> Plan:
    world = deployed(fleet(), spec())
    return make_plan(world.situation(world.revision(spec("app@sha256:2"))))


def one_is_missing() -> Plan:
    world = deployed(fleet(), spec())
    del world.containers["id0002"]
    return make_plan(world.situation(world.revisions[1]))


def does_not_fit() -> Plan:
    world = fleet()
    return make_plan(world.situation(world.revision(spec(max_per_host=1))))


@pytest.mark.parametrize("make", [first_deploy, update, one_is_missing, does_not_fit])
def test_the_document_is_the_golden_one(make) -> None:  # type: ignore[no-untyped-def]
    path = GOLDEN / f"{make.__name__}.json"
    text = json.dumps(plan_document(make()), indent=1) + "\n"
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text()


def test_every_need_is_a_step_that_comes_before() -> None:
    for make in (first_deploy, update, one_is_missing):
        seen: set[str] = set()
        for step in plan_document(make())["steps"]:
            assert seen.issuperset(step["needs"])
            assert step["id"] not in seen
            assert step["cause"]
            assert step["service"] == "web"
            seen.add(step["id"])
