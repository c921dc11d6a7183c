"""Why instances fit nowhere, and the smallest change with which they would."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from fleetctl.model.plan import Unplaced
from fleetctl.planner.inputs import Situation
from fleetctl.planner.placement import Placement
from fleetctl.planner.room import Room
from fleetctl.planner.slots import Slot

MEBI = 1 << 20


def unplaced(
    situation: Situation, placement: Placement, slots: Sequence[Slot]
) -> tuple[Unplaced, ...]:
    """One entry for the service; none when every slot has its host."""
    if not slots:
        return ()
    reasons = tuple(sorted(_reasons(situation, placement).items()))
    hint = _hint(situation, placement, slots)
    return (Unplaced(situation.service, len(slots), reasons, hint),)


def _reasons(situation: Situation, placement: Placement) -> dict[str, int]:
    """Each candidate counts once, by the first filter that it fails."""
    found: Counter[str] = Counter()
    up = {host.name for host in situation.observed if host.up}
    for name in sorted(set(situation.candidates)):
        room = placement.rooms.get(name)
        if name not in up:
            found["not answering"] += 1
        elif room is None:
            found["outside --limit"] += 1
        elif lacking := room.lacks(placement.demand):
            found[_without(lacking[0], placement)] += 1
    if not situation.candidates:
        found[f"not matched by hosts: {situation.target.spec.hosts}"] = len(situation.hosts)
    return dict(found)


def _without(lack: str, placement: Placement) -> str:
    demand = placement.demand
    match lack:
        case "max_per_host":
            return f"with max_per_host {demand.max_per_host} reached"
        case "ports":
            return "without a free host port"
        case "cpus":
            return f"without {demand.cpus / 1000:g} free cpus"
        case _:
            return f"without {size(demand.memory)} of free memory"


def _hint(situation: Situation, placement: Placement, slots: Sequence[Slot]) -> str:
    """The smallest change first: an option of the play, then room, then a host."""
    demand = placement.demand
    if any(_fits_instead(placement, slot) for slot in slots):
        return "max_unavailable: 1 lets an old instance stop before its replacement starts"
    lacks = {name: room.lacks(demand) for name, room in placement.rooms.items()}
    crowded = [placement.rooms[n].live for n, lack in lacks.items() if lack == ("max_per_host",)]
    if crowded:
        return f"relax max_per_host on {situation.service} to {min(crowded) + 1}"
    tight = [
        (_shortage(room, placement), name)
        for name, room in placement.rooms.items()
        if lacks[name] and set(lacks[name]) <= {"cpus", "memory"}
    ]
    if tight:
        _, name = min(tight)
        return f"{_needed(placement.rooms[name], placement)} on {name}, or {_another(placement)}"
    narrow = sorted(name for name, lack in lacks.items() if lack == ("ports",))
    if narrow:
        return f"widen fleetctl_port_range of {narrow[0]}"
    return _another(placement)


def _fits_instead(placement: Placement, slot: Slot) -> bool:
    """Whether ``slot`` would fit once its old container is gone."""
    fits = False
    for old in slot.olds:
        placement.release(old.container)
        room = placement.rooms.get(old.container.host)
        fits = fits or (room is not None and not room.lacks(placement.demand))
        placement.take(old.container)
    return fits


def _shortage(room: Room, placement: Placement) -> float:
    """What is missing, as shares of one instance."""
    demand = placement.demand
    cpus = max(0, demand.cpus - room.cpus) / demand.cpus if demand.cpus else 0.0
    memory = max(0, demand.memory - room.memory) / demand.memory if demand.memory else 0.0
    return cpus + memory


def _needed(room: Room, placement: Placement) -> str:
    demand = placement.demand
    parts = []
    if demand.cpus > room.cpus:
        parts.append(f"{(demand.cpus - room.cpus) / 1000:g} more cpus")
    if demand.memory > room.memory:
        parts.append(f"{size(demand.memory - room.memory)} more memory")
    return " and ".join(parts)


def _another(placement: Placement) -> str:
    demand = placement.demand
    parts = [f"{demand.cpus / 1000:g} cpus"] if demand.cpus else []
    parts += [f"{size(demand.memory)}"] if demand.memory else []
    return f"one more host with {' and '.join(parts)} free" if parts else "one more host"


def size(memory: int) -> str:
    """Bytes as people write them in a play."""
    if memory >= 1024 * MEBI and memory % (1024 * MEBI) == 0:
        return f"{memory // (1024 * MEBI)}G"
    return f"{memory / MEBI:.4g}M"
