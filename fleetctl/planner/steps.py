"""A plan's steps as they are put together: ids, needs, and what is still open."""

from __future__ import annotations

from collections import Counter

from fleetctl.model.plan import Admit, AnyStep, Drain

Ids = tuple[str, ...]


class StepList:
    """Steps in an order in which every need comes before its step."""

    def __init__(self) -> None:
        self.steps: list[AnyStep] = []
        self._names: Counter[str] = Counter()
        self._needed: set[str] = set()
        self._edit: Ids = ()

    def name(self, *parts: object) -> str:
        """A readable id that no step has yet."""
        text = "-".join(str(part) for part in parts if part)
        self._names[text] += 1
        return text if self._names[text] == 1 else f"{text}-{self._names[text]}"

    def add(self, step: AnyStep) -> str:
        self.steps.append(step)
        self._needed.update(step.needs)
        if isinstance(step, (Admit, Drain)):
            self._edit = (step.id,)
        return step.id

    def after_edit(self, needs: Ids) -> Ids:
        """``needs`` of a step that edits the section: two never edit it at once."""
        return tuple(dict.fromkeys((*needs, *self._edit)))

    def ends(self) -> Ids:
        """The steps that no other step needs: when they are done, all are."""
        return tuple(step.id for step in self.steps if step.id not in self._needed)
