"""What the fleet is committed to be, kept on the fleet itself.

A document is one of these bodies under a key, with a generation that rises by one with
each write: ``fleet``, ``balancers``, ``service/NAME``, ``section/NAME``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

from fleetctl.model.routing import Pairs
from fleetctl.model.spec import ServiceSpec, container_hash

FLEET_KEY = "fleet"
BALANCERS_KEY = "balancers"


def service_key(service: str) -> str:
    return f"service/{service}"


def section_key(service: str) -> str:
    return f"section/{service}"


@dataclass(frozen=True, slots=True)
class Document:
    """A body of the record under its key. Generations start at 1; 0: there is none. With
    ``body`` None it was deleted: its generation stays, so that an old copy can't come back."""

    key: str
    generation: int
    body: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class FleetRecord:
    """The identity of a fleet: a random name, given by its first deploy, never changed."""

    lineage: str


@dataclass(frozen=True, slots=True)
class BalancersRecord:
    """What all balancers' files are made with: (name, text) of every template. An upgrade of
    fleetctl, or a change in the working tree, takes effect with the next deploy."""

    templates: Pairs = ()


@dataclass(frozen=True, slots=True)
class Revision:
    """An immutable, numbered release. ``spec.image`` is by digest; ``reference`` is what the
    play said. ``successful`` is None until a deploy of it has ended."""

    number: int
    spec: ServiceSpec
    reference: str = ""
    created: float = 0.0
    by: str = ""
    successful: bool | None = None

    @property
    def hash(self) -> str:
        return container_hash(self.spec)


@dataclass(frozen=True, slots=True)
class Reservation:
    """A host port and room that an open deploy has chosen and not yet used."""

    host: str
    slot: int
    ports: tuple[int, ...]
    cpus: float = 0.0
    memory: int = 0


@dataclass(frozen=True, slots=True)
class OpenDeploy:
    """A deploy under way, or left by a controller that died. ``target`` is where it is going:
    the new revision, or ``previous`` once it is going back. ``failed`` is the revision that
    it gave up."""

    id: str
    target: int
    previous: int
    started: float
    by: str
    holder: str
    failed: int = 0
    paused: bool = False
    reservations: tuple[Reservation, ...] = ()


@dataclass(frozen=True, slots=True)
class ServiceRecord:
    """One service: the revision it is committed to (0: none yet), the retained ones, and the
    deploy that is open. ``left`` is a revision that was rolled back from: deploying its very
    spec again asks for ``--again``. ``placed`` are (slot, host) of the last commit: where
    instances are to be looked for when a host is silent."""

    name: str
    current: int = 0
    previous: int = 0
    revisions: tuple[Revision, ...] = ()
    open: OpenDeploy | None = None
    left: int = 0
    placed: tuple[tuple[int, str], ...] = ()
    message: str = ""

    def revision(self, number: int) -> Revision | None:
        return next((r for r in self.revisions if r.number == number), None)

    def with_revision(self, revision: Revision) -> ServiceRecord:
        """This record with ``revision`` added, or in place of the one of its number."""
        others = [r for r in self.revisions if r.number != revision.number]
        return replace(self, revisions=tuple(sorted([*others, revision], key=lambda r: r.number)))

    @property
    def hosts(self) -> frozenset[str]:
        """Those that have instances of the service, or are about to."""
        reserved = self.open.reservations if self.open is not None else ()
        return frozenset({host for _, host in self.placed} | {r.host for r in reserved})

    @property
    def next_number(self) -> int:
        return max((r.number for r in self.revisions), default=0) + 1


@dataclass(frozen=True, slots=True)
class Fence:
    """A writer's number in one scope. Hosts refuse a lower one, and an equal one of another
    holder."""

    scope: str
    number: int
    holder: str


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a lock. ``boot`` and ``pid`` and ``started`` tell a dead local holder apart."""

    id: str
    who: str
    host: str
    boot: str
    pid: int
    started: float
    command: str = ""
    kind: Literal["run", "person"] = "run"
    reason: str = ""
