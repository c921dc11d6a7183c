"""How a run is to go, and how a person stops it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

from fleetctl.errors import Interrupted


class StopSignal:
    """Set once by SIGINT, SIGTERM or a closed terminal: no new step starts after it."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self.number = 0

    def set(self, number: int) -> None:
        self.number = self.number or number
        self._event.set()

    @property
    def asked(self) -> bool:
        return self._event.is_set()

    def check(self, where: str, service: str) -> None:
        """Raises Interrupted, saying ``where`` it was, once it is set."""
        if self.asked:
            raise Interrupted(
                f"stopped {where}",
                signal_number=self.number,
                hint=f"what runs goes on serving; `fleetctl reconcile {service}` or the "
                "same command again carries on from here",
            )

    def wait(self, seconds: float) -> bool:
        """Waits ``seconds``, or until it is set; tells whether it is."""
        return self._event.wait(seconds)


@dataclass(frozen=True, slots=True)
class RunOptions:
    """``wait`` seconds for a lock; ``again`` deploys a spec that was rolled back from;
    ``limit`` names the hosts that may be changed, None for all."""

    by: str
    command: str
    wait: float = 0.0
    again: bool = False
    limit: tuple[str, ...] | None = None
    parallel: int = 32
    stop: StopSignal = field(default_factory=StopSignal)
