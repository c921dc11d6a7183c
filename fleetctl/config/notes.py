"""Diagnostics while they are collected."""

from __future__ import annotations

from collections.abc import Iterable

from fleetctl.errors import Diagnostic


def serious(diagnostics: Iterable[Diagnostic]) -> bool:
    """Whether one of them is more than a warning."""
    return any(not d.warning for d in diagnostics)


class Notes:
    """Diagnostics, each once: a group's mistake is not repeated for each of its hosts."""

    def __init__(self) -> None:
        self.found: dict[tuple[object, ...], Diagnostic] = {}

    def add(self, diagnostic: Diagnostic) -> None:
        span = diagnostic.span
        key = (diagnostic.id, span, "" if span and span.line else diagnostic.message)
        self.found.setdefault(key, diagnostic)

    @property
    def all(self) -> tuple[Diagnostic, ...]:
        return tuple(self.found.values())

    @property
    def errors(self) -> bool:
        return serious(self.found.values())
