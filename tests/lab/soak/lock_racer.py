"""One controller that takes the same lock again and again.

lock_racer.py INVENTORY FOLDER TURNS SEED: for each turn a line ``turn FENCE``; ``overlap PID``
when another holder was there too. In one turn of ten it dies as it is, with the lock.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from pathlib import Path

from fleetctl.config.inventory import load_inventory
from fleetctl.ssh.connections import Connections
from fleetctl.state.holder import this_holder
from fleetctl.state.locks import HostLocks

SCOPE = "service-race"


def main(inventory: str, folder: str, turns: str, seed: str) -> None:
    fleet = load_inventory(Path(inventory)).fleet()
    host = fleet.record_hosts[0]
    connections = Connections({host: fleet.host(host).login})
    locks = HostLocks(connections, host, this_holder("racer", "soak"), settle=0.0)
    dice = random.Random(int(seed))
    mark = Path(folder, "holder")
    for _ in range(int(turns)):
        lease = locks.acquire(SCOPE, 300)
        if pid := _other(mark):
            print("overlap", pid, flush=True)
        lease.check()
        print("turn", lease.fence.number, flush=True)
        time.sleep(dice.uniform(0.0, 0.05))
        if dice.random() < 0.1:
            os.kill(os.getpid(), signal.SIGKILL)
        mark.unlink()
        lease.release()
    connections.close()


def _other(mark: Path) -> str:
    """Puts this process's id into ``mark``. Returns whose was there, if that one lives."""
    fresh = mark.with_name(f"holder.{os.getpid()}")
    fresh.write_text(str(os.getpid()))
    try:
        os.link(fresh, mark)
        fresh.unlink()
        return ""
    except FileExistsError:
        pid = mark.read_text()
        fresh.replace(mark)
    try:
        state = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return ""
    return "" if state in "ZX" else pid


if __name__ == "__main__":
    main(*sys.argv[1:])
