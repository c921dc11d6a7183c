"""The example application as container images, made without a build network.

An image is one layer (the static server and a static busybox) and a configuration with the
revision in it. The compiled server is kept in the user's cache folder, by content.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import platform
import tarfile
from dataclasses import dataclass
from pathlib import Path

from fleetctl.lab.commands import call

_SOURCE = Path(__file__).with_name("app") / "app.c"
_FLAGS = ("-O2", "-Wall", "-static", "-s", "-pthread")
_BUSYBOX = Path("/bin/busybox")
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
# The tags of registry:5000/app, each with the environment that is baked into it.
TAGS: dict[str, dict[str, str]] = {
    "1": {"REVISION": "1"},
    "2": {"REVISION": "2"},
    "3": {"REVISION": "3"},
    "4": {"REVISION": "4"},
    "broken": {"REVISION": "broken", "FAIL_HEALTH": "1"},
    "exits": {"REVISION": "exits", "EXIT_AFTER": "0"},
}


@dataclass(frozen=True, slots=True)
class Image:
    """What a registry needs: the blobs by digest, and the manifest of each tag."""

    blobs: dict[str, bytes]
    manifests: dict[str, bytes]


def application() -> bytes:
    """The compiled server. Raises CommandFailed when it does not compile."""
    key = hashlib.sha256(_SOURCE.read_bytes() + " ".join(_FLAGS).encode()).hexdigest()[:32]
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    kept = home / "fleetctl" / f"lab-app-{platform.machine()}-{key}"
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        fresh = kept.with_name(f"{kept.name}.{os.getpid()}")
        call(["gcc", *_FLAGS, "-o", str(fresh), str(_SOURCE)])
        fresh.rename(kept)
    return kept.read_bytes()


def build() -> Image:
    """Equal sources give equal digests."""
    layer = _layer({"app": application(), "bin/busybox": _BUSYBOX.read_bytes()})
    packed = gzip.compress(layer, compresslevel=1, mtime=0)
    blobs = {_digest(packed): packed}
    manifests = {}
    for tag, environment in TAGS.items():
        config = _config(layer, environment)
        blobs[_digest(config)] = config
        manifests[tag] = _manifest(config, packed)
    return Image(blobs, manifests)


def unique(tag: str, filler: bytes) -> Image:
    """The application once more, as revision ``tag``, in a layer that no host has yet."""
    programs = {"app": application(), "bin/busybox": _BUSYBOX.read_bytes(), "filler": filler}
    layer = _layer(programs)
    packed = gzip.compress(layer, compresslevel=1, mtime=0)
    config = _config(layer, {"REVISION": tag})
    blobs = {_digest(packed): packed, _digest(config): config}
    return Image(blobs, {tag: _manifest(config, packed)})


def _digest(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def _layer(programs: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for folder in ("bin", "tmp", "data"):
            entry = tarfile.TarInfo(folder)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o1777 if folder == "tmp" else 0o755
            archive.addfile(entry)
        for name, content in programs.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(content), 0o755
            archive.addfile(entry, io.BytesIO(content))
        for applet in ("sh", "cat", "ls", "sleep", "true", "false", "wget"):
            entry = tarfile.TarInfo(f"bin/{applet}")
            entry.type, entry.linkname = tarfile.SYMTYPE, "busybox"
            archive.addfile(entry)
    return buffer.getvalue()


def _config(layer: bytes, environment: dict[str, str]) -> bytes:
    machine = platform.machine()
    return json.dumps(
        {
            "architecture": _ARCHITECTURES.get(machine, machine),
            "os": "linux",
            "created": "2020-01-01T00:00:00Z",
            "config": {
                "Cmd": ["/app"],
                "Env": ["PATH=/bin", *(f"{key}={value}" for key, value in environment.items())],
                "ExposedPorts": {"8080/tcp": {}},
            },
            "rootfs": {"type": "layers", "diff_ids": [_digest(layer)]},
        },
        sort_keys=True,
    ).encode()


def _manifest(config: bytes, packed: bytes) -> bytes:
    kind = "application/vnd.docker"
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": f"{kind}.distribution.manifest.v2+json",
            "config": {
                "mediaType": f"{kind}.container.image.v1+json",
                "size": len(config),
                "digest": _digest(config),
            },
            "layers": [
                {
                    "mediaType": f"{kind}.image.rootfs.diff.tar.gzip",
                    "size": len(packed),
                    "digest": _digest(packed),
                }
            ],
        },
        sort_keys=True,
    ).encode()
