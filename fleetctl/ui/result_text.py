"""What a run came to, one line per service, and the next command where there is one."""

from __future__ import annotations

from collections.abc import Iterator

from fleetctl.model.events import RunFinished, ServiceResult
from fleetctl.ui.text import duration, plural

GOOD = ("ok", "nothing_to_do")


def result_lines(finished: RunFinished) -> Iterator[str]:
    """``result`` is the whole run's: of several services, one alone may have failed."""
    services = finished.services
    if len(services) == 1 or finished.result in GOOD:
        for service in services:
            yield _line(finished, service)
    else:
        for service in services:
            yield f"{service.name}: revision {service.revision}: {_changes(service)}"
    if len(services) != 1:
        words = finished.result.replace("_", " ")
        yield f"{finished.command}: {words} in {duration(finished.seconds)}"


def _line(finished: RunFinished, service: ServiceResult) -> str:
    took = duration(finished.seconds)
    name, now = service.name, f"revision {service.revision}"
    changes = _changes(service)
    match finished.result:
        case "nothing_to_do":
            return f"{name}: {now}: nothing to do"
        case "ok" if service.previous and service.previous != service.revision:
            return f"{name}: revision {service.previous} -> {service.revision}: {changes} in {took}"
        case "ok":
            return f"{name}: {now}: {changes} in {took}"
        case "rolled_back":
            return f"{name}: failed and rolled back in {took}: {now} serves"
        case "mixed":
            return (
                f"{name}: failed after {took}: the fleet is mixed; "
                f"look: fleetctl status {name}; ways on: fleetctl explain mixed"
            )
        case "paused":
            return f"{name}: paused after {took}; go on: fleetctl {finished.command} {name}"
        case "cancelled":
            return f"{name}: stopped after {took}; go on: fleetctl {finished.command} {name}"
        case "refused":
            return f"{name}: refused; nothing was changed"
        case "busy":
            return f"{name}: busy; nothing was changed"
    return f"{name}: failed after {took}"


def _changes(service: ServiceResult) -> str:
    """``6 instances started, 6 stopped``."""
    parts = []
    if service.started:
        parts.append(f"{plural(service.started, 'instance')} started")
    if service.stopped:
        count = str(service.stopped) if parts else plural(service.stopped, "instance")
        parts.append(f"{count} stopped")
    if service.changed > service.started + service.stopped:
        parts.append("balancers brought in line")
    return ", ".join(parts) or "no instance started or stopped"
