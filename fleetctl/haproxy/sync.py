"""Whether a balancer serves what it is to serve, and what differs where it doesn't. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Literal

from fleetctl.haproxy import header
from fleetctl.haproxy.rendered import Rendered
from fleetctl.haproxy.runtime import (
    difference,
    routes,
    server_commands,
    stale_certificates,
    wanted_servers,
)
from fleetctl.model.balancing import Server
from fleetctl.model.observed import ObservedBalancer, ObservedServer

MOST = 100
"""Differences that are told one by one; of more, only how many."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which a balancer isn't as the record has it. ``kind``: the file on the disk,
    the side files, the structure of the running worker (which takes a reload), one of its
    servers, an entry of its map of routes, a certificate."""

    kind: Literal["file", "files", "reload", "runtime", "map", "certificate"]
    what: str


def in_sync(rendered: Rendered, seen: ObservedBalancer) -> bool:
    """File and side files on the disk are these, the running worker was started with a file that
    differs at most in what the socket can change, and all of that is as the sections say."""
    return (
        seen.up
        and seen.file_id == rendered.config_id
        and seen.files_id == rendered.files_id
        and seen.skeleton == rendered.skeleton
        and not difference(rendered, seen)
    )


def differences(rendered: Rendered, seen: ObservedBalancer) -> tuple[Difference, ...]:
    """What differs between ``rendered`` and a balancer that is up, line by line. None: in sync."""
    every = _all(rendered, seen)
    told = tuple(islice(every, MOST))
    more = sum(1 for _ in every)
    if more:
        told += (Difference(told[-1].kind, f"and {more} more differences"),)
    return told


def _all(rendered: Rendered, seen: ObservedBalancer) -> Iterator[Difference]:
    if seen.file_id != rendered.config_id:
        yield Difference("file", f"the file on the disk {_is(seen.file_id, rendered.config_id)}")
    if seen.files_id != rendered.files_id:
        what = "what lies beside the file " + _is(seen.files_id, rendered.files_id)
        if not seen.files_id:
            what = "nothing of fleetctl's lies beside the file"
        yield Difference("files", what)
    if seen.skeleton != rendered.skeleton:
        what = "runs another structure than the record has"
        if not seen.skeleton:
            what = "runs a file that isn't fleetctl's"
        yield Difference("reload", f"the running worker {what}: a reload is needed")
    yield from _servers(rendered, seen)
    for verb, key, value in routes(rendered.routes, seen.routes):
        has = ", ".join(sorted({v for k, v in seen.routes if k == key})) or "nothing"
        wanted = "nothing" if verb == "del" else value
        yield Difference("map", f"route {key}: wanted {wanted}, is {has}")
    for path, certificate, fingerprint in stale_certificates(rendered, seen):
        what = f"wanted {certificate.fingerprint}, is {fingerprint or 'unknown'}"
        yield Difference("certificate", f"{path}: {what}")


def _is(found: str, wanted: str) -> str:
    if not found:
        return "isn't fleetctl's" if wanted else "is gone"
    if found == header.EDITED:
        return "was changed by hand"
    return f"is another one than the record's ({found}, wanted {wanted or 'none'})"


def _servers(rendered: Rendered, seen: ObservedBalancer) -> Iterator[Difference]:
    """Servers that are of no section go with the structure, and have no requests before."""
    observed = {(s.backend, s.name): s for s in seen.servers}
    for backend, name, wanted, limit in wanted_servers(rendered.sections):
        server = observed.get((backend, name))
        if server is None:
            if wanted is not None:
                what = f"wanted {_wanted(wanted, limit)}, the running worker has no such server"
                yield Difference("runtime", f"{backend}/{name}: {what}")
        elif server_commands(wanted, limit, server):
            what = f"wanted {_wanted(wanted, limit)}, is {_seen(server)}"
            yield Difference("runtime", f"{backend}/{name}: {what}")


def _wanted(server: Server | None, limit: int) -> str:
    if server is None:
        return "free"
    words = [f"{server.address}:{server.port}", server.wanted]
    if server.wanted == "ready":
        words.append(f"weight {server.weight}")
    if limit:
        words.append(f"maxconn {limit}")
    return f"{' '.join(words)} ({server.instance})"


def _seen(server: ObservedServer) -> str:
    words = [f"{server.address}:{server.port}", server.admin, f"weight {server.weight}"]
    if server.maxconn:
        words.append(f"maxconn {server.maxconn}")
    return " ".join(words)
