"""Where a value that nobody may see is to be found."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fleetctl.errors import Span


@dataclass(frozen=True, slots=True)
class Reference:
    """A ``file`` (its path, from the project's folder), an ``env`` variable (its name), what a
    ``command`` prints (its words), or a ``secret`` (its name in secrets.yml). ``span`` is where
    that was written."""

    kind: Literal["file", "env", "command", "secret"]
    words: tuple[str, ...]
    span: Span | None = field(default=None, compare=False)
