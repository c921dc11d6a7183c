"""Programs of this machine where a container of the lab is: in its network, with its names."""

from __future__ import annotations

from fleetctl.errors import CommandFailed
from fleetctl.lab.host import first_process
from fleetctl.lab.lab import Lab

_WITH_NAMES = 'mount --bind "$0" /etc/hosts && exec "$@"'
_SHOWN = "{{.State.Pid}} {{.HostsPath}}"


def inside(lab: Lab, host: str, container: str) -> tuple[str, ...]:
    """The beginning of a command that runs the rest of it so. The image need not have the
    program. Raises CommandFailed for a container that doesn't run."""
    done = lab.run(host, ["docker", "inspect", "-f", _SHOWN, container])
    pid, _, names = done.stdout.decode().strip().partition(" ")
    init = first_process(lab.host(host))
    if pid in ("", "0") or init is None:
        raise CommandFailed(f"no container {container} runs", host=host)
    root = f"/proc/{init}/root"
    network = ("nsenter", f"--net={root}/proc/{pid}/ns/net")
    return (*network, "unshare", "--mount", "sh", "-c", _WITH_NAMES, f"{root}{names}")
