"""Asks before a change that can't be made good quickly."""

from __future__ import annotations

import select
import sys
from collections.abc import Callable

from fleetctl.cli.wishes import Wishes
from fleetctl.engine.options import StopSignal
from fleetctl.errors import Cancelled, Interrupted, Refused
from fleetctl.model.plan import Plan
from fleetctl.ui.sink import Sink
from fleetctl.ui.text import plural


def ask_consent(plan: Plan, wishes: Wishes, sink: Sink, stop: StopSignal) -> None:
    """Lets a plan pass that leaves its service an instance, or that ``--yes`` was given
    for. Raises Cancelled when a person says no, Interrupted for Ctrl-C,
    Refused where nobody can be asked."""
    summary = plan.summary
    had = summary.remove + summary.keep + summary.replace + summary.move
    if wishes.yes or plan.unplaced or summary.remove < max(had, 1):
        return
    what = f"{plan.service}: takes away {summary.remove} of {plural(had, 'instance')}"
    ask(what, wishes, stop, before=sink.pause)


def ask(
    what: str, wishes: Wishes, stop: StopSignal, *, before: Callable[[], None] | None = None
) -> None:
    """Passes with ``--yes``, or when a person says so; ``before`` is done before they are
    asked. Raises as ``ask_consent``."""
    if wishes.yes:
        return
    if not can_ask(wishes):
        raise Refused(f"{what}; nothing was changed", hint="consent to it with --yes")
    if before is not None:
        before()
    sys.stderr.write(f"{what}. Go on? [y/N] ")
    sys.stderr.flush()
    if _answer(stop) not in ("y", "yes"):
        raise Cancelled(f"{what.partition(':')[0]}: cancelled; nothing was changed")


def can_ask(wishes: Wishes) -> bool:
    """Whether there is a person to ask."""
    return not (wishes.no_input or wishes.json) and sys.stdin.isatty() and sys.stderr.isatty()


def _answer(stop: StopSignal) -> str:
    """One line from the terminal; looks up from it for a signal."""
    while not select.select([sys.stdin], [], [], 0.2)[0]:
        if stop.asked:
            raise Interrupted("stopped; nothing was changed", signal_number=stop.number)
    return sys.stdin.readline().strip().lower()
