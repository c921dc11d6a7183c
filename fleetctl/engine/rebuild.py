"""One service's documents, rebuilt from what hosts and balancers show. Pure.

The committed revision is the one that a spec says was committed last, as long as an instance
of it serves. Where none does, a deploy had replaced them all: then what serves is committed.
Instances of another revision make an open deploy that goes back: what was committed is known
to be good.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from fleetctl.errors import Refused
from fleetctl.haproxy.section import admit
from fleetctl.model.balancing import Backend, Section, Server
from fleetctl.model.evidence import StoredSpec
from fleetctl.model.instance import Container, Instance, port_of
from fleetctl.model.observed import ObservedBalancer, ObservedServer
from fleetctl.model.record import OpenDeploy, Revision, ServiceRecord


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that speaks of one service."""

    service: str
    specs: tuple[StoredSpec, ...]
    containers: tuple[Container, ...]
    balancers: tuple[ObservedBalancer, ...]

    @property
    def generation(self) -> int:
        """The highest generation of the service's record that anything shows."""
        made = [container.generation for container in self.containers]
        return max([*made, *(stored.committed for stored in self.specs)], default=0)

    @property
    def running(self) -> tuple[Container, ...]:
        return tuple(container for container in self.containers if container.running)

    def serving(self) -> tuple[Container, ...]:
        """Running containers that passed their health check: where the service is balanced,
        those that a balancer sends requests to; elsewhere those with the restart policy of their
        spec, which is given then."""
        routed = {s.revision.hash for s in self.specs if s.revision.spec.balanced}
        restart = {s.revision.hash: s.revision.spec.restart for s in self.specs}
        ready = {
            (line.address, line.port)
            for balancer in self.balancers
            for line in balancer.servers
            if line.admin == "ready" and line.backend.startswith(f"{self.service}.")
        }
        return tuple(
            c
            for c in self.running
            if any((c.address, b.host) in ready for b in c.bindings)
            or (
                not (c.spec in routed and self.balancers)
                and c.restart_policy == restart.get(c.spec, c.restart_policy)
            )
        )


def rebuild_record(evidence: Evidence, by: str) -> ServiceRecord:
    """Raises Refused when no host has the spec of what serves."""
    specs = best_specs(evidence.specs)
    current = _committed(evidence, specs)
    number = current.revision.number if current else 0
    revisions = tuple(
        replace(stored.revision, successful=True)
        if stored.committed or stored is current
        else stored.revision
        for _, stored in sorted(specs.items())
    )
    good = [r.number for r in revisions if r.successful and r.number < number]
    return ServiceRecord(
        name=evidence.service,
        current=number,
        previous=max(good, default=0),
        revisions=revisions,
        open=_open(evidence, specs, current, by),
        placed=tuple(sorted({(c.slot, c.host) for c in evidence.running})),
    )


def best_specs(stored: Iterable[StoredSpec]) -> dict[int, StoredSpec]:
    """Per number the spec that was committed last, among those of all hosts."""
    best: dict[int, StoredSpec] = {}
    for one in stored:
        known = best.get(one.revision.number)
        if known is None or _order(one) > _order(known):
            best[one.revision.number] = one
    return best


def _order(stored: StoredSpec) -> tuple[int, float, str]:
    return stored.committed, stored.revision.created, stored.revision.hash


def last_committed(specs: Iterable[StoredSpec]) -> StoredSpec | None:
    """The spec that says it was committed last, None when none was."""
    return max((s for s in specs if s.committed), key=_order, default=None)


def _committed(evidence: Evidence, specs: dict[int, StoredSpec]) -> StoredSpec | None:
    last = last_committed(specs.values())
    serving = evidence.serving()
    if not serving or (last and any(c.spec == last.revision.hash for c in serving)):
        return last
    votes = Counter((container.spec, container.revision) for container in serving)
    (spec, number), _ = max(votes.items(), key=lambda vote: (vote[1], vote[0][1]))
    found = [s for s in specs.values() if s.revision.hash == spec]
    if found:
        return max(found, key=lambda s: (s.revision.number == number, s.revision.number))
    hosts = ", ".join(sorted({c.host for c in serving if c.spec == spec}))
    raise Refused(
        f"no host has the spec of what serves {evidence.service}: revision {number} on {hosts}",
        hint=f"bring /var/lib/fleetctl/specs/{evidence.service} back on one of them",
    )


def _open(
    evidence: Evidence, specs: dict[int, StoredSpec], current: StoredSpec | None, by: str
) -> OpenDeploy | None:
    """The deploy that was under way: back to the committed revision, or, where there is none,
    on to the newest of which something was begun."""
    wanted = current.revision.hash if current else ""
    others = [c for c in evidence.containers if c.spec != wanted and (c.running or not current)]
    if not others:
        return None
    newest = max(others, key=lambda c: (c.revision, c.started, c.name))
    number = current.revision.number if current else newest.revision
    if number not in specs:
        return None
    return OpenDeploy(
        id=newest.deploy,
        target=number,
        previous=current.revision.number if current else 0,
        started=newest.started,
        by=by,
        holder="",
        failed=newest.revision if current and newest.revision != number else 0,
    )


def rebuild_section(evidence: Evidence, record: ServiceRecord) -> Section | None:
    """Every running instance that a balancer knows, in the server slot that it has there."""
    number = record.current or (record.open.target if record.open else 0)
    revision = record.revision(number)
    if revision is None:
        return None
    by_hash = {known.hash: known for known in record.revisions}
    if not evidence.balancers:
        return _without_balancers(evidence, revision, by_hash)
    places = {
        (container.address, binding.host, binding.name): container
        for container in evidence.running
        for binding in container.bindings
    }
    backends: dict[str, Backend] = {}
    for balancer in sorted(evidence.balancers, key=lambda b: b.name):
        for line in balancer.servers:
            service, _, port = line.backend.partition(".")
            if service != evidence.service:
                continue
            backend = backends.get(port) or Backend(port, line.id)
            backend = replace(backend, size=max(backend.size, line.id))
            container = places.get((line.address, line.port, port))
            if container is not None and line.admin != "maint":
                made_of = by_hash.get(container.spec, revision)
                backend = _with(backend, line, container, made_of)
            backends[port] = backend
    ours = tuple(backends[port] for port in sorted(backends) if _kept(backends[port], revision))
    if not ours and not revision.spec.balanced:
        return None
    return admit(Section(evidence.service, backends=ours), revision.spec, ())


def _without_balancers(
    evidence: Evidence, revision: Revision, by_hash: dict[str, Revision]
) -> Section | None:
    """Where no balancer could say it, what passed its health check serves."""
    if not revision.spec.balanced:
        return None
    section = admit(None, revision.spec, ())
    for container in evidence.serving():
        instance = Instance(
            container.service,
            container.slot,
            container.revision,
            container.host,
            container.address,
            container.bindings,
            container.deploy,
        )
        section = admit(section, by_hash.get(container.spec, revision).spec, (instance,))
    return admit(section, revision.spec, ())


def _kept(backend: Backend, revision: Revision) -> bool:
    routed = backend.port in dict(revision.spec.balanced)
    return routed or bool(backend.servers)


def _with(
    backend: Backend, line: ObservedServer, container: Container, revision: Revision
) -> Backend:
    """``backend`` with the container at the slot of ``line``, unless it or the slot is taken:
    what an earlier balancer says counts."""
    servers: Sequence[Server] = backend.servers
    if any(s.slot == line.id or s.instance == container.name for s in servers):
        return backend
    server = Server(
        slot=line.id,
        instance=container.name,
        container_slot=container.slot,
        revision=container.revision,
        host=container.host,
        address=container.address,
        port=port_of(container.bindings, backend.port),
        state="drain" if line.admin == "drain" else "ready",
        weight=line.weight if line.admin == "ready" and line.weight else 100,
        check=revision.spec.healthcheck.path_at(backend.port),
    )
    ordered = tuple(sorted([*servers, server], key=lambda s: s.slot))
    return replace(backend, servers=ordered, last=max(backend.last, line.id))
