"""One text file of the user's: read with its limits, and able to point at itself."""

from __future__ import annotations

import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path

from fleetctl.errors import Diagnostic, Span

MAX_BYTES = 1 << 20
MAX_LINE = 300
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Unusable(Exception):
    """A file that can't be read any further; ``diagnostic`` says why and where."""

    def __init__(self, diagnostic: Diagnostic) -> None:
        super().__init__(diagnostic.message)
        self.diagnostic = diagnostic


@dataclass(frozen=True, slots=True)
class Source:
    """The text of a file under the name that people see. Lines count from 0 here."""

    file: str
    text: str
    lines: tuple[str, ...]

    @classmethod
    def of(cls, file: str, text: str) -> Source:
        return cls(file, text, tuple(re.split(r"\r\n|\r|\n", text)))

    def span(self, line: int, column: int) -> Span:
        """The place of a character; both numbers from 0, as parsers count."""
        text = self.lines[line] if line < len(self.lines) else ""
        return Span(self.file, line + 1, column + 1, text[:MAX_LINE])


def shown(path: Path) -> str:
    """``path`` as people see it: below the working directory, else whole."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def escaped(text: str) -> str:
    """``text`` on one line, with every character outside of plain ASCII as its code point."""
    return "".join(c if c.isascii() and c.isprintable() else f"<U+{ord(c):04X}>" for c in text)


def read(path: Path, *, limit: int = MAX_BYTES, private: bool = True) -> Source:
    """The file's text. Raises Unusable: no regular file, unreadable, over ``limit`` bytes,
    not UTF-8, control characters, or (``private``) writable by everybody."""
    name = shown(path)
    raw = _bytes(path, name, limit, private)
    if raw[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise Unusable(_bad_encoding(Span(name), "is UTF-16"))
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = raw[: error.start].decode("utf-8-sig", "replace")
        source = Source.of(name, raw.decode("utf-8-sig", "replace"))
        place = source.span(before.count("\n"), len(before) - before.rfind("\n") - 1)
        raise Unusable(_bad_encoding(place, f"has the byte 0x{raw[error.start]:02x}")) from None
    source = Source.of(name, text)
    for number, line in enumerate(source.lines):
        if found := _CONTROL.search(line):
            code = ord(found.group())
            raise Unusable(
                Diagnostic(
                    "control-character",
                    f"control character U+{code:04X} in {name}",
                    source.span(number, found.start()),
                    "remove it, or write it as an escape in double quotes",
                )
            )
    return source


def _bytes(path: Path, name: str, limit: int, private: bool) -> bytes:
    def unusable(reason: str, hint: str = "") -> Unusable:
        return Unusable(Diagnostic("unreadable-file", f"{name} {reason}", Span(name), hint))

    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise unusable("is not a regular file")
        if private and found.st_mode & stat.S_IWOTH:
            raise unusable("may be written by everybody on this machine", f"chmod o-w {name}")
        if private and found.st_mode & stat.S_IWGRP and found.st_gid != found.st_uid:
            raise unusable("may be written by a whole group of users", f"chmod g-w {name}")
        if found.st_size > limit:
            raise unusable(f"has {found.st_size} bytes; at most {limit} are read")
        return path.read_bytes()
    except OSError as error:
        raise unusable(f"can't be read: {error.strerror}") from None


def _bad_encoding(span: Span, reason: str) -> Diagnostic:
    return Diagnostic(
        "bad-encoding", f"{span.file} {reason}; files are UTF-8", span, "save it as UTF-8"
    )
