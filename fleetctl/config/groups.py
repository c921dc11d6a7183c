"""Groups, hosts and their own variables, in the shape that Ansible gives them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from fleetctl.errors import Span


@dataclass(slots=True)
class Vars:
    """Variables and the places where they are set. Values are as written: not templated."""

    values: dict[str, Any] = field(default_factory=dict)
    spans: dict[str, Span] = field(default_factory=dict)

    def put(self, name: str, value: Any, span: Span | None) -> None:
        self.values[name] = value
        if span is not None:
            self.spans[name] = span

    def update(self, other: Vars) -> None:
        """``other`` wins; a mapping replaces a mapping, as Ansible does by default."""
        self.values.update(other.values)
        self.spans.update(other.spans)


@dataclass(slots=True)
class Group:
    """``hosts`` are its own; ``priority`` decides among groups of one depth."""

    name: str
    hosts: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    parents: list[str] = field(default_factory=list)
    vars: Vars = field(default_factory=Vars)
    priority: int = 1


class Tree:
    """All groups and hosts of an inventory, in the order in which they were first named."""

    def __init__(self) -> None:
        self.groups: dict[str, Group] = {}
        self.hosts: dict[str, Vars] = {}
        self._ancestors: dict[str, frozenset[str]] = {}
        self._depths: dict[str, int] = {}
        self._groups_of: dict[str, tuple[str, ...]] | None = None
        for name in ("all", "ungrouped"):
            self.add_group(name)
        self.add_child("all", "ungrouped")

    def add_group(self, name: str) -> Group:
        return self.groups.setdefault(name, Group(name))

    def add_host(self, name: str, group: str, at: Span | None) -> Vars:
        if name not in self.groups[group].hosts or name not in self.hosts:
            self.groups[group].hosts.append(name)
        own = self.hosts.setdefault(name, Vars())
        if at is not None:
            own.spans.setdefault("inventory_hostname", at)
        return own

    def add_child(self, parent: str, child: str) -> None:
        """Raises ValueError for a group that would be below itself."""
        if parent == child or child in self._above(parent):
            raise ValueError(f'group "{child}" would be below itself')
        if child not in self.groups[parent].children:
            self.groups[parent].children.append(child)
            self.groups[child].parents.append(parent)

    def _above(self, name: str) -> set[str]:
        found: set[str] = set()
        left = list(self.groups[name].parents)
        while left:
            parent = left.pop()
            if parent not in found:
                found.add(parent)
                left += self.groups[parent].parents
        return found

    def set_group_variable(self, group: str, name: str, value: Any, span: Span | None) -> None:
        """``ansible_group_priority`` is no variable but the group's rank. Raises ValueError
        when it is no number."""
        if name == "ansible_group_priority":
            self.groups[group].priority = int(value)
        else:
            self.groups[group].vars.put(name, value, span)

    def settle(self) -> None:
        """After all files: every group is below ``all``, every host without a group of its
        own is in ``ungrouped``, and in no other case."""
        for name in list(self.groups):
            if name != "all" and not self.groups[name].parents:
                self.add_child("all", name)
        grouped = {
            host
            for group in self.groups.values()
            if group.name not in ("all", "ungrouped")
            for host in group.hosts
        }
        ungrouped = self.groups["ungrouped"]
        ungrouped.hosts = [host for host in ungrouped.hosts if host not in grouped]
        known = set(ungrouped.hosts)
        ungrouped.hosts += [h for h in self.hosts if h not in grouped and h not in known]

    def ancestors(self, name: str) -> frozenset[str]:
        if name not in self._ancestors:
            self._ancestors[name] = frozenset(self._above(name))
        return self._ancestors[name]

    def depth(self, name: str) -> int:
        """The longest way down to it from a group without a parent."""
        if name not in self._depths:
            parents = self.groups[name].parents
            self._depths[name] = 1 + max(map(self.depth, parents)) if parents else 0
        return self._depths[name]

    def ranked(self, names: Iterable[str]) -> list[str]:
        """By depth, priority and name: later ones override earlier ones."""
        return sorted(names, key=lambda n: (self.depth(n), self.groups[n].priority, n))

    def groups_of(self, host: str) -> tuple[str, ...]:
        """All groups that ``host`` is in, directly or not, ``all`` among them, ranked."""
        if self._groups_of is None:
            found: dict[str, set[str]] = {name: {"all"} for name in self.hosts}
            for group in self.groups.values():
                for member in group.hosts:
                    found[member] |= {group.name, *self.ancestors(group.name)}
            self._groups_of = {h: tuple(self.ranked(names)) for h, names in found.items()}
        return self._groups_of[host]

    def members(self, name: str) -> tuple[str, ...]:
        """The hosts of a group and of all groups below it, nearest groups first."""
        seen: dict[str, None] = {name: None}
        level = [name]
        while level:
            level = [c for g in level for c in self.groups[g].children if c not in seen]
            seen.update(dict.fromkeys(level))
        return tuple(dict.fromkeys(h for g in seen for h in self.groups[g].hosts))
