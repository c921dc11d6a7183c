"""Who holds a lock, and whether a holder on this very machine is dead."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from fleetctl.model.record import Holder

_PROC = Path("/proc")


def this_holder(who: str, command: str) -> Holder:
    """This process as a holder, under a random id."""
    pid = os.getpid()
    state = _state_and_start(pid)
    return Holder(
        id=os.urandom(8).hex(),
        who=who,
        host=socket.gethostname(),
        boot=_boot(),
        pid=pid,
        started=state[1] if state else 0.0,
        command=command,
    )


def is_dead(holder: Holder) -> bool:
    """Whether ``holder`` was a run on this machine, since this boot, that is surely gone.

    False for all that can't be told from here: those end with their lease.
    """
    if holder.kind == "person" or not holder.boot:
        return False
    if (holder.host, holder.boot) != (socket.gethostname(), _boot()):
        return False
    try:
        os.kill(holder.pid, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    found = _state_and_start(holder.pid)
    return found is not None and (found[0] in "ZX" or found[1] != holder.started)


def _boot() -> str:
    """The boot and the pid namespace: containers share the one and not the other, and a pid
    means something only within both. Empty where there is no /proc."""
    try:
        boot = (_PROC / "sys/kernel/random/boot_id").read_text().strip()
        return f"{boot}/{os.readlink(_PROC / 'self/ns/pid')}"
    except OSError:
        return ""


def _state_and_start(pid: int) -> tuple[str, float] | None:
    """The state letter of a process and when it started, in ticks since boot."""
    try:
        text = (_PROC / str(pid) / "stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field, the program's name, may hold spaces and parentheses.
    fields = text.rpartition(")")[2].split()
    return fields[0], float(fields[19])
