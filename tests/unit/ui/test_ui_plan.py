"""A plan for people: the verdict first, a cause on every line, short at many hosts."""

from __future__ import annotations

from typing import Any

from fleetctl.model.instance import Binding, Container, Instance
from fleetctl.model.plan import (
    Admit,
    AnyStep,
    Commit,
    Create,
    Drain,
    Health,
    Plan,
    Prune,
    Pull,
    Remove,
    Start,
    Stop,
    Summary,
    Unplaced,
)
from fleetctl.model.record import Revision
from fleetctl.model.spec import ServiceSpec
from fleetctl.ui.plan_text import plan_lines, verdict


def instance(host: str = "node1", slot: int = 1) -> Instance:
    ports = (Binding("http", 8080, 20000),)
    return Instance("web", slot, 2, host, "10.0.0.1", ports, "ab12cd34")


def container() -> Container:
    return Container(
        "c1", "web-1-1-0000", "node1", "10.0.0.1", "web", 1, 1, 1, "d0", "s", "running"
    )


def steps() -> tuple[AnyStep, ...]:
    new, old = instance(), container()
    return (
        Pull(id="s1", cause="not there", host="node1", image="app@sha256:12"),
        Create(id="s2", cause="image changed", batch=1, instance=new),
        Start(id="s3", cause="image changed", batch=1, instance=new),
        Health(id="s4", cause="before it serves", batch=1, instance=new),
        Admit(id="s5", cause="it is healthy", batch=1, instances=(new,)),
        Drain(id="s6", cause="its place is taken", batch=1, containers=(old,)),
        Stop(id="s7", cause="it has drained", batch=1, container=old),
        Commit(id="s8", cause="all slots are right", revision=2),
        Remove(id="s9", cause="no slot needs it", container=old),
        Prune(id="s10", cause="retention", host="node1", revisions=(1, 3)),
    )


def plan(**changes: Any) -> Plan:
    spec = ServiceSpec("web", "app@sha256:12")
    given: dict[str, Any] = {"summary": Summary(replace=1, keep=2), "batches": 1}
    return Plan("web", Revision(2, spec), 1, "ab12cd34", **(given | changes))


def test_the_whole_plan() -> None:
    assert list(plan_lines(plan(steps=steps()), "image changed")) == [
        "web: revision 1 -> 2 (image changed): 1 to replace, 0 to create, 0 to remove, 2 to keep",
        "",
        "first",
        "  pull    node1  app@12  not there",
        "",
        "batch 1",
        "  create  node1  web-1-2-ab12  image changed",
        "  start   node1  web-1-2-ab12  image changed",
        "  health  node1  web-1-2-ab12  before it serves",
        "  admit          web-1-2-ab12  it is healthy",
        "  drain          web-1-1-0000  its place is taken",
        "  stop    node1  web-1-1-0000  it has drained",
        "",
        "at the end",
        "  commit         revision 2      all slots are right",
        "  remove  node1  web-1-1-0000    no slot needs it",
        "  prune   node1  revisions 1, 3  retention",
    ]


def test_verdicts() -> None:
    assert verdict(plan(summary=Summary(keep=3))) == "web: revision 2: nothing to do"
    first = plan(steps=steps(), summary=Summary(create=6), batches=3)
    assert verdict(first).endswith("6 to create, 0 to remove, 0 to keep; 3 batches")
    moved = plan(steps=steps(), summary=Summary(move=2))
    assert verdict(moved).endswith("0 to keep, 2 to move")


def test_many_hosts_are_short() -> None:
    many = tuple(
        Create(id=f"s{n}", cause=f"slot {n} is missing", batch=1, instance=instance(f"node{n}", n))
        for n in range(1, 201)
    )
    lines = list(plan_lines(plan(steps=many)))
    assert lines[2:] == [
        "batch 1",
        "  create  x200  node1, node2, node3 and 197 more: slot 1 is missing, and alike",
    ]


def test_unplaced_and_warnings_are_harmless_text() -> None:
    unplaced = (Unplaced("web", 2, (("port \x1b[2J", 1), ("memory", 3)), "add a host"),)
    lines = list(plan_lines(plan(unplaced=unplaced, warnings=("careful",))))
    assert lines[1:6] == [
        "  warning: careful",
        "  2 instances of web without a host:",
        "    1 host: port \\x1b[2J",
        "    3 hosts: memory",
        "    hint: add a host",
    ]
