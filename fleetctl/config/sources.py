"""Where a play finds what nobody may see: a path, or one of file, env, command and secret."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from fleetctl.config.host_view import kind
from fleetctl.config.reading import expected, text, words, wrong
from fleetctl.config.source import escaped
from fleetctl.model.codec import digest
from fleetctl.model.reference import Reference

KINDS = ("file", "env", "command", "secret")
SECRET_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_HINT = "write a path, or {file: PATH}, {env: NAME}, {command: [...]} or {secret: NAME}"


@dataclass(frozen=True, slots=True)
class WrittenSource:
    """``key`` is where the key of a certificate is that isn't beside it."""

    reference: Reference
    key: Reference | None = None


def source(*, known: tuple[str, ...] = KINDS, key: bool = False) -> Any:
    """Reads one; ``key`` tells whether a key may stand beside it."""

    def read(value: Any) -> WrittenSource:
        if isinstance(value, str):
            return WrittenSource(_file(value))
        if not isinstance(value, Mapping):
            raise expected("a path or a mapping", value, _HINT)
        allowed = (*known, "key") if key else known
        for name in value:
            if name not in allowed:
                near = difflib.get_close_matches(str(name), allowed, 1)
                hint = f'did you mean "{near[0]}"?' if near else f"known: {', '.join(allowed)}"
                raise wrong(f'unknown key "{escaped(str(name))}"', hint, at=name)
        kinds = [name for name in known if name in value]
        if len(kinds) != 1:
            found = " and ".join(kinds) or "none of them"
            raise wrong(f"one of {', '.join(known)}; found {found}", _HINT)
        reference = _READERS[kinds[0]](value[kinds[0]])
        return WrittenSource(reference, _beside(value["key"], known) if "key" in value else None)

    return read


def _beside(value: Any, known: tuple[str, ...]) -> Reference:
    found: WrittenSource = source(known=known)(value)
    return found.reference


def name_of(reference: Reference) -> str:
    """What a certificate from there is called. Raises ValueError where that can't be."""
    first = reference.words[0]
    if reference.kind == "command":
        return f"command-{digest(reference.words, 8)}"
    if reference.kind == "file":
        path = PurePath(first)
        first = path.stem if path.suffix in (".pem", ".crt", ".cer") else path.name
    if not SECRET_NAME.fullmatch(first):
        raise ValueError(f'"{escaped(first)}" is no name for a certificate')
    return first


def _file(value: Any) -> Reference:
    path = text(value)
    if "\n" in path or path.startswith("-----BEGIN"):
        raise wrong("this is a secret itself", f"keep it in a file; {_HINT}")
    if not path or not path.isprintable():
        raise wrong(f'"{escaped(path[:100])}" is no path', _HINT)
    return Reference("file", (path,))


def _env(value: Any) -> Reference:
    name = text(value)
    if not _VARIABLE.fullmatch(name):
        raise wrong(f'env: "{escaped(name[:60])}" is no name for a variable', at="env")
    return Reference("env", (name,))


def _command(value: Any) -> Reference:
    if not isinstance(value, list) or not value or not value[0]:
        hint = "command: [PROGRAM, ARGUMENT]; no shell reads it"
        raise wrong(f"command: expected a list of words, found {kind(value)}", hint, at="command")
    return Reference("command", tuple(words(value)))


def _secret(value: Any) -> Reference:
    name = text(value)
    if not SECRET_NAME.fullmatch(name):
        raise wrong(f'secret: "{escaped(name[:60])}" is no name for a secret', at="secret")
    return Reference("secret", (name,))


_READERS = {"file": _file, "env": _env, "command": _command, "secret": _secret}
