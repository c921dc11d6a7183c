"""One rendered HAProxy file with what it names, and what applying it did."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fleetctl.model.balancing import Section
from fleetctl.model.routing import Certificate

How = Literal["nothing", "file", "runtime", "reload"]

LIVE = "live"
"""The name, in the folder of files, of what the running HAProxy reads: a link to the tree of
one ``files_id``."""
ROUTES = "routes.map"


def tree(files_id: str) -> str:
    """The name of the folder that holds the side files of this id."""
    return f"tree-{files_id}"


@dataclass(frozen=True, slots=True)
class SideFile:
    """A file that HAProxy's own names. ``path`` is below ``live``. The text of a certificate is
    not here: ``digest`` (SHA-256, of every file's content) names it."""

    path: str
    digest: str
    text: str = ""
    kind: Literal["map", "list", "page", "certificate"] = "map"


def manifest(files: Sequence[SideFile]) -> str:
    """The list of all side files and their SHA-256 that lies in their tree, for sha256sum."""
    return "".join(f"{f.digest}  {f.path}\n" for f in sorted(files, key=lambda f: f.path))


def id_of(files: Sequence[SideFile]) -> str:
    """The ``files_id``: what their manifest hashes to, empty for no files."""
    return hashlib.sha256(manifest(files).encode()).hexdigest()[:16] if files else ""


@dataclass(frozen=True, slots=True)
class Rendered:
    """``text`` is the whole file with header, checksum and end marker. ``config_id`` names it
    and its side files; ``skeleton`` names it with all taken out that the runtime socket can
    change: equal skeletons need no reload. ``binds`` are the (address, port) pairs it listens
    on. ``files_id`` names ``files``; ``routes`` are (key, value) of the map of routes, sorted;
    ``certificates`` are (path below ``live``, certificate), sorted."""

    text: str
    config_id: str
    skeleton: str
    sections: tuple[Section, ...]
    binds: tuple[tuple[str, int], ...] = ()
    files: tuple[SideFile, ...] = ()
    files_id: str = ""
    routes: tuple[tuple[str, str], ...] = ()
    certificates: tuple[tuple[str, Certificate], ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """The class of the change (the dearest that was needed), commands sent, and seconds."""

    how: How
    commands: int = 0
    seconds: float = 0.0
