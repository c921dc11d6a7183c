"""Commands of HAProxy's runtime socket, with the replies that mean success. Pure.

HAProxy tells no error code: a refusal is text where silence was expected. So each command
names its good replies exactly, and everything else is a failure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import checks

BATCH = 2000
"""Commands per round trip. HAProxy hangs at a line of 16 KiB, not at many lines."""

_SILENCE = re.compile(r"")
_MAP_CHANGED = re.compile(r"(Key|entry) not found\.|")
_KEY = re.compile(r"[A-Za-z0-9._~/+=:@,%*|-]{1,2048}")
_VALUE = re.compile(r"[A-Za-z0-9._|-]{1,256}")
_ADDRESS_SET = re.compile(
    r"(IP changed from '[^']*' to '[^']*'|no need to change the addr)"
    r"(, (port changed from '[^']*' to '[^']*'|no need to change the port))?"
    r" by 'stats socket command'"
)


class NotOverTheSocket(BalancerFailed):
    """The running worker can't be changed so: the file has it, and a reload brings it."""


@dataclass(frozen=True, slots=True)
class Command:
    """One line for the socket. ``good`` matches the replies that mean it was done;
    ``reloadable`` tells that a reload would do as well."""

    text: str
    good: re.Pattern[str] = _SILENCE
    reloadable: bool = False

    def check(self, reply: str) -> None:
        """Raises BalancerFailed, with HAProxy's words, unless ``reply`` is a good one."""
        if not self.good.fullmatch(reply.strip()):
            failure = NotOverTheSocket if self.reloadable else BalancerFailed
            raise failure(f"HAProxy refused {self.text!r}: {reply.strip()[:500]}")


def _server(backend: str, server: str) -> str:
    return f"{checks.backend(backend)}/{checks.name(server)}"


def set_state(backend: str, server: str, state: Literal["ready", "drain", "maint"]) -> Command:
    if state not in ("ready", "drain", "maint"):
        raise BalancerFailed(f"{state!r} is no state of a server")
    return Command(f"set server {_server(backend, server)} state {state}")


def set_weight(backend: str, server: str, weight: int) -> Command:
    return Command(f"set server {_server(backend, server)} weight {checks.weight(weight)}")


def set_address(backend: str, server: str, address: str, port: int) -> Command:
    where = f"addr {checks.address(address)} port {checks.port(port)}"
    return Command(f"set server {_server(backend, server)} {where}", _ADDRESS_SET)


def set_maxconn(backend: str, server: str, limit: int) -> Command:
    """At most ``limit`` requests at once at this server, 0 for any number."""
    number = 0 if limit == 0 else checks.requests(limit)
    return Command(f"set maxconn server {_server(backend, server)} {number}")


def change_map(path: str, verb: Literal["add", "set", "del"], key: str, value: str = "") -> Command:
    """One entry of the map that was loaded from ``path``. ``set`` and ``del`` reach all entries
    of the key; one that is gone is found by the next look."""
    checks.file(path)
    if verb not in ("add", "set", "del") or not _KEY.fullmatch(key):
        raise BalancerFailed(f"{verb!r} of {key!r} is no change of a map")
    if verb == "del":
        return Command(f"del map {path} {key}", _MAP_CHANGED, reloadable=True)
    if not _VALUE.fullmatch(value):
        raise BalancerFailed(f"{value!r} can't stand in a map")
    return Command(f"{verb} map {path} {key} {value}", _MAP_CHANGED, reloadable=True)


def enable_health(backend: str, server: str) -> Command:
    return Command(f"enable health {_server(backend, server)}")


def health_down(backend: str, server: str) -> Command:
    return Command(f"set server {_server(backend, server)} health down")


def come_in(backend: str, server: str, state: Literal["ready", "drain"]) -> tuple[Command, ...]:
    """From maintenance to ``state``, DOWN until its checks have passed. ``health down`` is
    only heard after the first change of state, so the way leads through drain."""
    commands = (
        enable_health(backend, server),
        set_state(backend, server, "drain"),
        health_down(backend, server),
    )
    return commands if state == "drain" else (*commands, set_state(backend, server, "ready"))


def end_sessions(backend: str, server: str) -> Command:
    """Cuts all connections of clients to this server."""
    return Command(f"shutdown sessions server {_server(backend, server)}")


def session(lines: Sequence[str]) -> bytes:
    """What is sent for ``lines``: a prompt ends each reply, so that they can be told apart."""
    for line in lines:
        if re.search(r"[\x00-\x1f\x7f;\\]|<<", line) or not line.isascii() or len(line) > 4096:
            raise BalancerFailed(f"{line[:200]!r} can't be sent to HAProxy's socket")
    return "".join(f"{line}\n" for line in ("prompt", *lines, "quit")).encode()


def replies(answer: bytes, count: int) -> tuple[str, ...]:
    """The ``count`` replies in the answer to a session. Raises BalancerFailed when it isn't
    whole: what was done then is unknown."""
    parts = answer.decode("utf-8", "replace").split("\n> ")
    if len(parts) != count + 2 or parts[0] or parts[-1].strip():
        raise BalancerFailed(
            f"HAProxy answered {max(0, len(parts) - 2)} of {count} commands",
            hint="its worker may have been replaced meanwhile; run the command again",
        )
    return tuple(parts[1:-1])
