"""What a host tells about itself: one shell script, one round trip."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from fleetctl.model.spec import SERVICE_NAME

ROOT = "/var/lib/fleetctl"

SCRIPT = f"""
read -r boot < /proc/sys/kernel/random/boot_id && echo "boot $boot"
[ -s {ROOT}/lineage ] && read -r lineage < {ROOT}/lineage && echo "lineage $lineage"
for file in {ROOT}/fences/*; do
  [ -f "$file" ] && read -r number rest < "$file" && echo "fence ${{file##*/}} $number"
done
for file in {ROOT}/specs/*/*.json; do
  [ -f "$file" ] && file=${{file#{ROOT}/specs/}} && echo "spec ${{file%.json}}"
done
cat /proc/net/tcp /proc/net/tcp6 2>/dev/null |
  grep -E '^ *[0-9]+: [0-9A-F]+:[0-9A-F]{{4}} [0-9A-F]+:0000 0A '
:
"""

CLAIM = f"""
set -e
umask 077
mkdir -p {ROOT}
exec 9> {ROOT}/lineage.lock
flock -w 10 9
if [ ! -s {ROOT}/lineage ]; then
  printf '%s\\n' "$1" > {ROOT}/lineage.new
  mv -f {ROOT}/lineage.new {ROOT}/lineage
fi
cat {ROOT}/lineage
"""
"""Prints the lineage that the host is of from now on: ``$1`` only if it had none."""

_SERVICE = re.compile(SERVICE_NAME)
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_LISTENER = re.compile(r"\s*\d+: [0-9A-F]+:([0-9A-F]{4}) ")


@dataclass(frozen=True, slots=True)
class Facts:
    """``listening`` are TCP ports on which something listens, on any address; ``specs`` are
    (service, number) of the revisions whose spec lies there."""

    boot_id: str = ""
    lineage: str = ""
    fences: tuple[tuple[str, int], ...] = ()
    listening: frozenset[int] = frozenset()
    specs: frozenset[tuple[str, int]] = frozenset()


def parse(output: bytes) -> Facts:
    """What SCRIPT printed. Lines that mean nothing are passed over: a shell may greet."""
    values = {"boot": "", "lineage": ""}
    fences: dict[str, int] = {}
    listening: set[int] = set()
    specs: set[tuple[str, int]] = set()
    for line in output.decode(errors="replace").splitlines():
        listener = _LISTENER.match(line)
        if listener:
            listening.add(int(listener[1], 16))
            continue
        match line.split():
            case [("boot" | "lineage") as key, value]:
                values[key] = value
            case ["fence", scope, number] if number.isdecimal() and len(number) < 19:
                fences[scope] = int(number)
            case ["spec", name]:
                specs.update(revisions([name], "/"))
    return Facts(
        values["boot"],
        values["lineage"],
        tuple(sorted(fences.items())),
        frozenset(listening),
        frozenset(specs),
    )


def revisions(names: Iterable[str], separator: str) -> Iterator[tuple[str, int]]:
    """(service, number) of each name that is one of fleetctl's: SERVICE, ``separator``,
    NUMBER."""
    for name in names:
        service, _, number = name.partition(separator)
        if _SERVICE.fullmatch(service) and _NUMBER.fullmatch(number):
            yield service, int(number)
