"""deploy and plan: towards what a play declares."""

from __future__ import annotations

from dataclasses import replace

from fleetctl.engine.goal import Goal, deploy_goal
from fleetctl.engine.guard import guard
from fleetctl.engine.observe import observe
from fleetctl.engine.options import RunOptions
from fleetctl.engine.ports import Emit, World
from fleetctl.engine.report import one_run
from fleetctl.engine.run import Outcome, run_service, serialised, situation
from fleetctl.engine.session import Session
from fleetctl.engine.view import view_of
from fleetctl.errors import Refused, Unreachable
from fleetctl.model.events import RunFinished
from fleetctl.model.fleet import Fleet
from fleetctl.model.plan import Plan
from fleetctl.model.record import Fence, ServiceRecord
from fleetctl.model.spec import ServiceSpec
from fleetctl.planner.plan import make_plan


def resolve(world: World, spec: ServiceSpec, candidates: tuple[str, ...]) -> ServiceSpec:
    """``spec`` with its image by digest, asked through the first candidate that answers.
    Raises ImageMissing; Unreachable when no candidate answers."""
    if not candidates:
        raise Refused(
            f"{spec.hosts!r} matches no host of the inventory",
            hint="see `fleetctl hosts list`; `hosts:` of the play takes Ansible's patterns",
        )
    world.connect(candidates)
    errors = []
    for name in sorted(candidates):
        seen = world.engine(name).observe("")
        if seen.up:
            return replace(spec, image=world.engine(name).resolve(spec.image))
        errors.append(seen.error)
    raise Unreachable(f"no host of {spec.hosts!r} answers: " + "; ".join(errors))


def deploy(
    world: World,
    fleet: Fleet,
    spec: ServiceSpec,
    candidates: tuple[str, ...],
    options: RunOptions,
    emit: Emit,
) -> RunFinished:
    """Every slot to ``spec``. Raises FleetError when the run could not start."""

    def choose(record: ServiceRecord) -> Goal:
        resolved = resolve(world, spec, candidates)
        now = world.clock.now()
        return deploy_goal(record, resolved, spec.image, options.again, options.by, now)

    emit = serialised(emit)

    def work(emit: Emit) -> Outcome:
        return run_service(world, fleet, spec.name, choose, lambda _: candidates, options, emit)

    return one_run(world, fleet, options, emit, spec.name, work)


def preview(
    world: World,
    fleet: Fleet,
    spec: ServiceSpec,
    candidates: tuple[str, ...],
    options: RunOptions,
    emit: Emit,
) -> Plan:
    """The plan that ``deploy`` would carry out now. Takes no lock and changes nothing."""
    world.connect(fleet.record_hosts)
    view = view_of(world.record.read())
    lease = _NoLease(f"service-{spec.name}")
    session = Session(world, fleet, spec.name, options, emit, lease, view, view.lineage)
    resolved = resolve(world, spec, candidates)
    record = session.record
    goal = deploy_goal(record, resolved, spec.image, options.again, options.by, 0.0)
    hosts = {host.name for host in fleet.hosts} - {b.name for b in fleet.balancers}
    observed = observe(world, fleet, view.lineage, hosts | set(candidates), options.parallel)
    deploy_id = record.open.id if record.open else "00000000"
    given = situation(session, goal, lambda _: candidates, observed, deploy_id)
    guard(session, given)
    return make_plan(given)


class _NoLease:
    """Stands for the lock that a preview doesn't take."""

    def __init__(self, scope: str) -> None:
        self.fence = Fence(scope, 0, "")

    def check(self) -> None:
        return None

    def raise_to(self, number: int) -> None:
        return None

    def release(self) -> None:
        return None
