"""The allow-list of every value that reaches HAProxy's file or its socket.

In the file a newline, and over the socket also ``;``, starts another command, and
``haproxy -c`` is content with both. So a value is used only if it matches its own
pattern. Every function returns its argument, or raises BalancerFailed.
"""

from __future__ import annotations

import ipaddress
import re

from fleetctl.errors import BalancerFailed

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_BACKEND = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_HOST = re.compile(
    r"(?=.{1,253}$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*"
)
_PATH = re.compile(r"/[A-Za-z0-9._~/+=:@,%-]{0,1023}")
_CHECK_PATH = re.compile(r"/[A-Za-z0-9._~/+=:@,%?&-]{0,1023}")
_FILE = re.compile(r"/[A-Za-z0-9._/+-]{1,255}")
_ID = re.compile(r"[0-9a-f]{16}")

MAX_WEIGHT = 256


def _match(pattern: re.Pattern[str], value: object, what: str, hint: str) -> str:
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise BalancerFailed(f"{value!r} can't be used as {what} in HAProxy", hint=hint)
    return value


def name(value: str) -> str:
    """A service, port or instance name."""
    return _match(_NAME, value, "a name", "use letters, digits, '-', '_' and '.'")


def backend(value: str) -> str:
    """The name of a backend."""
    return _match(_BACKEND, value, "a backend's name", "use letters, digits, '-', '_' and '.'")


def host(value: str) -> str:
    """The host of a route, in lower case."""
    return _match(_HOST, value, "the host of a route", "use a DNS name in lower case")


def path(value: str) -> str:
    """The path of a route."""
    return _match(_PATH, value, "the path of a route", "start it with '/' and use no blanks")


def check_path(value: str) -> str:
    """The path of a health check; it may have a query."""
    return _match(_CHECK_PATH, value, "a health check's path", "start it with '/', no blanks")


def file(value: str) -> str:
    """The absolute path of a file or unix socket on the balancer."""
    return _match(_FILE, value, "a file", "give an absolute path without blanks")


def identifier(value: str) -> str:
    """A config_id or the hash of a skeleton."""
    return _match(_ID, value, "an identifier", "16 hexadecimal digits")


def address(value: str) -> str:
    """An IP address, not a name: HAProxy would resolve a name only once."""
    try:
        parsed = ipaddress.ip_address(value)
    except ValueError:
        raise BalancerFailed(
            f"{value!r} can't be used as an address in HAProxy", hint="give an IP address"
        ) from None
    if getattr(parsed, "scope_id", None) is not None:
        raise BalancerFailed(f"{value!r} names an interface, which HAProxy can't use")
    return str(parsed)


def listen_address(value: str) -> str:
    """An address to listen on: an IP address, or ``*`` for any."""
    return value if value == "*" else address(value)


def endpoint(ip: str, number: int) -> str:
    """ADDRESS:PORT as HAProxy's file has it."""
    text = address(ip)
    return f"[{text}]:{port(number)}" if ":" in text else f"{text}:{port(number)}"


def port(value: int) -> int:
    """A TCP port. (Over the socket HAProxy takes 99999 and makes it 34463.)"""
    return _whole(value, 1, 65535, "a port")


def slot(value: int) -> int:
    """The number of a server slot."""
    return _whole(value, 1, 65536, "a server slot")


def weight(value: int) -> int:
    return _whole(value, 0, MAX_WEIGHT, "a weight")


def count(value: int) -> int:
    """How many checks in a row."""
    return _whole(value, 1, 1000, "a number of checks")


def milliseconds(seconds: float, *, most: float = 86400.0) -> int:
    """``seconds`` as whole milliseconds, at least 1."""
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise BalancerFailed(f"{seconds!r} can't be used as a time in HAProxy")
    if not 0 <= seconds <= most:
        raise BalancerFailed(
            f"{seconds!r} seconds can't be used as a time in HAProxy", hint=f"at most {most:g}"
        )
    return max(1, round(seconds * 1000))


def _whole(value: int, least: int, most: int, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise BalancerFailed(
            f"{value!r} can't be used as {what} in HAProxy", hint=f"from {least} to {most}"
        )
    return value
