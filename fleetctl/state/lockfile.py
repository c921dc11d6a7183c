"""The lock files on the lock host: one per scope, changed under flock in one round trip.

A file has two lines. The first is for the shell that compares: fence, holder's token (``-``
when free), kind, lease in hundredths of a second, and by which boot and uptime of the lock
host it was last renewed, then its wall clock at the start (for people only). The second is
the holder as JSON. The fence stays in the file after release and only rises. Uptime decides
whether a lease has ended, so no clock that somebody can set matters; after a reboot of the
lock host a lease lasts its whole time again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from fleetctl.errors import CommandFailed
from fleetctl.model.codec import canonical, decode
from fleetctl.model.record import Holder
from fleetctl.ssh.fence import ROOM, STATE_DIR

if TYPE_CHECKING:
    from fleetctl.ssh.connection import Completed
    from fleetctl.ssh.connections import Connections

TIMEOUT = 10.0

_SCOPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)

_SCRIPT = (
    ROOM
    + r"""
umask 077
verb=$1 root=$2
shift 2
mkdir -p "$root/locks" && cd "$root/locks" || exit 74
clock() {
  read -r up _ </proc/uptime
  read -r boot </proc/sys/kernel/random/boot_id
  cents=${up#*.}
  now=$((${up%.*} * 100 + ${cents#0}))
}
load() {
  file=$1.lock fence=0 token=- kind=run lease=0 at=- renewed=0 since=0 holder='{}'
  [ -f "$file" ] || return 0
  { read -r fence token kind lease at renewed since; read -r holder; } <"$file"
  case "$fence,$lease,$renewed,$since" in
    *[!0-9,]*|,*|*,,*|*,) fence=0 token=- kind=run lease=0 at=- renewed=0 since=0 ;;
  esac
}
store() {
  printf '%s\n%s\n' "$fence $token $kind $lease $at $renewed $since" "$holder" >"$file.new" \
    && { sync "$file.new" 2>/dev/null || sync; } && mv -f "$file.new" "$file" || exit 74
}
left() {
  left=$((lease - now))
  [ "$at" != "$boot" ] || left=$((left + renewed))
}
held() {
  [ "$token" != - ] || return 1
  [ "$kind" != person ] || { left=0; return 0; }
  left
  [ "$left" -gt 0 ]
}
show() {
  printf '%s %s %s %s\n%s\n' "$1" "$left" "$(($(date +%s) - since))" "$token" "$holder"
}
(
  flock -w 5 9 || { echo "the locks are busy" >&2; exit 75; }
  clock
  case $verb in
    take)
      load "$1"
      if held && [ "$token" != "$5" ]; then show held; exit 0; fi
      how=free
      [ "$token" = - ] || how=over
      fence=$((fence + 1)) token=$2 kind=$3 lease=$4 at=$boot renewed=$now since=$(date +%s)
      read -r holder
      store
      echo "taken $fence $how"
      ;;
    renew)
      while [ $# -gt 1 ]; do
        load "$1"
        if [ "$token" = "$2" ]; then
          at=$boot renewed=$now
          store
          echo "kept $1"
        else
          echo "lost $1"
        fi
        shift 2
      done
      ;;
    raise)
      load "$1"
      [ "$token" = "$2" ] || { echo lost; exit 0; }
      [ "$fence" -ge "$3" ] || { fence=$3; store; }
      echo "raised $fence"
      ;;
    release)
      load "$1"
      [ "$token" = "$2" ] || { echo lost; exit 0; }
      token=-
      store
      echo released
      ;;
    free)
      load "$1"
      held || { echo free; exit 0; }
      [ "$kind" = person ] || { show held; exit 0; }
      show freed
      token=-
      store
      ;;
    show)
      load "$1"
      if held; then show held; else echo free; fi
      ;;
  esac
) 9>>.flock
code=$?
[ "$code" -ne 74 ] || room "$root" >&2
exit "$code"
"""
)


@dataclass(frozen=True, slots=True)
class Held:
    """A lock that somebody has: for how many seconds so far, and how long its lease lasts."""

    holder: Holder
    token: str
    left: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Taken:
    """The lock is this token's now. ``over``: from a holder that had not released it."""

    fence: int
    over: bool


class LockFiles:
    """The lock files of all scopes on one host."""

    def __init__(self, connections: Connections, host: str, root: str = STATE_DIR) -> None:
        self.host = host
        self._connections = connections
        self._root = root

    def take(self, scope: str, token: str, holder: Holder, lease: float, dead: str) -> Taken | Held:
        """One attempt. ``dead`` is the token of a holder that is known to be gone."""
        words, holder_json = self._run(
            "take",
            *(_checked(scope), token, holder.kind, str(int(lease * 100)), dead),
            input=canonical(holder).encode() + b"\n",
        )
        if words[0] == "taken":
            return Taken(int(words[1]), words[2] == "over")
        return _held(words, holder_json)

    def renew(self, leases: Iterable[tuple[str, str]], timeout: float) -> frozenset[str]:
        """Renews the leases of these scopes and tokens; the scopes that are still theirs."""
        pairs = [word for scope, token in leases for word in (_checked(scope), token)]
        output = self._answer("renew", *pairs, timeout=timeout).out.decode(errors="replace")
        return frozenset(
            line.removeprefix("kept ") for line in output.splitlines() if line.startswith("kept ")
        )

    def raise_to(self, scope: str, token: str, number: int) -> int | None:
        """The fence, at least ``number`` from now on; None when the lock isn't the token's."""
        words, _ = self._run("raise", _checked(scope), token, str(number))
        return int(words[1]) if words[0] == "raised" else None

    def release(self, scope: str, token: str) -> None:
        self._run("release", _checked(scope), token)

    def free(self, scope: str) -> tuple[Literal["freed", "held", "free"], Held | None]:
        """Ends a person's lock: freed; held, by a run; or free, there was none."""
        words, holder_json = self._run("free", _checked(scope))
        if words[0] == "free":
            return "free", None
        return ("freed" if words[0] == "freed" else "held"), _held(words, holder_json)

    def show(self, scope: str) -> Held | None:
        words, holder_json = self._run("show", _checked(scope))
        return None if words[0] == "free" else _held(words, holder_json)

    def _run(self, verb: str, *args: str, input: bytes = b"") -> tuple[list[str], str]:
        output = self._answer(verb, *args, input=input).out.decode(errors="replace")
        first, _, rest = output.partition("\n")
        if not first:
            raise CommandFailed(f"the lock host {self.host} gave no answer", host=self.host)
        return first.split(), rest

    def _answer(
        self, verb: str, *args: str, input: bytes = b"", timeout: float = TIMEOUT
    ) -> Completed:
        shell = self._connections.host(self.host).shell()
        done = shell.run(_SCRIPT, verb, self._root, *args, input=input, timeout=timeout)
        return done.check(f"{verb} a lock")


def _checked(scope: str) -> str:
    if _SCOPE.fullmatch(scope) is None:
        raise ValueError(f"not a scope: {scope!r}")
    return scope


def _held(words: list[str], holder_json: str) -> Held:
    try:
        holder = decode(Holder, json.loads(holder_json))
    except ValueError:
        holder = Holder("", "somebody", "an unknown host", "", 0, 0.0)
    return Held(holder, words[3], int(words[1]) / 100, float(words[2]))
