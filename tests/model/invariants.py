"""What must hold after every remote effect (SEMANTICS section 4), on the simulated fleet.

Each check can be broken by a test: see test_model_mutants.py. A check compares what was
before one effect with what is after it, so that what the world breaks is not laid at the
controller's door: ``rebase`` takes the world's own changes as given.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from sim_effects import Effect
from simulated import SimFleet, SimWorld

from fleetctl.model.balancing import Section, Server
from fleetctl.model.codec import decode
from fleetctl.model.events import Event, PlanMade, StepFinished, StepStarted
from fleetctl.model.instance import Container
from fleetctl.model.record import Document, ServiceRecord
from fleetctl.model.routing import Pairs
from fleetctl.model.spec import ServiceSpec

LONGEST_RUN = 1800.0
"""Simulated seconds within which every run ends: a roll's deadlines, there and back."""
ON_A_HOST = frozenset({"create", "start", "stop", "remove", "set_restart", "pull", "tag", "untag"})
Address = tuple[str, int]


class Violation(AssertionError):
    """Names every invariant that does not hold."""

    def __init__(self, found: dict[str, str], where: str) -> None:
        self.names = tuple(found)
        super().__init__(f"after {where}: " + "; ".join(f"{k} {why}" for k, why in found.items()))


@dataclass(frozen=True)
class Facts:
    """The fleet at one moment."""

    fences: dict[tuple[str, str], int]
    lineages: dict[str, str]
    containers: dict[tuple[str, str], Container]
    strangers: dict[tuple[str, str], str]
    answering: dict[Address, Container]
    ready: dict[tuple[str, str, str], Address]
    routes: dict[str, Pairs]
    tags: dict[tuple[str, str, int], str]
    documents: dict[str, Document]
    services: dict[str, ServiceRecord]
    sections: dict[str, Section]

    def target(self, service: str) -> ServiceSpec | None:
        """Where the service is going: the open deploy's spec, or the committed one."""
        record = self.services.get(service)
        if record is None:
            return None
        revision = record.revision(record.open.target if record.open else record.current)
        if revision is None:
            return None
        if record.open is not None and record.open.failed == record.open.target:
            return replace(revision.spec, replicas=0)  # a first deploy that is taken back
        return revision.spec

    def running(self, service: str) -> int:
        return sum(c.service == service and c.running for c in self.containers.values())

    def serving(self, service: str, balancers: Iterable[str], left: set[Address]) -> int:
        """How many answer and are ready in each of these balancers, ``left`` out."""
        good = {a for a, c in self.answering.items() if c.service == service} - left
        for name in balancers:
            good &= {a for (lb, _, _), a in self.ready.items() if lb == name}
        return len(good)

    def routed(self, service: str) -> bool:
        """Whether it is reached through the balancers, and was before."""
        record, spec = self.services[service], self.target(service)
        current = record.revision(record.current)
        return bool(spec and spec.balanced and (current is None or current.spec.balanced))

    def held(self, service: str) -> dict[str, Server]:
        """Instances from which a person keeps requests."""
        section = self.sections.get(service)
        servers = [s for b in (section.backends if section else ()) for s in b.servers]
        return {s.instance: s for s in servers if s.held}


@dataclass(frozen=True)
class Moment:
    """One effect, and the fleet on both sides of it."""

    before: Facts
    now: Facts
    effect: Effect
    world: SimWorld
    held: Invariants

    @property
    def service(self) -> str:
        return self.effect.scope.removeprefix("service-")


def i1_fences_never_fall(moment: Moment) -> str:
    for key, number in moment.before.fences.items():
        if moment.now.fences.get(key, 0) < number:
            return f"{key} fell from {number}"
    return ""


def i2_enough_serve(moment: Moment) -> str:
    """Never fewer serve than the floor, or than served before where that was fewer. What a
    person holds is nothing that was to serve."""
    up = [b.name for b in moment.held.fleet.balancers.values() if b.up]
    for service, (floor, _) in bounds(moment.now).items():
        names = up if moment.now.routed(service) else []
        left = moment.held.revived if names else set()
        left = left | {(s.address, s.port) for s in moment.now.held(service).values()}
        was = moment.before.serving(service, names, left)
        now = moment.now.serving(service, names, left)
        if now < min(floor, was):
            return f"{service}: {now} serve, {was} did, the floor is {floor}"
    return ""


def i2_live_below_ceiling(moment: Moment) -> str:
    for service, (_, ceiling) in bounds(moment.now).items():
        was, now = moment.before.running(service), moment.now.running(service)
        if now > max(ceiling, was):
            return f"{service}: {now} live, the ceiling is {ceiling}"
    return ""


def bounds(facts: Facts) -> dict[str, tuple[int, int]]:
    """(floor, ceiling) of each service on its way, by SEMANTICS section 2. On a way back the
    floor is no higher than that of the roll that failed: what it drained is drained. What a
    person holds may be missing, and one besides where one may."""
    found = {}
    for service, record in facts.services.items():
        spec = facts.target(service)
        if spec is None:
            continue
        held = len(facts.held(service))
        floor, ceiling = _bounds(spec, held)
        failed = record.revision(record.open.failed) if record.open else None
        if failed is not None:
            floor = min(floor, _bounds(failed.spec, held)[0])
        found[service] = (floor, ceiling)
    return found


def _bounds(spec: ServiceSpec, held: int) -> tuple[int, int]:
    surge, down = (
        (float(text[:-1]) * spec.replicas / 100) if text.endswith("%") else float(text)
        for text in (spec.rollout.max_surge, spec.rollout.max_unavailable)
    )
    down = math.floor(down)
    if not down and not surge:
        down = 1
    if held:
        down = max(down, held + min(down, 1))
    return max(0, spec.replicas - down), spec.replicas + math.ceil(surge)


def i3_no_request_is_cut(moment: Moment) -> str:
    """Nothing done to a host takes away what stands behind a ready server."""
    if moment.effect.kind not in ON_A_HOST:
        return ""
    for server, address in moment.before.ready.items():
        if address in moment.before.answering and address not in moment.now.answering:
            return f"{server} lost {address}"
    return ""


def i4_two_containers_a_slot(moment: Moment) -> str:
    slots = Counter(
        (c.service, c.slot)
        for c in moment.now.containers.values()
        if c.state in ("created", "running")
    )
    before = Counter((c.service, c.slot) for c in moment.before.containers.values())
    for slot, count in slots.items():
        if count > max(2, before[slot]):
            return f"{count} containers of {slot}"
    return ""


def i5_full_labels(moment: Moment) -> str:
    for c in moment.now.containers.values():
        if not (c.service and c.slot and c.revision and c.deploy and c.spec and c.name):
            return f"{c.name} lacks a label"
    return ""


def i6_nothing_of_others(moment: Moment) -> str:
    if moment.now.strangers != moment.before.strangers:
        return "a stranger's container was touched"
    if moment.effect.kind in ON_A_HOST and moment.effect.scope.startswith("service-"):
        for key, c in moment.before.containers.items():
            if c.service != moment.service and moment.now.containers.get(key) != c:
                return f"{c.name} is of another service"
    return ""


def i7_last_good_outlives(moment: Moment) -> str:
    for service, record in moment.before.services.items():
        now = moment.now.services.get(service)
        if now is None or (record.current and now.revision(record.current) is None):
            return f"revision {record.current} of {service} is gone from the record"
        keep = {record.current, record.open.target if record.open else 0}
        for host, name, number in moment.before.tags:
            if name == service and number in keep and (host, name, number) not in moment.now.tags:
                return f"the image of {service}:{number} may go from {host}"
    return ""


def i8_unknown_host_no_harm(moment: Moment) -> str:
    """While a host with running instances was silent from the run's start, none is taken away.
    What a finished deploy left there, stopped, is no instance."""
    silent = moment.held.silent_at_start.get(moment.world.holder, frozenset())
    if moment.effect.kind in ("stop", "remove") and moment.service in silent:
        return f"{moment.effect} with a silent host"
    return ""


def i9_ready_is_healthy(moment: Moment) -> str:
    """What a balancer is told to send requests to answers."""
    if moment.effect.kind not in ("file", "runtime"):
        return ""
    for key, address in moment.now.ready.items():
        if address not in moment.now.answering and address not in moment.held.lost:
            return f"{key} is {address}, where nobody answers"
    return ""


def i9_no_backend_empties(moment: Moment) -> str:
    for service in moment.before.sections:
        spec = moment.now.target(service)
        floor, _ = bounds(moment.now).get(service, (0, 0))
        if spec is None or not spec.balanced or not floor:
            continue
        for lb in moment.held.fleet.balancers:
            was = _addresses(moment.before, lb, service)
            good = set(was) & set(moment.before.answering) - moment.held.revived
            if good and not _addresses(moment.now, lb, service):
                return f"{service} has no server left on {lb}"
    return ""


def _recorded(facts: Facts) -> set[Address]:
    """The addresses that the record has as ready servers."""
    return {
        (s.address, s.port)
        for section in facts.sections.values()
        for backend in section.backends
        for s in backend.servers
        if s.wanted == "ready"
    }


def _addresses(facts: Facts, lb: str, service: str) -> list[Address]:
    return [
        a for (name, b, _), a in facts.ready.items() if name == lb and b.startswith(f"{service}.")
    ]


def i9_servers_of_a_slot(moment: Moment) -> str:
    for service, section in moment.now.sections.items():
        for backend in section.backends:
            slots = Counter(s.container_slot for s in backend.servers if s.state == "ready")
            each = Counter((s.container_slot, s.revision, s.instance) for s in backend.servers)
            if max(slots.values(), default=0) > 2 or max(each.values(), default=0) > 1:
                return f"{service}: {slots}"
    return ""


def i9_servers_are_its_own(moment: Moment) -> str:
    """What a balancer sends to a backend is answered by its own service, at its own port."""
    for (lb, backend, name), address in moment.now.ready.items():
        found = moment.now.answering.get(address)
        if found is None or address in moment.held.revived:
            continue
        ports = {binding.name for binding in found.bindings if binding.host == address[1]}
        if backend not in {f"{found.service}.{port}" for port in ports}:
            return f"{lb}: {backend}/{name} is answered by {found.name}"
    return ""


def i9_routes_lead_home(moment: Moment) -> str:
    """No request comes to another service than the one whose route or name it took."""
    if moment.effect.kind != "runtime":
        return ""
    homes = {key: home for section in moment.now.sections.values() for key, home in ways(section)}
    for key, value in moment.now.routes.get(moment.effect.place, ()):
        if homes.get(key) != (value.split("|")[0], "|" in value):
            return f"{moment.effect.place} sends {key} to {value}, not to {homes.get(key)}"
    return ""


def ways(section: Section) -> list[tuple[str, tuple[str, bool]]]:
    """What leads to a service by the map of routes: key, backend, whether something guards it."""
    found = [
        (
            (f"{r.listen}|" if r.listen else "") + (r.host or "*") + r.path.rstrip("/") + "/",
            (
                f"{section.service}.{r.port}",
                bool(r.allow or r.users or r.rate or (r.tls and (r.tls.redirect or r.tls.hsts))),
            ),
        )
        for r in section.routes
        if r.mode == "http" and not r.headers
    ]
    inside = section.internal
    if inside is not None and inside.mode == "http":
        home = f"{section.service}.{inside.port}"
        found.append((f"internal|{section.service}.internal/", (home, False)))
    return found


def holds_stay(moment: Moment) -> str:
    """Nobody but a person, or its own end, lets requests come to what is held."""
    if moment.world.releases:
        return ""
    now = moment.held.fleet.clock.now()
    for service, section in moment.now.sections.items():
        held = moment.now.held(service)
        here = {s.instance for b in section.backends for s in b.servers}
        for name, server in moment.before.held(service).items():
            if name in here and name not in held and not 0 < server.held_until <= now:
                return f"{name} is held in {server.held} no longer"
    return ""


def i11_generations_grow(moment: Moment) -> str:
    for key, document in moment.now.documents.items():
        known = moment.before.documents.get(key)
        grown = document.generation - (known.generation if known else 0)
        if grown != (0 if document == known else 1):
            return f"{key} went up by {grown}"
    if set(moment.before.documents) - set(moment.now.documents):
        return "a document is gone"
    return ""


def i11_lineage_stays(moment: Moment) -> str:
    for name, lineage in moment.before.lineages.items():
        if lineage and moment.now.lineages.get(name) != lineage:
            return f"{name} was of {lineage}"
    return ""


def i12_one_image_a_revision(moment: Moment) -> str:
    for c in moment.now.containers.values():
        known = moment.held.images.setdefault((c.service, c.revision), c.image)
        if known != c.image:
            return f"{c.service}:{c.revision} is {known} and {c.image}"
    return ""


def i14_meant_before(moment: Moment) -> str:
    """The journal has the step before it has any effect."""
    if moment.effect.kind in ("record", "claim"):
        return "" if moment.world.journal.runs else f"{moment.effect} outside any run"
    hosts = [host for found in moment.world.journal.pending.values() for host in found]
    if moment.effect.kind in ON_A_HOST and moment.effect.place not in hosts:
        return f"{moment.effect} was not meant"
    return "" if hosts else f"{moment.effect} was not meant"


def i16_within_the_limit(moment: Moment) -> str:
    limit = moment.world.limit
    if limit is not None and moment.effect.kind in ON_A_HOST and moment.effect.place not in limit:
        return f"{moment.effect} is outside {limit}"
    return ""


AFTER_EACH_EFFECT: tuple[tuple[str, Callable[[Moment], str]], ...] = (
    ("I1", i1_fences_never_fall),
    ("I2", i2_enough_serve),
    ("I2 ceiling", i2_live_below_ceiling),
    ("I3", i3_no_request_is_cut),
    ("I4", i4_two_containers_a_slot),
    ("I5", i5_full_labels),
    ("I6", i6_nothing_of_others),
    ("I7", i7_last_good_outlives),
    ("I8", i8_unknown_host_no_harm),
    ("I9", i9_ready_is_healthy),
    ("I9 empty", i9_no_backend_empties),
    ("I9 slot", i9_servers_of_a_slot),
    ("I9 own", i9_servers_are_its_own),
    ("I9 routes", i9_routes_lead_home),
    ("holds", holds_stay),
    ("I11", i11_generations_grow),
    ("I11 lineage", i11_lineage_stays),
    ("I12", i12_one_image_a_revision),
    ("I14", i14_meant_before),
    ("I16", i16_within_the_limit),
)


@dataclass
class Invariants:
    """Watches controllers on one fleet. ``lost`` are addresses whose container the world, not
    a controller, has ended; ``revived`` those that a balancer's older file brought back, which
    the record has taken out."""

    fleet: SimFleet
    lost: set[Address] = field(default_factory=set)
    revived: set[Address] = field(default_factory=set)
    images: dict[tuple[str, int], str] = field(default_factory=dict)
    silent_at_start: dict[str, frozenset[str]] = field(default_factory=dict)
    failed: set[tuple[str, str]] = field(default_factory=set)
    before: Facts | None = None
    _decoded: dict[str, tuple[Document, ServiceRecord | Section]] = field(default_factory=dict)

    def fork(self, fleet: SimFleet) -> Invariants:
        return replace(
            self,
            fleet=fleet,
            lost=set(self.lost),
            revived=set(self.revived),
            images=dict(self.images),
            silent_at_start=dict(self.silent_at_start),
            failed=set(self.failed),
        )

    def watch(self, world: SimWorld) -> SimWorld:
        """Looks at each effect and each event of this controller from now on."""
        self.rebase()
        world.effects.watch = lambda effect: self.look(effect, world)
        world.emit = lambda event: self.hear(event, world)
        self.silent_at_start[world.holder] = frozenset(
            c.service
            for h in self.fleet.hosts.values()
            for c in h.containers.values()
            if c.running and not h.up
        )
        return world

    def rebase(self) -> None:
        """Takes what is now as given."""
        now = self.facts()
        self.lost |= {address for address in now.ready.values() if address not in now.answering}
        if self.before is not None:
            self.lost |= set(self.before.answering) - set(now.answering)
        self.before = now

    def revive(self, balancer: str) -> None:
        """It has just come back with an older file."""
        now = self.facts()
        here = {address for (lb, _, _), address in now.ready.items() if lb == balancer}
        self.revived |= here - _recorded(now)

    def look(self, effect: Effect, world: SimWorld) -> None:
        now = self.facts()
        self.revived -= _recorded(now)
        moment = Moment(self.before or now, now, effect, world, self)
        found = {name: why for name, check in AFTER_EACH_EFFECT if (why := check(moment))}
        self.before = now
        self.lost -= set(now.answering)
        if found:
            raise Violation(found, str(effect))

    def hear(self, event: Event, world: SimWorld) -> None:
        """I15: a failure stops the roll; I10: after a step of the balancers all agree."""
        match event:
            case PlanMade():
                self.failed.discard((world.holder, event.plan.service))
            case StepFinished(outcome="failed"):
                self.failed.add((world.holder, event.service))
            case StepStarted() if (world.holder, event.service) in self.failed:
                raise Violation({"I15": f"{event.step} starts after a failure"}, "a failure")
            case StepFinished(action="admit" | "drain" | "hold" | "release", outcome="ok"):
                self.balancers_agree(event.service)
            case _:
                pass

    def balancers_agree(self, service: str) -> None:
        """I10: record = file = running, on every balancer that counts."""
        section = self.facts().sections.get(service)
        wanted = {
            (f"{service}.{b.port}", s.address, s.port, s.wanted)
            for b in (section.backends if section else ())
            for s in b.servers
        }
        for lb in self.fleet.balancers.values():
            if not lb.up:
                continue
            file = {s.service: s for s in lb.file.sections}.get(service) if lb.file else None
            running = {
                (backend, s.address, s.port, s.admin)
                for (backend, _), s in lb.servers.items()
                if s.service == service
            }
            if file != section or running != wanted:
                raise Violation({"I10": f"{lb.name} has another section of {service}"}, "a step")

    def facts(self) -> Facts:
        hosts = self.fleet.hosts.values()
        machines = [*hosts, *(lb.machine for lb in self.fleet.balancers.values())]
        documents = dict(self.fleet.documents)
        lineages = {host.name: host.lineage for host in hosts}
        if documents.get("fleet") is not None:
            lineages["record"] = str((documents["fleet"].body or {}).get("lineage", ""))
        return Facts(
            {(h.name, scope): n for h in machines for scope, (n, _) in h.fences.items()},
            lineages,
            {(h.name, key): c for h in hosts for key, c in h.containers.items()},
            {(h.name, key): state for h in hosts for key, state in h.strangers.items()},
            self.fleet.answering(),
            {
                (lb.name, *key): (server.address, server.port)
                for lb in self.fleet.balancers.values()
                if lb.up
                for key, server in lb.servers.items()
                if server.admin == "ready"
            },
            {
                lb.name: lb.running.routes
                for lb in self.fleet.balancers.values()
                if lb.up and lb.running
            },
            {(h.name, *key): image for h in hosts for key, image in h.tags.items()},
            documents,
            self._all("service/", ServiceRecord),
            self._all("section/", Section),
        )

    def _all(self, prefix: str, kind: type) -> dict[str, ServiceRecord | Section]:
        found = {}
        for key, document in self.fleet.documents.items():
            if not key.startswith(prefix) or document.body is None:
                continue
            known = self._decoded.get(key)
            if known is None or known[0] is not document:
                known = self._decoded[key] = (document, decode(kind, document.body))
            found[key.removeprefix(prefix)] = known[1]
        return found
