"""What the lowering of a play goes by: the play, its places, and what was found wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fleetctl.config.positions import place
from fleetctl.config.schema import Play
from fleetctl.errors import Diagnostic, Span
from fleetctl.model.reference import Reference

RouteKey = tuple[int, str, str, tuple[tuple[str, str], ...]]


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the route ``route`` takes from ``reference``: the certificate of that name for
    ``host``, with its key from ``key`` unless it is beside it, or, without a name, users."""

    route: RouteKey
    reference: Reference
    certificate: str = ""
    key: Reference | None = None
    host: str = ""


@dataclass(slots=True)
class Lowering:
    """``root`` is the project's folder; ``wanted`` is what is still to be had of secrets, and
    ``places`` are those of the routes."""

    play: Play
    written: Any
    root: Path
    notes: list[Diagnostic] = field(default_factory=list)
    wanted: list[Wanted] = field(default_factory=list)
    places: dict[RouteKey, Span] = field(default_factory=dict)

    def note(self, path: tuple[Any, ...], message: str, hint: str = "") -> None:
        """At the value that ``path`` leads to."""
        span = place(self.written, path)
        self.notes.append(Diagnostic("bad-value", message, span, hint))

    def note_key(
        self, path: tuple[Any, ...], message: str, hint: str = "", *, warning: bool = False
    ) -> None:
        """At the last key of ``path``."""
        span = place(self.written, path, of_key=True)
        self.notes.append(Diagnostic("bad-value", message, span, hint, warning))


def port_of(work: Lowering, path: tuple[Any, ...], name: str | None) -> str:
    """The port ``name``, by default the only one."""
    known: list[str] = sorted(work.play.expose)
    if name is None and len(known) == 1:
        return known[0]
    if name is None:
        problem = f"port is missing; expose has {len(known)} ports"
        hint = f"port: one of {', '.join(known)}" if known else "expose: {http: 8080}"
        work.note(path, f"{path[0]}: {problem}", hint)
    elif name not in known:
        hint = f"known: {', '.join(known)}" if known else f"add expose: {{{name}: PORT}}"
        work.note((*path, "port"), f'{path[0]}: no port "{name}" under expose', hint)
    return name or ""
