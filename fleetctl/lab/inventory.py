"""The lab as an inventory folder: hosts.yml, known_hosts and the key that opens the hosts."""

from __future__ import annotations

import contextlib
import shutil
from pathlib import Path

from fleetctl.lab.host import KEY
from fleetctl.lab.layout import STATE, LabHost, Layout

_WRITTEN = STATE / "inventories"  # the folders that `down` has to clear, one per line
_FILES = ("hosts.yml", "known_hosts", "key", "key.pub")


def write(folder: Path, layout: Layout) -> None:
    """Write the inventory; what else lies in the folder (group_vars, ...) stays."""
    folder = folder.resolve()
    if str(folder) not in _folders():
        with _WRITTEN.open("a") as written:
            written.write(f"{folder}\n")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "hosts.yml").write_text(_hosts(folder, layout))
    (folder / "known_hosts").write_text("".join(_known(member) for member in layout.members))
    for name in ("key", "key.pub"):
        shutil.copy(KEY.with_name(name), folder / name)
    (folder / "key").chmod(0o600)


def is_written(folder: Path) -> bool:
    """Whether the folder holds the whole inventory of the lab that runs."""
    folder = folder.resolve()
    return str(folder) in _folders() and all((folder / name).exists() for name in _FILES)


def remove() -> None:
    """Delete the files that ``write`` wrote, and folders that are empty then."""
    for place in _folders():
        for name in _FILES:
            (Path(place) / name).unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            Path(place).rmdir()


def _folders() -> list[str]:
    return _WRITTEN.read_text().splitlines() if _WRITTEN.exists() else []


def _known(host: LabHost) -> str:
    kind, key = (host.files / "etc/ssh/ssh_host_ed25519_key.pub").read_text().split()[:2]
    return f"{host.name},{host.address} {kind} {key}\n"


def _hosts(folder: Path, layout: Layout) -> str:
    lines = [
        "all:",
        "  vars:",
        "    ansible_user: root",
        f"    ansible_ssh_private_key_file: {folder / 'key'}",
        "    fleetctl_known_hosts: known_hosts",
        "    fleetctl_balancers: loadbalancers",
        *(["    fleetctl_internal: every_host"] if layout.local_balancers else []),
        "  children:",
    ]
    for group, balancer in (("app", False), ("loadbalancers", True)):
        lines += [f"    {group}:", "      hosts:"]
        members = [member for member in layout.members if member.balancer == balancer]
        if not members:
            lines[-1] += " {}"
        for member in members:
            lines += [
                f"        {member.name}:",
                f"          ansible_host: {member.address}",
                f"          fleetctl_address: {member.address}",
            ]
            if balancer:
                public = f'http: "{member.address}:80", https: "{member.address}:443"'
                lines += [
                    f"          fleetctl_internal_address: {member.internal}",
                    f"          fleetctl_haproxy: {{{public}}}",
                ]
    return "\n".join(lines) + "\n"
