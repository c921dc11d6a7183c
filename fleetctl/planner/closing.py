"""The end of a plan: the commit, then what no slot needs any longer."""

from __future__ import annotations

from collections.abc import Sequence

from fleetctl.model.instance import Container
from fleetctl.model.observed import ObservedHost
from fleetctl.model.plan import Commit, Prune, Remove
from fleetctl.planner.inputs import Situation
from fleetctl.planner.steps import Ids, StepList


def close(steps: StepList, situation: Situation, surplus: Sequence[Container]) -> None:
    """Where anything is done or due, adds the Commit, which needs all there is, and a Remove
    of each of ``surplus`` (before it on the way back from a first deploy). In any case, on
    each host a Prune of the revisions that it has more of than the record."""
    if not (steps.steps or surplus or _due(situation)):
        _prune(steps, situation, {r.number for r in situation.revisions}, ())
        return
    number = situation.target.number
    cause = f"every slot holds revision {number}"
    if not situation.current and not situation.target.spec.replicas:
        # Once nothing is committed nobody looks for what is left of it.
        needs = steps.ends()
        for container in surplus:
            remove(steps, container, needs)
        surplus = ()
    needs = steps.ends()
    commit = steps.add(Commit(id=steps.name("commit"), cause=cause, needs=needs, revision=number))
    for container in surplus:
        remove(steps, container, (commit,))
    _prune(steps, situation, set(situation.retained), (commit,))


def _due(situation: Situation) -> bool:
    return situation.open or situation.current != situation.target.number


def remove(steps: StepList, container: Container, needs: Ids, batch: int = 0) -> str:
    """Adds the Remove of a container that is not live by then."""
    match container.state:
        case "exited":
            state = f"exited with code {container.exit_code}"
        case "created":
            state = "was never started"
        case "dead" | "removing":
            state = f"is {container.state}"
        case _:
            state = "is stopped"
    return steps.add(
        Remove(
            id=steps.name("remove", container.slot),
            cause=f"{container.name} {state} and no slot needs it",
            needs=needs,
            batch=batch,
            container=container,
        )
    )


def _prune(steps: StepList, situation: Situation, kept: set[int], needs: Ids) -> None:
    """On each host within the limit, for what it has of revisions that aren't ``kept``."""
    removes = {s.container.id: s for s in steps.steps if isinstance(s, Remove)}
    for host in sorted(situation.observed, key=lambda host: host.name):
        if situation.limit is not None and host.name not in situation.limit:
            continue
        mine = [c for c in host.containers if c.service == situation.service]
        used = {c.revision for c in mine if c.id not in removes}
        numbers = tuple(n for n in _let_go(situation, host, kept) if n not in used)
        if not numbers:
            continue
        steps.add(
            Prune(
                id=steps.name("prune", host.name),
                cause=f"kept no longer: revision {', '.join(map(str, numbers))}",
                needs=(*needs, *(removes[c.id].id for c in mine if c.id in removes)),
                host=host.name,
                revisions=numbers,
            )
        )


def _let_go(situation: Situation, host: ObservedHost, kept: set[int]) -> list[int]:
    """What ``host`` has and need not. Numbers above all that are recorded are left: a deploy
    that was given up pulled them, and is tried again; or the record is an older copy."""
    target = situation.target.number
    highest = max([target, *(r.number for r in situation.revisions)])
    here = {number for service, number in host.kept if service == situation.service}
    return sorted(n for n in here - kept - {target} if n <= highest)
