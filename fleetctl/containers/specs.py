"""Specs beside containers: each revision whole, on every host that has an instance of it.

A file is two lines of JSON, the first with the checksum of the second:

    {"schema":1,"sha256":"…"}
    {"committed":12,"record_hosts":[…],"revision":{…}}
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Sequence

from fleetctl.containers.facts import ROOT
from fleetctl.errors import Refused
from fleetctl.model.codec import canonical, decode
from fleetctl.model.evidence import StoredSpec
from fleetctl.model.record import Fence
from fleetctl.ssh.connection import Connection

SCHEMA = 1

_HEAD = re.compile(rb'\{"schema":(\d+),"sha256":"([0-9a-f]{64})"\}')
_PATH = re.compile(r"([a-z][a-z0-9-]{0,39})/([0-9]{1,9})\.json", re.ASCII)

_READ_ONE = r"""
[ ! -e "$1/specs/$2" ] || cat -- "$1/specs/$2"
"""
_READ_ALL = r"""
[ -e "$1/specs" ] || exit 0
cd "$1/specs" || exit 74
for file in */*.json; do
    [ -f "$file" ] || continue
    printf '@ %s\n' "$file"
    cat -- "$file"
    echo
done
"""
# The text is taken in before anything is replaced, so that a dying connection leaves no stump.
_KEEP = r"""
umask 077
root=$1 name=specs/$2 size=$3
text=$(cat)
[ $((${#text} + 1)) -eq "$size" ] || { echo "the text came in cut" >&2; exit 74; }
mkdir -p "$root/${name%/*}" && cd "$root" || exit 74
flush() { sync "$1" 2>/dev/null || sync; }
printf '%s\n' "$text" >"$name.new.$$" && flush "$name.new.$$" && mv -f "$name.new.$$" "$name" &&
    flush "${name%/*}" || { rm -f -- "$name.new.$$"; exit 74; }
"""
_DROP = r"""
cd "$1/specs/$2" 2>/dev/null || exit 0
shift 2
rm -f -- "$@" *.new.*
cd .. && rmdir -- "$OLDPWD" 2>/dev/null
:
"""


class Specs:
    """The folder ``specs`` of one host. Raises HostError, CommandFailed, DeadlinePassed."""

    def __init__(self, connection: Callable[[], Connection], root: str = ROOT) -> None:
        self._connection = connection
        self._root = root

    def keep(self, stored: StoredSpec, fence: Fence) -> bool:
        """Puts ``stored`` there unless the same spec lies there already, committed as late.
        Tells whether it wrote."""
        name = _name(stored)
        shell = self._connection().shell()
        done = shell.run(_READ_ONE, self._root, name).check(f"reading the spec {name}")
        known = _parsed(name, done.out)
        if (
            known is not None
            and known.revision.spec == stored.revision.spec
            and known.committed >= stored.committed
        ):
            return False
        text = to_text(stored)
        self._connection().shell(fence).run(
            _KEEP, self._root, name, str(len(text)), input=text
        ).check(f"writing the spec {name}")
        return True

    def drop(self, service: str, revisions: Sequence[int], fence: Fence) -> None:
        """Takes the specs of these revisions away; one that is gone already is fine."""
        names = [f"{number}.json" for number in revisions]
        self._connection().shell(fence).run(_DROP, self._root, service, *names).check(
            f"removing old specs of {service}"
        )

    def read(self) -> tuple[tuple[StoredSpec, ...], tuple[str, ...]]:
        """All whole specs, and the names of the files that are damaged. Raises Refused for
        one of a newer fleetctl."""
        done = self._connection().shell().run(_READ_ALL, self._root).check("reading the specs")
        texts: dict[str, bytearray] = {}
        current: bytearray | None = None
        for line in done.out.splitlines(keepends=True):
            name = line[2:].strip().decode(errors="replace") if line.startswith(b"@ ") else ""
            if name:
                current = texts.setdefault(name, bytearray())
            elif current is not None:
                current += line
        found = {name: _parsed(name, bytes(text)) for name, text in sorted(texts.items())}
        good = tuple(stored for stored in found.values() if stored is not None)
        return good, tuple(name for name, stored in found.items() if stored is None)


def to_text(stored: StoredSpec) -> bytes:
    """The file that holds ``stored``."""
    body = canonical(stored).encode()
    checksum = hashlib.sha256(body).hexdigest()
    return f'{{"schema":{SCHEMA},"sha256":"{checksum}"}}\n'.encode() + body + b"\n"


def _name(stored: StoredSpec) -> str:
    name = f"{stored.service}/{stored.revision.number}.json"
    if _PATH.fullmatch(name) is None:
        raise ValueError(f"not a service's revision: {name!r}")
    return name


def _parsed(name: str, text: bytes) -> StoredSpec | None:
    """None for a file that is missing, cut, changed, or another revision's."""
    head, _, body = text.rstrip(b"\n").partition(b"\n")
    match = _HEAD.fullmatch(head)
    if match is None or _PATH.fullmatch(name) is None:
        return None
    if int(match[1]) > SCHEMA:
        raise Refused(
            f"the spec {name} was written by a newer fleetctl (schema {int(match[1])}; this one "
            f"reads {SCHEMA})",
            hint="upgrade fleetctl on this machine",
        )
    if hashlib.sha256(body).hexdigest() != match[2].decode():
        return None
    try:
        stored: StoredSpec = decode(StoredSpec, json.loads(body))
    except ValueError:
        return None
    return stored if _name(stored) == name else None
