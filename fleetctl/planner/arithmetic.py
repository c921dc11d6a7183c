"""Rollout arithmetic: how many instances may be too many, too few, and at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from fleetctl.errors import Diagnostic, InvalidFiles
from fleetctl.model.spec import Rollout


@dataclass(frozen=True, slots=True)
class Limits:
    """At most ``replicas + surge`` live, at least ``replicas - unavailable`` available."""

    replicas: int
    surge: int
    unavailable: int

    @property
    def ceiling(self) -> int:
        return self.replicas + self.surge

    @property
    def floor(self) -> int:
        return max(0, self.replicas - self.unavailable)


def limits(rollout: Rollout, replicas: int) -> Limits:
    """Surge rounds up, unavailable rounds down; where both come to 0 of a percentage,
    unavailable is 1. Raises InvalidFiles when both are literally 0, or no share."""
    surge = share(rollout.max_surge, replicas, "max_surge")
    unavailable = share(rollout.max_unavailable, replicas, "max_unavailable")
    up, down = math.ceil(surge), math.floor(unavailable)
    if not up and not down:
        if not _above_zero(rollout.max_surge) and not _above_zero(rollout.max_unavailable):
            raise _invalid(
                "max_surge and max_unavailable are both 0: no instance could ever be replaced",
                "set max_surge: 1, or max_unavailable: 1",
            )
        down = 1
    return Limits(replicas, up, min(down, max(replicas, 1)))


def share(text: str, replicas: int, key: str) -> Fraction:
    """``text`` (``25%`` or ``2``) of ``replicas``, not yet rounded. Raises InvalidFiles."""
    try:
        if text.endswith("%"):
            value = Fraction(text[:-1].strip()) * replicas / 100
        else:
            value = Fraction(int(text))
    except (ValueError, ZeroDivisionError):
        value = Fraction(-1)
    if value < 0:
        raise _invalid(f"{key}: {text!r} is no share", "write a number, or a percentage as in 25%")
    return value


def batch_caps(serial: Sequence[str], replicas: int) -> tuple[int, ...]:
    """How many slots each batch may take, as in Ansible: percentages round down, no batch is
    below 1, the last entry repeats. No entry: one batch may take all."""
    if not serial:
        return (max(1, replicas),)
    return tuple(max(1, math.floor(share(entry, replicas, "serial"))) for entry in serial)


def _above_zero(text: str) -> bool:
    return share(text, 100, "share") > 0


def _invalid(message: str, hint: str) -> InvalidFiles:
    return InvalidFiles((Diagnostic("rollout-arithmetic", message, hint=hint),))
