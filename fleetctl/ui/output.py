"""Where words and data go: stderr and stdout, each with or without colour.

A reader that went away (a closed pipe or terminal) never stops a run: what can't be
written is dropped, and the command ends with the exit code it would have had.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO, cast

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

WIDE = 10_000
"""Columns of what is not a terminal: nothing is folded there."""


class Lasting:
    """A stream that never fails: once a write does, the rest is dropped. Rich would end the
    process on a closed pipe, in the middle of a run."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.encoding = stream.encoding or "utf-8"

    def write(self, text: str) -> int:
        try:
            self._stream.write(text)
        except (OSError, ValueError):
            silence(self._stream)
        return len(text)

    def flush(self) -> None:
        try:
            self._stream.flush()
        except (OSError, ValueError):
            silence(self._stream)


class Output:
    """One stream. ``terminal`` tells whether a person looks at it, ``color`` whether to
    paint, ``animated`` whether to draw a view that moves; they are decided apart."""

    def __init__(
        self, stream: TextIO, *, color: str = "auto", env: Mapping[str, str] = os.environ
    ) -> None:
        self._stream = Lasting(stream)
        self._env = env
        self.terminal = is_terminal(stream)
        self.color = wants_color(color, self.terminal, env)
        self.animated = self.terminal and env.get("TERM") != "dumb" and not env.get("CI")
        self._console: Console | None = None

    @property
    def console(self) -> Console:
        """A rich console on this stream that interprets no markup and no emoji codes."""
        if self._console is None:
            from rich.console import Console

            self._console = Console(
                file=cast(TextIO, self._stream),
                force_terminal=self.terminal or self.color,
                no_color=not self.color,
                color_system=_color_system(self.color, self.terminal),
                width=None if self.terminal else WIDE,
                markup=False,
                emoji=False,
                highlight=False,
                soft_wrap=True,
                legacy_windows=False,
                _environ=self._env,
            )
        return self._console

    def line(self, text: str, style: str = "") -> None:
        """One line (or several, with line breaks in ``text``), written at once."""
        if self.color and style:
            self.console.print(text, style=style)
        else:
            self._stream.write(text + "\n")
        self._stream.flush()

    def show(self, renderable: RenderableType) -> None:
        """A table or another rich object."""
        self.console.print(renderable)

    def json(self, document: Any, *, indent: int | None = None) -> None:
        import json

        self.line(json.dumps(document, indent=indent, ensure_ascii=True))


def _color_system(color: bool, terminal: bool) -> Any:
    if not color:
        return None
    return "auto" if terminal else "standard"


def is_terminal(stream: TextIO) -> bool:
    try:
        return stream.isatty()
    except ValueError:
        return False


def wants_color(wish: str, terminal: bool, env: Mapping[str, str]) -> bool:
    """``--color`` first, then NO_COLOR (set and not empty), then the terminal."""
    if wish != "auto":
        return wish == "always"
    return terminal and not env.get("NO_COLOR") and env.get("TERM") != "dumb"


def silence(stream: TextIO) -> None:
    """Points a broken standard stream at /dev/null, so that nothing raises any more, the
    interpreter's own flush at exit included."""
    try:
        number = stream.fileno()
    except (OSError, ValueError):
        return
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, number)
    os.close(null)


def stdout(color: str = "auto") -> Output:
    return Output(sys.stdout, color=color)


def stderr(color: str = "auto") -> Output:
    return Output(sys.stderr, color=color)
