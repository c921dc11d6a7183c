"""One record host's copy of the record: files below its state folder, replaced whole.

The host compares and replaces under flock, in one round trip; it never goes back to a
lower generation, and never from one body to another at the same generation.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from fleetctl.errors import Refused, StaleWrite
from fleetctl.model.record import FLEET_KEY, Fence
from fleetctl.ssh.fence import ROOM, STATE_DIR
from fleetctl.state.documents import SCHEMA, Copy, Damaged, from_text, is_key, to_text

if TYPE_CHECKING:
    from fleetctl.ssh.connections import Connections

TIMEOUT = 20.0

# A folder that is there and can't be entered must not look like an empty one.
_READ = r"""
[ -e "$1" ] || exit 0
cd "$1" || exit 74
if [ -s lineage ]; then printf 'lineage %s\n' "$(head -n 1 lineage)"; fi
n=$#
for f in ./record/*.json ./record/*/*.json; do
  if [ -e "$f" ]; then set -- "$@" "$f"; printf 'file %s\n' "$f"; fi
done
shift "$n"
[ $# -eq 0 ] || awk 'FNR == 1 { print "@ " FILENAME } { print }' "$@"
"""

# The text is taken in before the lock, so that a dying connection holds nobody up.
_REPLACE = (
    ROOM
    + r"""
umask 077
root=$1 name=record/$2.json generation=$3 size=$4 schema=$5 lineage=$6
text=$(cat)
[ $((${#text} + 1)) -eq "$size" ] || { echo "the text came in cut" >&2; exit 74; }
mkdir -p "$root/${name%/*}" && cd "$root" || exit 74
flush() { sync "$1" 2>/dev/null || sync; }
replace() { printf '%s\n' "$2" >"$1.new" && flush "$1.new" && mv -f "$1.new" "$1" \
  && flush "$(dirname "$1")"; }
(
  flock -w 10 9 || { echo "another writer keeps the record busy" >&2; exit 75; }
  now=0
  if [ -s "$name" ]; then
    found=$(sed -n '1s/^{"schema":\([0-9]*\),.*/\1/p' "$name")
    [ "${found:-0}" -le "$schema" ] || { echo "newer $found"; exit 0; }
    sum=$(sed -n '1s/.*,"sha256":"\([0-9a-f]*\)",$/\1/p' "$name")
    if [ "$(sed '1s/,"sha256":"[0-9a-f]*"//' "$name" | sha256sum)" = "$sum  -" ]; then
      now=$(sed -n "1s|.*,\"key\":\"$2\",\"generation\":\([0-9]*\),.*|\1|p" "$name")
    fi
  fi
  [ "${now:-0}" -lt "$generation" ] || { echo "stale $now"; exit 0; }
  replace "$name" "$text" || exit 74
  [ -z "$lineage" ] || [ -s lineage ] || replace lineage "$lineage" || exit 74
  echo stored
) 9>>record/.flock
code=$?
[ "$code" -ne 74 ] || room "$root" >&2
exit "$code"
"""
)


@dataclass(frozen=True, slots=True)
class Copies:
    """All that one record host holds: good copies, why others aren't, and whose it is."""

    lineage: str = ""
    good: Mapping[str, Copy] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)


class RecordHost:
    """The record's folder on one host."""

    def __init__(self, connections: Connections, host: str, root: str = STATE_DIR) -> None:
        self.name = host
        self._connections = connections
        self._root = root

    def read(self) -> Copies:
        """Everything, in one round trip. Raises HostError, CommandFailed, Refused."""
        shell = self._connections.host(self.name).shell()
        done = shell.run(_READ, self._root, timeout=TIMEOUT).check("read the record")
        return _parse(done.out)

    def replace(self, copy: Copy, fence: Fence) -> None:
        """Takes ``copy`` in. Raises StaleWrite when the host has its generation or a later
        one, StaleFence, HostError, CommandFailed."""
        document = copy.document
        if not is_key(document.key):
            raise ValueError(f"not a key of the record: {document.key!r}")
        text = to_text(copy)
        lineage = (document.body or {}).get("lineage", "") if document.key == FLEET_KEY else ""
        done = (
            self._connections.host(self.name)
            .shell(fence)
            .run(
                _REPLACE,
                *(self._root, document.key, str(document.generation)),
                *(str(len(text)), str(SCHEMA), lineage),
                input=text,
                timeout=TIMEOUT,
            )
            .check(f"write {document.key} into the record")
        )
        verdict, _, number = done.out.decode(errors="replace").strip().partition(" ")
        if verdict == "newer":
            raise Refused(
                f"the record of {document.key} on {self.name} was written by a newer fleetctl",
                hint="upgrade fleetctl on this machine",
                host=self.name,
            )
        if verdict != "stored":
            raise StaleWrite(
                f"the record of {document.key} on {self.name} is at generation {number} "
                f"already; {document.generation} was to be written",
                hint="somebody else changed it meanwhile: run the same command again",
                host=self.name,
            )


def _parse(output: bytes) -> Copies:
    lineage = ""
    texts: dict[str, bytearray] = {}
    current: bytearray | None = None
    for line in io.BytesIO(output):
        word, _, rest = line.partition(b" ")
        value = rest.rstrip(b"\n").decode(errors="replace")
        if word == b"@":
            current = texts.get(_key(value))
        elif current is not None:
            current += line
        elif word == b"lineage":
            lineage = value
        elif word == b"file" and is_key(_key(value)):
            texts[_key(value)] = bytearray()
    good: dict[str, Copy] = {}
    damaged: dict[str, str] = {}
    for key, text in texts.items():
        try:
            good[key] = from_text(key, bytes(text))
        except Damaged as error:
            damaged[key] = str(error)
    return Copies(lineage, good, damaged)


def _key(path: str) -> str:
    return path.removeprefix("./record/").removesuffix(".json")
