"""What one service's run came to, and what it leaves in the record when it isn't done."""

from __future__ import annotations

from dataclasses import dataclass, replace

from fleetctl.engine.session import Session
from fleetctl.errors import ExitCode, FleetError, LockLost
from fleetctl.model.events import Result, ServiceResult


@dataclass(frozen=True, slots=True)
class Outcome:
    """``service`` has the revisions after and before the run, and how much it changed."""

    result: Result
    exit_code: ExitCode
    service: ServiceResult


def ended(
    session: Session, result: Result, code: ExitCode, revision: int, previous: int
) -> Outcome:
    """``session``'s run at its end, on ``revision`` where ``previous`` was."""
    changed = session.started + session.stopped + session.balanced
    done = ServiceResult(
        session.service, revision, previous, changed, session.started, session.stopped
    )
    return Outcome(result, code, done)


def leave_open(session: Session, error: FleetError, *, paused: bool) -> None:
    """Leaves the deploy open, with what went wrong. A record that can't be written keeps
    what it has: the deploy is open there too. Raises LockLost."""
    line = error.message.splitlines()[0]
    try:
        record = session.record
        if record.open is not None:
            opened = replace(record.open, paused=paused)
            session.write_record(replace(record, open=opened, message=line))
    except LockLost:
        raise
    except FleetError as unwritten:
        session.note(f"the record was not updated: {unwritten.message}", warning=True)
