"""Locks that many race for, controllers that come back from the dead, and what they write."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from harness import Fleet, rest_of

from fleetctl.config.inventory import load_inventory
from fleetctl.engine.real import RealWorld, open_world
from fleetctl.engine.view import view_of
from fleetctl.errors import ConnectionLost, LockLost, StaleWrite
from fleetctl.haproxy.render import render
from fleetctl.model.fleet import Fleet as ModelFleet
from fleetctl.model.record import Fence, service_key

pytestmark = [pytest.mark.lab, pytest.mark.soak]

RACERS = 10


def test_races(fleet: Fleet, table, amount: Callable[[str, int], int]) -> None:
    """Ten processes take one lock SOAK_RACES times in all; in one turn of ten the holder is
    killed. Never two at once, and every turn has a fence of its own, above all before."""
    races = amount("RACES", 200)
    mutex = threading.Lock()
    fences: list[int] = []
    overlaps: list[str] = []
    deaths: list[int] = []

    def race(number: int) -> None:
        left = -(-races // RACERS)
        while left > 0:
            program = str(Path(__file__).with_name("lock_racer.py"))
            told = (str(fleet.lab.inventory), str(fleet.root), str(left), f"{number}{left}")
            with subprocess.Popen(
                [sys.executable, program, *told], stdout=subprocess.PIPE, text=True
            ) as racer:
                assert racer.stdout is not None
                for line in racer.stdout:
                    word, value = line.split()
                    with mutex:
                        if word == "turn":
                            left -= 1
                            fences.append(int(value))
                        else:
                            overlaps.append(value)
            assert racer.returncode in (0, -signal.SIGKILL), racer.returncode
            if racer.returncode:
                deaths.append(number)

    with ThreadPoolExecutor(RACERS) as pool:
        list(pool.map(race, range(RACERS)))
    print(f"  {len(fences)} turns of {RACERS} processes, {len(deaths)} killed with the lock")
    table.row("races", kills=len(deaths), lock_races=len(fences))
    assert len(fences) >= races
    assert overlaps == []
    assert len(set(fences)) == len(fences)
    assert sorted(fences) == list(range(1, len(fences) + 1))


class Stale:
    """A controller that was taken over, and the one that took over, on one service."""

    def __init__(self, fleet: Fleet, journal: Path) -> None:
        self.fleet: ModelFleet = load_inventory(fleet.lab.inventory).fleet()
        self.old = self._world(journal / "old.db")
        self.new = self._world(journal / "new.db")
        self.host = next(iter(fleet.containers().values()))
        self.accepted: list[str] = []
        self.refused = 0

    def _world(self, journal: Path) -> RealWorld:
        return open_world(self.fleet, who="soak", command="soak", parallel=4, journal=journal)

    def close(self) -> None:
        self.old.close()
        self.new.close()

    def takeover(self, world: RealWorld, scope: str) -> Fence:
        """A new fence of ``scope``, shown to the host, the record and the balancer."""
        lease = world.locks.acquire(scope, 30)
        lease.release()
        return lease.fence

    def attempt(self, what: str, act: Callable[[], object]) -> None:
        try:
            act()
        except (LockLost, StaleWrite, ConnectionLost):
            self.refused += 1
        else:
            self.accepted.append(what)


def _round(stale: Stale, fleet: Fleet) -> None:
    old, new, fleet_ = stale.old, stale.new, stale.fleet
    key = service_key("web")
    documents = old.record.read()
    lineage, generation = view_of(documents).lineage, documents[key].generation
    container = next(c for c in old.engine(stale.host).observe(lineage).containers if c.running)
    fence, balancing = stale.takeover(old, "service-web"), stale.takeover(old, "balancer-lb1")
    old.engine(stale.host).claim(lineage, fence)
    sections = view_of(documents).sections
    rendered = render(fleet_.balancers[0], [sections["web"]])
    empty = render(fleet_.balancers[0], [])
    old.balancer("lb1").prepare(rendered, balancing)

    later, later_lb = stale.takeover(new, "service-web"), stale.takeover(new, "balancer-lb1")
    assert later.number > fence.number
    new.engine(stale.host).claim(lineage, later)
    new.record.write(key, documents[key].body, generation, later)
    new.balancer("lb1").prepare(rendered, later_lb)
    before = fleet.picture()

    def write(expected: int, under: Fence) -> Callable[[], object]:
        return lambda: old.record.write(key, {"stale": True}, expected, under)

    engine, lb = old.engine(stale.host), old.balancer("lb1")
    twin = replace(later, holder=fence.holder)
    stale.attempt("record, old generation and fence", write(generation, fence))
    stale.attempt("record, old fence", write(generation + 1, fence))
    stale.attempt("record, old generation", write(generation, later))
    stale.attempt("record, the fence of another", write(generation + 1, twin))
    stale.attempt("engine, stop", lambda: engine.stop(container.id, 1.0, fence))
    stale.attempt("engine, remove", lambda: engine.remove(container.id, fence))
    stale.attempt("engine, restart policy", lambda: engine.set_restart(container.id, "no", fence))
    stale.attempt("engine, the fence of another", lambda: engine.remove(container.id, twin))
    stale.attempt("engine, claim", lambda: engine.claim("stale", fence))
    stale.attempt("balancer, prepare", lambda: lb.prepare(empty, balancing))
    stale.attempt("balancer, apply", lambda: lb.apply(empty, balancing))
    assert fleet.picture() == before


def test_stale(fleet: Fleet, table, amount: Callable[[str, int], int], tmp_path: Path) -> None:
    """SOAK_STALE writes of a controller that was taken over: to the record, to an engine over
    channels that were open before, to a balancer. All are refused and change nothing."""
    fleet.play(replicas=3)
    fleet("deploy", "web")
    stale = Stale(fleet, tmp_path)
    try:
        while stale.refused + len(stale.accepted) < amount("STALE", 200):
            _round(stale, fleet)
    finally:
        stale.close()
    attempts = stale.refused + len(stale.accepted)
    table.row("stale", stale_writes_accepted=f"{len(stale.accepted)} of {attempts}")
    assert stale.accepted == []
    assert fleet("deploy", "web", "--json").finished["result"] == "nothing_to_do"


def test_freezes(fleet: Fleet, table, amount: Callable[[str, int], int]) -> None:
    """A roll frozen (SIGSTOP) at a random event; another controller takes over at the end of
    the lease, and the frozen one wakes in the middle of that."""
    seed = amount("SEED", random.randrange(10**6))
    dice = random.Random(seed)
    print(f"  seed {seed}")
    fleet.play(replicas=6)
    fleet("deploy", "web")
    other = Fleet(fleet.lab, fleet.root.parent / "other")
    codes = []
    with fleet.load(100) as load:
        for number in range(amount("FREEZES", 10)):
            fleet.play(image=f"registry:5000/app:{2 - number % 2}", env={"ROUND": number})
            frozen = fleet.start("deploy", "web", "--json", "--wait", "60")
            _read(frozen, dice.randrange(8, 80))
            frozen.send_signal(signal.SIGSTOP)
            successor = other.start("reconcile", "web", "--json", "--wait", "60")
            _read(successor, dice.randrange(3, 30))
            frozen.send_signal(signal.SIGCONT)
            ended = rest_of(frozen)
            codes.append(ended.code)
            assert ended.code in (0, 7), (seed, number, ended)
            took_over = rest_of(successor)
            assert took_over.code == 0, (seed, number, took_over)
            status = other.status()
            assert (status["state"], status["ready"]) == ("converged", 6), (seed, number)
            assert len(fleet.containers()) == 6, (seed, number)
            assert other("reconcile", "--json").finished["result"] == "nothing_to_do"
    report = load.report
    print(f"  {codes.count(7)} of {len(codes)} frozen controllers were taken over")
    table.row("freezes", requests=report.sent, failed=report.failed, deploys=len(codes))
    assert report.failed == 0, (seed, report)


def _read(process: subprocess.Popen[str], lines: int) -> None:
    """Reads that many lines of what it says, or all."""
    assert process.stdout is not None
    for _, _ in zip(range(lines), process.stdout, strict=False):
        pass
