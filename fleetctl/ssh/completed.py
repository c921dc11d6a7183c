"""What a command on a host came to."""

from __future__ import annotations

from dataclasses import dataclass

from fleetctl.errors import CommandFailed

SHOWN = 400


def printable(data: bytes, limit: int = SHOWN) -> str:
    """The end of a host's words on one line, with nothing in it that moves a terminal."""
    text = data.decode("utf-8", "backslashreplace").strip()
    line = "; ".join(part.strip() for part in text.splitlines() if part.strip())
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return line if len(line) <= limit else "..." + line[-limit:]


def advice(words: str, host: str) -> str:
    """What to do about a command's last words, where that is plain."""
    if "no space left" in words.lower():
        return f"make room on {host}: `df -h` and `df -i` there show which disk is full"
    return ""


@dataclass(frozen=True, slots=True)
class Completed:
    """Exit code, output and errors of a command that ended by itself."""

    code: int
    out: bytes
    err: bytes
    host: str = ""

    def check(self, what: str) -> Completed:
        """Itself, or CommandFailed when the code isn't 0. ``what`` says what was tried."""
        if self.code == 0:
            return self
        words = printable(self.err) or printable(self.out) or "no output"
        raise CommandFailed(
            f"{self.host}: {what} failed with code {self.code}: {words}",
            code=self.code,
            hint=advice(words, self.host),
            host=self.host,
        )
