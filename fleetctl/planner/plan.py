"""The planner: what is and what is wanted in, the steps between out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from fleetctl.model.plan import Plan, Summary
from fleetctl.planner.arithmetic import batch_caps, limits
from fleetctl.planner.assemble import Assembly
from fleetctl.planner.batch import Batch
from fleetctl.planner.explain import unplaced
from fleetctl.planner.ground import Survey
from fleetctl.planner.inputs import Situation
from fleetctl.planner.placement import Placement
from fleetctl.planner.rolling import Roll
from fleetctl.planner.serving import Serving
from fleetctl.planner.slots import Ground

ZONE = "zone"
"""The label that tells failure domains apart where the play spreads over none."""


def make_plan(situation: Situation) -> Plan:
    """Every step from ``situation`` to its target, in an order in which needs come first.

    Pure, and the same from any point at which an earlier run was cut off. What fits nowhere
    is in ``unplaced``; such a plan has no Commit and is not to be carried out. Raises
    InvalidFiles for a rollout that could never replace anything.
    """
    serving = Serving(situation)
    ground = Survey(situation, serving).ground()
    roll, batches, placement = _rolled(situation, ground)
    missing = unplaced(situation, placement, roll.unplaced)
    assembly = Assembly(situation, serving, ground)
    steps = assembly.steps(batches, commit=ground.whole and not missing)
    created = [x.instance for batch in batches for x in batch.launches if x.create]
    return Plan(
        service=situation.service,
        revision=situation.target,
        previous=situation.current,
        deploy=situation.deploy,
        steps=steps,
        summary=_summary(ground, batches),
        unplaced=missing,
        reservations=tuple(placement.reservation(instance) for instance in created),
        placed=_placed(ground, batches),
        batches=len(batches),
        warnings=(*ground.warnings, *(_forced(number) for number in roll.forced)),
    )


def _rolled(situation: Situation, ground: Ground) -> tuple[Roll, list[Batch], Placement]:
    """The roll with its batches and the room that they leave. What people hold may be missing
    from what serves; where one could be missing besides, and nothing can go without, one is."""
    spec = situation.target.spec
    bounds = limits(spec.rollout, spec.replicas)
    caps = batch_caps(spec.rollout.serial, spec.replicas)
    held = sum(slot.held for slot in ground.slots)
    least = max(bounds.unavailable, held)
    most = max(bounds.unavailable, held + min(bounds.unavailable, 1))
    for unavailable in range(least, most + 1):
        placement = Placement(situation, ground)
        floor = replace(bounds, unavailable=unavailable)
        roll = Roll(ground, placement, floor, caps, _zones(situation))
        batches = roll.batches()
        if not roll.unplaced:
            break
    return roll, batches, placement


def _zones(situation: Situation) -> dict[str, str]:
    """Each host's failure domain; its own name where it has no such label."""
    spread = situation.target.spec.placement.spread
    label = spread[0] if spread else ZONE
    return {host.name: dict(host.labels).get(label, host.name) for host in situation.hosts}


def _summary(ground: Ground, batches: Sequence[Batch]) -> Summary:
    launched = [x.slot for batch in batches for x in batch.launches if x.create]
    move = sum(slot.moves for slot in launched)
    numbers = {slot.number for slot in launched}
    replaced = sum(bool(s.olds) and not s.moves for s in ground.slots if s.number in numbers)
    return Summary(
        create=len(launched) - move - replaced,
        replace=replaced,
        remove=sum(bool(slot.olds) and not slot.frozen for slot in ground.surplus),
        keep=sum(slot.right is not None or slot.frozen for slot in ground.slots),
        move=move,
    )


def _placed(ground: Ground, batches: Sequence[Batch]) -> tuple[tuple[int, str], ...]:
    """(slot, host) of every slot once the batches are done."""
    hosts = {
        slot.number: slot.home
        for slot in (*ground.slots, *ground.surplus)
        if slot.right is not None or slot.frozen
    }
    for batch in batches:
        hosts.update({x.slot.number: x.instance.host for x in batch.launches})
    return tuple(sorted(hosts.items()))


def _forced(number: int) -> str:
    return (
        f"slot {number} moves within one deploy: it stops before its replacement starts, "
        "for both would have one name"
    )
