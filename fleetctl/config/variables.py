"""Variables of plays: what inventory, play and command line say, the last one winning."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fleetctl.config.inventory import Inventory
from fleetctl.config.notes import serious
from fleetctl.config.source import Source, Unusable, escaped, read
from fleetctl.config.strict_yaml import load_strict
from fleetctl.config.templates import Variables
from fleetctl.errors import Diagnostic, InvalidFiles, Usage

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def extra_vars(given: Sequence[str]) -> dict[str, Any]:
    """``-e`` options in their order: ``key=value`` (text, several as in a shell), ``@FILE``
    (YAML or JSON), or a mapping in JSON or YAML. Raises Usage and InvalidFiles."""
    found: dict[str, Any] = {}
    for text in given:
        if text.startswith("@"):
            found.update(_mapping(_read(Path(text[1:]))))
        elif text.lstrip().startswith("{"):
            found.update(_mapping(Source.of("-e", text)))
        else:
            found.update(_assignments(text))
    for name in found:
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise Usage(f'-e: "{escaped(str(name))}" is no name for a variable')
    return found


def _read(path: Path) -> Source:
    try:
        return read(path.expanduser())
    except Unusable as error:
        raise InvalidFiles((error.diagnostic,)) from None


def _mapping(source: Source) -> Mapping[Any, Any]:
    try:
        data, diagnostics = load_strict(source)
    except Unusable as error:
        raise InvalidFiles((error.diagnostic,)) from None
    if serious(diagnostics):
        raise InvalidFiles(diagnostics)
    if not isinstance(data, Mapping):
        message = "variables are a mapping: NAME: VALUE"
        raise InvalidFiles((Diagnostic("bad-value", message, source.span(0, 0)),))
    return data


def _assignments(text: str) -> dict[str, str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise Usage(f"-e {escaped(text)}: {error}") from None
    found: dict[str, str] = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            hint = "write -e NAME=VALUE, or -e @FILE"
            raise Usage(f'-e: "{escaped(word)}" has no value', hint=hint)
        found[name] = value
    return found


class PlayVariables:
    """What the templates of plays may use, over one inventory and one command line."""

    def __init__(self, inventory: Inventory, extra: Mapping[str, Any]) -> None:
        self.inventory = inventory
        self.extra = extra
        self._common: dict[tuple[str, ...], tuple[dict[str, Any], dict[str, str]]] = {}

    def of(self, hosts: tuple[str, ...], own: Mapping[str, Any]) -> Variables:
        """The variables of a play with its ``own`` vars on ``hosts``: of the inventory's
        those that are the same for all of them. Those of the command line are data, never
        templates."""
        common, unusable = self._common_of(hosts)
        values = {**common, **own, **self.extra}
        reasons = {name: why for name, why in unusable.items() if name not in values}
        return Variables(values, unusable=reasons, literal=frozenset(self.extra))

    def _common_of(self, hosts: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, str]]:
        if hosts not in self._common:
            self._common[hosts] = self._compare(hosts or self.inventory.names)
        return self._common[hosts]

    def _compare(self, hosts: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, str]]:
        common: dict[str, Any] = {}
        first: dict[str, str] = {}
        differs: dict[str, str] = {}
        counts: dict[str, int] = {}
        for host in hosts:
            for name, value in self.inventory.variables(host).values.items():
                counts[name] = counts.get(name, 0) + 1
                if name not in common:
                    common[name], first[name] = value, host
                elif name not in differs and common[name] != value:
                    differs[name] = f"has different values for {first[name]} and {host}"
        for name, count in counts.items():
            if name not in differs and count < len(hosts):
                differs[name] = f"is set for {count} of {len(hosts)} hosts only"
        for name in differs:
            del common[name]
        return common, differs
