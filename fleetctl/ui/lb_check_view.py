"""``lb check`` for people and for scripts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fleetctl.model.codec import encode
from fleetctl.model.lb import BalancerCheck, Finding
from fleetctl.ui.output import Output
from fleetctl.ui.text import clean, plural

SCHEMA = "fleetctl.lb-check/1"
STYLES = {"ok": "green", "warning": "yellow", "error": "red"}


def check_document(found: Sequence[BalancerCheck]) -> dict[str, Any]:
    """``ok`` of a balancer: nothing was found that is an error."""
    balancers = [{"name": one.name, "ok": not one.failed} | encode(one) for one in found]
    return {"schema": SCHEMA, "balancers": balancers}


def show_checks(
    out: Output, found: Sequence[BalancerCheck], *, brief: bool = False, verbose: bool = False
) -> None:
    """A verdict for each balancer, then what is wrong and what to do; with ``verbose`` what is
    in order too."""
    for one in found:
        errors = [finding for finding in one.findings if finding.level == "error"]
        warned = [finding for finding in one.findings if finding.level == "warning"]
        words = f"{plural(len(errors), 'error')}" if errors else "in order"
        if warned:
            words += f", {plural(len(warned), 'warning')}"
        if not one.reached:
            words = "can't be asked"
        style = "error" if errors else "warning" if warned else "ok"
        out.line(clean(f"{one.name}: {words}"), STYLES[style])
        for finding in () if brief else one.findings:
            if verbose or finding.level != "ok":
                _finding(out, finding)


def _finding(out: Output, finding: Finding) -> None:
    kind = "" if finding.level == "ok" else f"{finding.level}: "
    words = clean(f"  {finding.check}: {kind}{finding.message}")
    out.line(words, "" if finding.level == "ok" else STYLES[finding.level])
    if finding.hint:
        out.line(clean(f"    {finding.hint}"))
