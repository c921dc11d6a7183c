"""Hosts that are folders: their scripts run here, in a real POSIX shell, below a folder each.

The same scripts over a real sshd: test_state_over_ssh.py.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from pathlib import Path

from fleetctl.errors import FleetError, LockLost, Unreachable
from fleetctl.model.record import Fence
from fleetctl.ssh.completed import Completed
from fleetctl.state.lease import HostLease

ROOT = "/state-of-the-host"
PATIENCE = 90.0


def becomes_lost(lease: HostLease) -> LockLost:
    """Asks until the lease says that it is lost."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            lease.check()
        except LockLost as error:
            return error
        time.sleep(0.05)
    raise AssertionError("the lease was never lost")


class FolderHost:
    """One host. ``down`` is the error it answers with; ``calls`` counts scripts run;
    ``programs`` is a folder of programs that go before the system's."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self.folder = folder
        self.down: FleetError | None = None
        self.calls = 0
        self.programs = ""
        self._guard = threading.Lock()

    def shell(self, fence: Fence | None = None) -> FolderHost:
        return self

    def run(self, script: str, *args: str, input: bytes = b"", timeout: float = 30) -> Completed:
        with self._guard:
            self.calls += 1
        if self.down is not None:
            raise self.down
        told = [str(self.folder) if arg == ROOT else arg for arg in args]
        done = subprocess.run(
            ["sh", "-c", script, "fleetctl", *told],
            input=input,
            capture_output=True,
            timeout=60,
            env={**os.environ, "PATH": f"{self.programs}:{os.environ['PATH']}"},
        )
        return Completed(done.returncode, done.stdout, done.stderr, self.name)

    def file(self, key: str) -> Path:
        return self.folder / "record" / f"{key}.json"


class FolderHosts:
    """What Connections is to fleetctl.state, with one FolderHost per name."""

    def __init__(self, folder: Path, *names: str) -> None:
        self.hosts = {name: FolderHost(name, folder / name) for name in names}

    def host(self, name: str) -> FolderHost:
        return self.hosts[name]

    def __getitem__(self, name: str) -> FolderHost:
        return self.hosts[name]

    def cut(self, name: str) -> None:
        self.hosts[name].down = Unreachable(f"{name} does not answer", host=name)

    def mend(self, name: str) -> None:
        self.hosts[name].down = None
