"""How a play's values are read: text of a template as the field's type, anything else strictly."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from pydantic_core import PydanticCustomError

from fleetctl.config import addresses, units
from fleetctl.config.host_view import kind
from fleetctl.config.source import escaped
from fleetctl.config.templates import Rendered

_COOKIE = r"[A-Za-z_][A-Za-z0-9_-]{0,63}"
_TRUE, _FALSE = ("true", "True"), ("false", "False")


def wrong(message: str, hint: str = "", *, at: Any = None) -> PydanticCustomError:
    """An error that is shown as it is: what is wrong, what to do, and the key or index
    below the field that it is about."""
    return PydanticCustomError(
        "fleetctl", "{message}", {"message": message, "hint": hint, "at": at}
    )


def expected(what: str, value: Any, hint: str = "", *, at: Any = None) -> PydanticCustomError:
    return wrong(f"expected {what}, found {kind(value)}", hint, at=at)


def _number(value: Any) -> Any:
    if isinstance(value, Rendered) and re.fullmatch(r"-?\d{1,18}", value.strip()):
        return int(value)
    if isinstance(value, Rendered) and re.fullmatch(r"-?\d{1,18}\.\d{1,18}", value.strip()):
        return float(value)
    return value


def _unquoted(value: Any) -> str:
    number = isinstance(value, str) and re.fullmatch(r"-?\d+(\.\d+)?", value)
    return "write it without quotes" if number else ""


def whole(low: int, high: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        value = _number(value)
        if isinstance(value, bool) or not isinstance(value, int):
            raise expected("a whole number", value, _unquoted(value))
        if not low <= value <= high:
            raise wrong(f"{value} is not between {low} and {high}")
        return value

    return read


def cpus(value: Any) -> float:
    value = _number(value)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise expected("a number of cpus", value, _unquoted(value))
    if not 0 <= value <= 4096:
        raise wrong(f"{value} is not between 0 and 4096")
    return float(value)


def truth(value: Any) -> bool:
    if isinstance(value, Rendered) and value in (*_TRUE, *_FALSE):
        return value in _TRUE
    if not isinstance(value, bool):
        raise expected("true or false", value)
    return value


def text(value: Any) -> str:
    if not isinstance(value, str):
        hint = "" if isinstance(value, (dict, list)) or value is None else _quoted(value)
        raise expected("text", value, hint)
    if "\0" in value:
        raise wrong("text with the character U+0000")
    return str(value)


def _quoted(value: Any) -> str:
    return f'put it in quotes: "{str(value).lower() if isinstance(value, bool) else value}"'


def matching(pattern: str, what: str, hint: str = "") -> Callable[[Any], str]:
    regex = re.compile(pattern)

    def read(value: Any) -> str:
        found = text(value)
        if not regex.fullmatch(found):
            raise wrong(f'"{escaped(found[:100])}" is no {what}', hint)
        return found

    return read


def one_of(*choices: str, later: tuple[str, ...] = ()) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        found = text(value)
        if found in later:
            raise wrong(
                f'"{found}" is not supported by this version', f"use {' or '.join(choices)}"
            )
        if found not in choices:
            raise wrong(f'"{escaped(found[:60])}" is none of {", ".join(choices)}')
        return found

    return read


def with_unit(read: Callable[[str], Any], what: str, examples: str) -> Callable[[Any], Any]:
    def convert(value: Any) -> Any:
        if value == 0 and not isinstance(value, (bool, str)):
            return read("0")
        if not isinstance(value, str):
            raise expected(what, value, f"give its unit: {examples}")
        try:
            return read(value.strip() if isinstance(value, Rendered) else value)
        except ValueError as error:
            raise wrong(escaped(str(error))) from None

    return convert


def share(value: Any) -> str:
    value = _number(value)
    if isinstance(value, int) and not isinstance(value, bool):
        if 0 <= value <= 10_000:
            return str(value)
        raise wrong(f"{value} is not between 0 and 10000")
    if not isinstance(value, str):
        raise expected("a number or a percentage", value)
    try:
        units.percent(value)
    except ValueError as error:
        raise wrong(escaped(str(error)), _unquoted(value)) from None
    return str(value)


def batch(value: Any) -> str:
    if (found := share(value)) in ("0", "0%"):
        raise wrong("a batch of nothing", "write 1 or more, or a percentage")
    return found


def words(value: Any) -> list[str]:
    """A command: a list, or one line that is split as a shell does."""
    if isinstance(value, str):
        try:
            return shlex.split(value)
        except ValueError as error:
            raise wrong(f"not a command line: {error}") from None
    if not isinstance(value, list):
        raise expected("a list of words", value)
    return [text(item) for item in value]


def test_command(value: Any) -> list[str]:
    """A check inside the container as Compose writes it: one line for a shell, or a list
    that begins with CMD or CMD-SHELL. Without CMD: what is run."""
    if isinstance(value, str):
        return ["CMD-SHELL", text(value)]
    found = words(value)
    if found[:1] == ["CMD"] and len(found) > 1:
        return found[1:]
    if found == ["NONE"] or (found[:1] == ["CMD-SHELL"] and len(found) == 2):
        return found
    raise wrong("expected [CMD, PROGRAM, ...] or [CMD-SHELL, LINE]")


def one_or_more(read: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    def convert(value: Any) -> list[Any]:
        return [read(item) for item in value] if isinstance(value, list) else [read(value)]

    return convert


def network(value: Any) -> str:
    """ADDRESS/BITS, or an address alone."""
    found = text(value)
    try:
        return addresses.network(found)
    except ValueError as error:
        message, hint = error.args
        raise wrong(escaped(message), hint) from None


def sticky(value: Any) -> str:
    """``true``, the name of a cookie, or nothing for ``false``."""
    if isinstance(value, str) and not (isinstance(value, Rendered) and value in (*_TRUE, *_FALSE)):
        return matching(_COOKIE, "name for a cookie", "letters, digits, - and _")(value)
    return "true" if truth(value) else ""


def _setting(key: Any, value: Any) -> tuple[str, str]:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise expected("text", value, _quoted(value) if isinstance(value, bool) else "", at=key)
    return text(str(key)), text(str(value))


def pairs(separators: str = "=") -> Callable[[Any], dict[str, str]]:
    """A mapping, or a list of ``key=value``. Numbers become text, truth values do not."""

    def read(value: Any) -> dict[str, str]:
        if isinstance(value, Mapping):
            return dict(_setting(key, item) for key, item in value.items())
        if not isinstance(value, list):
            raise expected("a mapping", value)
        found: dict[str, str] = {}
        for index, item in enumerate(value):
            parts = re.split(f"[{separators}]", text(item), maxsplit=1)
            name = escaped(parts[0][:60])
            if len(parts) != 2:
                raise wrong(f'"{name}" has no value', f"write {name}{separators[0]}VALUE", at=index)
            if parts[0] in found:
                raise wrong(f'"{name}" is there twice', at=index)
            found[parts[0]] = parts[1]
        return found

    return read
