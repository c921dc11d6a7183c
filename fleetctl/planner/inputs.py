"""All that a plan is made from. Equal inputs give an equal plan, byte for byte."""

from __future__ import annotations

from dataclasses import dataclass

from fleetctl.model.balancing import Section
from fleetctl.model.fleet import Host
from fleetctl.model.observed import ObservedBalancer, ObservedHost
from fleetctl.model.record import Reservation, Revision
from fleetctl.model.routing import Certificate


@dataclass(frozen=True, slots=True)
class Situation:
    """One service and the fleet it lives on.

    ``target`` is the revision that every slot is to hold. ``current`` is the number that the
    record is committed to (0: none yet); ``open`` tells whether a deploy is open, which a
    commit has to end. ``retained`` are the revisions whose images stay. ``candidates`` are
    the hosts that the play's pattern matches (a subset of ``hosts``); instances elsewhere
    are moved. ``limit`` are hosts that may be changed, None for all. ``reserved`` is what
    other services' open deploys have chosen. ``section`` is the service's own part of the
    balancers, None while it has none. ``behind`` are balancers that are up and whose file or
    servers aren't as the record has them, ``differences`` how each differs. ``certificates``
    are those that the section is to have; ``resettle`` is why all balancers' files are to be
    made anew, empty for no reason; ``now`` is the time, in seconds since the epoch.
    """

    service: str
    target: Revision
    current: int
    open: bool
    deploy: str
    hosts: tuple[Host, ...]
    candidates: tuple[str, ...]
    observed: tuple[ObservedHost, ...]
    balancers: tuple[ObservedBalancer, ...] = ()
    section: Section | None = None
    reserved: tuple[Reservation, ...] = ()
    revisions: tuple[Revision, ...] = ()
    retained: tuple[int, ...] = ()
    limit: tuple[str, ...] | None = None
    behind: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    resettle: str = ""
    now: float = 0.0
