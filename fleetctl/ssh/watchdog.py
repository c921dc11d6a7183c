"""Notices peers that fell silent: no wait on a connection lasts longer than its patience."""

from __future__ import annotations

import threading
import time
import weakref

from fleetctl.ssh.sockets import HeardSocket

TICK = 1.0
# A peer is asked every few idle seconds (transport.ASK_EVERY); unanswered this long, it is gone.
PATIENCE = 8.0


class Watchdog:
    """One thread for all connections of a run."""

    def __init__(self) -> None:
        self._sockets: weakref.WeakSet[HeardSocket] = weakref.WeakSet()
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None

    def watch(self, sock: HeardSocket) -> None:
        """Cuts ``sock`` once its peer has left a question unanswered for too long."""
        with self._lock:
            self._sockets.add(sock)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="ssh-watchdog", daemon=True)
                self._thread.start()

    def close(self) -> None:
        self._ended.set()

    def _run(self) -> None:
        before = time.monotonic()
        while not self._ended.wait(TICK):
            now = time.monotonic()
            # When this process itself stood still, the peers' answers are still to be read.
            paused, before = now - before > 3 * TICK, now
            with self._lock:
                sockets = list(self._sockets)
            for sock in sockets:
                asked = sock.asked
                if asked is None:
                    continue
                if paused:
                    sock.asked = now
                elif now - asked > PATIENCE:
                    sock.silent = now
                    sock.cut()
