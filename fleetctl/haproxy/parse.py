"""What HAProxy answers, as values. Pure; columns are found by their names, so that a newer
HAProxy's additional ones don't matter."""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from fleetctl.errors import BalancerFailed
from fleetctl.model.observed import ObservedServer

Operational = Literal["up", "down", "unchecked"]
Administrative = Literal["ready", "drain", "maint"]

_MAINT_BITS = 0x01 | 0x02 | 0x20 | 0x40
"""By hand, inherited, by name resolution. (4 only says that the file had ``disabled``.)"""
_DRAIN_BITS = 0x08 | 0x10
SHOWN = 200
_NOT_CHECKED = ("", "INI", "UNK")
_CHECKS = ("status", "check_status", "check_code", "last_chk")
_FIGURES = ("scur", "qcur", "slim", "stot", "rate", "hrsp_5xx", "idle_conn_cur", "safe_conn_cur")
_STATUS = re.compile(r"(UP|DOWN|MAINT|NOLB|DRAIN|no check)(?: (\d+/\d+)| \((.*)\))?")
_WORKER = re.compile(r"(\d+)\s+(master|worker)\s+(\d+)(?:\s+\[failed: (\d+)\])?")


@dataclass(frozen=True, slots=True)
class Processes:
    """``show proc``: the master, the workers that serve, and the old ones that only finish.
    ``failed`` counts the reloads that failed since the last that didn't."""

    master: int
    workers: tuple[int, ...]
    old_workers: tuple[int, ...]
    failed: int

    @property
    def all(self) -> frozenset[int]:
        return frozenset({self.master, *self.workers, *self.old_workers})


@functools.lru_cache(maxsize=1024)
def parse_status(text: str) -> tuple[Operational, Administrative]:
    """The status column of ``show stat``: whether the server works, and what it is set to.

    ``UP 1/3`` still works, ``DOWN 2/3`` doesn't yet; one in maintenance is never asked.
    """
    found = _STATUS.fullmatch(text.strip())
    if not found:
        raise BalancerFailed(f"HAProxy gave a server the unknown status {text!r}")
    word = found[1]
    if word == "MAINT":
        return "down", "maint"
    if word == "DRAIN":
        return "up", "drain"
    if word == "no check":
        return "unchecked", "ready"
    return ("down" if word == "DOWN" else "up"), "ready"


def parse_info(text: str) -> dict[str, str]:
    """``show info``: names and values."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name.strip(): value.strip() for name, value in pairs}


def parse_processes(text: str) -> Processes:
    """``show proc`` of the master's socket."""
    master, failed = 0, 0
    workers: dict[bool, list[int]] = {False: [], True: []}
    old = False
    for line in text.splitlines():
        if line.startswith("#"):
            old = line.startswith("# old workers")
            continue
        found = _WORKER.match(line.strip())
        if found is None:
            continue
        if found[2] == "master":
            master, failed = int(found[1]), int(found[4] or 0)
        else:
            workers[old].append(int(found[1]))
    if not master:
        raise BalancerFailed(f"HAProxy's master answered something unknown: {text[:200]!r}")
    return Processes(master, tuple(workers[False]), tuple(workers[True]), failed)


def parse_map(text: str) -> tuple[tuple[str, str], ...]:
    """``show map FILE``: (key, value), sorted. Empty for a map that the worker doesn't have."""
    found = []
    for line in text.splitlines():
        match line.split():
            case [pointer, key, value] if pointer.startswith("0x"):
                found.append((key, value))
    return tuple(sorted(found))


def parse_fingerprint(text: str) -> str | None:
    """``show ssl cert FILE``: the SHA-1 of the certificate; None when none is loaded there."""
    return parse_info(text).get("SHA1 FingerPrint")


def parse_servers(state: str, stat: str) -> tuple[ObservedServer, ...]:
    """``show servers state`` and ``show stat -1 4 -1`` of one worker, joined."""
    rows = _stat_rows(stat)
    servers = []
    for row in _state_rows(state):
        key = row.get("be_name", ""), row.get("srv_name", "")
        if key not in rows:
            raise BalancerFailed(f"HAProxy shows {'/'.join(key)} in its state, not in its figures")
        try:
            servers.append(_server(row, rows[key]))
        except (KeyError, ValueError) as error:
            raise BalancerFailed(
                f"HAProxy tells {'/'.join(key)} in an unknown way: {error}"
            ) from None
    return tuple(sorted(servers, key=lambda s: (s.backend, s.id)))


def _server(state: Mapping[str, str], stat: Mapping[str, str]) -> ObservedServer:
    admin_bits = int(state["srv_admin_state"])
    operational, _ = parse_status(stat["status"])
    check = stat["check_status"].removeprefix("* ")
    described = " ".join(filter(None, (check, stat.get("check_code", ""), stat.get("last_chk"))))
    return ObservedServer(
        backend=state["be_name"],
        name=state["srv_name"],
        id=int(state["srv_id"]),
        address="" if state["srv_addr"] == "-" else state["srv_addr"],
        port=int(state["srv_port"]),
        up=operational != "down",
        admin=_admin(admin_bits),
        status=stat["status"],
        weight=int(state["srv_uweight"]),
        sessions=int(stat["scur"] or 0),
        queue=int(stat["qcur"] or 0),
        idle=int(stat.get("idle_conn_cur") or 0) + int(stat.get("safe_conn_cur") or 0),
        checked=check not in _NOT_CHECKED,
        maxconn=int(stat.get("slim") or 0),
        rate=int(stat.get("rate") or 0),
        requests=int(stat.get("stot") or 0),
        errors=int(stat.get("hrsp_5xx") or 0),
        check=_shown(described),
    )


def _shown(text: str) -> str:
    if not text.isprintable():
        text = "".join(c if c.isprintable() else "?" for c in text)
    return text[:SHOWN]


def _admin(bits: int) -> Administrative:
    if bits & _MAINT_BITS:
        return "maint"
    return "drain" if bits & _DRAIN_BITS else "ready"


def _state_rows(text: str) -> list[dict[str, str]]:
    lines = [line for line in text.splitlines() if line.strip()]
    if len(lines) < 2 or lines[0].strip() != "1" or not lines[1].startswith("# be_id"):
        raise BalancerFailed(f"HAProxy's servers state is of an unknown kind: {text[:80]!r}")
    names = lines[1].lstrip("# ").split()
    return [dict(zip(names, line.split(), strict=False)) for line in lines[2:]]


def _stat_rows(text: str) -> dict[tuple[str, str], dict[str, str]]:
    """The columns that we know of, by backend and server."""
    # Not splitlines: an application's answer to its check may have any character but a newline.
    lines = [line for line in text.split("\n") if line.strip()]
    if not lines or not lines[0].startswith("# pxname,"):
        raise BalancerFailed(f"HAProxy's figures are of an unknown kind: {text[:80]!r}")
    names = lines[0].removeprefix("# ").split(",")
    known = [(i, name) for i, name in enumerate(names) if name in _CHECKS + _FIGURES]
    try:
        return {
            (row[0], row[1]): {name: row[i] for i, name in known}
            for row in csv.reader(lines[1:])
            if len(row) >= len(names)
        }
    except csv.Error as error:
        raise BalancerFailed(f"HAProxy's figures can't be read: {error}") from None
