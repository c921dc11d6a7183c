"""An inventory in Ansible's YAML form into the tree of groups."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fleetctl.config.groups import Tree, Vars
from fleetctl.config.hostnames import expand
from fleetctl.config.positions import Located
from fleetctl.config.source import Source, Unusable, escaped
from fleetctl.errors import Diagnostic, Span

_EXPORT = "export it once: ansible-inventory -i SOURCE --list --yaml > hosts.yml"


def read_yaml_inventory(tree: Tree, source: Source, data: Any) -> tuple[Diagnostic, ...]:
    """Adds ``data`` to ``tree`` and returns warnings. Raises Unusable."""
    top = Span(source.file, 1, 1, source.lines[0])
    if not isinstance(data, Mapping) or not data:
        kind = "is empty" if not data else f"is a {type(data).__name__.removeprefix('Located')}"
        hint = "an inventory is a mapping of groups: all: {hosts: {NAME: {}}}"
        raise Unusable(Diagnostic("bad-inventory", f"the inventory {kind}", top, hint))
    if data.get("plugin"):
        message = "inventory plugins aren't run"
        raise Unusable(Diagnostic("bad-inventory", message, top, _EXPORT))
    reader = _Reader(tree, source)
    for name in data:
        reader.group(name, data)
    return tuple(reader.warnings)


class _Reader:
    def __init__(self, tree: Tree, source: Source) -> None:
        self.tree = tree
        self.source = source
        self.warnings: list[Diagnostic] = []

    def span(self, data: Any, key: Any) -> Span:
        if isinstance(data, Located) and key in data.marks:
            return data.span(key, of_key=True)
        return Span(self.source.file)

    def fail(self, message: str, span: Span, hint: str = "") -> Unusable:
        return Unusable(Diagnostic("bad-inventory", message, span, hint))

    def warn(self, message: str, span: Span) -> None:
        self.warnings.append(Diagnostic("ignored-key", message, span, warning=True))

    def group(self, name: Any, parent: Mapping[Any, Any]) -> None:
        at = self.span(parent, name)
        body = parent[name]
        if not isinstance(name, str) or not name:
            raise self.fail(f"group name {name!r} is no text", at, "put it in quotes")
        if body is not None and not isinstance(body, Mapping):
            self.warn(f'"{escaped(name)}" is no group: it holds no mapping', at)
            return
        self.tree.add_group(name)
        for key, value in (body or {}).items():
            if key not in ("vars", "children", "hosts"):
                message = f'"{escaped(str(key))}" in group "{escaped(name)}" is ignored'
                self.warn(
                    f"{message}; only hosts, children and vars are read", self.span(body, key)
                )
                continue
            items = {value: None} if isinstance(value, str) else value
            if items is not None and not isinstance(items, Mapping):
                hint = "write each name as a key with a colon: web1: {}"
                message = f'"{key}" of group "{escaped(name)}" is no mapping'
                raise self.fail(message, self.span(body, key), hint)
            if items:
                self.section(name, key, items)

    def section(self, group: str, key: str, items: Mapping[Any, Any]) -> None:
        for name in items:
            at = self.span(items, name)
            try:
                if key == "vars":
                    self.tree.set_group_variable(group, str(name), items[name], at)
                elif key == "children":
                    self.group(name, items)
                    if name in self.tree.groups:
                        self.tree.add_child(group, name)
                else:
                    self.hosts(group, name, items[name], at)
            except (ValueError, TypeError) as error:
                raise self.fail(escaped(str(error)), at) from None

    def hosts(self, group: str, pattern: Any, body: Any, at: Span) -> None:
        if not isinstance(pattern, str) or not pattern:
            raise self.fail(f"host name {pattern!r} is no text", at, "put it in quotes")
        if body is not None and not isinstance(body, Mapping):
            message = f'the variables of host "{escaped(pattern)}" are no mapping'
            raise self.fail(message, at, "write NAME: {key: value}")
        names, port = expand(pattern)
        for name in names:
            new = name not in self.tree.hosts
            own = self.tree.add_host(name, group, at)
            if new and port is not None:
                own.put("ansible_port", port, at)
            put_all(own, body or {}, at)


def put_all(target: Vars, body: Mapping[Any, Any], at: Span | None) -> None:
    """Sets every variable of ``body``, with its own place where it has one."""
    for key, value in body.items():
        span = at
        if isinstance(body, Located) and key in body.marks:
            span = body.span(key, of_key=True)
        name = str(key).lower() if isinstance(key, bool) else str(key)
        target.put(name, value, span)
