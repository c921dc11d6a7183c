"""``lb show`` for people and for scripts."""

from __future__ import annotations

from typing import Any

from fleetctl.model.codec import encode
from fleetctl.model.lb import BalancerView, CertificateStatus, LbStatus, ServerStatus
from fleetctl.ui.output import Output
from fleetctl.ui.tables import Cell, show_table
from fleetctl.ui.text import clean, duration, moment, plural

SCHEMA = "fleetctl.lb/1"
SOON = 14 * 86400.0
"""Seconds before its end that a certificate is told to be about to expire."""
STYLES = {"UP": "green", "DOWN": "red", "NONE": "red", "UNKNOWN": "red"}
HEADS = (
    "backend", "server", "instance", "host", "state", "weight", "sessions", "queue", "rate",
    "requests", "5xx", "last check",
)  # fmt: skip


def lb_document(status: LbStatus) -> dict[str, Any]:
    """``error`` of a balancer is there when it says something."""
    document: dict[str, Any] = {"schema": SCHEMA} | encode(status)
    for balancer in document["balancers"]:
        if not balancer["error"]:
            del balancer["error"]
    return document


def show_lb(out: Output, status: LbStatus, now: float, *, brief: bool = False) -> None:
    """``now`` is seconds since the epoch; ``brief``: one line a balancer."""
    if not status.balancers:
        out.line("the inventory names no balancer")
    for number, balancer in enumerate(status.balancers):
        if number and not brief:
            out.line("")
        out.line(*_heading(balancer))
        if brief or balancer.state != "up":
            continue
        for gap in balancer.differences:
            out.line(clean(f"  {gap.kind}: {gap.what}"), "yellow")
        for certificate in balancer.certificates:
            out.line(*_certificate(certificate, now))
        show_table(out, HEADS, [_server(server, now) for server in balancer.servers])


def _heading(balancer: BalancerView) -> tuple[str, str]:
    """Words and style."""
    if balancer.state != "up":
        return clean(f"{balancer.name}: {balancer.state}: {balancer.error}"), "red"
    words = [f"HAProxy {balancer.version}" if balancer.version else "HAProxy"]
    if balancer.in_sync:
        words.append("in sync")
    else:
        words.append(f"differs from the record in {plural(len(balancer.differences), 'thing')}")
    if balancer.old_workers:
        words.append(f"{plural(balancer.old_workers, 'old worker')} still finishing")
    return clean(f"{balancer.name}: {', '.join(words)}"), "green" if balancer.in_sync else "yellow"


def _certificate(one: CertificateStatus, now: float) -> tuple[str, str]:
    names = ", ".join(one.names) or "no names"
    left = one.expires - now
    style = ""
    if left <= 0:
        when, style = f"expired {moment(one.expires)}", "red"
    else:
        when = f"expires {moment(one.expires)}, in {duration(left)}"
        style = "yellow" if left < SOON else ""
    if not one.loaded:
        when, style = f"{when}; not loaded", "red"
    return clean(f"  certificate {one.service}.{one.name} ({names}): {when}"), style


def _server(one: ServerStatus, now: float) -> tuple[str | Cell, ...]:
    return (
        one.backend,
        one.server,
        one.instance,
        one.host,
        _state(one, now),
        str(one.weight),
        str(one.sessions),
        str(one.queue),
        f"{one.rate}/s",
        str(one.requests),
        str(one.errors),
        one.check or "-",
    )


def _state(one: ServerStatus, now: float) -> Cell:
    """HAProxy's word, and how long a person has it held."""
    style = STYLES.get(one.state, "yellow")
    if not one.held:
        return Cell(one.state, style)
    if not one.held_until:
        return Cell(f"{one.state}, held", style)
    left = one.held_until - now
    over = "over, until reconcile" if left <= 0 else f"{duration(left)} more"
    return Cell(f"{one.state}, held: {over}", style)
