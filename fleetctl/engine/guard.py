"""What keeps a run from starting: silent hosts, balancers that can't be asked, strangers."""

from __future__ import annotations

from fleetctl.engine.session import Session
from fleetctl.errors import ForeignLineage, RecordLost, Refused, Unreachable
from fleetctl.model.events import Note
from fleetctl.model.record import service_key
from fleetctl.planner.inputs import Situation


def guard(session: Session, given: Situation) -> None:
    """Raises Unreachable when a silent host holds instances of the service or a balancer that
    serves it is silent; RecordLost when the record is older than what runs; ForeignLineage
    for a host of another fleet; Refused without hosts, or without a certificate."""
    _older_record(session, given)
    _silent_hosts(session, given)
    _balancers(given)
    _certificates(given)
    for host in given.observed:
        if host.up and host.lineage and session.lineage and host.lineage != session.lineage:
            raise ForeignLineage(
                f"{host.name} belongs to another fleet (lineage {host.lineage})",
                hint="take it out of this inventory, or out of that fleet",
                host=host.name,
            )
    ups = {host.name for host in given.observed if host.up}
    if given.target.spec.replicas and not ups.intersection(given.candidates):
        errors = "; ".join(h.error for h in given.observed if h.name in given.candidates)
        if given.candidates:
            raise Unreachable(f"no host of {given.target.spec.hosts!r} answers: {errors}")
        raise Refused(
            f"{given.target.spec.hosts!r} matches no host of the inventory",
            hint="see `fleetctl hosts list`; `hosts:` of the play takes Ansible's patterns",
        )


def left_out(session: Session, given: Situation) -> tuple[Note, ...]:
    """Warnings of the hosts that a run which ``guard`` lets start does without."""
    gone = sorted(session.record.hosts - {host.name for host in given.hosts})
    silent = [h for h in given.observed if not h.up and h.name in given.candidates]
    return tuple(
        Note(
            f"{name} is in the inventory no more: what runs there of {given.service} is left, "
            "and replaced elsewhere",
            given.service,
            name,
            "warning",
        )
        for name in gone
    ) + tuple(
        Note(f"left out: {host.error}", given.service, host.name, "warning") for host in silent
    )


def _older_record(session: Session, given: Situation) -> None:
    """A container carries the record's generation at its creation, so none is ever later."""
    known = session.view.generation(service_key(given.service))
    for host in given.observed:
        for container in host.containers:
            if container.service == given.service and container.generation > known:
                raise RecordLost(
                    f"the record of {given.service} is an older copy, of generation {known}: "
                    f"{container.name} was made at generation {container.generation}",
                    hint="nothing was changed; bring the newer copy back, or rebuild it from "
                    "what runs with `fleetctl adopt`",
                    host=host.name,
                )


def _silent_hosts(session: Session, given: Situation) -> None:
    for host in given.observed:
        if not host.up and host.name in session.record.hosts:
            raise Unreachable(
                f"{host.name} does not answer and holds instances of {given.service}: {host.error}",
                hint="nothing was changed; bring the host back, or take it out of the inventory "
                "when it is gone for good",
                host=host.name,
            )


def _balancers(given: Situation) -> None:
    if not given.target.spec.balanced and given.section is None:
        return
    for balancer in given.balancers:
        if not balancer.up:
            raise Unreachable(
                f"the balancer {balancer.name} is {balancer.state}: {balancer.error}",
                hint="nothing was changed; every balancer has to follow a roll. One that is gone "
                "for good: take its host out of the inventory",
                host=balancer.name,
            )


def _certificates(given: Situation) -> None:
    """A revision names certificates, and none is part of it."""
    known = {certificate.name for certificate in given.certificates}
    named = {route.tls.certificate for route in given.target.spec.routes if route.tls}
    if named - known:
        raise Refused(
            f"the balancers have no certificate {', '.join(sorted(named - known))} of "
            f"{given.service}, which revision {given.target.number} names",
            hint=f"`fleetctl deploy {given.service}` brings along what its play names",
        )
