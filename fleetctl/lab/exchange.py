"""One HTTP/1.1 request and its answer over a raw socket, by the letter and without retries."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from dataclasses import dataclass

_ANSWER_LIMIT = 1 << 20


class Failed(Exception):
    """The request failed: ``kind`` is connect, reset, timeout, status, body or revision."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.kind = kind


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]  # names in lower case
    body: bytes

    @property
    def keeps(self) -> bool:
        """Whether the connection may carry another request."""
        return (
            "content-length" in self.headers
            and self.headers.get("connection", "").lower() != "close"
        )


async def connect(address: str, port: int) -> socket.socket:
    """A new connection. Raises Failed."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    try:
        await asyncio.get_running_loop().sock_connect(sock, (address, port))
    except OSError as error:
        sock.close()
        raise Failed("connect", str(error)) from error
    except BaseException:
        sock.close()
        raise
    return sock


def still_open(sock: socket.socket) -> bool:
    """Whether an idle connection can carry a request: the server neither closed it nor spoke."""
    try:
        sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def request_bytes(method: str, target: str, host: str, body: bytes, keep: bool) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "User-Agent: fleetctl-load"]
    if body:
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/octet-stream"]
    if not keep:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def exchange(sock: socket.socket, request: bytes) -> Answer:
    """Send one request and read the whole answer. Raises Failed; the caller closes the socket."""
    loop = asyncio.get_running_loop()
    # A server may answer (and close) before it has read all; its answer counts.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await loop.sock_sendall(sock, request)
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            data += await _more(loop, sock, data)
        head, _, body = data.partition(b"\r\n\r\n")
        status, headers = _parse(head)
        if "content-length" in headers:
            length = int(headers["content-length"])
            while len(body) < length:
                body += await _more(loop, sock, data)
        else:
            while more := await loop.sock_recv(sock, 65536):
                body += more
    except OSError as error:
        raise Failed("reset", f"after {len(data)} bytes of the answer: {error}") from error
    except ValueError as error:
        raise Failed("body", f"not HTTP: {data[:80]!r}") from error
    return Answer(status, headers, body)


async def _more(loop: asyncio.AbstractEventLoop, sock: socket.socket, data: bytes) -> bytes:
    more = await loop.sock_recv(sock, 65536)
    if not more:
        raise Failed("reset", f"closed after {len(data)} bytes of the answer")
    if len(data) > _ANSWER_LIMIT:
        raise Failed("body", f"an answer of more than {_ANSWER_LIMIT} bytes")
    return more


def _parse(head: bytes) -> tuple[int, dict[str, str]]:
    first, *lines = head.decode("latin-1").split("\r\n")
    version, status, *_ = first.split(" ")
    if not version.startswith("HTTP/1."):
        raise ValueError(first)
    pairs = (line.partition(":") for line in lines)
    return int(status), {name.strip().lower(): value.strip() for name, _, value in pairs}
