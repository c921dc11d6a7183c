"""Which copy of each document counts, among those that the record hosts hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleetctl.errors import FleetError, ForeignLineage, HostError, RecordLost
from fleetctl.model.evidence import RecordRemains
from fleetctl.model.record import FLEET_KEY
from fleetctl.state.copies import Copies
from fleetctl.state.documents import Copy

_ADOPT = "`fleetctl adopt` rebuilds it from what runs on the hosts"


@dataclass(frozen=True, slots=True)
class Newest:
    """Per key the copy that counts; per host the keys whose copy there is older, missing or
    damaged, and why."""

    copies: Mapping[str, Copy]
    behind: Mapping[str, Mapping[str, str]] = field(default_factory=dict)


def newest(answers: Mapping[str, Copies], silent: Mapping[str, FleetError]) -> Newest:
    """Compares the copies of the hosts that answered; ``silent`` are those that did not.

    Raises the first silent host's error when nobody answered, or when it alone may hold a
    record that the others don't; RecordLost when what is held is damaged or gone;
    ForeignLineage when a host belongs to another fleet.
    """
    if not answers:
        raise next(iter(silent.values()))
    keys = sorted({key for held in answers.values() for key in (*held.good, *held.damaged)})
    copies = {key: _best(key, answers, silent) for key in keys}
    _refuse_another_fleet(answers)
    if FLEET_KEY not in copies:
        _refuse_a_lost_record(answers, silent, keys)
    behind = {
        name: troubles
        for name, held in answers.items()
        if (troubles := {k: why for k, c in copies.items() if (why := _trouble(held, k, c))})
    }
    return Newest(copies, behind)


def left(answers: Mapping[str, Copies]) -> RecordRemains:
    """The newest whole copy of each document, and what is wrong where no host has one."""
    documents, damaged = {}, {}
    for key in sorted({key for held in answers.values() for key in (*held.good, *held.damaged)}):
        found = [held.good[key] for held in answers.values() if key in held.good]
        if found:
            documents[key] = max(found, key=lambda copy: copy.order).document
        else:
            damaged[key] = "; ".join(
                f"{name}: {h.damaged[key]}" for name, h in answers.items() if key in h.damaged
            )
    marks = {name: held.lineage for name, held in answers.items() if held.lineage}
    return RecordRemains(documents, damaged, marks)


def _best(key: str, answers: Mapping[str, Copies], silent: Mapping[str, FleetError]) -> Copy:
    found = [held.good[key] for held in answers.values() if key in held.good]
    if found:
        return max(found, key=lambda copy: copy.order)
    damage = "; ".join(
        f"{name}: {held.damaged[key]}" for name, held in answers.items() if key in held.damaged
    )
    raise RecordLost(
        f"the record of {key} is damaged ({damage})",
        hint=f"{', '.join(silent)} can't be asked and may hold a good copy: bring it back first"
        if silent
        else _ADOPT,
    )


def _trouble(held: Copies, key: str, best: Copy) -> str:
    """Why a host's copy isn't ``best``; empty when it is."""
    mine = held.good.get(key)
    if mine is None:
        return f"damaged: {held.damaged[key]}" if key in held.damaged else "missing"
    if mine.document.generation < best.document.generation:
        return f"at generation {mine.document.generation} of {best.document.generation}"
    if mine != best:
        return f"another body at generation {mine.document.generation}"
    return ""


def _refuse_another_fleet(answers: Mapping[str, Copies]) -> None:
    """All marks and all ``fleet`` documents name one lineage, or none."""
    seen: dict[str, str] = {}
    for name, held in answers.items():
        copy = held.good.get(FLEET_KEY)
        body = copy.document.body if copy else None
        for lineage in (held.lineage, str((body or {}).get("lineage", ""))):
            if lineage:
                seen.setdefault(lineage, name)
    if len(seen) > 1:
        (one, first), (other, second), *_ = seen.items()
        raise ForeignLineage(
            f"two fleets in one inventory: {first} belongs to the fleet {one}, "
            + (f"{second} to {other}" if first != second else f"and its record to {other}"),
            hint="take the host that isn't this fleet's out of the inventory",
            host=second,
        )


def _refuse_a_lost_record(
    answers: Mapping[str, Copies], silent: Mapping[str, FleetError], keys: list[str]
) -> None:
    """Nobody who answers knows the fleet: that is a new fleet only if everybody says so."""
    if silent:
        name, error = next(iter(silent.items()))
        raise HostError(
            f"no record on {', '.join(answers)}, and {name} can't be asked: {error}",
            hint=f"the record may be on {name}: bring it back, or take it out of the inventory",
            host=name,
        )
    marked = [name for name, held in answers.items() if held.lineage]
    if marked or keys:
        raise RecordLost(
            "the fleet's record is gone, or is not kept here: "
            + (
                f"{', '.join(marked)} belong{'s' * (len(marked) == 1)} to a fleet, and there is "
                "no `fleet` document"
                if marked
                else f"there is {keys[0]} and no `fleet` document"
            ),
            hint=f"{_ADOPT}; hosts of another fleet, which has its record elsewhere, don't "
            "belong in this inventory",
        )
