"""Strict host keys: a key is good only if a known_hosts file says so."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path

import paramiko

from fleetctl.errors import HostKeyChanged, HostKeyUnknown


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One line of a file. ``marker`` is empty, ``@revoked`` or ``@cert-authority``."""

    marker: str
    patterns: str
    kind: str
    blob: str
    file: str
    line: int


def fingerprint(blob: bytes) -> str:
    digest = hashlib.sha256(blob).digest()
    return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


def host_name(address: str, port: int) -> str:
    """The host as known_hosts writes it."""
    return address if port == 22 else f"[{address}]:{port}"


def read_known_hosts(files: Iterable[str]) -> list[KnownKey]:
    """All lines of the files that exist, in order. Raises HostKeyUnknown for one that can't be
    read: it may be the one that tells a changed key."""
    found = []
    for name in files:
        try:
            path = Path(name).expanduser()
            if not path.is_file():
                continue
            text = path.read_text(encoding="utf-8", errors="replace")
        except (OSError, RuntimeError, ValueError) as error:
            raise HostKeyUnknown(
                f"the known_hosts file {name[:200]} can't be read: {error}",
                hint="check its permissions and fleetctl_known_hosts",
            ) from None
        for number, line in enumerate(text.splitlines(), 1):
            fields = line.split()
            if not fields or fields[0].startswith("#"):
                continue
            marker = fields.pop(0) if fields[0].startswith("@") else ""
            if len(fields) >= 3:
                found.append(KnownKey(marker, fields[0], fields[1], fields[2], str(path), number))
    return found


def matches(patterns: str, host: str) -> bool:
    """OpenSSH's rule: any pattern, none that is negated; hashed names too."""
    if patterns.startswith("|1|"):
        try:
            return paramiko.HostKeys.hash_host(host, patterns) == patterns
        except Exception:  # a damaged line is no match
            return False
    hit = False
    for pattern in patterns.split(","):
        negated = pattern.startswith("!")
        # Only * and ? are wild in known_hosts; [ belongs to a port.
        wild = pattern.lstrip("!").lower().replace("[", "[[]")
        if fnmatchcase(host.lower(), wild):
            if negated:
                return False
            hit = True
    return hit


class KnownHosts(paramiko.MissingHostKeyPolicy):
    """What paramiko asks once the peer has proved its key. Raises HostKeyUnknown or
    HostKeyChanged; sets ``accepted``."""

    def __init__(self, name: str, address: str, port: int, files: tuple[str, ...]) -> None:
        self.name = name
        self.host = host_name(address, port)
        self.files = files
        self.known = [k for k in read_known_hosts(files) if matches(k.patterns, self.host)]
        self.accepted = False

    @property
    def kinds(self) -> list[str]:
        """The types of the known keys, the first listed first."""
        return list(dict.fromkeys(key.kind for key in self.known if not key.marker))

    def missing_host_key(
        self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey
    ) -> None:
        self.judge(key)

    def judge(self, key: paramiko.PKey) -> None:
        """Raises for a key that the files don't have, or have as revoked."""
        blob = key.asbytes()
        text = base64.b64encode(blob).decode()
        mark = fingerprint(blob)
        for known in self.known:
            if known.blob == text and known.marker == "@revoked":
                raise HostKeyChanged(
                    f"{self.name}: the key of {self.host} is revoked "
                    f"({known.file}:{known.line}): {mark}",
                    hint="do not connect; find out why it was revoked",
                    host=self.name,
                )
        trusted = [known for known in self.known if not known.marker]
        if any(known.blob == text for known in trusted):
            self.accepted = True
            return
        if trusted:
            first = next((k for k in trusted if k.kind == key.get_name()), trusted[0])
            raise HostKeyChanged(
                f"{self.name}: the key of {self.host} changed: it shows {key.get_name()} {mark}, "
                f"known is another ({first.file}:{first.line})",
                hint="either the host was installed anew or another machine answers in its "
                "place. Compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the "
                f"host's own console; if it is right, remove line {first.line} of {first.file} "
                f"by hand, then `fleetctl hosts trust {self.name}`",
                host=self.name,
            )
        files = ", ".join(self.files) or "no known_hosts file given"
        raise HostKeyUnknown(
            f"{self.name}: the key of {self.host} is not known ({files}): {key.get_name()} {mark}",
            hint="compare with `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` on the host's "
            f"own console, then `fleetctl hosts trust {self.name}`, or add this line to "
            f"{self.files[0] if self.files else 'known_hosts'}: {self.host} {key.get_name()} "
            f"{text}",
            host=self.name,
        )
