"""deploy and plan: towards what a play declares."""

from __future__ import annotations

from dataclasses import replace

from fleetctl.engine.goal import Choose, Goal, deploy_goal
from fleetctl.engine.options import RunOptions
from fleetctl.engine.outcome import Outcome
from fleetctl.engine.ports import Emit, World
from fleetctl.engine.preview import Preview
from fleetctl.engine.report import one_run, serialised
from fleetctl.engine.run import run_service
from fleetctl.errors import Refused, Unreachable
from fleetctl.model.events import PlanMade, RunFinished
from fleetctl.model.fleet import Fleet
from fleetctl.model.material import NOTHING_NEW, Material
from fleetctl.model.record import ServiceRecord
from fleetctl.model.spec import ServiceSpec


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


def towards(
    world: World, spec: ServiceSpec, candidates: tuple[str, ...], options: RunOptions
) -> Choose:
    """The goal of a deploy. The image is resolved when the record is known."""

    def choose(record: ServiceRecord) -> Goal:
        resolved = resolve(world, spec, candidates)
        now = world.clock.now()
        return deploy_goal(record, resolved, spec.image, options.again, options.by, now)

    return choose


def deploy(
    world: World,
    fleet: Fleet,
    spec: ServiceSpec,
    candidates: tuple[str, ...],
    options: RunOptions,
    emit: Emit,
    material: Material = NOTHING_NEW,
) -> RunFinished:
    """Every slot to ``spec``, and the balancers to what it and ``material`` say. Raises
    FleetError when the run could not start."""
    choose = towards(world, spec, candidates, options)

    def work(emit: Emit) -> Outcome:
        name = spec.name
        return run_service(
            world, fleet, name, choose, lambda _: candidates, options, emit, material=material
        )

    return one_run(world, fleet, options, serialised(emit), spec.name, work)


def preview(
    look: Preview,
    spec: ServiceSpec,
    candidates: tuple[str, ...],
    material: Material = NOTHING_NEW,
) -> PlanMade:
    """The plan that ``deploy`` would carry out now."""
    choose = towards(look.world, spec, candidates, look.options)
    return look.plan(spec.name, choose, lambda _: candidates, material)
