"""Ansible's host patterns: ``app:&eu:!retired``, globs, ``~regex``, ``web[0]``, ``web[1:3]``."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Iterable

from fleetctl.config.groups import Tree
from fleetctl.config.hostnames import is_address, split_port

_SUBSCRIPT = re.compile(r"(.+)\[(?:(-?[0-9]+)|([0-9]+)[:-]([0-9]*))\]")
_PARTS = re.compile(r"(?:[^\s:\[\]]|\[[^\]]*\])+")


def split(pattern: str) -> tuple[str, ...]:
    """The single patterns of ``pattern``, apart at commas, else at colons that are neither
    of a range nor of an address. Raises ValueError."""
    if "," in pattern:
        parts = pattern.split(",")
    elif is_address(split_port(pattern)[0]):
        parts = [pattern]
    else:
        parts = _PARTS.findall(pattern)
        if any("".join(parts).count(c) < pattern.count(c) for c in "[]"):
            raise ValueError("[ and ] come in pairs")  # without it, other hosts would be meant
    return tuple(part.strip() for part in parts if part.strip())


def match(tree: Tree, pattern: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The hosts that ``pattern`` means, in the inventory's order, and those of its single
    patterns that name nothing. First what is added, then ``&``, then ``!``. Raises
    ValueError for a bad regular expression or an index that isn't there."""
    parts = split(pattern)
    added = [part for part in parts if part[0] not in "&!"] or ["all"]
    hosts: list[str] = []
    unknown: list[str] = []
    for part in (*added, *(p for p in parts if p[0] == "&"), *(p for p in parts if p[0] == "!")):
        that = _single(tree, part.lstrip("&!") if part[0] in "&!" else part)
        if that is None:
            unknown.append(part)
        found = that or ()
        if part[0] == "&":
            hosts = [host for host in hosts if host in set(found)]
        elif part[0] == "!":
            hosts = [host for host in hosts if host not in set(found)]
        else:
            hosts = list(dict.fromkeys([*hosts, *found]))
    return tuple(hosts), tuple(unknown)


def _single(tree: Tree, pattern: str) -> tuple[str, ...] | None:
    """None where it names no group and no host."""
    if not pattern:
        return None
    if pattern in tree.hosts:
        return (pattern,)
    subscript = None if pattern[0] == "~" else _SUBSCRIPT.fullmatch(pattern)
    expression = subscript[1] if subscript else pattern
    groups = _matching(tree.groups, expression)
    found = [host for group in groups for host in tree.members(group)]
    if not groups or expression[0] == "~" or any(c in expression for c in ".?*["):
        found += _matching(tree.hosts, expression)
    if not found:
        return () if groups or pattern == "all" else None
    if subscript:  # Ansible counts a host once for each group that the pattern names
        found = _cut(found, subscript, pattern)
    return tuple(dict.fromkeys(found))


def _matching(names: Iterable[str], pattern: str) -> list[str]:
    regex = pattern[1:] if pattern[0] == "~" else fnmatch.translate(pattern)
    try:
        compiled = re.compile(regex)
    except re.error as error:
        raise ValueError(f"{pattern}: {error}") from None
    return [name for name in names if compiled.match(name)]


def _cut(hosts: list[str], subscript: re.Match[str], pattern: str) -> list[str]:
    _, index, first, last = subscript.groups()
    if index is None:
        return hosts[int(first) : int(last) + 1 if last else None]
    try:
        return [hosts[int(index)]]
    except IndexError:
        raise ValueError(f"{pattern}: there are only {len(hosts)} hosts") from None
