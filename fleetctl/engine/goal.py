"""What a run of a service is after, from the record as it is and what was asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from fleetctl.errors import FleetError, Refused
from fleetctl.model.record import Revision, ServiceRecord
from fleetctl.model.spec import ServiceSpec


@dataclass(frozen=True, slots=True)
class Goal:
    """``target`` is where every slot is to go; ``fallback`` the revision to go back to when
    that fails, None where there is no way back; ``failed`` the revision that is given up."""

    target: Revision
    fallback: Revision | None
    failed: int
    reason: str


def deploy_goal(
    record: ServiceRecord, spec: ServiceSpec, reference: str, again: bool, by: str, now: float
) -> Goal:
    """Towards ``spec`` (its image by digest). A spec that differs from the committed one gets
    the next number, even if it equals an older one (SEMANTICS section 2).

    Raises Refused for the very spec that was rolled back from, unless ``again``.
    """
    current = record.revision(record.current)
    if not again:
        _not_what_was_left(record, spec)
    if record.open is not None and not record.open.failed:
        target = record.revision(record.open.target)
        if target is not None and target.spec == spec:
            return Goal(target, current, 0, f"carries on with revision {target.number}")
    if current is not None and current.spec == spec:
        gave_up = record.open.target if record.open else 0
        reason = f"is revision {current.number}"
        return Goal(current, None, gave_up if gave_up != current.number else 0, reason)
    new = Revision(record.next_number, spec, reference, now, by)
    return Goal(new, current, 0, f"revision {new.number} is new")


def _not_what_was_left(record: ServiceRecord, spec: ServiceSpec) -> None:
    """``left`` was rolled back from by hand; an unsuccessful one went back by itself."""
    left = {record.left, record.open.failed if record.open else 0}
    for revision in record.revisions:
        given_up = revision.number in left or revision.successful is False
        if given_up and revision.number != record.current and revision.spec == spec:
            raise Refused(
                f"revision {revision.number} of {spec.name} is just this and was rolled back",
                hint="change something, or say --again to deploy it all the same",
            )


def rollback_goal(record: ServiceRecord, to: int | None) -> Goal:
    """Towards an existing revision: ``to``, or the committed one when a deploy is open, or
    the highest successful one below the current. Raises Refused when there is none."""
    if to is None:
        if record.open is not None and record.current:
            to = record.current
        else:
            below = [r.number for r in record.revisions if r.successful]
            to = max((n for n in below if n < record.current), default=0)
    target = record.revision(to)
    if target is None:
        known = ", ".join(str(r.number) for r in record.revisions) or "none"
        raise Refused(
            f"{record.name} has no revision {to} to go back to"
            if to
            else f"{record.name} has no earlier successful revision to go back to",
            hint=f"retained revisions: {known}; see `fleetctl history {record.name}`",
        )
    gave_up = record.open.target if record.open else record.current
    return Goal(
        target,
        None,
        gave_up if gave_up != target.number else 0,
        f"back to revision {target.number}",
    )


def reconcile_goal(record: ServiceRecord) -> Goal:
    """Towards what is recorded: the end of an open deploy, or the committed revision."""
    number = record.open.target if record.open else record.current
    target = record.revision(number)
    if target is None:
        raise Refused(
            f"the record of {record.name} names revision {number} and doesn't hold it",
            hint="deploy it again from its files, or `fleetctl rollback --to N`",
        )
    if record.open is None:
        return Goal(target, None, 0, f"recorded: revision {number}")
    if record.open.failed == number:
        return emptied(Goal(target, None, 0, ""))
    current = record.revision(record.current)
    going_back = bool(record.open.failed)
    fallback = None if going_back or number == record.current else current
    reason = f"finishes the open deploy of revision {number}"
    return Goal(target, fallback, record.open.failed, reason)


def fall_back(goal: Goal) -> Goal:
    """The way back from a goal that failed. Raises FleetError where there is none."""
    if goal.fallback is None:
        raise FleetError("there is no revision to go back to")
    reason = f"revision {goal.target.number} failed: back to revision {goal.fallback.number}"
    return Goal(goal.fallback, None, goal.target.number, reason)


def emptied(goal: Goal) -> Goal:
    """The way back from a first deploy: no instance, as before it. Its open deploy says so by
    giving up the very revision that it goes to."""
    spec = replace(goal.target.spec, replicas=0, routes=(), internal=None)
    target = replace(goal.target, spec=spec, successful=False)
    return Goal(target, None, goal.target.number, "the first deploy failed: nothing is left of it")


Choose = Callable[[ServiceRecord], Goal]
