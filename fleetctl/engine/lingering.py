"""Server slots with connections, of whichever instance."""

from __future__ import annotations

from fleetctl.engine.session import Session
from fleetctl.model.balancing import backend_name, server_name


def lingering(session: Session) -> frozenset[tuple[str, int]]:
    """(port, slot) of those that have any on some balancer. Of an instance that is gone they may
    last for minutes, as after its host fell silent, and so long the slot takes no other."""
    section = session.section
    if section is None:
        return frozenset()
    slots = {
        (backend_name(section.service, backend.port), server_name(slot)): (backend.port, slot)
        for backend in section.backends
        for slot in range(1, backend.size + 1)
    }
    seen = [session.world.balancer(balancer.name).observe() for balancer in session.fleet.balancers]
    return frozenset(
        slots[line.backend, line.name]
        for balancer in seen
        for line in balancer.servers
        if (line.backend, line.name) in slots and (line.sessions or line.queue or line.idle)
    )
