"""One rendered HAProxy file, and what applying it did."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fleetctl.model.balancing import Section

How = Literal["nothing", "file", "runtime", "reload"]


@dataclass(frozen=True, slots=True)
class Rendered:
    """``text`` is the whole file with header, checksum and end marker. ``config_id`` names it;
    ``skeleton`` names it with its servers taken out: equal skeletons differ only in what the
    runtime socket can change. ``binds`` are the (address, port) pairs it listens on."""

    text: str
    config_id: str
    skeleton: str
    sections: tuple[Section, ...]
    binds: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Applied:
    """The class of the change (the dearest that was needed), commands sent, and seconds."""

    how: How
    commands: int = 0
    seconds: float = 0.0
