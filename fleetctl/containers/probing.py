"""One health question over a channel to the instance's address."""

from __future__ import annotations

import re
import time
from urllib.parse import quote

from fleetctl.errors import CommandFailed, ConnectionLost, DeadlinePassed
from fleetctl.model.observed import Probe
from fleetctl.model.spec import Healthcheck
from fleetctl.ssh.connection import Channel, Connection

LONGEST_LINE = 4096
CLOSED = "closed without an answer"

_PATH = "/?#[]@!$&'()*+,;=:%~-._"
_STATUS = re.compile(rb"HTTP/1\.[01] ([0-9]{3})[ \r]")


def probe(connection: Connection, address: str, port: int, check: Healthcheck) -> Probe:
    """Asks once, within ``check.timeout`` seconds in all.

    An answer of 200 to 399 is a good one to ``http``, an open connection to ``tcp``. Raises
    HostError when the SSH connection can't carry the question.
    """
    place = f"[{address}]:{port}" if ":" in address else f"{address}:{port}"
    http = check.kind == "http"
    asked = f"GET http://{place}{check.path}" if http else f"connect {place}"
    start = time.monotonic()
    ok, answer = True, "connected"
    try:
        with connection.tcp(address, port, check.timeout) as channel:
            if http:
                ok, answer = _get(channel, place, check.path, start + check.timeout)
    except (TimeoutError, DeadlinePassed):
        ok, answer = False, "no answer"
    except CommandFailed:
        ok, answer = False, "no connection"
    except ConnectionLost:
        if not connection.alive:
            raise
        ok, answer = False, CLOSED
    return Probe(ok, asked, f"{answer} after {time.monotonic() - start:.2f} s")


def _get(channel: Channel, place: str, path: str, end: float) -> tuple[bool, str]:
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
        return False, CLOSED if not line else "an answer that is not HTTP"
    return 200 <= int(found[1]) < 400, found[1].decode()
