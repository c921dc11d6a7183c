"""Jinja2, once, sandboxed and strict, over variables that are templated only when used."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Iterator, Mapping
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from fleetctl.config.ordinary_yaml import Unsafe, WrittenFloat, WrittenInt

_PURE = re.compile(r"\s*\{\{(?:(?!\{\{|\}\}|\{%).)*\}\}\s*", re.DOTALL)
_NAME = re.compile(r"'([^']+)' is undefined")
MOST = 1_000_000
_GLOBALS = {"range": jinja2.sandbox.safe_range, "dict": dict}


class Rendered(str):
    """Text that a template gave: a field that wants a number or a truth value reads it."""

    __slots__ = ()


class TemplateError(Exception):
    """Why a template gives nothing. ``undefined`` tells whether a variable is missing."""

    def __init__(self, message: str, hint: str = "", *, undefined: bool = False) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.undefined = undefined


def is_template(text: str) -> bool:
    return "{{" in text or "{%" in text or "{#" in text


class Variables(Mapping[str, Any]):
    """Variables by name. Reading one renders the templates in it; ``unusable`` are names
    that have no one value, each with the reason; ``literal`` are never rendered."""

    def __init__(
        self,
        values: Mapping[str, Any],
        *,
        unusable: Mapping[str, str] | None = None,
        literal: frozenset[str] = frozenset(),
    ) -> None:
        self._values = values
        self._unusable = unusable or {}
        self._literal = literal
        self._done: dict[str, Any] = {}
        self._open: list[str] = []
        self.outputs: list[Any] = []

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, name: object) -> bool:
        return name in self._values or name in self._unusable or name in _GLOBALS

    def __getitem__(self, name: str) -> Any:
        if name in self._unusable:
            raise TemplateError(f'variable "{name}" {self._unusable[name]}')
        if name not in self._values:
            return _GLOBALS[name]
        if name in self._literal:
            return self._values[name]
        if name not in self._done:
            if name in self._open:
                way = " -> ".join([*self._open[self._open.index(name) :], name])
                raise TemplateError(f"variables refer to each other in a circle: {way}")
            self._open.append(name)
            try:
                self._done[name] = self.render(self._values[name])
            finally:
                self._open.pop()
        return self._done[name]

    def render(self, value: Any) -> Any:
        """``value`` with every template in it evaluated. Raises TemplateError."""
        if isinstance(value, str):
            evaluated = is_template(value) and not isinstance(value, Unsafe)
            return self._text(value) if evaluated else value
        if isinstance(value, Mapping):
            return {key: self.render(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.render(item) for item in value]
        return value

    def _text(self, text: str) -> Any:
        before, self.outputs = self.outputs, []
        try:
            template = _compiled(text)
            context = template.new_context(self, shared=True)  # type: ignore[arg-type]
            result = "".join(template.root_render_func(context))
            outputs = self.outputs
        except TemplateError:
            raise
        except jinja2.UndefinedError as error:
            raise self._undefined(error) from None
        except jinja2.TemplateError as error:
            raise TemplateError(f"template: {error.message}") from None
        except (ArithmeticError, LookupError, MemoryError, TypeError, ValueError) as error:
            raise TemplateError(f"template: {type(error).__name__}: {error}") from None
        finally:
            self.outputs = before
        if len(outputs) == 1 and isinstance(outputs[0], (dict, list)) and _PURE.fullmatch(text):
            return outputs[0]
        return Rendered(result)

    def _undefined(self, error: jinja2.UndefinedError) -> TemplateError:
        found = _NAME.fullmatch(error.message or "")
        if not found:
            return TemplateError(f"template: {error.message}", undefined=True)
        name = found[1]
        if name in ("inventory_hostname", "ansible_host", "hostvars", "group_names"):
            hint = "it differs from host to host; a play is one service with one value"
        elif near := difflib.get_close_matches(name, list(self._values), 1):
            hint = f'did you mean "{near[0]}"?'
        else:
            hint = f"set it under vars:, in group_vars/all.yml, or with -e {name}=VALUE"
        return TemplateError(f'variable "{name}" is not defined', hint, undefined=True)


@jinja2.pass_context
def _finalize(context: Any, value: Any) -> Any:
    """Looks at each value that goes into the text."""
    if isinstance(value, (WrittenInt, WrittenFloat)):
        raise TemplateError(
            f"a variable written as {value.text} is read as the number {value + 0}",
            f'put it in quotes where it is set: "{value.text}"',
        )
    if value is None:
        raise TemplateError("a variable in this template is null", "give it a value")
    if isinstance(context.parent, Variables):
        context.parent.outputs.append(value)
    return value


class _Sandbox(ImmutableSandboxedEnvironment):
    """Also refuses to make what would not fit into memory out of a few characters."""

    intercepted_binops = frozenset({"*", "**"})

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "*" and hasattr(right, "__len__"):
            left, right = right, left
        size = len(left) if hasattr(left, "__len__") else 0
        if operator == "**" and isinstance(left, int):
            size = left.bit_length()
        if isinstance(right, int) and size * right > MOST:
            raise TemplateError(f"template: {operator} would make something of over {MOST} items")
        return super().call_binop(context, operator, left, right)


@functools.lru_cache(maxsize=4096)
def _compiled(text: str) -> jinja2.Template:
    return _environment().from_string(text)


@functools.cache
def _environment() -> jinja2.Environment:
    found = _Sandbox(
        undefined=jinja2.StrictUndefined, keep_trailing_newline=True, finalize=_finalize
    )
    found.globals.clear()
    return found
