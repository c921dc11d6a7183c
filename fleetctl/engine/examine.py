"""What is lost of a record, and what it would be rebuilt as. Writes nothing.

What is left of the record and is not older than what hosts show is kept; the rest comes
from labels, specs and balancers (engine/rebuild.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

from fleetctl.engine.beside import record_addresses
from fleetctl.engine.observe import Observed, observe
from fleetctl.engine.options import RunOptions
from fleetctl.engine.ports import World
from fleetctl.engine.rebuild import Evidence, last_committed, rebuild_record, rebuild_section
from fleetctl.engine.recover import with_certificates
from fleetctl.errors import (
    ForeignLineage,
    Refused,
    Unreachable,
)
from fleetctl.haproxy.templates import built_in
from fleetctl.model.balancing import Section
from fleetctl.model.codec import decode
from fleetctl.model.evidence import HostEvidence, RecordRemains
from fleetctl.model.fleet import Fleet
from fleetctl.model.observed import ObservedBalancer, ObservedHost
from fleetctl.model.record import (
    BALANCERS_KEY,
    FLEET_KEY,
    ServiceRecord,
    section_key,
    service_key,
)
from fleetctl.model.routing import Pairs

T = TypeVar("T")

GAP = 1_000_000
"""How far above all that is seen a rebuilt document's generation is, so that no copy of the
lost one that turns up later can count."""


@dataclass(frozen=True, slots=True)
class Adopted:
    """What adoption makes of one service. ``kept`` are the keys that are left as they are;
    ``above`` is the generation that what is written follows."""

    record: ServiceRecord
    section: Section | None
    instances: int
    servers: int
    above: int
    kept: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Adoption:
    """All that would be written. ``fences`` are the highest numbers that hosts have accepted;
    ``lost`` says what is wrong with the record; ``templates`` are recorded again, none where
    they are as they were."""

    lineage: str
    lost: tuple[str, ...]
    services: tuple[Adopted, ...]
    fences: Mapping[str, int]
    fleet_kept: bool
    templates: Pairs = ()


def examine(
    world: World, fleet: Fleet, options: RunOptions, moved: bool = False, templates: Pairs = ()
) -> Adoption:
    """Looks at everything and writes nothing. Every host and balancer has to answer. Lost
    templates are to be ``templates``, none: this version's own.

    Raises HostError for one that doesn't, ForeignLineage, and Refused when the record is
    whole, when there is nothing to rebuild it from, or when it lay on machines that aren't
    this inventory's record hosts (unless ``moved``).
    """
    world.connect(host.name for host in fleet.hosts)
    remains = world.record.remains()
    with ThreadPoolExecutor(max(1, min(options.parallel, len(fleet.hosts)))) as pool:
        hosts = tuple(pool.map(lambda host: world.engine(host.name).evidence(), fleet.hosts))
    lineage = _lineage(remains, hosts)
    observed = _observed(world, fleet, lineage, hosts, options.parallel)
    evidence = _by_service(remains, hosts, observed)
    lost = _lost(remains, evidence)
    if not lost:
        raise Refused(
            "the record is whole: there is nothing to adopt",
            hint="`fleetctl reconcile` brings the fleet back to what it says",
        )
    if not moved:
        _same_record_hosts(fleet, hosts)
    fences: dict[str, int] = {}
    for host in hosts:
        for scope, number in host.fences:
            fences[scope] = max(number, fences.get(scope, 0))
    return Adoption(
        lineage,
        lost,
        tuple(_service(world, fleet, one, remains, options.by) for one in evidence),
        fences,
        FLEET_KEY in remains.documents,
        () if _templates_stay(fleet, remains) else templates or built_in(),
    )


def _templates_stay(fleet: Fleet, remains: RecordRemains) -> bool:
    return not fleet.balancers or BALANCERS_KEY in remains.documents


def _lineage(remains: RecordRemains, hosts: tuple[HostEvidence, ...]) -> str:
    seen = {lineage: name for name, lineage in sorted(remains.lineages.items(), reverse=True)}
    document = remains.documents.get(FLEET_KEY)
    if document is not None and document.body is not None:
        seen.setdefault(str(document.body.get("lineage", "")), "the record")
    for host in hosts:
        if host.lineage:
            seen.setdefault(host.lineage, host.name)
    seen.pop("", None)
    if len(seen) > 1:
        (one, first), (other, second), *_ = sorted(seen.items())
        raise ForeignLineage(
            f"two fleets in one inventory: {first} belongs to the fleet {one}, {second} to {other}",
            hint="take the hosts that aren't this fleet's out of the inventory",
        )
    if not seen:
        raise Refused(
            "no host of this inventory belongs to a fleet: there is nothing to adopt",
            hint="a first `fleetctl deploy` makes one",
        )
    return next(iter(seen))


def _observed(
    world: World, fleet: Fleet, lineage: str, hosts: tuple[HostEvidence, ...], parallel: int
) -> Observed:
    """A balancer's machine is asked for containers only where it ever got any."""
    balancers = {balancer.name for balancer in fleet.balancers}
    names = [host.name for host in hosts if host.name not in balancers or host.specs]
    observed = observe(world, fleet, lineage, names, parallel)
    everything: tuple[ObservedHost | ObservedBalancer, ...]
    everything = (*observed.hosts, *observed.balancers)
    for one in everything:
        if not one.up:
            raise Unreachable(
                f"{one.name} is {one.state}, and what it has must not be missed: {one.error}",
                hint="nothing was changed; bring it back, or take it out of the inventory "
                "when it is gone for good",
                host=one.name,
            )
    return observed


def _by_service(
    remains: RecordRemains, hosts: tuple[HostEvidence, ...], observed: Observed
) -> tuple[Evidence, ...]:
    """What there is of each service. One that was deleted from the record stays so while
    nothing of it runs."""
    containers = [c for host in observed.hosts for c in host.containers]
    specs = [stored for host in hosts for stored in host.specs]
    prefix = service_key("")
    known = {k: d.body for k, d in remains.documents.items() if k.startswith(prefix)}
    deleted = {key.removeprefix(prefix) for key, body in known.items() if body is None}
    names = {key.removeprefix(prefix) for key in (*known, *remains.damaged) if prefix in key}
    names |= {stored.service for stored in specs}
    names = (names - deleted) | {container.service for container in containers}
    return tuple(
        Evidence(
            name,
            tuple(stored for stored in specs if stored.service == name),
            tuple(container for container in containers if container.service == name),
            observed.balancers,
        )
        for name in sorted(names)
    )


def _lost(remains: RecordRemains, evidence: tuple[Evidence, ...]) -> tuple[str, ...]:
    """Each thing that is wrong with the record, for people."""
    found = [f"{key} is damaged: {why}" for key, why in sorted(remains.damaged.items())]
    if FLEET_KEY not in {*remains.documents, *remains.damaged}:
        found.append("the `fleet` document is missing")
    for one in evidence:
        key = service_key(one.service)
        document = remains.documents.get(key)
        if document is None:
            if one.containers and key not in remains.damaged:
                found.append(f"{key} is missing")
        elif document.generation < one.generation:
            found.append(f"{key} is older than what runs: generation {document.generation}")
        elif document.body is not None:
            record = _decoded(ServiceRecord, remains, key)
            if record is None:
                found.append(f"{key} can't be read")
            elif _section_is_missing(record, remains):
                found.append(f"{section_key(one.service)} is missing")
    return tuple(found)


def _section_is_missing(record: ServiceRecord, remains: RecordRemains) -> bool:
    """A service that is committed to routes has a section from before its commit on."""
    current = record.revision(record.current)
    key = section_key(record.name)
    routed = current is not None and bool(current.spec.balanced)
    return routed and key not in {*remains.documents, *remains.damaged}


def _decoded(kind: type[T], remains: RecordRemains, key: str) -> T | None:
    """None for a document that is missing, deleted, or not of that kind."""
    document = remains.documents.get(key)
    if document is None or document.body is None:
        return None
    try:
        found: T = decode(kind, document.body)
        return found
    except ValueError:
        return None


def _same_record_hosts(fleet: Fleet, hosts: tuple[HostEvidence, ...]) -> None:
    last = last_committed(stored for host in hosts for stored in host.specs)
    had = set(last.record_hosts) if last else set()
    if had and not had.intersection(record_addresses(fleet)):
        raise Refused(
            f"this fleet's record lies on {', '.join(sorted(had))}, which is no record host of "
            "this inventory; a second record would make two fleets of one",
            hint="use the inventory that has it; when those machines are gone for good, "
            "say --record-moved",
        )


def _service(
    world: World, fleet: Fleet, evidence: Evidence, remains: RecordRemains, by: str
) -> Adopted:
    key, of_section = service_key(evidence.service), section_key(evidence.service)
    kept = []
    record = _decoded(ServiceRecord, remains, key)
    document = remains.documents.get(key)
    if record is not None and document and document.generation >= evidence.generation:
        kept.append(key)
    else:
        record = rebuild_record(evidence, by)
    if kept and of_section in remains.documents:
        section = _decoded(Section, remains, of_section)
        kept.append(of_section)
    else:
        section = rebuild_section(evidence, record)
        if section is not None:
            section = with_certificates(world, fleet, section)
    generations = [d.generation for k, d in remains.documents.items() if k in (key, of_section)]
    servers = sum(len(b.servers) for b in section.backends) if section else 0
    above = max([evidence.generation, *generations]) + GAP
    return Adopted(record, section, len(evidence.running), servers, above, tuple(kept))
