"""A plan: ordered typed steps, each with a cause. A step is data; the engine interprets it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeAlias

from fleetctl.model.instance import Container, Instance
from fleetctl.model.record import Reservation, Revision


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """What all steps have. ``needs`` are ids of steps that must have succeeded before."""

    id: str
    cause: str
    needs: tuple[str, ...] = ()
    batch: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pull(Step):
    """s1: the image, by digest, on one host."""

    host: str
    image: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Create(Step):
    """s3: a container with restart policy ``no``."""

    instance: Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(Step):
    """s4. Of an instance made by this plan, or of a container that a dead run left."""

    instance: Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Health(Step):
    """s5: healthy, with unchanged start time and restart count, for ``min_ready``; then the
    restart policy of its spec."""

    instance: Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class Admit(Step):
    """s6: these instances as servers on every balancer, until UP by a check. With no
    instances it brings routes and settings of the section in line."""

    instances: tuple[Instance, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain(Step):
    """s7 and s8: the servers of these containers get nothing new, then have no session left,
    then leave the file. ``leaves``: how many others must be serving, or none may go."""

    containers: tuple[Container, ...]
    leaves: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop(Step):
    """s9: restart policy ``no``, then stop with grace. ``leaves``: as for Drain, where
    requests don't come through balancers."""

    container: Container
    leaves: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit(Step):
    """s11: the record says so."""

    revision: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove(Step):
    """s11: a stopped container that no slot needs."""

    container: Container


@dataclass(frozen=True, slots=True, kw_only=True)
class Prune(Step):
    """s11: images of revisions that retention lets go, on one host."""

    host: str
    revisions: tuple[int, ...]


AnyStep: TypeAlias = Pull | Create | Start | Health | Admit | Drain | Stop | Commit | Remove | Prune


@dataclass(frozen=True, slots=True)
class Summary:
    """Slots by what happens to them."""

    create: int = 0
    replace: int = 0
    remove: int = 0
    keep: int = 0
    move: int = 0

    @property
    def nothing(self) -> bool:
        return not (self.create or self.replace or self.remove or self.move)


@dataclass(frozen=True, slots=True)
class Unplaced:
    """Instances of a service without a host: ``reasons`` is text and number of hosts."""

    service: str
    count: int
    reasons: tuple[tuple[str, int], ...]
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything between what is and what is wanted. Equal inputs give an equal plan, byte
    for byte. ``previous`` is the revision that is replaced, 0 for none. ``placed`` are (slot,
    host) of every slot once it is carried out."""

    service: str
    revision: Revision
    previous: int
    deploy: str
    steps: tuple[AnyStep, ...] = ()
    summary: Summary = field(default_factory=Summary)
    unplaced: tuple[Unplaced, ...] = ()
    reservations: tuple[Reservation, ...] = ()
    placed: tuple[tuple[int, str], ...] = ()
    batches: int = 0
    warnings: tuple[str, ...] = ()

    @property
    def nothing(self) -> bool:
        """No step at all: the fleet is as the plan wants it."""
        return not self.steps
