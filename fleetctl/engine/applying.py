"""All balancers to one state: prepared side by side, then changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from fleetctl.engine.ports import Lease
from fleetctl.engine.session import Session
from fleetctl.errors import FleetError, StaleFence
from fleetctl.haproxy.rendered import How, Rendered
from fleetctl.model.secret import Secret

T = TypeVar("T")


def prepare_all(
    session: Session,
    rendered: Mapping[str, Rendered],
    leases: Mapping[str, Lease],
    pems: Mapping[str, Mapping[str, Secret]],
) -> dict[str, How]:
    """What bringing each in line will take. Raises what the first by name raised, once none is
    being prepared any more."""

    def prepare(name: str) -> How:
        balancer, lease = session.world.balancer(name), leases[name]
        try:
            return balancer.prepare(rendered[name], lease.fence, pems[name])
        except StaleFence as stale:
            # It has seen a later fence than the lock host knows of, which was lost or replaced:
            # who has the lock goes above it.
            lease.raise_to(stale.seen + 1)
            return balancer.prepare(rendered[name], lease.fence, pems[name])

    done, failed = _side_by_side(session, list(leases), prepare)
    for error in failed.values():
        raise error
    return done


def apply_all(
    session: Session,
    rendered: Mapping[str, Rendered],
    leases: Mapping[str, Lease],
    ways: Mapping[str, How],
) -> str:
    """Those that need no reload side by side, then the others one after the other, and none
    after one that failed. Returns how, by name. Raises the first failure, which tells of all."""

    def apply(name: str) -> str:
        return session.world.balancer(name).apply(rendered[name], leases[name].fence).how

    done: dict[str, str] = {}
    failed: dict[str, FleetError] = {}
    alone = [name for name in leases if ways[name] == "reload"]
    for names in ([name for name in leases if name not in alone], *([name] for name in alone)):
        if not failed:
            more, failed = _side_by_side(session, names, apply)
            done |= more
    said = [f"{name}: {done.get(name, 'not touched')}" for name in leases if name not in failed]
    if failed:
        error, *others = failed.values()
        said += [f"also {other.message}" for other in others]
        if said:
            error.message += f" ({', '.join(said)})"
        raise error
    return ", ".join(said)


def _side_by_side(
    session: Session, names: list[str], work: Callable[[str], T]
) -> tuple[dict[str, T], dict[str, FleetError]]:
    """What ``work`` returned, and what it raised, by name."""
    done: dict[str, T] = {}
    failed: dict[str, FleetError] = {}
    if not names:
        return done, failed
    with ThreadPoolExecutor(min(len(names), session.options.parallel)) as pool:
        futures = {name: pool.submit(work, name) for name in names}
    for name, future in futures.items():
        try:
            done[name] = future.result()
        except FleetError as error:
            failed[name] = error
    return done, failed
