"""A fresh look at hosts and balancers, side by side."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fleetctl.engine.ports import World
from fleetctl.engine.view import View
from fleetctl.model.fleet import Fleet
from fleetctl.model.observed import ObservedBalancer, ObservedHost


@dataclass(frozen=True, slots=True)
class Observed:
    """Hosts and balancers, each sorted by name."""

    hosts: tuple[ObservedHost, ...]
    balancers: tuple[ObservedBalancer, ...]

    def host(self, name: str) -> ObservedHost | None:
        return next((host for host in self.hosts if host.name == name), None)


def instance_hosts(fleet: Fleet, view: View, candidates: Iterable[str] = ()) -> tuple[str, ...]:
    """The hosts that have, or may get, instances: all that aren't public balancers alone."""
    balancers = {balancer.name for balancer in fleet.balancers if balancer.listen}
    known = {host.name for host in fleet.hosts}
    named = set(candidates)
    for record in view.services.values():
        named.update(record.hosts)
    return tuple(sorted((known - balancers) | (named & known)))


def observe_balancers(world: World, fleet: Fleet, parallel: int) -> tuple[ObservedBalancer, ...]:
    """All balancers, by name. Never raises HostError."""
    names = sorted(balancer.name for balancer in fleet.balancers)
    with ThreadPoolExecutor(max_workers=max(1, min(parallel, len(names)))) as pool:
        seen = [pool.submit(world.balancer(name).observe) for name in names]
        return tuple(future.result() for future in seen)


def observe(
    world: World, fleet: Fleet, lineage: str, hosts: Iterable[str], parallel: int
) -> Observed:
    """Never raises HostError: what can't be asked is ``unknown``."""
    names = sorted(set(hosts))
    balancers = sorted(balancer.name for balancer in fleet.balancers)
    world.connect([*names, *balancers])
    with ThreadPoolExecutor(max_workers=max(1, min(parallel, len(names) + len(balancers)))) as pool:
        seen = [pool.submit(world.engine(name).observe, lineage) for name in names]
        balanced = [pool.submit(world.balancer(name).observe) for name in balancers]
        return Observed(
            tuple(future.result() for future in seen),
            tuple(future.result() for future in balanced),
        )
