"""``secrets.yml`` of a project: names of secret values, and where each is to be had."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from pydantic_core import PydanticCustomError

from fleetctl.config.positions import Located, place
from fleetctl.config.source import Unusable, escaped, read
from fleetctl.config.sources import KINDS, SECRET_NAME, source
from fleetctl.config.strict_yaml import load_strict
from fleetctl.config.templates import is_template
from fleetctl.errors import Diagnostic
from fleetctl.model.reference import Reference

NAME = "secrets.yml"
_SHAPE = "NAME: PATH, or NAME: {file: PATH}, {env: NAME} or {command: [...]}"
_read_source = source(known=tuple(kind for kind in KINDS if kind != "secret"))


def read_secrets(root: Path) -> tuple[Mapping[str, Reference], tuple[Diagnostic, ...]]:
    """What the file defines (nothing, where there is none), and what is wrong with it."""
    path = root / NAME
    if not path.exists():
        return {}, ()
    try:
        text = read(path)
        data, diagnostics = load_strict(text)
    except Unusable as error:
        return {}, (error.diagnostic,)
    found = list(diagnostics)
    if data is not None and not isinstance(data, Located):
        found.append(
            Diagnostic("bad-value", f"{NAME} is a mapping of names", text.span(0, 0), _SHAPE)
        )
    defined: dict[str, Reference] = {}
    for name in data if isinstance(data, Located) else ():
        problem = _problem(name, data)
        if problem is None:
            reference = _read_source(data[name]).reference
            defined[name] = replace(reference, span=data.span(name))
        elif problem.span not in {one.span for one in diagnostics}:
            found.append(problem)
    return defined, tuple(found)


def _problem(name: object, data: Located) -> Diagnostic | None:
    if not isinstance(name, str) or not SECRET_NAME.fullmatch(name):
        message = f'"{escaped(str(name))}" is no name for a secret'
        hint = "letters, digits, dots, - and _"
        return Diagnostic("bad-value", message, data.span(name, of_key=True), hint)
    value = data[name]
    if is_template(str(value)):
        hint = f"{NAME} is read as it is; templates are for plays"
        return Diagnostic("bad-value", f"{name}: a template", data.span(name), hint)
    try:
        _read_source(value)
    except PydanticCustomError as error:
        context = error.context or {}
        at = (name,) if context.get("at") is None else (name, context["at"])
        message = f"{name}: {context['message']}"
        span = place(data, at, of_key=len(at) > 1)
        return Diagnostic("bad-value", message, span, context["hint"] or _SHAPE)
    return None
