"""The audit of a run: written before effects, and the first failure is why it ended so."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from fleetctl.engine.options import RunOptions
from fleetctl.engine.outcome import Outcome
from fleetctl.engine.report import reported
from fleetctl.engine.session import Session
from fleetctl.errors import ExitCode, LockHeld
from fleetctl.model import events as e
from fleetctl.model import plan as p
from fleetctl.model.fleet import Balancer, Fleet
from fleetctl.model.instance import Container, Instance
from fleetctl.model.record import Revision
from fleetctl.model.spec import ServiceSpec

FLEET = Fleet("lab", (), (Balancer("lb1"), Balancer("lb2")), ("lb1", "lb2"))
PLAN = p.Plan("web", Revision(2, ServiceSpec("web", "app:2", hosts="app")), 1, "d1")
OK = Outcome("ok", ExitCode.DONE, e.ServiceResult("web", 2, 1, 0))


class Book:
    """A journal and a screen that share one page, so that their order shows."""

    def __init__(self) -> None:
        self.page: list[tuple[Any, ...]] = []
        self.journal = self
        self.clock = SimpleNamespace(now=lambda: 5.0)

    def new_id(self) -> str:
        return "r1"

    def emit(self, event: e.Event) -> None:
        self.page.append(("shown", type(event).__name__))

    def begin(self, entry: Any) -> None:
        self.page.append(("begin", entry.run, entry.command, entry.service, entry.by))

    def planned(self, run: str, plan: p.Plan) -> None:
        self.page.append(("planned", run, plan.deploy))

    def intent(self, run: str, step: str, action: str, instance: str, hosts: Any) -> None:
        self.page.append(("intent", run, step, action, instance, tuple(hosts)))

    def outcome(self, run: str, step: str, outcome: str, detail: str) -> None:
        self.page.append(("outcome", run, step, outcome, detail))

    def end(self, run: str, result: str, ended: float, detail: str) -> None:
        self.page.append(("end", run, result, detail))


def step(action: str, host: str = "", instance: str = "web-1-2") -> e.StepStarted:
    return e.StepStarted("web", "s1", action, host, instance, "")


def audited(*told: e.Event) -> Book:
    book = Book()

    def work(emit: Any) -> Outcome:
        for event in told:
            emit(event)
        return OK

    options = RunOptions("ana@desk", "deploy")
    reported(book, FLEET, options, book.emit, "web", work)  # type: ignore[arg-type]
    return book


def test_an_intent_is_written_before_anybody_hears_of_the_step() -> None:
    done = e.StepFinished("web", "s1", "create", "node1", "web-1-2", "ok", 1.0, "said")
    assert audited(e.PlanMade(PLAN), step("create", "node1"), done).page == [
        ("begin", "r1", "deploy", "web", "ana@desk"),
        ("planned", "r1", "d1"),
        ("shown", "PlanMade"),
        ("intent", "r1", "s1", "create", "web-1-2", ("node1",)),
        ("shown", "StepStarted"),
        ("outcome", "r1", "s1", "ok", "said"),
        ("shown", "StepFinished"),
        ("end", "r1", "ok", ""),
    ]


def test_a_step_without_a_host_touches_the_balancers() -> None:
    intents = [line for line in audited(step("drain"), step("commit")).page if line[0] == "intent"]
    assert [line[-1] for line in intents] == [("lb1", "lb2"), ("lb1", "lb2")]


def test_the_first_failure_is_the_reason() -> None:
    book = audited(e.Failed("web", "x", "boom\nmore"), e.Failed("web", "x", "later"))
    assert book.page[-1] == ("end", "r1", "ok", "boom")


def test_what_keeps_a_run_from_starting_is_its_end() -> None:
    book = Book()

    def work(emit: Any) -> Outcome:
        raise LockHeld("ana has it\nsince noon")

    with pytest.raises(LockHeld):
        reported(book, FLEET, RunOptions("a", "deploy"), book.emit, "web", work)  # type: ignore[arg-type]
    assert book.page[-1] == ("end", "r1", "busy", "ana has it")


def instance(slot: int) -> Instance:
    return Instance("web", slot, 2, "node1", "10.0.0.1", (), "d1")


def counted(*steps: p.AnyStep) -> tuple[int, int, int]:
    plan = p.Plan("web", PLAN.revision, 1, "d1", steps)
    session = Session(*([None] * 8))  # type: ignore[arg-type]
    for one in steps:
        session.count(plan, one)
    return session.started, session.stopped, session.balanced


def test_what_counts_as_a_change() -> None:
    old = Container("c1", "web-1-1", "node1", "10.0.0.1", "web", 1, 1, 1, "d0", "h", "running")
    new = instance(1)
    start = p.Start(id="s1", cause="", instance=new)
    admit = p.Admit(id="s2", cause="", instances=(new,))
    drain = p.Drain(id="s3", cause="", containers=(old,))
    stop = p.Stop(id="s4", cause="", container=old)
    commit = p.Commit(id="s5", cause="", revision=2)
    remove = p.Remove(id="s6", cause="", container=old)
    pull = p.Pull(id="s7", cause="", host="node1", image="app:2")
    assert counted(pull, start, admit, drain, stop, commit, remove) == (1, 1, 0)
    assert counted(admit) == (0, 0, 1)
    assert counted(drain, remove) == (0, 0, 1)
    assert counted(p.Admit(id="s2", cause="", instances=())) == (0, 0, 1)
