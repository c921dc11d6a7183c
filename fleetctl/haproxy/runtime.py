"""From what the running worker has to what its sections want, in commands. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fleetctl.haproxy import commands
from fleetctl.haproxy.commands import Command
from fleetctl.model.balancing import Section, Server, backend_name, server_name
from fleetctl.model.observed import ObservedServer


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be sent now, and the slots (BACKEND/SERVER) that can't take their new
    instance yet because the one before still has a session, a queue or an idle connection."""

    commands: tuple[Command, ...] = ()
    busy: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.commands or self.busy)


def difference(sections: Sequence[Section], seen: Sequence[ObservedServer]) -> Change:
    """Nothing (false) when every server is as wanted. Servers that the running worker lacks
    or that are of no section are a matter of the file, not of the runtime."""
    observed = {(s.backend, s.name): s for s in seen}
    sent: list[Command] = []
    busy: list[str] = []
    for backend, name, wanted in wanted_servers(sections):
        server = observed.get((backend, name))
        if server is None:
            continue
        if wanted is not None and not _same_place(wanted, server) and _occupied(server):
            busy.append(f"{backend}/{name}")
        sent += _commands(wanted, server)
    return Change(tuple(sent), tuple(busy))


def wanted_servers(sections: Sequence[Section]) -> Iterator[tuple[str, str, Server | None]]:
    """(backend, server, what is to be in it) for every slot of every section."""
    for section in sections:
        for backend in section.backends:
            held = {server.slot: server for server in backend.servers}
            for slot in range(1, backend.size + 1):
                yield backend_name(section.service, backend.port), server_name(slot), held.get(slot)


def leaving(sections: Sequence[Section], seen: Sequence[ObservedServer]) -> tuple[Command, ...]:
    """Before a reload: drains the servers that the next worker won't send requests to, as the
    present one lives on with its clients and hears no command any more. A backend that goes
    altogether is left alone: its requests are still right until the reload."""
    wanted = {(b, n): s for b, n, s in wanted_servers(sections)}
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
    for backend, name, wanted in wanted_servers(sections):
        if wanted is None or wanted.state != "ready":
            continue
        server = observed.get((backend, name))
        if not (server and server.up and server.admin == "ready" and _same_place(wanted, server)):
            found.add((backend, name))
    return frozenset(found)


def _same_place(wanted: Server, seen: ObservedServer) -> bool:
    return (wanted.address, wanted.port) == (seen.address, seen.port)


def _stays(wanted: Server | None, seen: ObservedServer) -> bool:
    return wanted is not None and wanted.state == "ready" and _same_place(wanted, seen)


def _occupied(seen: ObservedServer) -> bool:
    return seen.admin != "maint" or bool(seen.sessions or seen.queue or seen.idle)


def _commands(wanted: Server | None, seen: ObservedServer) -> tuple[Command, ...]:
    slot = seen.backend, seen.name
    if wanted is None:
        return () if seen.admin == "maint" else (commands.set_state(*slot, "maint"),)
    if not _same_place(wanted, seen):
        if seen.admin != "maint":
            return (commands.set_state(*slot, "maint"),)
        if seen.sessions or seen.queue:
            return ()
        if seen.idle:
            # A connection whose session ended in maintenance stays; entering it closes them.
            return (commands.set_state(*slot, "drain"), commands.set_state(*slot, "maint"))
        move = commands.set_address(*slot, wanted.address, wanted.port)
        return (move, *_weight(wanted, seen), *commands.come_in(*slot, wanted.state))
    if wanted.state == "drain":
        if seen.admin == "maint":
            return commands.come_in(*slot, "drain")
        return () if seen.admin == "drain" else (commands.set_state(*slot, "drain"),)
    if seen.admin == "maint":
        return (*_weight(wanted, seen), *commands.come_in(*slot, "ready"))
    if seen.admin == "drain":
        return (*_weight(wanted, seen), commands.set_state(*slot, "ready"))
    return _weight(wanted, seen)


def _weight(wanted: Server, seen: ObservedServer) -> tuple[Command, ...]:
    if wanted.state == "drain" or wanted.weight == seen.weight:
        return ()
    return (commands.set_weight(seen.backend, seen.name, wanted.weight),)
