"""The TCP connection under an SSH transport: bounded, and it knows when it last heard."""

from __future__ import annotations

import contextlib
import socket
import time

CONNECT_TIMEOUT = 10.0
# Unacknowledged data ends a connection after this long, whatever the kernel's own patience.
USER_TIMEOUT_MS = 15_000
KEEPALIVE = (
    (socket.SO_KEEPALIVE, socket.SOL_SOCKET, 1),
    (socket.TCP_KEEPIDLE, socket.IPPROTO_TCP, 10),
    (socket.TCP_KEEPINTVL, socket.IPPROTO_TCP, 5),
    (socket.TCP_KEEPCNT, socket.IPPROTO_TCP, 3),
    (socket.TCP_USER_TIMEOUT, socket.IPPROTO_TCP, USER_TIMEOUT_MS),
    (socket.TCP_NODELAY, socket.IPPROTO_TCP, 1),
)


class HeardSocket(socket.socket):
    """A socket that notes signs of life. ``asked`` is when (monotonic) the peer was first
    asked for one since it last sent something, None when it owes none; ``silent`` is when it
    was given up for that; ``ended`` says that it has hung up."""

    asked: float | None = None
    silent: float | None = None
    ended: bool = False
    greeting: bool = True

    def recv(self, size: int, flags: int = 0) -> bytes:
        try:
            data = super().recv(size, flags)
        except ConnectionError:
            self.ended = True
            raise
        self.asked, self.ended = None, not data
        if self.greeting:
            # sshd runs Nagle until a session is open: a delayed ACK costs 40 ms a message,
            # and the kernel forgets this option after each one.
            with contextlib.suppress(OSError):
                self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
        return data

    def ask(self) -> None:
        """Notes that the peer is asked for a sign of life now."""
        if self.asked is None:
            self.asked = time.monotonic()

    def cut(self) -> None:
        """Ends both directions at once, so that every reader and writer wakes."""
        with contextlib.suppress(OSError):
            self.shutdown(socket.SHUT_RDWR)


def open_socket(address: str, port: int, timeout: float = CONNECT_TIMEOUT) -> HeardSocket:
    """Connects to the first of all addresses of the name that answers, in ``timeout`` seconds
    altogether. Raises OSError: the last address's reason."""
    deadline = time.monotonic() + timeout
    found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)
    failure: OSError = TimeoutError("timed out")
    for index, (family, kind, protocol, _, where) in enumerate(found):
        left = deadline - time.monotonic()
        if left <= 0:
            break
        sock = HeardSocket(family, kind, protocol)
        try:
            for option, level, value in KEEPALIVE:
                sock.setsockopt(level, option, value)
            # The rest of the time is shared: a silent first address leaves some to the next.
            sock.settimeout(left / (len(found) - index))
            sock.connect(where)
            return sock
        except OSError as error:
            sock.close()
            failure = error
    raise failure
