"""Names that containers know services by, SERVICE.internal, and where they lead."""

from __future__ import annotations

from collections.abc import Iterable

from fleetctl.model.fleet import Fleet
from fleetctl.model.record import ServiceRecord
from fleetctl.model.routing import Pairs

DOMAIN = "internal"


def internal_name(service: str) -> str:
    return f"{service}.{DOMAIN}"


def named_services(records: Iterable[ServiceRecord], declared: Iterable[str]) -> tuple[str, ...]:
    """Services that have a name inside the fleet, sorted: by their committed revision, by the
    one that an open deploy goes to, or ``declared`` by a play that isn't deployed yet."""
    found = set(declared)
    for record in records:
        targets = {record.current, record.open.target if record.open is not None else 0}
        if any(r.number in targets and r.spec.internal is not None for r in record.revisions):
            found.add(record.name)
    return tuple(sorted(found))


def names_inside(fleet: Fleet, host: str, services: Iterable[str]) -> Pairs:
    """(name, address) of all that a container on ``host`` is to know; a name has one pair for
    each address that it has, in the order in which they are to be tried.

    Hosts begin with different balancers, so that clients which only ever try the first are
    spread over all. No pairs where the inventory names no internal address.
    """
    if fleet.internal == "every_host":
        addresses = [b.internal for b in fleet.balancers if b.name == host and b.internal]
    else:
        addresses = [b.internal for b in fleet.balancers if b.internal]
        begin = [h.name for h in fleet.hosts].index(host) % max(1, len(addresses))
        addresses = addresses[begin:] + addresses[:begin]
    return tuple((internal_name(service), a) for service in services for a in addresses)
