"""adopt: a record that is lost, damaged or older than the fleet is rebuilt from the fleet.
Nothing that runs is touched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack

from fleetctl.engine.examine import GAP, Adoption, examine
from fleetctl.engine.options import RunOptions
from fleetctl.engine.ports import Lease, World
from fleetctl.errors import FleetError, Interrupted, StaleWrite
from fleetctl.model.codec import encode
from fleetctl.model.fleet import Fleet
from fleetctl.model.record import (
    BALANCERS_KEY,
    FLEET_KEY,
    BalancersRecord,
    Fence,
    FleetRecord,
    section_key,
    service_key,
)
from fleetctl.model.routing import Pairs
from fleetctl.model.status import HistoryEntry

LOCK_WAIT = 60.0


def adopt(
    world: World,
    fleet: Fleet,
    options: RunOptions,
    consent: Callable[[Adoption], None],
    moved: bool = False,
    templates: Pairs = (),
) -> Adoption:
    """Rebuilds the record under all locks and returns what it wrote. ``consent`` sees it
    first and raises to refuse. ``templates`` are those of the working tree, for a record that
    has lost its own."""
    proposed = examine(world, fleet, options, moved, templates)
    consent(proposed)
    with ExitStack() as stack:
        leases = _lock(world, proposed, options.wait, stack)
        if examine(world, fleet, options, moved, templates) != proposed:
            raise StaleWrite(
                "the fleet changed while it was looked at; nothing was written",
                hint="run the same command again",
            )
        if options.stop.asked:
            raise Interrupted("stopped; nothing was written", signal_number=options.stop.number)
        _write(world, proposed, leases, options)
    return proposed


def _lock(world: World, adoption: Adoption, wait: float, stack: ExitStack) -> dict[str, Lease]:
    """Services by name, then placement. Every scope's fence rises above all that hosts have
    accepted: the counters may be lost with the record."""
    scopes = [f"service-{one.record.name}" for one in adoption.services] + ["placement"]
    others = sorted(set(adoption.fences) - set(scopes))
    leases = {}
    for scope in [*scopes, *others]:
        lease = world.locks.acquire(scope, wait if scope in scopes else LOCK_WAIT)
        stack.callback(lease.release)
        if scope in adoption.fences:
            lease.raise_to(adoption.fences[scope] + 1)
        leases[scope] = lease
    return leases


def _write(
    world: World, adoption: Adoption, leases: Mapping[str, Lease], options: RunOptions
) -> None:
    """The services first: as long as `fleet` is missing the record counts as lost, so a run
    that dies in between is simply run again."""

    def put(key: str, body: object, above: int, fence: Fence) -> None:
        world.record.write(key, encode(body), above, fence)

    journal, now = world.journal, world.clock.now
    for one in adoption.services:
        name, run = one.record.name, world.new_id()
        lease = leases[f"service-{name}"]
        journal.begin(
            HistoryEntry(run, "adopt", name, options.by, now(), revision=one.record.current)
        )
        try:
            lease.check()
            if section_key(name) not in one.kept and one.section is not None:
                put(section_key(name), one.section, one.above, lease.fence)
            if service_key(name) not in one.kept:
                put(service_key(name), one.record, one.above, lease.fence)
        except FleetError as error:
            journal.end(run, "failed", now(), error.message.splitlines()[0])
            raise
        journal.end(run, "ok", now(), "")
    lease = leases["placement"]
    lease.check()
    if adoption.templates:
        put(BALANCERS_KEY, BalancersRecord(adoption.templates), GAP, lease.fence)
    if not adoption.fleet_kept:
        put(FLEET_KEY, FleetRecord(adoption.lineage), GAP, lease.fence)
