"""A HAProxy on every balancer that fleetctl can work with: looked at, shown, set up."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from fleetctl.engine.options import RunOptions
from fleetctl.engine.ports import Emit, Lease, World
from fleetctl.engine.view import View, view_of
from fleetctl.errors import FleetError, ForeignLineage, Interrupted, StaleFence, StaleWrite
from fleetctl.haproxy.render import render
from fleetctl.haproxy.rendered import Rendered
from fleetctl.model.events import Note
from fleetctl.model.fleet import Balancer, Fleet
from fleetctl.model.lb import BalancerSetup, SetupStep
from fleetctl.model.status import HistoryEntry

Setups = tuple[BalancerSetup, ...]


def plan(world: World, fleet: Fleet, parallel: int) -> Setups:
    """What there is to do on each balancer of ``fleet``; one that can't be asked, or can't be
    set up, has its error. Raises HostError when no record host answers."""
    world.connect({*fleet.record_hosts, *(balancer.name for balancer in fleet.balancers)})
    view = view_of(world.record.read())

    def one(balancer: Balancer) -> BalancerSetup:
        try:
            _refuse_others(world, balancer, view)
            return world.machine(balancer.name).plan(_first(balancer, view))
        except FleetError as error:
            return _failed(BalancerSetup(balancer.name), error)

    with ThreadPoolExecutor(max(1, min(parallel, len(fleet.balancers)))) as pool:
        return tuple(pool.map(one, fleet.balancers))


def install(
    world: World,
    fleet: Fleet,
    options: RunOptions,
    emit: Emit,
    consent: Callable[[Setups], None],
) -> Setups:
    """Sets up, one balancer after the other, each under its own lock and fence, with an entry in
    the journal. ``consent`` sees all steps first and raises to refuse. A balancer that fails
    keeps none of the others from it. Raises what ``plan`` does, and Interrupted."""
    proposed = plan(world, fleet, options.parallel)
    if any(setup.steps for setup in proposed):
        consent(proposed)
    view = view_of(world.record.read())
    by_name = {balancer.name: balancer for balancer in fleet.balancers}
    return tuple(
        _set_up(world, by_name[setup.name], view, setup, options, emit) if setup.steps else setup
        for setup in proposed
    )


def _first(balancer: Balancer, view: View) -> Rendered:
    """The file that routes nothing. Raises BalancerFailed for a template that can't be used."""
    return render(balancer, (), view.templates)


def _out_of_sight(balancer: Balancer, view: View) -> Balancer:
    """``balancer``, which listens nowhere where services are recorded: until it is brought in line
    clients are to find another one, not its 404."""
    return replace(balancer, listen=(), listen_tls=(), internal="") if view.sections else balancer


def _refuse_others(world: World, balancer: Balancer, view: View) -> None:
    lineage = world.engine(balancer.name).evidence().lineage
    if lineage and view.lineage and lineage != view.lineage:
        raise ForeignLineage(
            f"{balancer.name} belongs to another fleet ({lineage})",
            hint="take it out of this inventory, or out of that fleet",
            host=balancer.name,
        )


def _failed(setup: BalancerSetup, error: FleetError) -> BalancerSetup:
    return replace(setup, error=error.message, hint=error.hint, exit_code=int(error.exit_code))


def _set_up(
    world: World,
    balancer: Balancer,
    view: View,
    setup: BalancerSetup,
    options: RunOptions,
    emit: Emit,
) -> BalancerSetup:
    if options.stop.asked:
        raise Interrupted(
            f"stopped before {balancer.name}",
            signal_number=options.stop.number,
            hint="the same command again goes on from here",
        )
    run, now = world.new_id(), world.clock.now
    world.journal.begin(HistoryEntry(run, options.command, balancer.name, options.by, now()))
    done: list[SetupStep] = []

    def carry_out(step: SetupStep) -> None:
        emit(Note(step.what, host=balancer.name))
        number = f"s{len(done) + 1}"
        world.journal.intent(run, number, step.action, "", (balancer.name,))
        try:
            _fenced(world, lease, step, _first(_out_of_sight(balancer, view), view))
        except FleetError as error:
            world.journal.outcome(run, number, "failed", error.message)
            raise
        world.journal.outcome(run, number, "ok", "")
        done.append(step)

    try:
        lease = world.locks.acquire(f"balancer-{balancer.name}", options.wait)
        try:
            _in_order(world, balancer, view, setup.steps, carry_out)
        finally:
            lease.release()
    except FleetError as error:
        world.journal.end(run, "failed", now(), error.message.splitlines()[0])
        return _failed(replace(setup, done=tuple(done)), error)
    world.journal.end(run, "ok", now(), "")
    return replace(setup, done=tuple(done))


def _in_order(
    world: World,
    balancer: Balancer,
    view: View,
    steps: tuple[SetupStep, ...],
    carry_out: Callable[[SetupStep], None],
) -> None:
    """What was shown has to be what there is to do, now that nobody else changes it. Once the
    package is there, the rest is looked at anew: it brings user, folders and a file, and may
    have started what it brought."""
    machine = world.machine(balancer.name)
    if machine.plan(_first(balancer, view)).steps != steps:
        raise StaleWrite(
            f"{balancer.name} changed while it was looked at; nothing was done there",
            hint="run the same command again",
        )
    first, *rest = steps
    carry_out(first)
    if first.action == "package":
        rest = list(machine.plan(_first(balancer, view), fresh=True).steps)
    for step in rest:
        carry_out(step)


def _fenced(world: World, lease: Lease, step: SetupStep, first: Rendered) -> None:
    """A host that has seen a later fence than the lock host knows of refuses before anything is
    done: who has the lock goes above it."""
    machine = world.machine(lease.fence.scope.removeprefix("balancer-"))
    lease.check()
    try:
        machine.carry_out(step, first, lease.fence)
    except StaleFence as stale:
        lease.raise_to(stale.seen + 1)
        machine.carry_out(step, first, lease.fence)
