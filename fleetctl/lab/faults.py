"""What can happen to a host of the lab, done on purpose and undone again.

Nothing here goes through SSH: each is what somebody at the host's console, its cable or its
power switch could do.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from fleetctl.errors import CommandFailed, DeadlinePassed
from fleetctl.lab.host import first_process
from fleetctl.lab.lab import Lab

# Everything that serves a session, and not the listener.
_CUT = r"""
for entry in /proc/[0-9]*; do
    case $(tr '\0' ' ' <"$entry/cmdline" 2>/dev/null) in
        *"[listener]"*) ;;
        "sshd: "*) kill -KILL "${entry#/proc/}" 2>/dev/null ;;
    esac
done
true
"""
_DROP = ("INPUT -p tcp --dport 22 -j DROP", "OUTPUT -p tcp --sport 22 -j DROP")
ENGINE_FOLDER = "/var/lib/docker"
_ENGINE_LOG = "/var/log/dockerd.log"
_LISTEN = """
import socket, sys
sys.stdin.readline()
held = []
for port in range(int(sys.argv[1]), int(sys.argv[2]) + 1):
    try:
        held.append(socket.create_server(("", port)))
    except OSError:
        pass
print(len(held), flush=True)
sys.stdin.readline()
"""


def cut_sessions(lab: Lab, host: str) -> None:
    """Ends all SSH connections of a host at once; new ones are let in."""
    _do(lab, host, _CUT)


@contextmanager
def silent_ssh(lab: Lab, host: str) -> Iterator[Callable[[], None]]:
    """Yields what makes port 22 of a host lose every packet, until the block ends; all other
    traffic of the host goes on."""
    rules = [f"iptables -w -I {rule}" for rule in _DROP]
    try:
        yield lambda: _do(lab, host, " && ".join(rules))
    finally:
        _do(lab, host, "; ".join(f"iptables -w -D {rule} 2>/dev/null" for rule in _DROP) + "; true")


def kill_engine(lab: Lab, host: str, *, orderly: bool = False) -> None:
    """Ends a host's container engine: at once (its containers go on), or in order (it stops
    them first). Returns when its process is gone."""
    _do(lab, host, f"kill -{'TERM' if orderly else 'KILL'} $(cat /run/docker.pid)")
    _until(lambda: not _ok(lab, host, "kill -0 $(cat /run/docker.pid)"), f"{host}: dockerd to end")


def start_engine(lab: Lab, host: str) -> None:
    """Starts a host's container engine; returns when it answers."""
    _do(lab, host, f"setsid dockerd </dev/null >>{_ENGINE_LOG} 2>&1 & true")
    _until(lambda: _ok(lab, host, "docker version"), f"{host}: dockerd to answer")


@contextmanager
def frozen_engine(lab: Lab, host: str) -> Iterator[Callable[[], None]]:
    """Yields what stops a host's container engine in its tracks until the block ends."""
    try:
        yield lambda: _do(lab, host, "kill -STOP $(cat /run/docker.pid)")
    finally:
        _do(lab, host, "kill -CONT $(cat /run/docker.pid)")


@contextmanager
def small_disk(
    lab: Lab, host: str, folder: str, *, size: str = "1m", inodes: int = 1000
) -> Iterator[None]:
    """For the block, ``folder`` lies on a file system of its own that is this small. What was
    in it is there too, and what it holds at the end is kept."""
    aside = "/run/small-disk"
    options = f"size={size},nr_inodes={inodes},mode=0700"
    _do(
        lab,
        host,
        f"mkdir -p {aside} && cp -a {folder}/. {aside}/ && mount -t tmpfs -o {options} tmpfs"
        f" {folder} && cp -a {aside}/. {folder}/ && rm -rf {aside}",
    )
    try:
        yield
    finally:
        _do(
            lab,
            host,
            f"rm -f {folder}/filler*; mkdir -p {aside} && cp -a {folder}/. {aside}/ &&"
            f" umount -l {folder} && find {folder} -mindepth 1 -delete &&"
            f" cp -a {aside}/. {folder}/ && rm -rf {aside}",
        )


@contextmanager
def small_engine_disk(lab: Lab, host: str, *, size: str) -> Iterator[None]:
    """For the block, a host's container engine starts anew on an empty disk of this size."""
    kill_engine(lab, host, orderly=True)
    _do(lab, host, f"mount -t tmpfs -o size={size} tmpfs {ENGINE_FOLDER}")
    try:
        start_engine(lab, host)
        yield
    finally:
        kill_engine(lab, host, orderly=True)
        _do(lab, host, f"umount -l {ENGINE_FOLDER}")
        start_engine(lab, host)


def fill_disk(lab: Lab, host: str, folder: str) -> None:
    """Until not a byte fits into the small disk at ``folder``."""
    _do(lab, host, f"cat /dev/zero >{folder}/filler 2>/dev/null; true")


def fill_inodes(lab: Lab, host: str, folder: str) -> None:
    """Until the small disk at ``folder`` takes no new file."""
    _do(lab, host, f"n=0; while : 2>/dev/null >{folder}/filler$n; do n=$((n + 1)); done; true")


def free_disk(lab: Lab, host: str, folder: str) -> None:
    """Takes away what filled it."""
    _do(lab, host, f"rm -f {folder}/filler*")


@contextmanager
def stranger(lab: Lab, host: str, first: int, last: int) -> Iterator[Callable[[], int]]:
    """Yields what makes a process that is nobody's listen on the ports of this range that are
    free, until the block ends; it returns how many they were."""
    with subprocess.Popen(
        [*_enter(lab, host), "python3", "-c", _LISTEN, str(first), str(last)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def listen() -> int:
            assert process.stdin is not None
            assert process.stdout is not None
            process.stdin.write("\n")
            process.stdin.flush()
            return int(process.stdout.readline())

        try:
            yield listen
        finally:
            process.kill()


def _enter(lab: Lab, host: str) -> Sequence[str]:
    pid = first_process(lab.host(host))
    if pid is None:
        raise CommandFailed(f"lab host {host} does not run", host=host)
    return "nsenter", "-t", str(pid), "--net", "--pid", "--mount", "--wd=/", "--"


def _ok(lab: Lab, host: str, script: str) -> bool:
    return lab.run(host, ["sh", "-c", script]).returncode == 0


def _do(lab: Lab, host: str, script: str) -> None:
    done = lab.run(host, ["sh", "-c", script])
    if done.returncode:
        words = done.stderr.decode(errors="replace").strip()
        raise CommandFailed(f"{host}: `{script}` failed: {words}", code=done.returncode, host=host)


def _until(so: Callable[[], bool], what: str, within: float = 60.0) -> None:
    deadline = time.monotonic() + within
    while not so():
        if time.monotonic() > deadline:
            raise DeadlinePassed(f"waited {within:g} s for {what}")
        time.sleep(0.1)
