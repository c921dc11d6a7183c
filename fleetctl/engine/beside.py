"""Specs beside containers: the record's own words, repeated on the hosts (SEMANTICS section 8)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from fleetctl.engine.session import Session
from fleetctl.errors import CommandFailed, DeadlinePassed, HostError
from fleetctl.model.evidence import StoredSpec
from fleetctl.model.fleet import Fleet
from fleetctl.model.record import Revision, service_key


def record_addresses(fleet: Fleet) -> tuple[str, ...]:
    """Where the record lies: the machines, whatever an inventory calls them."""
    return tuple(fleet.host(name).login.address for name in fleet.record_hosts)


def keep_before_start(session: Session, revision: Revision, host: str) -> None:
    """No container is made where its spec isn't. Raises HostError, CommandFailed."""
    stored = StoredSpec(revision, 0, record_addresses(session.fleet))
    session.world.engine(host).keep_spec(stored, session.fence)


def keep_committed(session: Session, revision: Revision) -> None:
    """Tells every host that has, or had, an instance what is about to be committed. One that
    can't take it is warned of: the others and the record have it too."""
    limit = session.options.limit
    known = {host.name for host in session.fleet.hosts}
    hosts = sorted({host for _, host in session.record.placed} & known)
    hosts = [host for host in hosts if limit is None or host in limit]
    generation = session.view.generation(service_key(session.service)) + 1
    stored = StoredSpec(revision, generation, record_addresses(session.fleet))

    def keep(host: str) -> None:
        try:
            session.world.engine(host).keep_spec(stored, session.fence)
        except (HostError, CommandFailed, DeadlinePassed) as error:
            text = f"the spec of revision {revision.number} was not kept there: {error.message}"
            session.note(text, host=host, warning=True)

    if len(hosts) < 2 or session.options.parallel < 2:
        for host in hosts:
            keep(host)
        return
    with ThreadPoolExecutor(min(len(hosts), session.options.parallel)) as pool:
        list(pool.map(keep, hosts))
