"""A long-lived shell on a host that takes scripts in frames: a command costs one round trip.

A request is a line ``MARK SCRIPTSIZE INPUTSIZE``, the script, the input. The answer is MARK,
the script's own output byte by byte, MARK, its code; the same on the error output without
the code. MARK is random for each request. dd with one full block reads exactly its bytes
from the pipe, and all of the input before the script sees any of it, so that a script
which ignores its input leaves nothing behind.
"""

from __future__ import annotations

import secrets
import shlex
import threading
from collections.abc import Callable
from functools import partial

from fleetctl.ssh.channel import Channel
from fleetctl.ssh.completed import Completed

LOOP = r"""
while read -r mark size length; do
    script=$(dd bs="$size" count=1 iflag=fullblock 2>/dev/null)
    printf %s "$mark"
    printf %s "$mark" >&2
    if [ "$length" = 0 ]; then
        (eval "$script") </dev/null
    else
        dd bs="$length" count=1 iflag=fullblock 2>/dev/null | (eval "$script")
    fi
    code=$?
    printf '%s %s\n' "$mark" "$code"
    printf %s "$mark" >&2
done
"""


class Shell:
    """Serialised: one request at a time, from any thread. The remote shell is opened by the
    first request, and anew when it ended between two: a later writer shows as StaleFence.
    ``open_channel`` opens one that runs LOOP."""

    def __init__(self, open_channel: Callable[[], Channel]) -> None:
        self._open_channel = open_channel
        self._channel: Channel | None = None
        self._lock = threading.Lock()

    def run(self, script: str, *args: str, input: bytes = b"", timeout: float = 30.0) -> Completed:
        """``script`` with ``args`` as $1, $2..., in a subshell: nothing it sets stays. It must
        not leave a child behind that holds its output. ``timeout`` in seconds; after
        DeadlinePassed or ConnectionLost what it did is not known."""
        mark = secrets.token_hex(16).encode()
        body = f"set -- {shlex.join(args)}\n{script}".encode()
        if b"\0" in body:
            raise ValueError("a script or argument with NUL")
        request = b"%s %d %d\n%s%s" % (mark, len(body), len(input), body, input)
        with self._lock:
            channel = self._channel
            if channel is None or channel.closed:
                self._end()
                channel = self._channel = self._open_channel()
            try:
                out, err = channel.exchange(request, partial(_whole, mark), timeout)
                if not _whole(mark, out, err):
                    raise channel.lost()
            except BaseException:
                self._end()
                raise
        text, _, code = out[out.find(mark) + len(mark) :].rpartition(mark)
        errors = err[err.find(mark) + len(mark) : -len(mark)]
        return Completed(int(code), bytes(text), bytes(errors), channel.host)

    def rest(self) -> bool:
        """Gives the session back if no request is under way; tells whether there was one."""
        if self._channel is None or not self._lock.acquire(blocking=False):
            return False
        try:
            return self._end()
        finally:
            self._lock.release()

    def close(self) -> None:
        """Ends the remote shell once its script has ended."""
        with self._lock:
            self._end()

    def _end(self) -> bool:
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()
        return channel is not None


def _whole(mark: bytes, out: bytearray, err: bytearray) -> bool:
    """Has the answer ended on both streams?"""
    if not (out.endswith(b"\n") and err.endswith(mark)):
        return False
    last = out.rfind(mark, max(0, len(out) - len(mark) - len(" 255\n")))
    return last > out.find(mark) >= 0 and err.find(mark) < len(err) - len(mark)
