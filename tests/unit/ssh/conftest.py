"""A private sshd on loopback for each test that asks for one."""

from __future__ import annotations

import contextlib
import getpass
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fleetctl.model.fleet import Login
from fleetctl.ssh.connection import Connection
from fleetctl.ssh.connections import Connections

PATIENCE = 60.0
# In the environment of all that a server starts, so that it can be ended with the server.
MARK = "FLEETCTL_TEST_SERVER"


def wait_until(what: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not what():
        assert time.monotonic() < end, "the condition never came"
        time.sleep(0.02)


def make_key(path: Path) -> str:
    """A new key pair; returns the public key's type and text."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


class Server:
    """One sshd. ``public`` is its host key; ``state`` is fleetctl's folder on it."""

    def __init__(self, folder: Path, options: tuple[str, ...]) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.public = make_key(folder / "host")
        user = make_key(folder / "user")
        (folder / "authorized_keys").write_text(user + "\n")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        self.name = f"[127.0.0.1]:{self.port}"
        self.known = folder / "known_hosts"
        self.known.write_text(f"{self.name} {self.public}\n")
        config = folder / "sshd_config"
        config.write_text(
            "\n".join(
                [
                    *options,
                    f"SetEnv {MARK}={folder}",
                    f"Port {self.port}",
                    "ListenAddress 127.0.0.1",
                    f"HostKey {folder}/host",
                    f"AuthorizedKeysFile {folder}/authorized_keys",
                    "PasswordAuthentication no",
                    "KbdInteractiveAuthentication no",
                    "PermitRootLogin yes",
                    "StrictModes no",
                    "UsePAM no",
                    "PidFile none",
                    "LogLevel VERBOSE",
                ]
            )
            + "\n"
        )
        if os.getuid() == 0:
            os.makedirs("/run/sshd", mode=0o755, exist_ok=True)
        sshd = shutil.which("sshd", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        assert sshd, "these tests need the package openssh-server"
        with open(folder / "log", "wb") as log:
            self.process = subprocess.Popen([sshd, "-D", "-e", "-f", config], stderr=log)
        wait_until(lambda: "Server listening" in self.log() or self.process.poll() is not None)
        assert self.process.poll() is None, self.log()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def login(self, **changes: object) -> Login:
        fields: dict = {
            "address": "127.0.0.1",
            "port": self.port,
            "user": getpass.getuser(),
            "key_file": str(self.folder / "user"),
            "known_hosts": (str(self.known),),
        }
        return Login(**(fields | changes))

    def fingerprint(self) -> str:
        """Of its host key, as ssh-keygen has it."""
        said = subprocess.run(
            ["ssh-keygen", "-lf", self.folder / "host.pub"],
            capture_output=True,
            text=True,
            check=True,
        )
        return said.stdout.split()[1]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait(PATIENCE)
        mark = f"{MARK}={self.folder}\0".encode()
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (process / "environ").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)


@pytest.fixture
def until() -> Callable[[Callable[[], object]], None]:
    """Waits for a condition; fails when it doesn't come in generous time."""
    return wait_until


@pytest.fixture
def sshd(tmp_path: Path) -> Iterator[Callable[..., Server]]:
    """Starts servers with further lines for sshd_config."""
    servers: list[Server] = []

    def start(*options: str) -> Server:
        folder = tmp_path / f"sshd{len(servers)}"
        folder.mkdir()
        servers.append(Server(folder, options))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


@pytest.fixture
def pool() -> Iterator[Callable[..., Connections]]:
    """Connections that are closed after the test, by a server or by logins."""
    pools: list[Connections] = []

    def make(server: Server, **logins: Login) -> Connections:
        logins = logins or {"node1": server.login()}
        pools.append(Connections(logins, state_dir=str(server.state)))
        return pools[-1]

    yield make
    for made in pools:
        made.close()


@pytest.fixture
def node(sshd: Callable[..., Server], pool: Callable[..., Connections]) -> Connection:
    """A connection to a plain server."""
    return pool(sshd()).host("node1")


@pytest.fixture
def peer() -> Iterator[Callable[[Connection], int]]:
    """The process of sshd behind a connection; it goes on after the test if it was stopped."""
    found: list[int] = []

    def look(connection: Connection) -> int:
        found.append(int(connection.run("echo $PPID").out))
        return found[-1]

    yield look
    for pid in found:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.fixture
def frozen() -> Iterator[Callable[..., None]]:
    """Stops processes in their tracks, until the test ends."""
    stopped: list[int] = []

    def freeze(*pids: int) -> None:
        for pid in pids:
            os.kill(pid, signal.SIGSTOP)
            stopped.append(pid)

    yield freeze
    for pid in stopped:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
