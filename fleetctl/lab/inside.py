"""Programs of this machine where a container of the lab is: in its network, with its names."""

from __future__ import annotations

from fleetctl.errors import CommandFailed
from fleetctl.lab.host import first_process
from fleetctl.lab.lab import Lab

_WITH_NAMES = 'mount --bind "$0" /etc/hosts && exec "$@"'


def inside(lab: Lab, host: str, container: str) -> tuple[str, ...]:
    """The beginning of a command that runs the rest of it so. The image need not have the
    program. Raises CommandFailed for a container that doesn't run."""
    member = lab.host(host)
    done = lab.run(host, ["docker", "inspect", "-f", "{{.State.Pid}} {{.ID}}", container])
    pid, _, id = done.stdout.decode().strip().partition(" ")
    if pid in ("", "0"):
        raise CommandFailed(f"no container {container} runs", host=host)
    network = f"--net=/proc/{first_process(member)}/root/proc/{pid}/ns/net"
    names = str(member.files / "docker/containers" / id / "hosts")
    return ("nsenter", network, "unshare", "--mount", "sh", "-c", _WITH_NAMES, names)
