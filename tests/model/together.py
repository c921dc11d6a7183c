"""Two controllers on one fleet, one of them at a time, changing over where a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable

from judged import Run, judged
from simulated import SimWorld

from fleetctl.model.events import RunFinished

DEADLOCK = 60.0
"""Real seconds after which both are taken to wait for each other."""


class Together:
    """``decide`` says, for each effect (whose, its number), whether the other comes before it.
    One that waits for a lock gives way too."""

    def __init__(
        self,
        runs: tuple[tuple[SimWorld, Run], tuple[SimWorld, Run]],
        decide: Callable[[int, int], bool],
    ) -> None:
        self._runs = runs
        self._gates = (threading.Event(), threading.Event())
        self._done = [False, False]
        self._active = 0
        self.results: list[RunFinished | BaseException | None] = [None, None]
        for who, (world, _) in enumerate(runs):
            world.effects.turn = lambda number, effect, who=who: (
                self._give_way() if decide(who, number) else None
            )
            world.fleet.waiting = self._give_way

    def run(self) -> list[RunFinished | BaseException | None]:
        threads = [threading.Thread(target=self._body, args=(who,), daemon=True) for who in (0, 1)]
        for thread in threads:
            thread.start()
        self._gates[0].set()
        for thread in threads:
            thread.join(DEADLOCK)
            assert not thread.is_alive(), "both wait for each other"
        return self.results

    def _body(self, who: int) -> None:
        self._gates[who].wait()
        self._active = who
        world, run = self._runs[who]
        try:
            self.results[who] = judged(world, run)
        except BaseException as error:
            self.results[who] = error
        finally:
            self._done[who] = True
            self._gates[1 - who].set()

    def _give_way(self) -> None:
        mine = self._active
        if self._done[1 - mine]:
            return
        self._gates[mine].clear()
        self._gates[1 - mine].set()
        self._gates[mine].wait()
        self._active = mine
