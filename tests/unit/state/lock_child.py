"""A controller of its own: holds the lock of ``service-web`` and answers questions on stdin.

lock_child.py FOLDER LEASE: prints ``held FENCE``; to ``check`` it says ``ok`` or ``lost``.
"""

from __future__ import annotations

import sys
from pathlib import Path

from state_hosts import ROOT, FolderHosts

from fleetctl.errors import LockLost
from fleetctl.state.holder import this_holder
from fleetctl.state.locks import HostLocks


def main(folder: str, seconds: str) -> None:
    hosts = FolderHosts(Path(folder), "lb1")
    holder = this_holder("child", "fleetctl deploy web")
    locks = HostLocks(hosts, "lb1", holder, lease=float(seconds), root=ROOT)
    lease = locks.acquire("service-web", 60)
    print("held", lease.fence.number, flush=True)
    for _ in sys.stdin:
        try:
            lease.check()
            print("ok", flush=True)
        except LockLost as error:
            print("lost", error, flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
