"""The identity of the fleet: made by its first deploy, checked ever after."""

from __future__ import annotations

from collections.abc import Iterable

from fleetctl.engine.observe import Observed
from fleetctl.engine.session import Session
from fleetctl.errors import RecordLost
from fleetctl.model.codec import encode
from fleetctl.model.observed import ObservedHost
from fleetctl.model.record import FLEET_KEY, FleetRecord

WAIT = 60.0


def refuse_claimed(hosts: Iterable[ObservedHost]) -> None:
    """Where no record is, no host may be of a fleet. Raises RecordLost."""
    claimed = sorted(host.name for host in hosts if host.up and host.lineage)
    if claimed:
        raise RecordLost(
            f"the record is empty, and {', '.join(claimed)} belong{'s' * (len(claimed) == 1)} "
            "to a fleet already",
            hint="if the record was lost, `fleetctl adopt` rebuilds it from what runs on the "
            "hosts; if they are another fleet's, take them out of this inventory",
        )


def ensure_lineage(session: Session, observed: Observed) -> None:
    """Gives a new fleet its lineage. Raises RecordLost when hosts belong to a fleet whose
    record isn't there any more."""
    if session.lineage:
        return
    refuse_claimed(observed.hosts)
    lock = session.world.locks.acquire("placement", WAIT, session.check)
    try:
        session.refresh()
        if not session.view.lineage:
            lineage = session.world.new_id() + session.world.new_id()
            written = session.world.record.write(
                FLEET_KEY,
                encode(FleetRecord(lineage)),
                session.view.generation(FLEET_KEY),
                lock.fence,
            )
            session.view = session.view.with_document(written)
        session.lineage = session.view.lineage
    finally:
        lock.release()
