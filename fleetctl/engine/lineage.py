"""The identity of the fleet: made by its first deploy, checked ever after."""

from __future__ import annotations

from fleetctl.engine.observe import Observed
from fleetctl.engine.session import Session
from fleetctl.errors import RecordLost
from fleetctl.model.codec import encode
from fleetctl.model.record import FLEET_KEY, FleetRecord

WAIT = 60.0


def ensure_lineage(session: Session, observed: Observed) -> None:
    """Gives a new fleet its lineage. Raises RecordLost when hosts belong to a fleet whose
    record isn't there any more."""
    if session.lineage:
        return
    claimed = sorted(h.name for h in observed.hosts if h.up and h.lineage)
    if claimed:
        raise RecordLost(
            f"the record is empty, and {', '.join(claimed)} belong to a fleet already",
            hint="if the record was lost, bring its files back from another record host; "
            "if the hosts are of another fleet, take them out of this inventory",
        )
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
