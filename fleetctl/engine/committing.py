"""A plan carried out up to its commit, and whether it came to it."""

from __future__ import annotations

from fleetctl.engine.execute import execute
from fleetctl.engine.session import Session
from fleetctl.errors import FleetError, Interrupted, LockLost
from fleetctl.model.plan import Plan


def carry_through(session: Session, plan: Plan) -> None:
    """Raises what kept ``plan`` from its commit. What fails after it takes nothing back."""
    try:
        execute(session, plan)
    except (Interrupted, LockLost):
        raise
    except FleetError as error:
        if not _committed(session, plan):
            raise
        text = f"what is committed serves; not all behind it is cleared away: {error.message}"
        session.note(text, host=error.host, warning=True)


def _committed(session: Session, plan: Plan) -> bool:
    """By a fresh reading: the answer to the commit may have been lost."""
    try:
        session.refresh()
    except FleetError:
        return False
    record = session.record
    given_up = plan.revision.successful is False and not record.current
    return record.open is None and (given_up or record.current == plan.revision.number)
