"""Whether a folder lies on a network file system, where SQLite's locks can't be trusted."""

from __future__ import annotations

import os
from pathlib import Path

_NETWORK = frozenset(
    ("nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "glusterfs", "lustre")
)


def network_file_system(folder: Path, mounts: Path = Path("/proc/self/mounts")) -> str:
    """The kind of network file system that ``folder`` is on; empty for a local one, and
    where the platform doesn't tell."""
    try:
        lines = mounts.read_text(errors="replace").splitlines()
    except OSError:
        return ""
    where = os.path.realpath(folder)
    longest, found = "", ""
    for line in lines:
        _, point, kind, *_ = line.split(" ")
        point = point.replace("\\040", " ")
        # The last of two mounts on one point hides the first.
        if (where + "/").startswith(point.rstrip("/") + "/") and len(point) >= len(longest):
            longest, found = point, kind
    network = found in _NETWORK or found in ("fuse.sshfs", "fuse.glusterfs", "fuse.s3fs")
    return found if network else ""
