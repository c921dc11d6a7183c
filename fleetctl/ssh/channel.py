"""One stream through a connection: a command's input and output, or a TCP connection."""

from __future__ import annotations

import contextlib
import io
import threading
import time
from collections.abc import Callable
from typing import Any

import paramiko

from fleetctl.errors import CommandFailed, ConnectionLost, DeadlinePassed
from fleetctl.ssh.completed import printable

PIECE = 32_768
MOST_OUTPUT = 64 * 1024 * 1024
KEPT_COMPLAINT = 8192


class Channel:
    """Socket-like: enough for http.client and for line protocols. A wait that its time limit
    ends raises TimeoutError; a connection that ends, ConnectionLost. After ``close`` a
    reader from ``makefile`` still reads, as with a socket."""

    def __init__(self, raw: paramiko.Channel, host: str, on_close: Callable[[], None]) -> None:
        self.host = host
        self._raw = raw
        self._on_close = on_close
        self._held = bytearray()
        self._complaint = bytearray()
        self._files = 0
        self._closing = False
        self._closed = False
        self._lock = threading.Lock()

    @property
    def closed(self) -> bool:
        """Nothing more can be sent: closed here or by the far side."""
        return self._closed or self._raw.closed

    def settimeout(self, seconds: float | None) -> None:
        self._raw.settimeout(seconds)

    def gettimeout(self) -> float | None:
        return self._raw.gettimeout()

    def recv(self, size: int) -> bytes:
        """Up to ``size`` bytes; none at the far side's orderly end."""
        if self._held:
            data = bytes(self._held[:size])
            del self._held[:size]
            return data
        self._keep_complaint()
        try:
            data = self._raw.recv(size)
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
            raise self.lost() from None
        if not data and not self._raw.eof_received and not self._closed:
            raise self.lost()
        return data

    def recv_into(self, buffer: Any, size: int = 0) -> int:
        view = memoryview(buffer).cast("B")
        data = self.recv(size or len(view))
        view[: len(data)] = data
        return len(data)

    def send(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        try:
            sent = self._raw.send(bytes(view[:PIECE]))
        except TimeoutError:
            raise
        except (OSError, EOFError, paramiko.SSHException):
            raise self.lost() from None
        if not sent and view:
            raise self.lost()
        return sent

    def sendall(self, data: Any) -> None:
        view = memoryview(data).cast("B")
        while view:
            view = view[self.send(view) :]

    def shutdown(self, how: int) -> None:
        """As of a socket: 0 reading, 1 writing, 2 both."""
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._raw.shutdown(how)

    def makefile(self, mode: str = "rb", *_: Any, **__: Any) -> io.BufferedReader:
        if mode.replace("b", "") != "r":
            raise ValueError("a channel's file is for reading; send with sendall")
        with self._lock:
            self._files += 1
        return io.BufferedReader(_Reader(self), PIECE)

    def complaint(self) -> str:
        """What the command wrote to its error output lately, on one line."""
        self._keep_complaint()
        return printable(bytes(self._complaint))

    def close(self) -> None:
        with self._lock:
            self._closing = True
        self._end_if_unused()

    def __enter__(self) -> Channel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def exchange(
        self,
        data: bytes,
        until: Callable[[bytearray, bytearray], bool] | None,
        timeout: float,
    ) -> tuple[bytearray, bytearray]:
        """Sends ``data`` while it collects output and errors, until ``until`` says of them that
        they are whole, or the far side ends. Without ``until`` the data is all the input there
        will be. Raises DeadlinePassed after ``timeout`` seconds and CommandFailed for an
        output without bounds."""
        deadline = time.monotonic() + timeout
        out, err = self._held, bytearray()
        self._held = bytearray()
        left = memoryview(data)
        open_ended = until is not None
        wake = threading.Event()
        self._raw.in_buffer.set_event(wake)
        self._raw.in_stderr_buffer.set_event(wake)
        while True:
            wake.clear()
            ended = self._raw.eof_received or self._raw.closed
            moved = self._drain(out, err)
            if (until is not None and until(out, err)) or (ended and not moved):
                return out, err
            if len(out) + len(err) > MOST_OUTPUT:
                raise CommandFailed(f"{self.host}: a command's output has no end", host=self.host)
            if left and not ended and self._raw.send_ready():
                with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
                    left = left[self._raw.send(bytes(left[:PIECE])) :]
                    moved = True
            if not left and not open_ended:
                self.shutdown(1)
                open_ended = True
            rest = deadline - time.monotonic()
            if rest <= 0:
                raise DeadlinePassed(
                    f"{self.host}: no answer to a command within {timeout:g} s; what it has done "
                    "is not known",
                    host=self.host,
                )
            if moved:
                continue
            # No event tells that there is room to send again.
            wake.wait(min(rest, 0.01 if left else 1.0))

    def exit_code(self, timeout: float) -> int:
        """The command's code. Raises ConnectionLost when the connection, or a signal, ended it."""
        if not self._raw.status_event.wait(timeout):
            raise DeadlinePassed(
                f"{self.host}: a command ended its output but not itself", host=self.host
            )
        if self._raw.exit_status < 0:
            raise self.lost()
        return self._raw.exit_status

    def lost(self) -> ConnectionLost:
        """The error to raise when no answer will come."""
        transport = self._raw.get_transport()
        if transport is not None and transport.is_active():
            why = "the command was ended on the host before it answered"
        else:
            why = "the connection ended before the answer came"
        return ConnectionLost(
            f"{self.host}: {why}; what was done is not known",
            hint="look with `fleetctl status`, then run the command again",
            host=self.host,
        )

    def hold(self, data: bytes | bytearray) -> None:
        """Gives ``data`` back, to be received first."""
        self._held[:0] = data

    def complain(self, data: bytes | bytearray) -> None:
        self._complaint = bytearray((self._complaint + data)[-KEPT_COMPLAINT:])

    def _drain(self, out: bytearray, err: bytearray) -> bool:
        moved = False
        if self._raw.recv_ready():
            out += self._raw.recv(PIECE)
            moved = True
        if self._raw.recv_stderr_ready():
            err += self._raw.recv_stderr(PIECE)
            moved = True
        return moved

    def _keep_complaint(self) -> None:
        if self._raw.recv_stderr_ready():
            self.complain(self._raw.recv_stderr(PIECE))

    def _release_file(self) -> None:
        with self._lock:
            self._files -= 1
        self._end_if_unused()

    def _end_if_unused(self) -> None:
        with self._lock:
            if self._closed or not self._closing or self._files:
                return
            self._closed = True
        with contextlib.suppress(OSError, EOFError, paramiko.SSHException):
            self._raw.close()
        self._on_close()


class _Reader(io.RawIOBase):
    """A channel's reading side as a file."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._channel.recv_into(buffer)

    def close(self) -> None:
        if not self.closed:
            super().close()
            self._channel._release_file()
