"""Services that need no run, told from one reading of the record and one look that all share."""

from __future__ import annotations

from fleetctl.engine.goal import reconcile_goal
from fleetctl.engine.options import RunOptions
from fleetctl.engine.outcome import Outcome
from fleetctl.engine.ports import Emit, World
from fleetctl.engine.preview import Preview
from fleetctl.engine.situation import Match
from fleetctl.errors import ExitCode, FleetError
from fleetctl.model.events import Event, Note, PlanMade, ServiceResult
from fleetctl.model.fleet import Fleet


class AtRest:
    """Made without asking anything; the look is taken when the first service is asked for, and
    anew after a service that needs a run, which may take long and changes the fleet."""

    def __init__(self, world: World, fleet: Fleet, match: Match, options: RunOptions) -> None:
        self._world = world
        self._fleet = fleet
        self._match = match
        self._options = options
        self._notes: list[Event] = []
        self._look: Preview | None = None

    def outcome(self, service: str, emit: Emit) -> Outcome | None:
        """What a run would come to, where that is nothing to do: nobody has the lock, nothing
        is open, the plan is empty and all record hosts are level. None where only a run, under
        the lock and with a look of its own, can tell. Raises Interrupted."""
        self._options.stop.check(f"before {service}", service)
        try:
            made = self._plan(service)
        except FleetError:
            return None  # the run meets it too, and tells of it
        if made is None:
            return None
        warnings = self._world.journal.warnings
        for note in (*(Note(text, service, "", "warning") for text in warnings), *self._notes):
            emit(note)
        emit(made)
        number = made.plan.revision.number
        nothing = ServiceResult(service, number, number, 0, 0, 0)
        return Outcome("nothing_to_do", ExitCode.DONE, nothing)

    def _plan(self, service: str) -> PlanMade | None:
        if self._world.locks.holder(f"service-{service}") is not None:
            self._look = None if self._options.wait else self._look
            return None
        look = self._look or Preview(self._world, self._fleet, self._options, self._notes.append)
        self._look = look
        self._notes.clear()
        made = look.plan(service, reconcile_goal, self._match)
        plan, is_open = made.plan, look.view.service(service).open is not None
        said = plan.unplaced or plan.warnings
        if is_open or self._world.record.behind or not plan.nothing or said:
            self._look = None
            return None
        return made
