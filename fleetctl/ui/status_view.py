"""``status`` for people and for scripts."""

from __future__ import annotations

from typing import Any

from fleetctl.model.codec import encode
from fleetctl.model.status import BalancerStatus, FleetStatus, HostStatus, InstanceStatus
from fleetctl.ui.output import Output
from fleetctl.ui.tables import Cell, show_table
from fleetctl.ui.text import clean, duration, image_name, size

SCHEMA = "fleetctl.status/1"
GOOD = frozenset({"converged", "up", "running", "healthy", "UP", "yes"})
BAD = frozenset({"failed", "drifted", "unknown", "missing", "exited", "dead", "DOWN", "unhealthy"})


def status_document(status: FleetStatus) -> dict[str, Any]:
    """The contract's document. ``message`` of a service, ``error`` of a host or balancer and
    ``state`` of a balancer that isn't up are there when they say something."""
    document: dict[str, Any] = {"schema": SCHEMA} | encode(status)
    for service in document["services"]:
        _drop_empty(service, "message")
        for instance in service["instances"]:
            instance["lb"] = dict(instance["lb"])
    for host in document["hosts"]:
        _drop_empty(host, "error")
    for balancer in document["balancers"]:
        _drop_empty(balancer, "error")
        if balancer["state"] == "up":
            del balancer["state"]
    return document


def _drop_empty(document: dict[str, Any], key: str) -> None:
    if not document[key]:
        del document[key]


def show_status(out: Output, status: FleetStatus, now: float) -> None:
    """``now`` is seconds since the epoch, for ages."""
    if not status.services:
        out.line("no service has been deployed on this fleet yet")
    show_table(
        out,
        ("service", "revision", "ready", "state", "image"),
        [
            (
                s.name,
                str(s.revision or "-"),
                f"{s.ready}/{s.desired}",
                _mark(s.state),
                image_name(s.image),
            )
            for s in status.services
        ],
    )
    for service in status.services:
        if service.message:
            out.line(f"{service.name}: {clean(service.message)}", "yellow")
    instances = [i for s in status.services for i in s.instances]
    _section(out, instances)
    show_table(
        out,
        ("instance", "host", "address", "revision", "state", "health", "lb", "age"),
        [_instance(i, now) for i in instances],
    )
    _section(out, status.hosts)
    show_table(
        out, ("host", "state", "instances", "cpus", "memory", ""), [_host(h) for h in status.hosts]
    )
    _section(out, status.balancers)
    show_table(
        out,
        ("balancer", "state", "haproxy", "in sync", "config", ""),
        [_balancer(b) for b in status.balancers],
    )


def _section(out: Output, rows: object) -> None:
    if rows:
        out.line("")


def _mark(word: str) -> Cell:
    return Cell(word, "green" if word in GOOD else "red" if word in BAD else "yellow")


def _instance(i: InstanceStatus, now: float) -> tuple[str | Cell, ...]:
    return (
        i.name,
        i.host or "-",
        f"{i.address}:{i.port}" if i.port else "-",
        str(i.revision or "-"),
        _mark(i.state),
        _mark(i.health) if i.health else "-",
        _balanced(i.lb),
        duration(now - i.since) if i.since and i.state == "running" else "-",
    )


def _balanced(lb: tuple[tuple[str, str], ...]) -> Cell:
    """One word when all balancers agree."""
    states = {state for _, state in lb}
    if len(states) == 1:
        return _mark(states.pop())
    if not lb:
        return Cell("-")
    return Cell(", ".join(f"{name} {state}" for name, state in lb), "red")


def _host(h: HostStatus) -> tuple[str | Cell, ...]:
    if h.state == "unknown":
        return (h.name, _mark(h.state), "-", "-", "-", h.error)
    return (
        h.name,
        _mark(h.state),
        str(h.instances),
        f"{h.used.cpus:g} of {h.capacity.cpus:g}",
        f"{size(h.used.memory)} of {size(h.capacity.memory)}",
        h.error,
    )


def _balancer(b: BalancerStatus) -> tuple[str | Cell, ...]:
    in_sync = Cell("yes", "green") if b.in_sync else Cell("no", "red")
    return (b.name, _mark(b.state), b.version or "-", in_sync, b.revision or "-", b.error)
