"""An inventory in Ansible's INI form into the tree of groups."""

from __future__ import annotations

import ast
import re
import shlex
import warnings
from typing import Any

from fleetctl.config.groups import Tree
from fleetctl.config.hostnames import expand
from fleetctl.config.source import Source, Unusable, escaped
from fleetctl.errors import Diagnostic, Span

_SECTION = re.compile(r"\[([^:\]\s]+)(?::(\w+))?\]\s*(?:#.*)?")
_GROUP = re.compile(r"([^:\]\s]+)\s*(?:#.*)?")
_LITERALS = (str, int, float, bool, type(None), list, tuple, dict, set)


class _Wrong(Exception):
    pass


def read_ini_inventory(tree: Tree, source: Source) -> None:
    """Adds the hosts, groups and variables of ``source`` to ``tree``. Raises Unusable with
    the line of the first mistake."""
    section, kind = "ungrouped", "hosts"
    declared = set(tree.groups)
    children: list[tuple[str, str, Span]] = []
    variables: list[tuple[str, Span]] = []
    for number, raw in enumerate(source.lines):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        at = source.span(number, len(raw) - len(raw.lstrip()))
        try:
            if found := _SECTION.fullmatch(line):
                section, kind = found[1], found[2] or "hosts"
                _open_section(tree, kind, section)
                if kind == "vars":
                    variables.append((section, at))
                else:
                    declared.add(section)
            elif line.startswith("[") and line.endswith("]"):
                raise _Wrong(f"{line} is no section: there are no spaces in [GROUP:KIND]")
            elif kind == "hosts":
                _hosts(tree, section, line, at)
            elif kind == "vars":
                _variable(tree, section, line, at)
            else:
                found = _GROUP.fullmatch(line)
                if not found:
                    raise _Wrong(f"expected a group's name, found {line}")
                children.append((section, found[1], at))
        except (_Wrong, ValueError) as error:
            raise _unusable(str(error), at) from None
    for group, at in variables:
        if group not in declared and not any(child == group for _, child, _ in children):
            raise _unusable(f"[{group}:vars] is of a group that no section declares", at)
    for parent, child, at in children:
        if child not in declared:
            raise _unusable(f'group "{child}" below [{parent}:children] has no section', at)
        try:
            tree.add_child(parent, child)
        except ValueError as error:
            raise _unusable(str(error), at) from None


def _unusable(message: str, at: Span) -> Unusable:
    return Unusable(Diagnostic("bad-inventory", escaped(message), at))


def _open_section(tree: Tree, kind: str, name: str) -> None:
    if kind not in ("hosts", "children", "vars"):
        raise _Wrong(f"[{name}:{kind}]: a section is of hosts, children or vars")
    tree.add_group(name)


def _hosts(tree: Tree, group: str, line: str, at: Span) -> None:
    tokens = shlex.split(line, comments=True)
    if not tokens:
        return
    names, port = expand(tokens[0])
    if tokens[0].endswith(":") and port is None:
        raise _Wrong(f"{tokens[0]}: a port is missing after the colon")
    if tokens[0] == "---":
        raise _Wrong("--- begins a YAML file; name it with .yml")
    values: dict[str, Any] = {}
    for token in tokens[1:]:
        key, equals, text = token.partition("=")
        if not equals:
            raise _Wrong(f"expected key=value after the host, found {token}")
        values[key] = literal(text)
    for name in names:
        new = name not in tree.hosts
        own = tree.add_host(name, group, at)
        if new and port is not None:
            own.put("ansible_port", port, at)
        for key, value in values.items():
            own.put(key, value, at)


def _variable(tree: Tree, group: str, line: str, at: Span) -> None:
    key, equals, text = line.partition("=")
    if not equals:
        raise _Wrong(f"expected key=value, found {line}")
    tree.set_group_variable(group, key.strip(), literal(text.strip()), at)


def literal(text: str) -> Any:
    """``text`` as the Python literal that it is, else as itself: Ansible's rule for INI."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)
            value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text
    return _plain(value) if isinstance(value, _LITERALS) else text


def _plain(value: Any) -> Any:
    if isinstance(value, (list, tuple, set)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return value
