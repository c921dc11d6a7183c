"""Durations, sizes and shares as people write them."""

from __future__ import annotations

import re

_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SIZE = re.compile(r"(\d+(?:\.\d+)?)([bkmgt])(?:i?b)?", re.IGNORECASE)
_POWERS = {"b": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_PERCENT = re.compile(r"(\d{1,3})%")


def duration(text: str) -> float:
    """``500ms``, ``5s``, ``1m30s``, ``1h``, ``180d``, ``0`` in seconds. Raises ValueError."""
    if text == "0":
        return 0.0
    if not _DURATION.fullmatch(text):
        raise ValueError(f'"{text}" is no duration; write a number with its unit: 500ms, 5s, 2m')
    return round(sum(float(n) * _SECONDS[unit] for n, unit in _PART.findall(text)), 6)


def size(text: str) -> int:
    """``256M``, ``1G``, ``1.5GiB`` in bytes; units are powers of 1024. Raises ValueError."""
    if text == "0":
        return 0
    found = _SIZE.fullmatch(text)
    if not found:
        raise ValueError(f'"{text}" is no size; write a number with its unit: 512K, 256M, 1G')
    return int(float(found[1]) * 1024 ** _POWERS[found[2].lower()])


def percent(text: str) -> int:
    """The number before ``%``, at most 100. Raises ValueError."""
    found = _PERCENT.fullmatch(text)
    if not found or int(found[1]) > 100:
        raise ValueError(f'"{text}" is no share; write a number, or a percentage up to 100%')
    return int(found[1])
