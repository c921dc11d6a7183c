"""Names of hosts as inventories write them: ``web[01:50]``, ``db[a:c].example``, ``web:2222``."""

from __future__ import annotations

import ipaddress
import re
import string

MAX_HOSTS = 100_000
_RANGE = re.compile(r"\[([^\]]*)\]")
_RANGE_IN_NAME = r"\[(?:[a-z]:[a-z]|[0-9]+:[0-9]+)(?::[0-9]+)?\]"
_LABEL = rf"(?:\w|{_RANGE_IN_NAME})(?:[\w-]|{_RANGE_IN_NAME})*(?<![_-])"
_HOSTNAME = re.compile(rf"{_LABEL}(?:\.{_LABEL})*", re.IGNORECASE)
_IPV6_RANGE = re.compile(r"\[[0-9a-f]+:[0-9a-f]+(?::[0-9]+)?\]", re.IGNORECASE)
_BRACKETED = re.compile(r"\[(.+)\]:([0-9]+)")
_WITH_PORT = re.compile(r"((?:[^:\[\]]|\[[^\]]*\])*):([0-9]+)")


def is_address(text: str) -> bool:
    """Whether ``text`` is one host or range of hosts: a name or an IP address."""
    if _HOSTNAME.fullmatch(text):
        return True
    try:
        ipaddress.ip_address(_IPV6_RANGE.sub("0", text))
    except ValueError:
        return False
    return True


def split_port(text: str) -> tuple[str, int | None]:
    """``name:port`` or ``[address]:port`` taken apart; anything else is all name."""
    found = _BRACKETED.fullmatch(text) or _WITH_PORT.fullmatch(text)
    if found and is_address(found[1]):
        return found[1], int(found[2])
    return text, None


def expand(pattern: str) -> tuple[tuple[str, ...], int | None]:
    """The host names that an inventory's line means, and their port. Raises ValueError."""
    name, port = split_port(pattern)
    names = [name]
    while names and "[" in names[0]:
        if len(names) * len(_expand_first(names[0])) > MAX_HOSTS:
            raise ValueError(f"more than {MAX_HOSTS} hosts")
        names = [one for n in names for one in _expand_first(n)]
    return tuple(names), port


def _expand_first(name: str) -> list[str]:
    found = _RANGE.search(name)
    if found is None:
        raise ValueError("a [ without its ]")
    head, tail = name[: found.start()], name[found.end() :]
    return [f"{head}{middle}{tail}" for middle in _range(found[1])]


def _range(text: str) -> list[str]:
    parts = text.split(":")
    if len(parts) not in (2, 3):
        raise ValueError(f"[{text}]: a range is [first:last] or [first:last:step]")
    first, last = parts[0] or "0", parts[1]
    step = parts[2] if len(parts) == 3 else "1"
    if not last:
        raise ValueError(f"[{text}]: a range needs its last value")
    if not step.isdecimal() or int(step) == 0:
        raise ValueError(f"[{text}]: the step is a number above 0")
    letters = string.ascii_letters
    if len(first) == len(last) == 1 and first in letters and last in letters:
        begin, end = letters.index(first), letters.index(last)
        if begin > end:
            raise ValueError(f"[{text}]: the first value is after the last")
        return list(letters[begin : end + 1 : int(step)])
    if not (first.isdecimal() and last.isdecimal()):
        raise ValueError(f"[{text}]: a range is of two numbers or of two letters")
    if first[0] == "0" and len(first) > 1 and len(first) != len(last):
        raise ValueError(f"[{text}]: with leading zeros both ends have as many digits")
    width = len(first) if first[0] == "0" else 0
    if int(last) - int(first) > MAX_HOSTS:
        raise ValueError(f"more than {MAX_HOSTS} hosts")
    return [str(n).zfill(width) for n in range(int(first), int(last) + 1, int(step))]
