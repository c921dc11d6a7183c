"""Why a channel that opened on a host did not lead to a container engine."""

from __future__ import annotations

from fleetctl.containers.failures import shorten
from fleetctl.errors import ConnectionLost, EngineDown, EngineFailed, FleetError
from fleetctl.ssh.connection import Connection

SCRIPT = """
command -v docker >/dev/null 2>&1 || exit 127
exec docker system dial-stdio </dev/null
"""


def diagnose(connection: Connection) -> FleetError:
    """The error to raise. Raises HostError when the host itself can't be asked."""
    name = connection.name
    answer = connection.run(SCRIPT, timeout=15.0)
    words = shorten(answer.err.decode(errors="replace"))
    if answer.code == 127:
        return EngineFailed(
            f"docker is not installed on {name}",
            hint=f"install it (Debian: apt-get install docker.io on {name})",
            host=name,
        )
    if "permission denied" in words.lower():
        return EngineFailed(
            f"the login on {name} may not use the container engine: {words}",
            hint="add the user to the group docker, or set ansible_become: true",
            host=name,
        )
    if answer.code:
        return EngineDown(
            f"the container engine of {name} is down: {words or 'no reason given'}",
            hint=f"start it: systemctl start docker on {name}",
            host=name,
        )
    return ConnectionLost(
        f"{name}: the channel to the container engine ended while it was opened", host=name
    )
