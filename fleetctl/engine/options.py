"""How a run is to go, and how a person stops it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field


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
