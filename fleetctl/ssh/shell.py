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

from fleetctl.errors import ConnectionLost, DeadlinePassed
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
    """Serialised: one request at a time, from any thread. After DeadlinePassed or
    ConnectionLost it is closed, and what the script did is not known."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._lock = threading.Lock()

    @property
    def closed(self) -> bool:
        return self._channel.closed

    @property
    def busy(self) -> bool:
        return self._lock.locked()

    def run(self, script: str, *args: str, input: bytes = b"", timeout: float = 30.0) -> Completed:
        """``script`` with ``args`` as $1, $2..., in a subshell: nothing it sets stays. It must
        not leave a child behind that holds its output. ``timeout`` in seconds."""
        mark = secrets.token_hex(16)
        body = f"set -- {shlex.join(args)}\n{script}".encode()
        if b"\0" in body:
            raise ValueError("a script or argument with NUL")
        request = f"{mark} {len(body)} {len(input)}\n".encode() + body + input
        end = mark.encode()

        def whole(out: bytearray, err: bytearray) -> bool:
            tail = out.rfind(end, max(0, len(out) - len(end) - 16))
            return (
                out.endswith(b"\n")
                and tail > 0
                and err.endswith(end)
                and len(err) >= 2 * len(end)
                and out.find(end) < tail
            )

        with self._lock:
            try:
                out, err = self._channel.exchange(request, whole, timeout)
            except DeadlinePassed:
                self._channel.close()
                raise
            if not whole(out, err):
                self._channel.complain(err)
                self._channel.close()
                raise ConnectionLost(
                    f"{self._channel.host}: the shell ended before it answered; what was done is "
                    f"not known {self._channel.complaint()}".rstrip(),
                    hint="look with `fleetctl status`, then run the command again",
                    host=self._channel.host,
                )
        answer = out[out.find(end) + len(end) :]
        text, _, code = answer.rpartition(end)
        errors = err[err.find(end) + len(end) : -len(end)]
        return Completed(int(code), bytes(text), bytes(errors), self._channel.host)

    def close(self) -> None:
        """Ends the remote shell once its script has ended."""
        self._channel.close()
