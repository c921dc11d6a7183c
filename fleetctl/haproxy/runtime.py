"""From what the running worker has to what its sections want, in commands. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from fleetctl.haproxy import commands
from fleetctl.haproxy.commands import Command
from fleetctl.haproxy.rendered import Rendered
from fleetctl.model.balancing import Section, Server, backend_name, server_name
from fleetctl.model.observed import ObservedBalancer, ObservedServer
from fleetctl.model.routing import Certificate

RouteChange = tuple[Literal["add", "set", "del"], str, str]
"""What is to be done with an entry of the map of routes: verb, key, value."""


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be sent now, and the slots (BACKEND/SERVER) that can't take their new
    instance yet because the one before still has a session, a queue or an idle connection.
    ``certificates`` are (path below live, digest) of those to be replaced."""

    commands: tuple[Command, ...] = ()
    busy: tuple[str, ...] = ()
    routes: tuple[RouteChange, ...] = ()
    certificates: tuple[tuple[str, str], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.commands or self.busy or self.routes or self.certificates)


def difference(rendered: Rendered, seen: ObservedBalancer) -> Change:
    """Nothing (false) when the running worker is in all that its socket can change as the file
    has it. Servers that it lacks or that are of no section, and certificates that it has not
    loaded, are a matter of the file, not of the runtime."""
    observed = {(s.backend, s.name): s for s in seen.servers}
    sent: list[Command] = []
    busy: list[str] = []
    for backend, name, wanted, limit in wanted_servers(rendered.sections):
        server = observed.get((backend, name))
        if server is None:
            continue
        if wanted is not None and not same_place(wanted, server) and _occupied(server):
            busy.append(f"{backend}/{name}")
        sent += server_commands(wanted, limit, server)
    return Change(
        tuple(sent),
        tuple(busy),
        tuple(routes(rendered.routes, seen.routes)),
        tuple((path, c.digest) for path, c, _ in stale_certificates(rendered, seen)),
    )


def wanted_servers(
    sections: Sequence[Section],
) -> Iterator[tuple[str, str, Server | None, int]]:
    """(backend, server, what is to be in it, its maxconn) for every slot of every section."""
    for section in sections:
        limit = section.balancing.maxconn
        for backend in section.backends:
            held = {server.slot: server for server in backend.servers}
            of = backend_name(section.service, backend.port)
            for slot in range(1, backend.size + 1):
                yield of, server_name(slot), held.get(slot), limit


def routes(
    wanted: Sequence[tuple[str, str]], seen: Sequence[tuple[str, str]]
) -> Iterator[RouteChange]:
    """From the map ``seen`` to the one ``wanted``: what comes before what goes. Several entries
    of one key, which hands may have made, are set to one value, or go together."""
    if wanted == seen:
        return
    values: dict[str, set[str]] = {}
    for key, value in seen:
        values.setdefault(key, set()).add(value)
    for key, value in wanted:
        found = values.pop(key, None)
        if found != {value}:
            yield ("set" if found else "add"), key, value
    for key in sorted(values):
        yield "del", key, ""


def stale_certificates(
    rendered: Rendered, seen: ObservedBalancer
) -> Iterator[tuple[str, Certificate, str]]:
    """(path, the wanted one, the fingerprint of the loaded one) where they differ."""
    loaded = dict(seen.certificates)
    for path, certificate in rendered.certificates:
        fingerprint = loaded.get(path)
        if fingerprint is not None and fingerprint != certificate.fingerprint:
            yield path, certificate, fingerprint


def leaving(sections: Sequence[Section], seen: Sequence[ObservedServer]) -> tuple[Command, ...]:
    """Before a reload: drains the servers that the next worker won't send requests to, as the
    present one lives on with its clients and hears no command any more. A backend that goes
    altogether is left alone: its requests are still right until the reload."""
    wanted = {(b, n): s for b, n, s, _ in wanted_servers(sections)}
    return tuple(
        commands.set_state(server.backend, server.name, "drain")
        for server in seen
        if server.admin == "ready"
        and (server.backend, server.name) in wanted
        and not _stays(wanted[server.backend, server.name], server)
    )


def untried(
    sections: Sequence[Section], seen: Sequence[ObservedServer]
) -> frozenset[tuple[str, str]]:
    """The ready servers that are not UP at their place in the present worker: those a fresh
    worker has to be told to distrust."""
    observed = {(s.backend, s.name): s for s in seen}
    found = set()
    for backend, name, wanted, _ in wanted_servers(sections):
        if wanted is None or wanted.wanted != "ready":
            continue
        server = observed.get((backend, name))
        if not (server and server.up and server.admin == "ready" and same_place(wanted, server)):
            found.add((backend, name))
    return frozenset(found)


def same_place(wanted: Server, seen: ObservedServer) -> bool:
    return wanted.port == seen.port and wanted.address == seen.address


def server_commands(wanted: Server | None, limit: int, seen: ObservedServer) -> tuple[Command, ...]:
    """What brings one server nearer to what it is to be. Nothing when it is that, or has to wait
    for connections of the instance before."""
    slot = seen.backend, seen.name
    if wanted is None:
        return () if seen.admin == "maint" else (commands.set_state(*slot, "maint"),)
    state = wanted.wanted
    if not same_place(wanted, seen):
        if seen.admin != "maint":
            return (commands.set_state(*slot, "maint"),)
        if seen.sessions or seen.queue:
            return ()
        if seen.idle:
            # A connection whose session ended in maintenance stays; entering it closes them.
            return (commands.set_state(*slot, "drain"), commands.set_state(*slot, "maint"))
        move = commands.set_address(*slot, wanted.address, wanted.port)
        come_in = () if state == "maint" else commands.come_in(*slot, state)
        return (move, *_figures(wanted, limit, seen), *come_in)
    if seen.admin == state:
        return _figures(wanted, limit, seen)
    if seen.admin == "maint" and state != "maint":
        return (*_figures(wanted, limit, seen), *commands.come_in(*slot, state))
    return (*_figures(wanted, limit, seen), commands.set_state(*slot, state))


def _stays(wanted: Server | None, seen: ObservedServer) -> bool:
    return wanted is not None and wanted.wanted == "ready" and same_place(wanted, seen)


def _occupied(seen: ObservedServer) -> bool:
    return seen.admin != "maint" or bool(seen.sessions or seen.queue or seen.idle)


def _figures(wanted: Server, limit: int, seen: ObservedServer) -> tuple[Command, ...]:
    """Of a server that gets no requests the weight doesn't matter: in the file of a drained one
    it is 0."""
    slot = seen.backend, seen.name
    found = ()
    if limit != seen.maxconn:
        found = (commands.set_maxconn(*slot, limit),)
    if wanted.wanted == "ready" and wanted.weight != seen.weight:
        return (*found, commands.set_weight(*slot, wanted.weight))
    return found
