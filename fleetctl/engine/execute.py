"""Runs a plan's steps as their needs allow. It decides nothing: on the first failure no
step starts any more, and what is in flight ends.

A step's StepStarted is emitted, and by that written into the journal, before it has any
effect.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Literal

from fleetctl.engine.session import Session
from fleetctl.engine.steps import carry_out
from fleetctl.errors import DeadlinePassed, FleetError
from fleetctl.model.events import StepFinished, StepProgress, StepStarted
from fleetctl.model.plan import AnyStep, Health, Plan, Pull

LONGEST_WAIT = 1.0


def action_of(step: AnyStep) -> str:
    return type(step).__name__.lower()


def where(step: AnyStep) -> tuple[str, str]:
    """(host, instance) of a step, for people; empty where it has many."""
    instance = getattr(step, "instance", None) or getattr(step, "container", None)
    if instance is not None:
        return instance.host, instance.name
    many = getattr(step, "instances", None) or getattr(step, "containers", None) or ()
    return getattr(step, "host", ""), " ".join(sorted(one.name for one in many))


def execute(session: Session, plan: Plan) -> None:
    """Raises the first failure, once nothing is in flight any more; Interrupted and LockLost
    likewise. DeadlinePassed when no instance became healthy for ``progress_deadline``."""
    waiting = {step.id: step for step in plan.steps}
    done: set[str] = set()
    running: dict[Future[None], AnyStep] = {}
    failure: BaseException | None = None
    clock = session.world.clock
    patience = plan.revision.spec.rollout.progress_deadline
    progressed = clock.monotonic()
    with ThreadPoolExecutor(max_workers=session.options.parallel) as pool:
        while waiting or running:
            if failure is None:
                failure = _may_go_on(session, clock.monotonic() - progressed, patience)
            if failure is None:
                free = session.options.parallel - len(running)
                ready = [s for s in waiting.values() if done.issuperset(s.needs)]
                for step in ready[:free]:
                    del waiting[step.id]
                    running[pool.submit(_run_step, session, plan, step)] = step
            if not running:
                break
            ended, _ = wait(running, timeout=LONGEST_WAIT, return_when=FIRST_COMPLETED)
            for future in ended:
                step = running.pop(future)
                error = future.exception()
                if error is None:
                    done.add(step.id)
                    if isinstance(step, Health):
                        progressed = clock.monotonic()
                elif failure is None or not isinstance(error, FleetError):
                    failure = error
    if failure is not None:
        raise failure


def _may_go_on(session: Session, quiet: float, patience: float) -> FleetError | None:
    try:
        session.check()
    except FleetError as error:
        return error
    if quiet > patience:
        return DeadlinePassed(
            f"no instance of {session.service} became healthy for {patience:g} s",
            hint="change rollout.progress_deadline if that is too short",
        )
    return None


def told(session: Session, started: StepStarted, work: Callable[[], str]) -> None:
    """Does ``work`` between the events of its beginning and its end. Raises what it raises."""
    clock = session.world.clock
    session.emit(started)
    began = clock.monotonic()

    def ended(outcome: Literal["ok", "failed"], detail: str) -> None:
        session.emit(
            StepFinished(
                session.service,
                started.step,
                started.action,
                started.host,
                started.instance,
                outcome,
                clock.monotonic() - began,
                detail,
            )
        )

    try:
        said = work()
    except FleetError as error:
        ended("failed", error.message.splitlines()[0])
        raise
    ended("ok", said)


def _run_step(session: Session, plan: Plan, step: AnyStep) -> None:
    host, instance = where(step)
    if not isinstance(step, Pull):
        session.touched = True
    progress = _progress(session, step)
    started = StepStarted(session.service, step.id, action_of(step), host, instance, step.cause)
    told(session, started, lambda: carry_out(session, plan, step, progress))
    session.count(plan, step)


def _progress(session: Session, step: AnyStep) -> Callable[[str], None]:
    return lambda text: session.emit(StepProgress(session.service, step.id, text))
