"""One batch of a roll."""

from __future__ import annotations

from dataclasses import dataclass, field

from fleetctl.model.instance import Container, Instance
from fleetctl.planner.slots import Old, Slot


@dataclass(frozen=True, slots=True)
class Launch:
    """A slot's instance on its way to serving. ``waits``: it may start only when what goes
    first has stopped. ``replaced`` go once it serves."""

    slot: Slot
    instance: Instance
    create: bool
    start: bool
    waits: bool
    replaced: tuple[Old, ...] = ()


@dataclass(slots=True)
class Batch:
    """In this order: what goes first (it makes room), what starts, becomes healthy and is
    admitted together, what goes last. ``leaves_first`` and ``leaves_last``: how many are to
    serve once those have gone: the floor, or fewer where fewer are there."""

    number: int
    first: list[Old] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)
    last: list[Old] = field(default_factory=list)
    leaves_first: int = 0
    leaves_last: int = 0

    @property
    def empty(self) -> bool:
        return not (self.first or self.launches or self.last)


def instance_of(container: Container) -> Instance:
    """The instance that ``container`` is."""
    return Instance(
        service=container.service,
        slot=container.slot,
        revision=container.revision,
        host=container.host,
        address=container.address,
        bindings=container.bindings,
        deploy=container.deploy,
    )
