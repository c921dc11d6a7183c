"""The Debian packages that the lab is made of."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from fleetctl.errors import Refused
from fleetctl.lab.commands import attempt

NEEDED = (
    "busybox-static",
    "docker-registry",
    "docker.io",
    "gcc",
    "haproxy",
    "iproute2",
    "iptables",
    "libc6-dev",
    "openssh-client",
    "openssh-server",
    "util-linux",
)
_POLICY = Path("/usr/sbin/policy-rc.d")
_KEPT = Path("/usr/sbin/policy-rc.d.before-fleetctl-lab")


def missing() -> list[str]:
    """The packages that are not installed. Raises Refused on a machine that is not Debian's."""
    if shutil.which("dpkg-query") is None:
        raise Refused(
            "the lab needs Debian packages, and this machine has no dpkg",
            hint="run it on Debian 12, or in a virtual machine with it",
        )
    form = "${Package} ${db:Status-Status}\n"
    shown = attempt(["dpkg-query", "--show", f"--showformat={form}", *NEEDED]).stdout
    present = {line.split()[0] for line in shown.splitlines() if line.endswith(" installed")}
    return [name for name in NEEDED if name not in present]


def install(names: list[str]) -> None:
    """Install packages without starting their services. Raises Refused, naming them."""
    by_hand = f"apt-get install --no-install-recommends {' '.join(names)}"
    if shutil.which("apt-get") is None:
        raise Refused(f"missing Debian packages: {' '.join(names)}", hint=f"run `{by_hand}`")
    quiet = ["env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "-y"]
    command = [*quiet, "install", "--no-install-recommends", *names]
    with _no_service_starts():
        done = attempt(command, timeout=900)
        if done.returncode:
            attempt([*quiet, "update"], timeout=300)
            done = attempt(command, timeout=900)
    if done.returncode:
        reasons = [line for line in done.stderr.splitlines() if line.startswith("E:")]
        raise Refused(
            f"Debian packages are missing and apt-get could not install them: {' '.join(names)}"
            + (f" ({reasons[0][3:]})" if reasons else ""),
            hint=f"run `apt-get update && {by_hand}` and see what it says",
        )


@contextlib.contextmanager
def _no_service_starts() -> Iterator[None]:
    """A policy that refuses every start, as Debian's maintainer scripts ask for one."""
    restore_policy()
    if _POLICY.exists():
        os.rename(_POLICY, _KEPT)
    else:
        _KEPT.symlink_to("/dev/null")  # says: there was none
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        restore_policy()


def restore_policy() -> None:
    """Put the machine's own policy back, also after an ``up`` that was killed."""
    if _KEPT.is_symlink():
        _POLICY.unlink(missing_ok=True)
        _KEPT.unlink()
    elif _KEPT.exists():
        os.rename(_KEPT, _POLICY)
