"""One health question over a channel to the instance's address."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Protocol
from urllib.parse import quote

from fleetctl.model.observed import Probe
from fleetctl.model.spec import Healthcheck

LONGEST_LINE = 4096

_PATH = "/?#[]@!$&'()*+,;=:%~-._"
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")


class Answering(Protocol):
    """What of a channel of ``fleetctl.ssh`` is needed here."""

    def sendall(self, data: bytes) -> None: ...

    def recv(self, size: int) -> bytes: ...

    def settimeout(self, timeout: float | None) -> None: ...

    def close(self) -> None: ...


def probe(
    connect: Callable[[float], Answering], address: str, port: int, check: Healthcheck
) -> Probe:
    """Asks once, within ``check.timeout`` seconds in all. ``connect`` takes the seconds left.

    An answer of 200 to 399 is a good one to ``http``, an open connection to ``tcp``. Raises
    only what isn't the instance's doing (ConnectionLost).
    """
    place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    http = check.kind == "http"
    asked = f"GET http://{place}{check.path}" if http else f"connect {place}"
    start = time.monotonic()
    try:
        channel = connect(check.timeout)
        try:
            ok, answer = True, "connected"
            if http:
                ok, answer = _get(channel, place, check.path, start + check.timeout)
        finally:
            channel.close()
    except TimeoutError:
        ok, answer = False, "no answer"
    except OSError as error:
        ok, answer = False, (error.strerror or str(error)).lower()
    return Probe(ok, asked, f"{answer} after {time.monotonic() - start:.2f} s")


def _get(channel: Answering, place: str, path: str, end: float) -> tuple[bool, str]:
    channel.settimeout(max(end - time.monotonic(), 0.001))
    channel.sendall(
        f"GET {quote(path, safe=_PATH)} HTTP/1.1\r\nHost: {place}\r\nUser-Agent: fleetctl\r\n"
        "Accept: */*\r\nConnection: close\r\n\r\n".encode()
    )
    line = b""
    while b"\n" not in line and len(line) < LONGEST_LINE:
        channel.settimeout(max(end - time.monotonic(), 0.001))
        more = channel.recv(LONGEST_LINE)
        if not more:
            break
        line += more
    found = _STATUS.match(line)
    if found is None:
        return False, "closed without an answer" if not line else "an answer that is not HTTP"
    return 200 <= int(found[1]) < 400, found[1].decode()
