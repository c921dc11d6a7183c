"""Many rolls under a fast open-loop client, with and without a killed controller in each."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack

import pytest
from harness import Fleet, Loaded

pytestmark = [pytest.mark.lab, pytest.mark.soak]

IMAGES = ("registry:5000/app:1", "registry:5000/app:2")


def summary(loads: list[Loaded]) -> tuple[int, int]:
    """(sent, failed), with the first failures in words."""
    for load in loads:
        report = load.report
        print(f"  client: {report.sent} sent in {report.seconds} s, {report.failed} failed, "
              f"p50 {report.p50} ms, p99 {report.p99} ms, worst {report.worst} ms")  # fmt: skip
        for words in report.examples:
            print(f"    {words}")
    return sum(one.report.sent for one in loads), sum(one.report.failed for one in loads)


def test_rolls(fleet: Fleet, table, amount: Callable[[str, int], int]) -> None:
    """A, B, A, …: SOAK_DEPLOYS rolls while SOAK_REQUESTS are sent, SOAK_RATE a second, by
    SOAK_CLIENTS clients."""
    deploys, rate = amount("DEPLOYS", 100), amount("RATE", 800)
    requests, clients = amount("REQUESTS", 10_000 * deploys), amount("CLIENTS", 2)
    fleet.play(replicas=6)
    fleet("deploy", "web")
    longest = 0.0
    with ExitStack() as stack:
        loads = [stack.enter_context(fleet.load(rate / clients)) for _ in range(clients)]
        began = time.monotonic()
        for number in range(deploys):
            fleet.play(replicas=6, image=IMAGES[(number + 1) % 2])
            started = time.monotonic()
            done = fleet("deploy", "web", "--json").finished
            longest = max(longest, time.monotonic() - started)
            assert (done["result"], done["services"][0]["changed"] > 0) == ("ok", True), done
            share = requests * (number + 1) / deploys / rate
            time.sleep(max(0.0, began + share - time.monotonic()))
    sent, failed = summary(loads)
    print(f"  {deploys} deploys, the longest took {longest:.1f} s")
    table.row("rolls", requests=sent, failed=failed, deploys=deploys)
    status = fleet.status()
    assert (status["state"], status["ready"]) == ("converged", 6)
    assert failed == 0
    assert sent >= requests * 0.98


def test_kills(fleet: Fleet, table, amount: Callable[[str, int], int]) -> None:
    """A roll killed at each of its events, and again a moment after each; one reconcile by
    another controller has to converge the fleet. SOAK_EVERY takes each n-th event only."""
    seed = amount("SEED", random.randrange(10**6))
    every, dice = amount("EVERY", 1), random.Random(seed)
    print(f"  seed {seed}")
    fleet.play(replicas=6)
    fleet("deploy", "web")
    other = Fleet(fleet.lab, fleet.root.parent / "other")
    kills = converged = needed = rolls = 0
    seen: Counter[str] = Counter()
    with fleet.load(amount("KILL_RATE", 100)) as load:
        for late in (False, True):
            point = 1
            while True:
                rolls += 1
                image = IMAGES[rolls % 2]
                fleet.play(replicas=6, image=image, env={"ROUND": rolls})
                delay = dice.uniform(0.0, 0.6) if late else 0.0
                line = fleet.kill_at(point, "deploy", "web", "--wait", "30", delay=delay)
                if not line:
                    break
                kills += 1
                seen[_kind(line)] += 1
                whole, reconciles = _recovered(other)
                converged += whole
                needed = max(needed, reconciles)
                if not whole or reconciles > 1:
                    print(f"  seed {seed}, event {point}, {delay:.2f} s after {line}: "
                          f"{reconciles} reconciles, {other.status()}")  # fmt: skip
                point += every
    _, failed = summary([load])
    for kind, count in sorted(seen.items()):
        print(f"  {count:4} kills at {kind}")
    table.row(
        "kills",
        requests=load.report.sent,
        failed=failed,
        deploys=rolls,
        kills=kills,
        crash_points_converged=f"{converged} of {kills}",
        reconciles_needed=needed,
    )
    assert kills > 0
    assert (converged, needed, failed) == (kills, 1, 0)


def _kind(line: str) -> str:
    event = json.loads(line)
    return " ".join(filter(None, (event["type"], event.get("action", ""))))


def _recovered(other: Fleet, at_most: int = 3) -> tuple[bool, int]:
    """(whether the fleet is whole, reconciles that had to be run until it was)."""
    for count in range(1, at_most + 1):
        ran = other.run("reconcile", "--json", "--wait", "30")
        status = other.status()
        revisions = {one["revision"] for one in status["instances"]}
        whole = (status["state"], status["ready"], len(revisions)) == ("converged", 6, 1)
        if ran.code == 0 and whole and len(other.containers()) == 6:
            return True, count
    return False, at_most
