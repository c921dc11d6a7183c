"""One connection of the load client, plain or TLS, over a socket that it looks at itself: an
event loop's streams would learn too late that an idle connection was closed."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl


class Failed(Exception):
    """The request failed: ``kind`` is connect, reset, timeout, 404, status, body, service or
    revision."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


class Line:
    """Bytes there and back. Sending and receiving raise OSError."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    async def send(self, data: bytes) -> None:
        await asyncio.get_running_loop().sock_sendall(self._sock, data)

    async def receive(self) -> bytes:
        """What has come, at least one byte; nothing at the end."""
        return await asyncio.get_running_loop().sock_recv(self._sock, 65536)

    def still_open(self) -> bool:
        """Whether an idle line can carry a request: the server neither closed it nor spoke."""
        try:
            self._sock.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        except OSError:
            return False
        return False

    def close(self) -> None:
        self._sock.close()


class TlsLine(Line):
    """The same inside of TLS."""

    def __init__(self, sock: socket.socket, context: ssl.SSLContext, name: str) -> None:
        super().__init__(sock)
        self._from, self._to = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._from, self._to, server_hostname=name)

    async def shake_hands(self) -> None:
        """Raises OSError, also for a certificate that is not trusted."""
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                await self._flush()
                await self._fill()
            else:
                await self._flush()
                return

    async def send(self, data: bytes) -> None:
        self._tls.write(data)
        await self._flush()

    async def receive(self) -> bytes:
        while True:
            try:
                return self._tls.read(65536)
            except ssl.SSLWantReadError:
                await self._fill()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    async def _fill(self) -> None:
        if more := await super().receive():
            self._from.write(more)
        else:
            self._from.write_eof()

    async def _flush(self) -> None:
        if self._to.pending:
            await super().send(self._to.read())


async def connect(
    address: str, port: int, context: ssl.SSLContext | None = None, name: str = ""
) -> Line:
    """A new line; with TLS where ``context`` is given, to who has a certificate for ``name``.
    Raises Failed."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
        if context is None:
            return Line(sock)
        line = TlsLine(sock, context, name)
        await line.shake_hands()
    except OSError as error:
        sock.close()
        raise Failed("connect", str(error)) from error
    except BaseException:
        with contextlib.suppress(OSError):
            sock.close()
        raise
    return line
