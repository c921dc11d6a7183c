"""One host's variables, read with types: what is wrong is noted at the place that set it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleetctl.config.groups import Vars
from fleetctl.config.notes import Notes
from fleetctl.config.ordinary_yaml import WrittenFloat, WrittenInt
from fleetctl.config.source import escaped
from fleetctl.config.templates import Rendered, TemplateError, Variables
from fleetctl.errors import Diagnostic


class HostView:
    """``name``'s variables. Each reader returns its default where the variable is missing,
    null or wrong."""

    def __init__(self, name: str, own: Vars, magic: Mapping[str, Any], notes: Notes) -> None:
        self.name = name
        self.own = own
        self.notes = notes
        self._variables = Variables({**own.values, **magic})

    def note(self, variable: str, message: str, hint: str = "", *, warning: bool = False) -> None:
        span = self.own.spans.get(variable)
        text = f"{variable}: {message}" if span else f"{variable} of {self.name}: {message}"
        id = "host-variable" if not variable.startswith("fleetctl_") else "fleetctl-variable"
        self.notes.add(Diagnostic(id, text, span, hint, warning))

    def get(self, variable: str) -> Any:
        """The rendered value; None where it is missing or can't be rendered (noted)."""
        if variable not in self.own.values:
            return None
        try:
            return self._variables[variable]
        except TemplateError as error:
            self.note(variable, error.message, error.hint)
            return None

    def first(self, *variables: str) -> str:
        """The first of ``variables`` that is set, else the first of all."""
        return next((v for v in variables if self.own.values.get(v) is not None), variables[0])

    def text(self, variable: str, default: str = "") -> str:
        value = self.get(variable)
        if value is None:
            return default
        return self.as_text(variable, value, default)

    def as_text(self, variable: str, value: Any, default: str = "") -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, int) and not isinstance(value, (bool, WrittenInt)):
            return str(value)
        written = value.text if isinstance(value, (WrittenInt, WrittenFloat)) else value
        self.note(variable, f"expected text, found {kind(value)}", f'put it in quotes: "{written}"')
        return default

    def whole(self, variable: str, default: int, low: int, high: int) -> int:
        value = self.get(variable)
        if value is None:
            return default
        if isinstance(value, Rendered) and value.isdecimal():
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or isinstance(value, WrittenInt):
            self.note(variable, f"expected a whole number, found {kind(value)}")
            return default
        if not low <= value <= high:
            self.note(variable, f"{value} is not between {low} and {high}")
            return default
        return value

    def truth(self, variable: str, default: bool = False) -> bool:
        value = self.get(variable)
        if value is None:
            return default
        if isinstance(value, str) and value.lower() in ("true", "yes", "on", "1"):
            return True
        if isinstance(value, str) and value.lower() in ("false", "no", "off", "0"):
            return False
        if isinstance(value, (bool, int)):
            return bool(value)
        self.note(variable, f"expected true or false, found {kind(value)}")
        return default

    def mapping(self, variable: str, known: tuple[str, ...] | None) -> Mapping[str, Any]:
        """A mapping with no other keys than ``known`` (None: any)."""
        value = self.get(variable)
        if value is None:
            return {}
        if not isinstance(value, Mapping):
            self.note(variable, f"expected a mapping, found {kind(value)}")
            return {}
        for key in value:
            if known is not None and key not in known:
                words = ", ".join(known)
                self.note(variable, f'unknown key "{escaped(str(key))}"', f"known: {words}")
        return {str(key): item for key, item in value.items()}


def kind(value: Any) -> str:
    """What ``value`` is, for people."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (WrittenInt, WrittenFloat)):
        return f"the number {value + 0}, written {value.text}"
    if isinstance(value, (int, float)):
        return f"the number {value}"
    if isinstance(value, str):
        return f'"{escaped(value[:60])}"'
    return "a list" if isinstance(value, (list, tuple)) else "a mapping"
