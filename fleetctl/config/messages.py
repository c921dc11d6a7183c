"""What pydantic finds wrong with a play, in words and with its place."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import ValidationError

from fleetctl.config.host_view import kind
from fleetctl.config.positions import Located, place
from fleetctl.config.schema import HARMLESS, NOT_YET, PARTS, Play
from fleetctl.config.source import escaped
from fleetctl.errors import Diagnostic

_SHAPES = {"model_type": "a mapping", "dict_type": "a mapping", "list_type": "a list"}


def without_later_keys(play: Any, data: dict[str, Any]) -> tuple[dict[str, Any], list[Diagnostic]]:
    """``data`` without keys that this version doesn't know yet, and an error for each that
    asks for something. ``play`` is the same as it was written."""
    found: list[Diagnostic] = []

    def strip(part: Any, name: str, path: tuple[Any, ...]) -> Any:
        if not isinstance(part, dict):
            return part
        for key in NOT_YET.get(name, ()):
            if key in part and part[key] and part[key] not in HARMLESS.get(key, ()):
                span = place(play, (*path, key), of_key=True)
                message = f'"{_dotted((*path, key))}" is not supported by this version'
                found.append(Diagnostic("not-supported", message, span, "take it out"))
        return {key: value for key, value in part.items() if key not in NOT_YET.get(name, ())}

    data = strip(data, "", ())
    for name in PARTS:
        if isinstance(data.get(name), list):
            data[name] = [strip(p, name, (name, i)) for i, p in enumerate(data[name])]
        elif name in data:
            data[name] = strip(data[name], name, (name,))
    return data, found


def diagnose(play: Any, error: ValidationError) -> list[Diagnostic]:
    """A diagnostic for each error; ``play`` is the play as it was written."""
    return [_one(play, found) for found in error.errors(include_url=False)]


def _one(play: Any, error: Any) -> Diagnostic:
    path = tuple(part for part in error["loc"] if part != "[key]")
    context = error.get("ctx", {})
    if context.get("at") is not None:
        path = (*path, context["at"])
    what = error["type"]
    if what == "extra_forbidden":
        return _unknown_key(play, path)
    if what == "missing":
        name = play.get("service") if isinstance(play, Located) else None
        of = f" of {escaped(str(name))}" if name and path != ("service",) else ""
        message = f'"{_dotted(path)}" is missing from the play{of}'
        return Diagnostic("missing-key", message, place(play, path[:-1]), f"add {path[-1]}:")
    if what == "fleetctl":
        message, hint = context["message"], context["hint"]
    elif what in _SHAPES:
        message, hint = f"expected {_SHAPES[what]}, found {kind(error['input'])}", ""
    else:
        message, hint = escaped(error["msg"]), ""
    span = place(play, path, of_key="[key]" in error["loc"])
    return Diagnostic("bad-value", f"{_dotted(path)}: {message}", span, hint)


def _unknown_key(play: Any, path: tuple[Any, ...]) -> Diagnostic:
    above = next((str(name) for name in reversed(path[:-1]) if not isinstance(name, int)), None)
    part = Play if above is None else PARTS.get(above)
    known = list(part.model_fields) if part else []
    key = escaped(str(path[-1]))
    near = difflib.get_close_matches(key, known, 1)
    hint = f'did you mean "{near[0]}"?' if near else f"known here: {', '.join(sorted(known))}"
    of = f" in {_dotted(path[:-1])}" if len(path) > 1 else ""
    span = place(play, path, of_key=True)
    return Diagnostic("unknown-key", f'unknown key "{key}"{of}', span, hint)


def _dotted(path: tuple[Any, ...]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{escaped(str(part))}"
    return text.lstrip(".")
