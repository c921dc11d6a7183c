"""What follows on a lock that was taken from a holder which fell silent."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

from fleetctl.engine.observe import instance_hosts
from fleetctl.engine.session import Session
from fleetctl.engine.situation import look
from fleetctl.errors import CommandFailed, DeadlinePassed, HostError, StaleFence


def fence_off(session: Session) -> None:
    """Ends what the former holder left running, on every host that it may still change: it
    could stand still before a change and go on after this run. A host that can't be asked, or
    fails at it, is left; a run that needs it fails there. Raises LockLost."""
    look(session)  # which raises the fence over what the hosts have seen
    names = sorted({*instance_hosts(session.fleet, session.view), *session.fleet.record_hosts})
    raising = threading.Lock()

    def claim(name: str) -> None:
        engine = session.world.engine(name)
        try:
            try:
                engine.claim(session.lineage, session.fence)
            except StaleFence as stale:
                # It has seen a later fence than the lock host knows of, which was replaced.
                with raising:
                    if session.fence.number <= stale.seen:
                        session.lease.raise_to(stale.seen + 1)
                engine.claim(session.lineage, session.fence)
        except (HostError, CommandFailed, DeadlinePassed) as error:
            session.note(f"not fenced off: {error.message}", host=name, warning=True)

    session.world.connect(names)
    if session.options.parallel < 2:
        for name in names:
            claim(name)
        return
    with ThreadPoolExecutor(min(len(names), session.options.parallel)) as pool:
        list(pool.map(claim, names))
