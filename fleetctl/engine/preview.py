"""What a run would do now, from the record and a look at the fleet. Takes no lock and
changes nothing."""

from __future__ import annotations

from fleetctl.engine.goal import Choose
from fleetctl.engine.guard import guard, left_out
from fleetctl.engine.lineage import refuse_claimed
from fleetctl.engine.observe import Observed, instance_hosts, observe
from fleetctl.engine.options import RunOptions
from fleetctl.engine.ports import Emit, World
from fleetctl.engine.session import Session
from fleetctl.engine.situation import Match, situation
from fleetctl.engine.view import view_of
from fleetctl.model.events import PlanMade
from fleetctl.model.fleet import Fleet
from fleetctl.model.material import NOTHING_NEW, Material
from fleetctl.model.record import Fence
from fleetctl.planner.plan import make_plan

NO_DEPLOY = "00000000"
"""In the place of the id that a run would take."""


class Preview:
    """One reading of the record and one look at all hosts, for any number of plans; another
    where one may use hosts that so far are balancers alone. Raises HostError and RecordLost
    when made."""

    def __init__(self, world: World, fleet: Fleet, options: RunOptions, emit: Emit) -> None:
        self.world = world
        self.fleet = fleet
        self.options = options
        self.emit = emit
        world.connect(fleet.record_hosts)
        self.view = view_of(world.record.read())
        self._observed = self._look(instance_hosts(fleet, self.view))

    def plan(
        self, service: str, choose: Choose, match: Match, material: Material = NOTHING_NEW
    ) -> PlanMade:
        """The first plan of a run with this goal. Raises what would keep it from starting."""
        session = Session(
            self.world,
            self.fleet,
            service,
            self.options,
            self.emit,
            _NoLease(f"service-{service}"),
            self.view,
            self.view.lineage,
            material,
        )
        record = session.record
        goal = choose(record)
        deploy = record.open.id if record.open else NO_DEPLOY
        wanted = instance_hosts(self.fleet, self.view, match(goal.target.spec.hosts))
        seen = {host.name for host in self._observed.hosts}
        if not seen.issuperset(wanted):
            self._observed = self._look((*seen, *wanted))
        given = situation(session, goal, match, self._observed, deploy)
        guard(session, given)
        for note in left_out(session, given):
            self.emit(note)
        return PlanMade(make_plan(given), goal.reason)

    def _look(self, hosts: tuple[str, ...]) -> Observed:
        lineage = self.view.lineage
        observed = observe(self.world, self.fleet, lineage, hosts, self.options.parallel)
        if not lineage:
            refuse_claimed(observed.hosts)
        return observed


class _NoLease:
    """Stands for the lock that a preview doesn't take."""

    over = False

    def __init__(self, scope: str) -> None:
        self.fence = Fence(scope, 0, "")

    def check(self) -> None:
        return None

    def raise_to(self, number: int) -> None:
        return None

    def release(self) -> None:
        return None
