"""Keys of hosts that nobody knows yet: fetched, shown, and taken into known_hosts."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from fleetctl.errors import FleetError, HostKeyUnknown
from fleetctl.model.fleet import Login
from fleetctl.ssh.known_hosts import KnownHosts, fingerprint
from fleetctl.ssh.transport import offered_key


@dataclass(frozen=True, slots=True)
class HostKey:
    """What a host shows. ``host`` is its name in known_hosts, ``file`` the one that a person's
    consent adds it to, ``known`` whether that or another says so already."""

    name: str
    host: str
    kind: str
    blob: bytes
    known: bool
    file: str

    @property
    def fingerprint(self) -> str:
        return fingerprint(self.blob)

    @property
    def line(self) -> str:
        return f"{self.host} {self.kind} {base64.b64encode(self.blob).decode()}"


def look(name: str, login: Login) -> HostKey:
    """Asks a host for its key, without logging in. Raises HostKeyChanged for one that is not
    what is known, and HostError's other children where there is no answer."""
    key = offered_key(name, login)
    judge = KnownHosts(name, login.address, login.port, login.known_hosts)
    known = True
    try:
        judge.judge(key)
    except HostKeyUnknown:
        if not login.known_hosts:
            raise
        known = False
    file = login.known_hosts[0] if login.known_hosts else ""
    return HostKey(name, judge.host, key.get_name(), key.asbytes(), known, file)


def trust(keys: Iterable[HostKey]) -> tuple[str, ...]:
    """Adds each key to its file, once. Returns the files. Raises FleetError when one can't be
    written; a line that is there is never changed."""
    lines: dict[str, list[str]] = {}
    for key in keys:
        found = lines.setdefault(key.file, [])
        if key.line not in found:
            found.append(key.line)
    for file, new in lines.items():
        try:
            _append(Path(file).expanduser(), new)
        except OSError as error:
            raise FleetError(
                f"{file} can't be written: {error.strerror or error}",
                hint="check its permissions and fleetctl_known_hosts",
            ) from None
    return tuple(lines)


def _append(path: Path, lines: list[str]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.seek(0, os.SEEK_END)
        whole = True
        if file.tell():
            file.seek(-1, os.SEEK_END)
            whole = file.read(1) == b"\n"
        file.write((("" if whole else "\n") + "".join(f"{line}\n" for line in lines)).encode())
        file.flush()
        os.fsync(file.fileno())
