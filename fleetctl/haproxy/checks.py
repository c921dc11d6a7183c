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
_WILDCARD = re.compile(rf"\*\.{_HOST.pattern}")
_PATH = re.compile(r"(?=.{1,1024}$)/|(?=.{1,1024}$)(/(?!\.{1,2}(/|$))[A-Za-z0-9._~+=:@,-]+)+/?")
_CHECK_PATH = re.compile(r"/[A-Za-z0-9._~/+=:@,%?&-]{0,1023}")
_FILE = re.compile(r"/[A-Za-z0-9._/+-]{1,255}")
_ID = re.compile(r"[0-9a-f]{16}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_HEADER_VALUE = re.compile(r"[A-Za-z0-9._~/+=:@!?*()'&|^-]([A-Za-z0-9 ._~/+=:@!?*()'&|^-]{0,254})")
_COOKIE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
_USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,63}")
_CRYPT = re.compile(r"!|\$(5|6|y|2[aby])\$[A-Za-z0-9./$=,+-]{8,200}")

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
    """The host of a route, in lower case; ``*.NAME`` for every name one label below NAME."""
    pattern = _WILDCARD if isinstance(value, str) and value.startswith("*") else _HOST
    return _match(pattern, value, "the host of a route", "use a DNS name in lower case")


def path(value: str) -> str:
    """The path of a route, without the slash at its end; empty for ``/``. What HAProxy looks
    up is decoded and tidied, so nothing encoded or untidy would ever be found."""
    hint = "start it with '/'; no blanks, no '//', no '..', no '%' (write it decoded)"
    return _match(_PATH, value, "the path of a route", hint).rstrip("/")


def header(value: str) -> str:
    """The name of a header."""
    return _match(_HEADER, value, "the name of a header", "use letters, digits and '-'")


def header_value(value: str) -> str:
    """What a route wants a header to be; it goes between double quotes."""
    hint = "use letters, digits, blanks and ._~/+=:@!?*()'&|^-"
    return _match(_HEADER_VALUE, value, "the value of a header", hint)


def cookie(value: str) -> str:
    """The name of a cookie."""
    return _match(_COOKIE, value, "the name of a cookie", "use letters, digits, '-', '_' and '.'")


def user(value: str) -> str:
    """The name of one who may log in."""
    return _match(_USER, value, "the name of a user", "use letters, digits and '-_.@+'")


def crypt_hash(value: str) -> str:
    """A password as crypt(3) hashes it, or ``!`` for none. The value is in no message."""
    if not isinstance(value, str) or not _CRYPT.fullmatch(value):
        raise BalancerFailed(
            "a password hash can't be used in HAProxy",
            hint="make it with: mkpasswd -m sha-256 (or: openssl passwd -5)",
        )
    return value


def check_path(value: str) -> str:
    """The path of a health check; it may have a query."""
    return _match(_CHECK_PATH, value, "a health check's path", "start it with '/', no blanks")


def file(value: str) -> str:
    """The absolute path of a file or unix socket on the balancer."""
    return _match(_FILE, value, "a file", "give an absolute path without blanks")


def identifier(value: str) -> str:
    """A config_id or the hash of a skeleton."""
    return _match(_ID, value, "an identifier", "16 hexadecimal digits")


def sha256(value: str) -> str:
    """What names a content."""
    return _match(_SHA256, value, "a SHA-256", "64 hexadecimal digits")


def network(value: str) -> str:
    """A network or address in CIDR notation."""
    try:
        parsed = ipaddress.ip_network(value)
    except (ValueError, TypeError):
        raise BalancerFailed(
            f"{value!r} can't be used as a network in HAProxy",
            hint="give ADDRESS/BITS, with no bit of the address beyond them",
        ) from None
    if getattr(parsed.network_address, "scope_id", None) is not None:
        raise BalancerFailed(f"{value!r} names an interface, which HAProxy can't use")
    return str(parsed)


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


def bind(ip: str, number: int) -> str:
    """As ``endpoint``, to listen on: the address ``*`` is any."""
    return f"*:{port(number)}" if ip == "*" else endpoint(ip, number)


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


def requests(value: int) -> int:
    """How many requests or connections."""
    return _whole(value, 1, 1_000_000, "a number of requests")


def duration(seconds: float, *, most: float = 86400.0) -> str:
    """``seconds`` as HAProxy writes a time, at least 1ms."""
    left = milliseconds(seconds, most=most)
    for unit, size in (("h", 3_600_000), ("m", 60_000), ("s", 1000)):
        if left % size == 0:
            return f"{left // size}{unit}"
    return f"{left}ms"


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
