"""One of two balancers fails in the middle of a roll: the other serves on, the run names the one
that failed, and the next reconcile after it is back brings it level."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from harness import Fleet, Ran
from proxy import CONFIG, Proxy

from fleetctl.lab.load import Load, Target

pytestmark = pytest.mark.lab

REPLICAS = 2
PHASES = ("pull", "create", "health", "admit", "drain", "stop")
OLDER = "/etc/haproxy.older"  # a reboot keeps it


class Pair:
    """A service behind two balancers."""

    def __init__(self, fleet: Fleet) -> None:
        self.fleet = fleet
        self.proxies = {name: Proxy(fleet, name) for name in ("lb1", "lb2")}
        self._number = 0
        self.next()
        fleet("deploy", "web")
        for proxy in self.proxies.values():
            proxy.sh(f"cp {CONFIG} {OLDER}")
        self.next()
        fleet("deploy", "web")

    def next(self) -> None:
        """The play says what no revision has been yet."""
        self._number += 1
        self.fleet.play(
            replicas=REPLICAS,
            image=f"registry:5000/app:{2 - self._number % 2}",
            env={"ROUND": self._number},
            min_ready="0s",
            interval="500ms",
            deadline="5s",
            drain="2s",
            surge=REPLICAS,
        )

    def load(self, balancer: str) -> Load:
        address = self.fleet.lab.host(balancer).address
        return Load([Target(f"http://{address}/", service="web", allow=("1", "2"))], rate=60)

    def mend(self) -> None:
        for name, proxy in self.proxies.items():
            self.fleet.lab.link(name, True)
            if not proxy.alive:
                proxy.start()


def cut(proxy: Proxy) -> None:
    proxy.fleet.lab.link(proxy.name, False)


def put_back(proxy: Proxy) -> None:
    """Somebody takes an older file, and reloads."""
    worker = proxy.ask("show info").split("Pid: ")[1].split()[0]
    proxy.sh(f"cp {OLDER} {CONFIG} && kill -USR2 $(cat /run/haproxy.pid)")
    proxy.until(lambda: f"Pid: {worker}\n" not in proxy.ask("show info"))


def reboot(proxy: Proxy) -> None:
    """It comes back with an older file."""
    proxy.sh(f"cp {OLDER} {CONFIG}")
    proxy.fleet.lab.reboot(proxy.name)


FAULTS: dict[str, Callable[[Proxy], None]] = {
    "killed": Proxy.kill,
    "cut": cut,
    "behind": put_back,
    "rebooted": reboot,
}
STAYS = ("killed", "cut")  # until somebody mends it


@pytest.fixture
def two(pair: Fleet) -> Iterator[Pair]:
    made = Pair(pair)
    yield made
    made.mend()


def survives(two: Pair, bad: str, fault: str, phase: str) -> None:
    fleet = two.fleet
    (other,) = set(two.proxies) - {bad}
    two.next()
    with two.load(other) as load:
        act = partial(FAULTS[fault], two.proxies[bad])
        ran = fleet.during("deploy", "web", at=phase, act=act)
        told = failures(ran)
        case = f"{bad} {fault} at {phase}"
        print(f"  {case}: {ran.code} in {ran.finished['seconds']:.1f} s: {told}")
        assert ran.code in (0, 4, 5, 6, 7), (case, ran.out, ran.err)
        assert bad in told or not ran.code, (case, ran.out)
        if fault in STAYS:
            # Nothing of the run needs a balancer once all is drained.
            assert ran.code or phase == "stop", (case, ran.out)
        two.mend()
        mended = fleet("reconcile", "--json").finished
        assert mended["result"] in ("ok", "nothing_to_do"), (case, mended)
        assert fleet("reconcile", "--json").finished["result"] == "nothing_to_do", case
        report = load.stop()
    assert report.failed == 0, (case, report)
    assert report.answered > 100
    document = fleet("status", "--json").document
    assert {b["name"]: b["in_sync"] for b in document["balancers"]} == {"lb1": True, "lb2": True}
    (status,) = document["services"]
    assert (status["state"], status["ready"]) == ("converged", REPLICAS), (case, status)
    assert {i["revision"] for i in status["instances"]} == {status["revision"]}, (case, status)
    assert len(fleet.containers()) == REPLICAS, case
    with two.load(bad) as load:
        while load.so_far().sent < 20:
            time.sleep(0.05)
        assert load.stop().failed == 0, case


def failures(ran: Ran) -> str:
    return "; ".join(event["message"] for event in ran.events if event["type"] == "failed")


def test_one_of_two_balancers_fails_in_a_roll(two: Pair) -> None:
    survives(two, "lb2", "killed", "admit")
    survives(two, "lb2", "cut", "drain")
    survives(two, "lb1", "behind", "health")
    survives(two, "lb2", "rebooted", "create")


@pytest.mark.soak
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("bad", ["lb1", "lb2"])
def test_one_of_two_balancers_fails_in_every_phase(two: Pair, bad: str, fault: str) -> None:
    for phase in PHASES:
        survives(two, bad, fault, phase)
