"""An error as text: what, where (with the user's own line and a caret), what to do."""

from __future__ import annotations

from collections.abc import Iterator

from fleetctl.errors import Diagnostic, FleetError, InvalidFiles, Span
from fleetctl.ui.text import clean


def error_lines(error: FleetError) -> Iterator[str]:
    """Everything that stderr says about ``error``. InvalidFiles shows all its diagnostics,
    the count of several last."""
    if isinstance(error, InvalidFiles):
        for diagnostic in error.diagnostics:
            yield from diagnostic_lines(diagnostic)
        if len(error.diagnostics) > 1:
            yield f"error: {clean(error.message)}"
        return
    yield from _block("error", error.id, error.message, error.span, error.hint)


def diagnostic_lines(diagnostic: Diagnostic) -> Iterator[str]:
    kind = "warning" if diagnostic.warning else "error"
    yield from _block(kind, diagnostic.id, diagnostic.message, diagnostic.span, diagnostic.hint)


def failure_lines(error_id: str, message: str, hint: str, then: str) -> Iterator[str]:
    """Why a run can't go on, and what is done about it."""
    yield from _block("error", error_id, message, None, "")
    if then:
        yield f"  then: {clean(then)}"
    if hint:
        yield from _hint(hint)


def _block(kind: str, error_id: str, message: str, span: Span | None, hint: str) -> Iterator[str]:
    first, *more = clean(message, lines=True).rstrip("\n").split("\n")
    yield f"{kind}[{error_id}]: {first}"
    for line in more:
        yield f"  {line}"
    if span is not None:
        yield from _place(span)
    if hint:
        yield from _hint(hint)


def _place(span: Span) -> Iterator[str]:
    yield f"  --> {clean(str(span))}"
    if not span.line or not span.text:
        return
    number = str(span.line)
    yield f"  {number} | {clean(span.text.rstrip())}"
    if span.column:
        before = clean(span.text[: span.column - 1])
        yield f"  {' ' * len(number)} | {' ' * len(before)}^"


def _hint(hint: str) -> Iterator[str]:
    first, *more = clean(hint, lines=True).split("\n")
    yield f"  hint: {first}"
    for line in more:
        yield f"        {line}"
