"""How fleet, record and plays compare: the answer to ``drift``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fleetctl.model.events import PlanMade

PlayState = Literal["same", "differs", "rolled_back", "undeclared", "not_compared"]


@dataclass(frozen=True, slots=True)
class ServiceDrift:
    """``revision`` is what the record is committed to, or on its way to; 0: never deployed.
    ``fleet`` is what reconcile would do, None where it would leave the service alone;
    ``play`` how the play compares with the revision, ``differs`` in which of its keys. ``held``
    are (instance, drain or maint, until) of what people hold, which is no difference."""

    service: str
    revision: int
    fleet: PlanMade | None
    play: PlayState
    differs: tuple[str, ...] = ()
    paused: str = ""
    held: tuple[tuple[str, str, float], ...] = ()

    @property
    def nothing(self) -> bool:
        """Fleet, record and play are one."""
        in_line = self.fleet is not None and self.fleet.plan.nothing
        return in_line and self.play in ("same", "not_compared")
