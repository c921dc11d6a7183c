"""What a person's signals do to a run."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleetctl.engine.options import StopSignal

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
WORDS = "stopping: what runs is finished, nothing more is started (Ctrl-C: stop at once)"


@contextlib.contextmanager
def second_interrupt_ends() -> Iterator[None]:
    """A first SIGINT is KeyboardInterrupt, as ever; a second one ends the process at once:
    the first may wait for threads that connect to a silent host. Only the main thread can
    call this."""
    asked = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            os._exit(130)
        asked = True
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def stop_on_signals(stop: StopSignal, tell: Callable[[str], None]) -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP set ``stop``; a SIGINT after that ends the process at once.

    Only the main thread can call this. The handlers of before are put back at the end.
    """

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.asked:
            if number == signal.SIGINT:
                os._exit(130)
            return
        stop.set(number)
        # A thread of its own: the interrupted one may hold the lock of what ``tell`` writes to.
        threading.Thread(target=tell, args=(WORDS,), daemon=True).start()

    before = {number: signal.signal(number, handle) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
