"""What runs on the host before a command: it says where output starts, and guards a scope.

A login shell may print before our command does, so each command's output begins behind a
random mark. A fenced command passes the guard first (SEMANTICS section 8): under flock,
the scope's file is compared, the commands of earlier writers are ended, and number, holder
and process are stored; only then does the command start, in the guard's own process.
"""

from __future__ import annotations

import re
import secrets
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from fleetctl.errors import CommandFailed, StaleFence
from fleetctl.model.record import Fence
from fleetctl.ssh.completed import advice, printable

STATE_DIR = "/var/lib/fleetctl"
SCOPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")
HOLDER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@:+-]{0,127}")
# A single argument of Linux's exec holds 128 KiB, and sshd passes the command as one.
LONGEST = 120_000

# Some shells call a full disk an "I/O error": `room FOLDER` tells what it is.
ROOM = r"""
room() {
    for what in -k -i; do
        set -- "$1" $(df -P $what "$1" 2>/dev/null | tail -n 1)
        if [ "$5" = 0 ] && [ "$3" != 0 ]; then echo "No space left on the disk of $1"; fi
    done
}
"""

PLAIN = 'printf "%s ok\\n" "$1"; shift; exec "$@"'

# The guard leads its own session, so that ending it ends all that it started. A login shell
# that became this process did so already; under sudo it is made here, with the same pid.
OWN_SESSION = r"""
read -r line </proc/self/stat
set -- "${line##*) }" "$@"
session=${1#* * * }
shift
if [ "${session%% *}" = "$$" ]; then exec sh -c "$@"; else exec setsid sh -c "$@"; fi
"""

GUARD = (
    ROOM
    + r"""
mark=$1 dir=$2 scope=$3 number=$4 holder=$5
shift 5
end() { printf '%s %s\n' "$mark" "$1"; exit 112; }
look() {
    line=
    read -r line 2>/dev/null <"/proc/$1/stat" || return 1
    set -- ${line##*) }
    state=$1 session=$4 born=${20}
    case $state in Z | X | x) return 1 ;; esac
}
# Is $1 of the command that process $pid led? A session whose leader is gone keeps its number
# while it has members; the mark in their environment tells them from a stranger's.
belongs() {
    look "$1" && [ "$session" = "$pid" ] || return 1
    [ -n "$leads" ] || grep -q "FLEETCTL_CHANNEL=$channel" "/proc/$1/environ" 2>/dev/null
}
# Is anything left of the command that process $pid, born at $start, led?
lives() {
    leads=
    if look "$pid"; then
        [ "$born" = "$start" ] || return 1
        leads=1
        return 0
    fi
    for entry in /proc/[0-9]*; do
        if belongs "${entry#/proc/}"; then return 0; fi
    done
    return 1
}
stop() {
    tries=0
    while lives; do
        for entry in /proc/[0-9]*; do
            if belongs "${entry#/proc/}"; then kill -KILL "${entry#/proc/}" 2>/dev/null; fi
        done
        tries=$((tries + 1))
        [ "$tries" -lt 100 ] || end "error an older command of this scope does not end"
        sleep 0.02
    done
}
mask=$(umask)
umask 077
[ -d "$dir/fences" ] || mkdir -p "$dir/fences" ||
    end "error cannot make $dir/fences: $(room "$dir")"
file=$dir/fences/$scope lock=$dir/fences/.$scope.lock new=$dir/fences/.$scope.new
true >>"$lock" || end "error cannot write $lock: $(room "$dir")"
exec 9>>"$lock"
flock -w 10 9 || end "error cannot lock $lock"
seen=0 owner= keep=
if [ -e "$file" ]; then
    read -r seen owner <"$file"
    case $seen in '' | *[!0-9]*) end "error $file is damaged" ;; esac
    [ -n "$owner" ] || end "error $file is damaged"
fi
if [ "$number" -lt "$seen" ]; then end "stale $seen $owner"; fi
if [ "$number" -eq "$seen" ] && [ "$holder" != "$owner" ]; then end "stale $seen $owner"; fi
if [ -e "$file" ]; then
    while read -r pid start channel; do
        if [ "$number" -ne "$seen" ]; then
            stop
        elif lives; then
            keep="$keep$pid $start $channel
"
        fi
    done <<LIST
$(tail -n +2 "$file")
LIST
fi
look "$$" || end "error cannot read /proc"
printf '%s %s\n%s%s %s\n' "$number" "$holder" "$keep" "$$" "$born $mark" >"$new" ||
    end "error cannot write $new: $(room "$dir")"
if [ "$number" -ne "$seen" ]; then sync "$new" 2>/dev/null; fi
mv "$new" "$file" || end "error cannot write $file: $(room "$dir")"
exec 9>&-
umask "$mask"
export FLEETCTL_CHANNEL="$mark"
printf '%s ok\n' "$mark"
exec "$@"
"""
)


@dataclass(frozen=True, slots=True)
class Guarded:
    """A command as sshd gets it, and the mark behind which its output starts."""

    line: str
    mark: bytes
    host: str
    fence: Fence | None

    def admitted(self, out: bytes | bytearray) -> int:
        """Where the command's own output starts in ``out``, -1 when the mark isn't there yet.
        Raises StaleFence when the host has seen a later writer, CommandFailed when the guard
        itself could not work."""
        start = out.find(self.mark)
        end = out.find(b"\n", start) if start >= 0 else -1
        if end < 0:
            return -1
        said = bytes(out[start + len(self.mark) : end]).decode("utf-8", "replace").split()
        if said[:1] == ["ok"]:
            return end + 1
        if said[:1] == ["stale"] and len(said) >= 2 and said[1].isdigit() and self.fence:
            raise StaleFence(
                f"{self.host}: {self.fence.scope} has a later writer (number {said[1]}, ours is "
                f"{self.fence.number})",
                seen=int(said[1]),
                hint="another run took over; look with `fleetctl status`",
                host=self.host,
            )
        words = printable(" ".join(said[1:]).encode())
        raise CommandFailed(
            f"{self.host}: the fence of {self.fence.scope if self.fence else '-'} can't be kept: "
            f"{words}",
            code=112,
            hint=advice(words, self.host),
            host=self.host,
        )


def guard(
    host: str, command: Sequence[str], fence: Fence | None, *, become: bool, state_dir: str
) -> Guarded:
    """``command`` wrapped for sshd. Raises ValueError for a scope or holder that isn't a
    name, and for a command too long to be passed (data goes by stdin)."""
    mark = f"fleetctl-{secrets.token_hex(8)}"
    if fence is None:
        words = ["sh", "-c", PLAIN, "fleetctl", mark, *command]
    else:
        if not SCOPE.fullmatch(fence.scope):
            raise ValueError(f"not a scope: {fence.scope!r}")
        if not HOLDER.fullmatch(fence.holder) or fence.number < 1:
            raise ValueError(f"not a holder's number: {fence.number} {fence.holder!r}")
        told = [mark, state_dir, fence.scope, str(fence.number), fence.holder]
        words = ["sh", "-c", OWN_SESSION, "fleetctl", GUARD, "fleetctl", *told, *command]
    if become:
        words = ["sudo", "-n", "--", *words]
    line = shlex.join(words)
    if "\0" in line or len(line.encode()) > LONGEST:
        raise ValueError("a command with NUL, or longer than an argument can be")
    return Guarded(line, mark.encode(), host, fence)
