"""One host of the lab: its files, its start, and what says that it is ready."""

from __future__ import annotations

import json
import os
import secrets
import socket
import subprocess
import uuid
from collections.abc import Sequence
from pathlib import Path

from fleetctl.errors import CommandFailed, EngineDown
from fleetctl.lab.commands import SYSTEM_PATH, call, start_apart
from fleetctl.lab.layout import CGROUP, REGISTRY, STATE, LabHost, Layout
from fleetctl.lab.processes import first_child

KEY = STATE / "key"  # the controller's; its public half opens every host
_INIT = Path(__file__).with_name("host_init.sh")

_SSHD = """\
ListenAddress {address}
HostKey /etc/ssh/ssh_host_ed25519_key
AuthorizedKeysFile /etc/ssh/authorized_keys
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
UsePAM no
PrintMotd no
PrintLastLog no
Subsystem sftp internal-sftp
"""

# What HAProxy starts with: valid, and routes nothing.
_HAPROXY = """\
global
    stats socket /run/haproxy/admin.sock mode 600 level admin

defaults
    mode http
    timeout connect 1s
    timeout client 30s
    timeout server 30s

frontend placeholder
    bind 127.0.0.1:65535
"""


def prepare(host: LabHost, layout: Layout) -> None:
    """Write the files of a host that is to start for the first time."""
    etc = host.files / "etc"
    for folder in ("etc/ssh", "etc/docker", "etc/haproxy", "etc.work", "docker", "fleetctl"):
        (host.files / folder).mkdir(parents=True)
    (host.files / "fleetctl").chmod(0o700)
    names = "".join(f"{member.address} {member.name}\n" for member in layout.members)
    files = {
        "hostname": f"{host.name}\n",
        "hosts": f"127.0.0.1 localhost\n{layout.registry} {REGISTRY.partition(':')[0]}\n{names}",
        "machine-id": f"{secrets.token_hex(16)}\n",
        "resolv.conf": "",
        "ssh/sshd_config": _SSHD.format(address=host.address),
        "ssh/authorized_keys": KEY.with_suffix(".pub").read_text(),
        "docker/daemon.json": json.dumps(_engine_settings(host), indent=2),
        "haproxy/haproxy.cfg": _HAPROXY,
        # A locked root may not log in, not even by key.
        "shadow": "root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n",
    }
    for name, text in files.items():
        (etc / name).write_text(text)
    (etc / "shadow").chmod(0o640)
    make_key(etc / "ssh/ssh_host_ed25519_key", host.name)


def _engine_settings(host: LabHost) -> dict[str, object]:
    return {
        "insecure-registries": [REGISTRY],
        "cgroup-parent": f"/{CGROUP}/{host.name}",
        "exec-opts": ["native.cgroupdriver=cgroupfs"],  # there is no systemd on a lab host
        "log-level": "warn",
        "max-download-attempts": 1,  # a registry that fails is not asked again for a minute
    }


def make_key(path: Path, comment: str) -> None:
    call(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(path)])


def start(host: LabHost) -> None:
    """Boot the host: a boot id of its own, then its first process, which outlives the caller."""
    (host.files / "boot_id").write_text(f"{uuid.uuid4()}\n")
    namespaces = ("--mount", "--uts", "--pid", "--fork", "--kill-child", "--mount-proc")
    init = ["sh", str(_INIT), host.name, str(host.files), *host.parts]
    keeper = start_apart(
        ["nsenter", f"--net=/run/netns/{host.namespace}", "unshare", *namespaces, *init],
        host.files / "init.log",
    )
    (host.files / "keeper.pid").write_text(str(keeper))


def first_process(host: LabHost) -> int | None:
    """The host's process 1, as this machine numbers it; None if the host does not run."""
    try:
        keeper = int((host.files / "keeper.pid").read_text())
        inside = os.stat(f"/proc/{keeper}/ns/net").st_ino
        ours = os.stat(f"/run/netns/{host.namespace}").st_ino
    except (OSError, ValueError):
        return None  # never started, ended, or its number is another's now
    return first_child(keeper) if inside == ours else None


def has_ended(host: LabHost) -> bool:
    """Whether a host that was started is not even starting any more."""
    return not Path("/proc", (host.files / "keeper.pid").read_text()).exists()


def why_not_ready(host: LabHost) -> str:
    """Empty for a host whose sshd, engine and HAProxy all answer; else what does not (yet)."""
    pid = first_process(host)
    if pid is None:
        return "its first process does not run"
    run = Path(f"/proc/{pid}/root/run")
    try:
        with socket.create_connection((host.address, 22), timeout=1) as connection:
            if not connection.recv(4).startswith(b"SSH"):
                return "sshd does not answer"
    except OSError as error:
        return f"sshd does not answer: {error}"
    asked = {
        "haproxy": (run / "haproxy/admin.sock", b"show info\n", b"Pid:"),
        "engine": (run / "docker.sock", b"GET /_ping HTTP/1.0\r\n\r\n", b"OK"),
    }
    return next(filter(None, (_silent(*asked[part]) for part in host.parts)), "")


def _silent(path: Path, question: bytes, expected: bytes) -> str:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(2)
        try:
            connection.connect(str(path))
            connection.sendall(question)
            answer = b""
            while expected not in answer:
                if not (more := connection.recv(4096)):
                    return f"{path.name} gives no good answer"
                answer += more
        except OSError as error:
            return f"{path.name} does not answer: {error}"
    return ""


def run_on(
    host: LabHost, argv: Sequence[str], *, input: bytes = b"", timeout: float = 60.0
) -> subprocess.CompletedProcess[bytes]:
    """Run a program on the host, without SSH. Raises EngineDown, CommandFailed (time)."""
    pid = first_process(host)
    if pid is None:
        raise EngineDown(f"lab host {host.name} does not run", hint="run `fleetctl lab up`")
    enter = ["nsenter", "-t", str(pid), "--mount", "--uts", "--net", "--pid", "--wd=/", "--"]
    try:
        return subprocess.run(
            [*enter, *argv],
            input=input,
            capture_output=True,
            timeout=timeout,
            env={"PATH": SYSTEM_PATH, "HOME": "/root"},
        )
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(
            f"`{' '.join(argv)}` did not end in {timeout:.0f} s", host=host.name
        ) from error


def last_words(host: LabHost) -> str:
    """The last line of each log of a host that does not come up."""
    words = []
    for log in sorted(host.files.glob("*.log")):
        lines = log.read_text(errors="replace").strip().splitlines()
        words += [f"{log.name}: {lines[-1]}"] if lines else []
    return "; ".join(words)
