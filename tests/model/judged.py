"""One run under watch, and a fleet at rest: what must hold when nothing is under way."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from invariants import LONGEST_RUN, Invariants, Violation, ways
from sim_balancers import SimBalancer, SimBalancerPort
from sim_effects import Effect, Effects, Fault, Killed
from sim_state import SimLocks
from simulated import SimFleet, SimWorld

from fleetctl.engine.view import View, view_of
from fleetctl.errors import FleetError, LockHeld
from fleetctl.haproxy.render import render
from fleetctl.haproxy.sync import differences
from fleetctl.model.balancing import Section
from fleetctl.model.events import RunFinished
from fleetctl.model.record import ServiceRecord
from fleetctl.model.spec import ServiceSpec, container_hash

LEASE = 15.0
CHECKED = 5.0
"""Seconds in which a balancer that was just loaded has checked every server."""
Run = Callable[[SimWorld], RunFinished]


def judged(world: SimWorld, run: Run) -> RunFinished:
    """I20: the run ends in bounded time, with its own exit code; I14: all that it meant to do
    has an outcome. Not for a run that is killed."""
    began = world.clock.now()

    def ended() -> None:
        seconds = world.clock.now() - began
        if seconds > LONGEST_RUN:
            raise Violation({"I20": f"took {seconds:.0f} s"}, "a run")
        if world.journal.pending or world.journal.runs:
            raise Violation({"I14 outcome": f"{world.journal.pending} is open"}, "a run")

    try:
        finished = run(world)
    except FleetError:
        ended()
        raise
    ended()
    return finished


def under_watch(held: Invariants, run: Run) -> RunFinished:
    return judged(held.watch(held.fleet.controller()), run)


@dataclass
class Point:
    """The fleet as a killed controller left it."""

    number: int
    effect: Effect | None
    fleet: SimFleet
    held: Invariants


def points(fleet: SimFleet, held: Invariants, run: Run) -> list[Point]:
    """``run``, undisturbed, and the fleet as it is before its first and after each effect: as
    the controller would leave it if it were killed there. Its own memory is lost either way,
    so that before an effect is after the one before."""
    world = held.watch(fleet.controller())
    found: list[Point] = []

    def keep(effect: Effect | None) -> None:
        other = fleet.fork()
        other.silent[world.holder] = other.clock.now()
        found.append(Point(len(found), effect, other, held.fork(other)))

    look = world.effects.watch

    def looked(effect: Effect) -> None:
        look(effect)
        keep(effect)

    world.effects.watch = looked
    keep(None)
    with contextlib.suppress(FleetError):
        judged(world, run)
    return found


def killed(fleet: SimFleet, held: Invariants, run: Run, number: int, when: str) -> bool:
    """``run`` with the controller killed at its effect ``number``; False when it had none."""
    world = held.watch(fleet.controller({number: Fault(when, Killed())}))
    try:
        judged(world, run)
    except FleetError:
        return False
    except Killed:
        world.fall_silent()
        return True
    return False


def converge(held: Invariants, run: Run, reconcile: Run, tries: int = 2) -> None:
    """I19: locks are free within the lease and 5 s; I17: within two runs all is at rest;
    I18: the next one changes nothing."""
    fleet = held.fleet
    fleet.clock.sleep(LEASE + 5.0)
    probe = fleet.fork()
    for scope in fleet.locks:
        try:
            SimLocks(probe, Effects(), "probe").acquire(scope, 0.0)
        except LockHeld as error:
            raise Violation({"I19": error.message}, "the lease") from error
    unsettled = ""
    for _ in range(tries):
        try:
            under_watch(held, run)
        except FleetError as error:
            unsettled = f"{error.id}: {error.message}"
            continue
        unsettled = at_rest(fleet)
        if not unsettled:
            break
    if unsettled:
        raise Violation({"I17": unsettled}, f"{tries} runs")
    if recorded(fleet):
        fleet.clock.sleep(CHECKED)
        world = held.watch(fleet.controller())
        again = judged(world, reconcile)
        if again.result != "nothing_to_do" or world.effects.log:
            log = [str(effect) for effect in world.effects.log]
            raise Violation({"I18": f"{again.result}, {log}"}, "a run on a fleet at rest")


def recorded(fleet: SimFleet) -> dict[str, ServiceRecord]:
    return view_of(fleet.documents).services


def at_rest(fleet: SimFleet) -> str:
    """Why not every service is wholly on one revision: each slot once, served by all
    balancers, and nothing else (I5, I10, I17). Empty when all are."""
    return next((why for name in recorded(fleet) if (why := _unsettled(fleet, name))), "")


def _unsettled(fleet: SimFleet, service: str) -> str:
    view = view_of(fleet.documents)
    record = view.service(service)
    if record.open is not None:
        return f"the deploy of {service}:{record.open.target} is open"
    revision = record.revision(record.current)
    containers = fleet.containers(service)
    if revision is None:
        left = containers or view.sections.get(service)
        return f"{len(containers)} containers of no revision" if left else ""
    spec = revision.spec
    slots = sorted(c.slot for c in containers)
    if slots != list(range(1, spec.replicas + 1)):
        return f"slots {slots} for {spec.replicas} replicas"
    for c in containers:
        if c.spec != container_hash(spec) or c.image != spec.image:
            return f"{c.name} is not revision {record.current}"
        if not c.running or c.restart_policy != spec.restart:
            return f"{c.name} is {c.state} with restart policy {c.restart_policy}"
    return _balanced_wrongly(fleet, record, spec) or _kept_too_long(fleet, record)


def _balanced_wrongly(fleet: SimFleet, record: ServiceRecord, spec: ServiceSpec) -> str:
    view, service = view_of(fleet.documents), record.name
    section, ports = view.sections.get(service), {port for port, _ in spec.balanced}
    wanted = sorted(
        (c.name, b.name, c.address, b.host)
        for c in fleet.containers(service)
        for b in c.bindings
        if b.name in ports
    )
    here = [(b.port, s) for b in (section.backends if section else ()) for s in b.servers]
    if sorted((s.instance, port, s.address, s.port) for port, s in here) != wanted:
        return f"servers {here}, wanted {wanted}"
    now = fleet.clock.now()
    if any(0 < s.held_until <= now for _, s in here):
        return f"a hold of {service} is over and nobody ended it"
    served = {(s.address, s.port, s.wanted) for _, s in here}
    for balancer in fleet.balancers.values():
        running = [s for s in balancer.servers.values() if s.service == service]
        if {(s.address, s.port, s.admin) for s in running} != served:
            return f"{balancer.name} serves {running}"
        if why := _ways_in(balancer, spec, section):
            return why
        if differs := _differs(fleet, balancer, view):
            return f"{balancer.name}: {differs}"
    return ""


def _ways_in(balancer: SimBalancer, spec: ServiceSpec, section: Section | None) -> str:
    """Routes and the name inside are those of the revision, in the running worker, with the
    certificates that they name."""
    running = balancer.running
    if section is None or not section.backends:
        return ""  # there may be certificates of a revision that has failed
    if running is None:
        return f"{balancer.name} runs nothing"
    if set(section.routes) != set(spec.routes) or section.internal != spec.internal:
        return f"the section of {section.service} has other routes than its revision"
    here = {key: value.split("|")[0] for key, value in running.routes}
    lacking = {key: home for key, (home, _) in ways(section) if here.get(key) != home}
    if lacking:
        return f"{balancer.name} lacks {lacking}"
    ports = {route.listen for route in section.routes if route.listen}
    if not ports <= {port for _, port in running.binds}:
        return f"{balancer.name} does not listen on {ports}"
    loaded = {known for _, known in running.certificates}
    for name in {route.tls.certificate for route in section.routes if route.tls}:
        known = section.certificate(name)
        if known not in loaded or known.digest not in balancer.pems:
            return f"{balancer.name} has not the certificate {name}"
    return ""


def _differs(fleet: SimFleet, balancer: SimBalancer, view: View) -> str:
    """I10, by HAProxy's own measure: file, side files, and all that the running worker has."""
    sections = tuple(view.sections[name] for name in sorted(view.sections))
    machine = next(b for b in fleet.inventory().balancers if b.name == balancer.name)
    wanted = _rendered(machine, sections, view.templates)
    seen = SimBalancerPort(fleet, balancer, Effects()).observe()
    if not balancer.file and not any(section.backends for section in sections):
        return ""
    return next((difference.what for difference in differences(wanted, seen)), "")


_rendered = functools.lru_cache(maxsize=256)(render)


def _kept_too_long(fleet: SimFleet, record: ServiceRecord) -> str:
    """Images and specs of revisions that the record has let go. Those of a later number are of
    a deploy that was given up before anything but pulls."""
    known = {revision.number for revision in record.revisions}
    for host in fleet.hosts.values():
        used = {c.revision for c in host.containers.values() if c.service == record.name}
        here = {n for name, n in (*host.tags, *host.specs) if name == record.name}
        left = sorted(n for n in here - known - used if n < max(known))
        if left:
            return f"{host.name} still keeps revisions {left} of {record.name}"
    return ""


def picture(fleet: SimFleet, service: str) -> Sequence[tuple[int, str, str]]:
    """What I21 compares: who is in which slot, made of what."""
    return sorted((c.slot, c.image, c.spec) for c in fleet.containers(service) if c.running)
