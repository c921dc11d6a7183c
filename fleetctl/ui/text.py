"""Words and numbers for people. Text from hosts is made harmless before it is shown."""

from __future__ import annotations

from datetime import UTC, datetime

_BIDI = frozenset("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
_LINES = frozenset("\u2028\u2029\ufeff")


def clean(text: str, *, lines: bool = False) -> str:
    """``text`` without anything that moves a terminal's cursor or reorders what is read:
    control characters, direction marks and lone surrogates become escapes such as
    ``\\x1b``. With ``lines``, line breaks stay."""
    return "".join(c if _plain(c, lines) else _escape(c) for c in text.replace("\t", "    "))


def _plain(c: str, lines: bool) -> bool:
    code = ord(c)
    if c == "\n":
        return lines
    if code < 0x20 or 0x7F <= code < 0xA0 or 0xD800 <= code <= 0xDFFF:
        return False
    return c not in _BIDI and c not in _LINES


def _escape(c: str) -> str:
    code = ord(c)
    return {"\n": "\\n", "\r": "\\r"}.get(c) or (
        f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
    )


def duration(seconds: float) -> str:
    """``0.4s``, ``12s``, ``3m05s``, ``2h10m``, ``4d``."""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m{whole % 60:02d}s"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 86400}d"


def moment(seconds: float) -> str:
    """Seconds since the epoch as a UTC time; empty for 0, which stands for never."""
    if not seconds:
        return ""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def size(count: int) -> str:
    """Bytes as ``512M`` or ``7.8G``; ``0`` for none."""
    value = float(count)
    for unit in ("", "K", "M", "G"):
        if value < 1024:
            return f"{value:.0f}{unit}" if value == round(value) else f"{value:.1f}{unit}"
        value /= 1024
    return f"{value:.1f}T"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def some(names: list[str], most: int = 3) -> str:
    """``a, b, c and 7 more``."""
    if len(names) <= most + 1:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {len(names) - most} more"


def image_name(reference: str) -> str:
    """An image reference short enough for a table: twelve digits of its digest."""
    name, found, digest = reference.partition("@sha256:")
    if found:
        return f"{name}@{digest[:12]}"
    return reference[: len("sha256:") + 12] if reference.startswith("sha256:") else reference
