"""Data that knows where it was written: mappings and lists with the place of every item."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias

from fleetctl.config.source import Source
from fleetctl.errors import Span

Mark: TypeAlias = tuple[int, int]
"""Line and column, from 0."""


class Located(dict[Any, Any]):
    """A mapping of a file. ``marks`` has the places of each key and of its value."""

    __slots__ = ("at", "marks", "source")

    def __init__(self, source: Source, at: Mark) -> None:
        super().__init__()
        self.source = source
        self.at = at
        self.marks: dict[Any, tuple[Mark, Mark]] = {}

    def put(self, key: Any, value: Any, key_at: Mark, value_at: Mark) -> None:
        self[key] = value
        self.marks[key] = (key_at, value_at)

    def span(self, key: Any = None, *, of_key: bool = False) -> Span:
        """The place of ``key``'s value (or of the key itself), else of the mapping."""
        marks = self.marks.get(key)
        return self.source.span(*(self.at if marks is None else marks[0 if of_key else 1]))


class LocatedList(list[Any]):
    """A list of a file. ``marks`` has the place of each item."""

    __slots__ = ("at", "marks", "source")

    def __init__(self, source: Source, at: Mark) -> None:
        super().__init__()
        self.source = source
        self.at = at
        self.marks: list[Mark] = []

    def put(self, value: Any, at: Mark) -> None:
        self.append(value)
        self.marks.append(at)

    def span(self, index: int) -> Span:
        return self.source.span(*(self.marks[index] if index < len(self.marks) else self.at))


def place(data: Any, path: Sequence[Any], *, of_key: bool = False) -> Span | None:
    """Where ``path`` below ``data`` was written; where it ends early, the deepest place that
    is known. None when ``data`` came from no file."""
    found: Span | None = data.source.span(*data.at) if hasattr(data, "at") else None
    for number, part in enumerate(path):
        if isinstance(data, Located) and part in data.marks:
            last = number == len(path) - 1
            found = data.span(part, of_key=of_key and last)
        elif isinstance(data, LocatedList) and isinstance(part, int) and part < len(data.marks):
            found = data.span(part)
        else:
            break
        data = data[part]
    return found
