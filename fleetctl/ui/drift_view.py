"""``drift`` for people and for scripts: fleet against record, and plays against record."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fleetctl.model.drift import ServiceDrift
from fleetctl.model.plan import Plan
from fleetctl.ui.output import Output
from fleetctl.ui.plan_text import plan_lines
from fleetctl.ui.plan_view import plans_document
from fleetctl.ui.text import clean, moment

SCHEMA = "fleetctl.drift/1"
Line = tuple[str, str]
"""Words and their style."""


def drift_document(
    found: Sequence[ServiceDrift], document: Callable[[Plan], dict[str, Any]]
) -> dict[str, Any]:
    """``summary``, ``steps`` and ``unplaced`` are those of bringing the fleet back to its
    record; ``services`` tells both comparisons for each."""
    plans = [one.fleet.plan for one in found if one.fleet is not None]
    services = [
        {
            "name": one.service,
            "revision": one.revision,
            "drift": not one.nothing,
            "fleet": _fleet(one),
            "play": one.play,
            "differs": list(one.differs),
            "held": [
                {"instance": name, "state": state, "until": until or None}
                for name, state, until in one.held
            ],
        }
        for one in found
    ]
    return plans_document(plans, document) | {"schema": SCHEMA, "services": services}


def _fleet(one: ServiceDrift) -> str:
    if one.fleet is None:
        return "paused" if one.paused else "never_deployed"
    return "same" if one.fleet.plan.nothing else "differs"


def show_drift(out: Output, found: Sequence[ServiceDrift], *, brief: bool = False) -> None:
    """What is in line in one line, what isn't with what differs and what mends it."""
    if not found:
        out.line("no drift: nothing is deployed and nothing is declared")
    for one in found:
        lines = list(_lines(one))
        for text, style in lines[:1] if brief else lines:
            out.line(text, style)


def _lines(one: ServiceDrift) -> Iterator[Line]:
    name, revision = one.service, f"revision {one.revision}"
    if not one.revision:
        yield f"{name}: declared and never deployed; look: fleetctl plan {name}", "yellow"
        return
    if one.nothing:
        compared = "" if one.play == "same" else " (no playbook here to compare with)"
        yield f"{name}: no drift: the fleet is at {revision}{compared}", "green"
        yield from _held(one)
        return
    if one.fleet is None:
        yield f"{name}: paused: {clean(one.paused)}; go on: fleetctl deploy {name}", "yellow"
    elif one.fleet.plan.nothing:
        yield f"{name}: the fleet is at {revision}, as recorded", ""
    else:
        first, *more = plan_lines(one.fleet.plan, f"the fleet differs; {one.fleet.reason}")
        yield first, "red"
        yield from ((line, "") for line in more)
        yield f"  mend it: fleetctl reconcile {name}", ""
    yield from _held(one)
    yield from _play(one)


def _held(one: ServiceDrift) -> Iterator[Line]:
    for name, state, until in one.held:
        end = f" until {moment(until)}" if until else ""
        yield f"  {clean(name)} is held in {state}{end}; end it: fleetctl lb ready {name}", ""


def _play(one: ServiceDrift) -> Iterator[Line]:
    keys = ", ".join(one.differs)
    match one.play:
        case "differs":
            yield (
                f"  its play declares something else ({keys}); look: fleetctl plan {one.service}",
                "yellow",
            )
        case "rolled_back":
            yield f"  its play still declares what was rolled back ({keys})", "yellow"
        case "undeclared":
            yield "  no play declares it; it goes on running as recorded", "yellow"
