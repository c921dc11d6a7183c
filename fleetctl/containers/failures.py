"""What a container engine says when it refuses, as errors for people."""

from __future__ import annotations

import re

from docker.errors import APIError

from fleetctl.errors import (
    DiskFull,
    EngineFailed,
    FleetError,
    ImageMissing,
    NameTaken,
    PortTaken,
)

LONGEST = 400
_PLACE = re.compile(
    r"(?:Bind for|listen \w+|host port for) ((?:\d+\.){3}\d+:\d+|\[[0-9a-fA-F:]+\]:\d+)"
)
_HOLDER = re.compile(r'in use by container "([0-9a-f]{12})')


def said(error: APIError) -> str:
    """The engine's own words: one line, bounded."""
    text = str(error.explanation or error)
    return shorten(text)


def shorten(text: str) -> str:
    """``text`` on one line, cut to a length that a message can carry."""
    line = plain(" ".join(text.split()))
    return line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."


def plain(text: str) -> str:
    """``text`` with nothing in it that moves a terminal."""
    return "".join(
        c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text
    )


def refusal(error: APIError, what: str, host: str) -> FleetError:
    """The typed error for an answer of 400 and above to ``what`` ("starting web-1-2-ab12")."""
    return explain(said(error), error.status_code or 0, what, host)


def explain(text: str, status: int, what: str, host: str) -> FleetError:
    """As ``refusal``, for errors that come inside of a stream (``status`` 0)."""
    lower = text.lower()
    where = f"{what} on {host} failed"
    if "no space left on device" in lower or "disk quota exceeded" in lower:
        return DiskFull(
            f"{where}: the disk is full ({text})",
            hint=f"free space on {host} (docker system df shows what takes it), then run it again",
            host=host,
        )
    if "port is already allocated" in lower or "address already in use" in lower:
        place = _PLACE.search(text)
        return PortTaken(
            f"{where}: {place[1]} is held by something else"
            if place
            else f"{where}: its port is held by something else ({text})",
            hint=f"see what listens there (ss -ltnp on {host}), then run it again",
            host=host,
        )
    if status == 409 and "is already in use by container" in lower:
        holder = _HOLDER.search(text)
        return NameTaken(
            f"{where}: another container has that name",
            hint=f"look at it (docker inspect {holder[1] if holder else ''} on {host}), and rename"
            " or remove it if it is nobody's",
            host=host,
        )
    if "unexpected eof" in lower or "verification failed" in lower:
        return EngineFailed(
            f"{where}: {text}",
            hint="the registry's answer was cut, or isn't what its digest says: look at the"
            " registry, and at proxies on the way to it",
            host=host,
        )
    if "no such image" in lower or "manifest unknown" in lower:
        return ImageMissing(f"{where}: {text}", hint="push the image, or name another", host=host)
    if status == 404 and "no such container" in lower:
        return EngineFailed(
            f"{where}: the container is gone",
            hint="run the command again: it looks at the host first",
            host=host,
        )
    if "oci runtime create failed" in lower or "executable file not found" in lower:
        return EngineFailed(
            f"{where}: {text}",
            hint="check command, entrypoint, user and working_dir against the image",
            host=host,
        )
    return EngineFailed(f"{where}: {text}", hint=_hint(status, host), host=host)


def _hint(status: int, host: str) -> str:
    if status == 400:
        return "the engine refuses these settings: correct them in the play"
    if status >= 500:
        return f"the engine's log tells more (journalctl -u docker on {host})"
    return ""
