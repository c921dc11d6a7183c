"""One HTTP/1.1 request and its answer over a line, by the letter and without retries."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

from fleetctl.lab.line import Failed, Line

_ANSWER_LIMIT = 1 << 20


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


def request_bytes(
    method: str, target: str, host: str, body: bytes = b"", keep: bool = False, cookie: str = ""
) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", "User-Agent: fleetctl-load"]
    if body:
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/octet-stream"]
    if cookie:
        lines.append(f"Cookie: {cookie}")
    if not keep:
        lines.append("Connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def exchange(line: Line, request: bytes) -> Answer:
    """Send one request and read the whole answer. Raises Failed; the caller closes the line."""
    # A server may answer (and close) before it has read all; its answer counts.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        await line.send(request)
    data = b""
    try:
        while b"\r\n\r\n" not in data:
            data += await _more(line, data)
        head, _, body = data.partition(b"\r\n\r\n")
        status, headers = _parse(head)
        if "content-length" in headers:
            length = int(headers["content-length"])
            while len(body) < length:
                body += await _more(line, body)
        else:
            while more := await line.receive():
                body += more
    except OSError as error:
        raise Failed("reset", f"after {len(data)} bytes of the answer: {error}") from error
    except ValueError as error:
        raise Failed("body", f"not HTTP: {data[:80]!r}") from error
    return Answer(status, headers, body)


async def _more(line: Line, data: bytes) -> bytes:
    more = await line.receive()
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
