"""The end of a plan: the commit, then what no slot needs any longer."""

from __future__ import annotations

from collections.abc import Sequence

from fleetctl.model.instance import Container
from fleetctl.model.plan import Commit, Prune, Remove
from fleetctl.planner.inputs import Situation
from fleetctl.planner.steps import Ids, StepList


def close(steps: StepList, situation: Situation, surplus: Sequence[Container]) -> None:
    """Adds the Commit, which needs all there is, a Remove of each of ``surplus`` (before it on
    the way back from a first deploy), and on each host a Prune of the revisions that are not
    retained."""
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
    removed: dict[str, list[str]] = {}
    for container in surplus:
        removed.setdefault(container.host, []).append(remove(steps, container, (commit,)))
    kept = {*situation.retained, number}
    revisions = tuple(sorted(r.number for r in situation.revisions if r.number not in kept))
    for host in _image_hosts(situation) if revisions else ():
        steps.add(
            Prune(
                id=steps.name("prune", host),
                cause=f"kept no longer: revision {', '.join(map(str, revisions))}",
                needs=(commit, *removed.get(host, ())),
                host=host,
                revisions=revisions,
            )
        )


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


def _image_hosts(situation: Situation) -> list[str]:
    """Up hosts that may have images of the service, within the limit."""
    limit = situation.limit
    return sorted(
        host.name
        for host in situation.observed
        if host.up
        and (limit is None or host.name in limit)
        and (
            host.name in situation.candidates
            or any(c.service == situation.service for c in host.containers)
        )
    )
