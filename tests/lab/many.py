"""Many small services on one fleet, each with routes of its own, behind all balancers."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from harness import Fleet, Ran

from fleetctl.lab.load import Load, Report, Target

AT_ONCE = 6  # fleetctl processes
BUSY = 7


@dataclass(frozen=True)
class Small:
    """The service with this number. Of four in a row the second is found below a path of the
    first one's host, the third below a path of a host that all third ones share, the fourth by
    a host and, at any other host, by a path."""

    number: int

    @property
    def name(self) -> str:
        return f"s-{self.number:02}"

    @property
    def prefix(self) -> str:
        """The path under which the application answers besides /."""
        return ("", "/api", f"/{self.name}", f"/{self.name}")[self.number % 4]

    @property
    def ways(self) -> list[tuple[str, str]]:
        """(host, path) of its routes; an empty host is any."""
        own = f"{self.name}.example"
        return [
            [(own, "/")],
            [(f"{Small(self.number - 1).name}.example", self.prefix)],
            [("shop.example", self.prefix)],
            [(own, "/"), ("", self.prefix)],
        ][self.number % 4]

    @property
    def replicas(self) -> int:
        return 2 + self.number % 2

    def play(self, fleet: Fleet, revision: int) -> None:
        routes: list[dict[str, Any]] = [
            {"path": path, "port": "http", **({"host": host} if host else {})}
            for host, path in self.ways
        ]
        fleet.play(
            self.name,
            replicas=self.replicas,
            image=f"registry:5000/app:{revision}",
            env={"PREFIX": self.prefix},
            routes=routes,
            surge=1 if self.number % 8 == 0 else self.replicas,
            interval="500ms",
            cpus=0.02,
            min_ready="0s",
            drain="10s",
            deadline="60s",
        )


class Many:
    """``count`` services of one project, handled by several processes at once."""

    def __init__(self, fleet: Fleet, count: int) -> None:
        self.fleet = fleet
        self.services = [Small(number) for number in range(count)]

    def targets(self, revision: int) -> list[Target]:
        """Each route at each balancer, where this revision may answer."""
        return [
            Target(
                f"http://{balancer.address}{path}",
                host or "elsewhere.example",
                service.name,
                allow=(str(revision),),
            )
            for service in self.services
            for host, path in service.ways
            for balancer in self.fleet.lab.hosts
            if balancer.balancer
        ]

    def deploy(
        self, revision: int, load: Load | None = None, done: list[Ran] | None = None
    ) -> list[Ran]:
        """All services, ``AT_ONCE`` at a time; ``done`` gets each one's end at once. Once a
        deploy has ended, no other revision may answer for its service."""

        for service in self.services:  # before anybody reads the playbooks
            service.play(self.fleet, revision)

        def one(service: Small) -> Ran:
            if load:
                load.allow(str(revision - 1), str(revision), service=service.name)
            ran = self.fleet.run("deploy", service.name, "--json", "--wait", "120", timeout=600)
            if load:
                load.allow(str(revision), service=service.name)
            if done is not None:
                done.append(ran)
            return ran

        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(one, self.services))

    def check(self, revision: int) -> None:
        """All of it is as the plays say, on hosts and balancers, and nothing is left to do."""
        document = self.fleet("status", "--json").document
        assert {b["name"]: b["in_sync"] for b in document["balancers"]} == {
            host.name: True for host in self.fleet.lab.hosts if host.balancer
        }
        seen = {s["name"]: s for s in document["services"]}
        assert set(seen) == {service.name for service in self.services}
        for service in self.services:
            status = seen[service.name]
            whole = (revision, "converged", service.replicas)
            assert (status["revision"], status["state"], status["ready"]) == whole, status
            assert {i["revision"] for i in status["instances"]} == {revision}, status
        drift = self.fleet.run("drift", "--detailed-exitcode")
        assert drift.code == 0, drift
        assert len(self.fleet.containers()) == sum(s.replicas for s in self.services)


def went_well(ran: Ran, *also: int) -> None:
    """It ended with 0, or one of ``also``; what it complained about is shown if not."""
    told = [event for event in ran.events if event["type"] == "failed"]
    assert ran.code in (0, *also), (ran.code, told, ran.err)


@dataclass(frozen=True)
class Race:
    """What a race came to: the client's report, all ends of deploys, and of the reconciles that
    ran beside them, which are tried again while a deploy holds a lock that they need."""

    report: Report
    deploys: list[Ran]
    reconciles: list[Ran]
    seconds: float

    def check(self, many: Many) -> None:
        """Nobody noticed anything, and all got through."""
        report = self.report
        assert (report.failed, report.failures) == (0, {}), report
        assert set(report.answered_at) == {target.name for target in many.targets(2)}
        assert min(report.answered_at.values()) >= 10, report
        assert set(report.revisions) == {"1", "2"}, report
        for ran in self.deploys:
            went_well(ran)
        for ran in self.reconciles:
            went_well(ran, BUSY)


def race(many: Many, *, rate: float, reconciles: int) -> Race:
    """From revision 1 to revision 2, under a client on all routes of all balancers."""
    other = Fleet(many.fleet.lab, many.fleet.root.parent / "other")
    ended: list[Ran] = []
    done: list[Ran] = []

    def reconcile() -> None:
        """The n-th begins when that share of the deploys has ended, and gets through."""
        for number in range(reconciles):
            while len(done) < len(many.services) * (number + 1) // (reconciles + 2):
                time.sleep(0.05)
            while True:
                ended.append(other.run("reconcile", "--json", timeout=600))
                if ended[-1].code != BUSY:
                    break

    with Load(many.targets(1), rate=rate) as load, ThreadPoolExecutor(1) as beside:
        reconciling = beside.submit(reconcile)
        began = time.monotonic()
        deploys = many.deploy(2, load, done)
        seconds = time.monotonic() - began
        reconciling.result()
        report = load.stop()
    return Race(report, deploys, ended, seconds)
