"""lock and unlock: a person keeps every run away from a service."""

from __future__ import annotations

from fleetctl.engine.ports import World
from fleetctl.model.fleet import Fleet
from fleetctl.model.record import Holder


def lock(world: World, fleet: Fleet, service: str, reason: str) -> None:
    """Held until ``unlock``. Raises LockHeld when a run or another person has it."""
    world.connect(fleet.record_hosts)
    world.locks.hold(f"service-{service}", reason)


def unlock(world: World, fleet: Fleet, service: str) -> Holder | None:
    """Frees what ``lock`` took; returns who had it, None when nobody did. A lock that a run
    holds is left alone: LockHeld."""
    world.connect(fleet.record_hosts)
    return world.locks.free(f"service-{service}")
