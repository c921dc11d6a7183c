"""What follows on a lock that was taken from a holder which fell silent."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from fleetctl.engine.observe import instance_hosts
from fleetctl.engine.session import Session
from fleetctl.errors import HostError


def fence_off(session: Session) -> None:
    """Ends what the former holder left running, on every host that it may still change: it
    could stand still before a change and go on after this run. A host that can't be asked is
    left; a run that needs it fails there. Raises StaleFence."""
    names = {*instance_hosts(session.fleet, session.view), *session.fleet.record_hosts}

    def claim(name: str) -> None:
        try:
            session.world.engine(name).claim(session.lineage, session.fence)
        except HostError as error:
            session.note(f"not fenced off: {error.message}", host=name, warning=True)

    session.world.connect(sorted(names))
    if session.options.parallel < 2:
        for name in sorted(names):
            claim(name)
        return
    with ThreadPoolExecutor(min(len(names), session.options.parallel)) as pool:
        list(pool.map(claim, sorted(names)))
