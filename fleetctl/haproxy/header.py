"""The mark on a file that is ours: its first line, its end, and what they prove.

The first line carries the config_id and the SHA-256 of everything below it, so that a file
which was edited by hand, or cut where a line ends, is told from a whole one.
"""

from __future__ import annotations

import hashlib
import re

MARK = "# fleetctl/1 "
END = "# end of fleetctl's file\n"
NOTE = "# Written by fleetctl, and written over by its next change: edit the playbook instead.\n"
EDITED = "edited"

_FIRST = re.compile(re.escape(MARK) + r"config_id=([0-9a-f]{16}) sha256=([0-9a-f]{64})")
_DESCRIPTION = re.compile(r"fleetctl config_id=([0-9a-f]{16}) skeleton=([0-9a-f]{16})")


def seal(body: str, config_id: str) -> str:
    """The whole file around ``body``, which ends with a newline."""
    rest = f"{NOTE}{body}{END}"
    return f"{MARK}config_id={config_id} sha256={checksum(rest.encode())}\n{rest}"


def body_of(text: str) -> str:
    """What ``seal`` was given."""
    return text.split("\n", 1)[1].removeprefix(NOTE).removesuffix(END)


def checksum(rest: bytes) -> str:
    return hashlib.sha256(rest).hexdigest()


def file_id(first_line: str, rest_checksum: str) -> str:
    """The config_id of a file, from its first line and the SHA-256 of the rest. Empty for a
    file that isn't ours, ``edited`` for one of ours that isn't as it was written."""
    found = _FIRST.fullmatch(first_line.rstrip("\n"))
    if not found:
        return EDITED if first_line.startswith(MARK) else ""
    return found[1] if found[2] == rest_checksum else EDITED


def description(config_id: str, skeleton: str) -> str:
    """What stands in ``global description``: it names the file that a worker has loaded."""
    return f"fleetctl config_id={config_id} skeleton={skeleton}"


def read_description(text: str) -> tuple[str, str]:
    """(config_id, skeleton) of a running worker; empty ones for a foreign file."""
    found = _DESCRIPTION.fullmatch(text.strip())
    return (found[1], found[2]) if found else ("", "")
