"""The lab's processes: known by network namespace and by control group, never by name."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Collection
from pathlib import Path

from fleetctl.errors import DeadlinePassed
from fleetctl.lab.layout import CGROUP

_CGROUPS = Path("/sys/fs/cgroup")


def find(namespaces: Collection[int], group: str = "") -> list[int]:
    """Processes in one of these network namespaces (inodes), or in the lab's control groups.

    ``group`` takes the control groups of one host only.
    """
    path = f":/{CGROUP}/{group}/" if group else f":/{CGROUP}/"
    found = []
    for entry in os.scandir("/proc"):
        if not entry.name.isdigit():
            continue
        try:
            inode = os.stat(f"{entry.path}/ns/net").st_ino
            groups = Path(entry.path, "cgroup").read_text()
        except OSError:
            continue  # it ended, or is a zombie
        if inode in namespaces or path in groups:
            found.append(int(entry.name))
    return found


def end_all(namespaces: Collection[int], *, group: str = "", within: float = 30.0) -> None:
    """SIGKILL the lab's processes until none is left. Raises DeadlinePassed.

    Two empty looks in a row: a child of an `up` that was killed may enter between them.
    """
    deadline = time.monotonic() + within
    empty = 0
    while empty < 2:
        pids = find(namespaces, group)
        empty = 0 if pids else empty + 1
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise DeadlinePassed(
                f"processes of the lab do not end: {', '.join(map(str, pids))}",
                hint="`cat /proc/PID/stack` shows what holds them; run `fleetctl lab down` again",
            )
        time.sleep(0.05)


def first_child(pid: int) -> int | None:
    """The oldest child of a process, or None."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return None
    return int(children[0]) if children else None


def control_groups() -> list[Path]:
    """The lab's control groups, children before parents, in every hierarchy (version 1 and 2)."""
    tops = [_CGROUPS / CGROUP, *_CGROUPS.glob(f"*/{CGROUP}")]
    return [
        Path(folder) for top in tops for folder, _, _ in os.walk(top, topdown=False) if top.is_dir()
    ]


def remove_control_groups(*, within: float = 10.0) -> None:
    """The kernel frees a group a moment after its last process ended. Raises DeadlinePassed."""
    deadline = time.monotonic() + within
    while groups := control_groups():
        for group in groups:
            with contextlib.suppress(OSError):
                group.rmdir()
        if time.monotonic() > deadline:
            raise DeadlinePassed(f"control group {groups[0]} stays in use")
        if control_groups():
            time.sleep(0.05)
