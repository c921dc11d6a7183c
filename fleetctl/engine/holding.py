"""lb drain, maint and ready: a person keeps requests from servers, and lets them come again.

A hold is part of the service's section, so it outlives reloads, reboots and other runs. It ends
with its time, at a person's word, or with its instance.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Sequence
from typing import Literal, TypeAlias

from fleetctl.engine.balancing import await_up, change_section, poll, servers_of
from fleetctl.engine.execute import told
from fleetctl.engine.floor import await_others_in_balancers, too_few, up_on
from fleetctl.engine.observe import observe_balancers
from fleetctl.engine.options import RunOptions
from fleetctl.engine.outcome import Outcome, ended
from fleetctl.engine.ports import Emit, World
from fleetctl.engine.report import reported, result_of, serialised
from fleetctl.engine.run import under_lock
from fleetctl.engine.session import Session
from fleetctl.engine.takeover import fence_off
from fleetctl.engine.view import View, view_of
from fleetctl.errors import ExitCode, FleetError, Interrupted, Refused, TooFewServe
from fleetctl.haproxy import section as edits
from fleetctl.model.balancing import Section, Server
from fleetctl.model.events import (
    Failed,
    Result,
    RunFinished,
    RunStarted,
    ServiceResult,
    StepStarted,
)
from fleetctl.model.fleet import Fleet
from fleetctl.model.observed import ObservedBalancer
from fleetctl.model.record import ServiceRecord
from fleetctl.planner.arithmetic import limits

Held: TypeAlias = Literal["drain", "maint"]
HINT = "say --yes to do it all the same; `max_unavailable` of the rollout allows as many without"
Work = Callable[[Session, tuple[str, ...]], Outcome]


def hold(
    world: World,
    fleet: Fleet,
    targets: Sequence[str],
    state: Held,
    seconds: float,
    options: RunOptions,
    emit: Emit,
    force: bool = False,
) -> RunFinished:
    """Has the servers of ``targets`` (hosts or instances) in ``state`` for ``seconds``, 0 for
    until they are released, and waits for their sessions to end, up to the drain limit.

    Each service's own lock is held meanwhile. Raises TooFewServe, before anything is changed,
    where others would be fewer than a rollout has to leave, unless ``force``; Refused for a
    target that has no server and is no host; HostError; Interrupted.
    """
    until = world.clock.now() + seconds if seconds else 0.0

    def work(session: Session, names: tuple[str, ...]) -> Outcome:
        if not force:
            _await_others(session, names)
        section = edits.hold(_section(session), names, state, until)
        return _change(session, "hold", names, section, f"to be in {state}", _emptied)

    view = _view(world, fleet)
    chosen = _chosen(view, fleet, targets)
    if not force:
        _enough(world, fleet, view, chosen, options.parallel)
    return _each(world, fleet, chosen, work, options, emit)


def release(
    world: World, fleet: Fleet, targets: Sequence[str], options: RunOptions, emit: Emit
) -> RunFinished:
    """Lets requests come to the servers of ``targets`` again, and waits until all balancers
    report them UP by a check. Raises what ``hold`` does, TooFewServe excepted."""

    def work(session: Session, names: tuple[str, ...]) -> Outcome:
        section = edits.release(_section(session), names)
        return _change(session, "release", names, section, "held no longer", _up)

    chosen = _chosen(_view(world, fleet), fleet, targets)
    return _each(world, fleet, chosen, work, options, emit)


def _view(world: World, fleet: Fleet) -> View:
    world.connect(fleet.record_hosts)
    return view_of(world.record.read())


def _chosen(view: View, fleet: Fleet, targets: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """The instances of each service that ``targets`` name. Raises Refused."""
    known = {host.name for host in fleet.hosts}
    found: dict[str, set[str]] = {}
    for service, section in view.sections.items():
        for server in _servers(section):
            known |= {server.host, server.instance}
            if {server.host, server.instance} & set(targets):
                found.setdefault(service, set()).add(server.instance)
    for target in targets:
        if target not in known:
            raise _unknown(target, sorted(known))
    return {service: tuple(sorted(names)) for service, names in sorted(found.items())}


def _unknown(target: str, known: Sequence[str]) -> Refused:
    begun = [name for name in known if name.startswith(target)]
    near = begun[:5] or difflib.get_close_matches(target, known, 3)
    return Refused(
        f"{target!r} is no host and no instance in the load balancer",
        hint=f"did you mean {' or '.join(near)}?" if near else "see `fleetctl lb show`",
    )


def _servers(section: Section | None) -> list[Server]:
    return [s for backend in (section.backends if section else ()) for s in backend.servers]


def _section(session: Session) -> Section:
    """Raises Refused when it has gone since the names were looked up."""
    if session.section is None:
        raise Refused(f"{session.service} is in the load balancer no more")
    return session.section


def _leaves(record: ServiceRecord) -> int:
    """How many of a service have to stay in service, whoever takes one away."""
    revision = record.revision(record.open.target if record.open else record.current)
    return limits(revision.spec.rollout, revision.spec.replicas).floor if revision else 0


def _enough(
    world: World, fleet: Fleet, view: View, chosen: dict[str, tuple[str, ...]], parallel: int
) -> None:
    """A first look for all services, so that what is refused for one is not half done. Servers
    that no check has spoken of yet are left to the look of each."""
    seen = observe_balancers(world, fleet, parallel)
    for service, names in chosen.items():
        up = [up_on(view.sections[service], found, unchecked=True) for found in seen if found.up]
        others = {name for found in up for name in found}.difference(names)
        need = _leaves(view.service(service))
        if any(found.intersection(names) for found in up) and len(others) < need:
            raise too_few(service, names, len(others), need, "", HINT)


def _await_others(session: Session, names: Collection[str]) -> None:
    """The same under the service's lock, with all that ``await_others_in_balancers`` asks."""
    try:
        await_others_in_balancers(session, names, _leaves(session.record))
    except TooFewServe as error:
        raise TooFewServe(error.message, hint=HINT) from error


def _change(
    session: Session,
    action: str,
    names: tuple[str, ...],
    section: Section,
    cause: str,
    follow: Callable[[Session, tuple[str, ...]], str],
) -> Outcome:
    """All balancers to ``section``, even if the record has it: they may not, yet."""
    before = {s.instance: (s.held, s.held_until) for s in _servers(session.section)}
    changed = {
        s.instance for s in _servers(section) if before[s.instance] != (s.held, s.held_until)
    }

    def work() -> str:
        session.check()
        said = change_section(session, section)
        return follow(session, names) or said

    step = StepStarted(session.service, action, action, "", " ".join(names), cause)
    told(session, step, work)
    session.balanced += len(changed)
    number = session.record.current
    return ended(session, "ok" if changed else "nothing_to_do", ExitCode.DONE, number, number)


def _emptied(session: Session, names: tuple[str, ...]) -> str:
    """No longer than the drain limit, for old workers too: nothing is stopped after it."""
    section = _section(session)
    limit, places = section.drain_limit, servers_of(section, names)

    def lasting(seen: ObservedBalancer) -> str:
        for line in seen.servers:
            here = (line.backend, line.name, line.address, line.port) in places
            if here and (line.sessions or line.queue):
                return f"{line.sessions} sessions of {line.backend}/{line.name} on {seen.name}"
        old = seen.old_workers
        return f"{old} old worker{'s' if old > 1 else ''} on {seen.name}" if old else ""

    left = poll(session, lasting, limit, session.check)
    if left:
        session.note(f"drain limit of {limit:g} s passed: {left}", warning=True)
    return left


def _up(session: Session, names: tuple[str, ...]) -> str:
    """Not of a server that a deploy, which has not ended, drains."""
    ready = {s.instance for s in _servers(session.section) if s.wanted == "ready"}
    revision = session.record.revision(session.record.current)
    seconds = revision.spec.rollout.healthy_deadline if revision else 60.0
    await_up(session, ready.intersection(names), seconds)
    return ""


def _each(
    world: World,
    fleet: Fleet,
    chosen: dict[str, tuple[str, ...]],
    work: Work,
    options: RunOptions,
    emit: Emit,
) -> RunFinished:
    """Each service in its turn; one that fails keeps none from its turn, and the first such
    gives the exit code. Raises Interrupted."""
    emit = serialised(emit)
    began = world.clock.monotonic()
    emit(RunStarted(options.command, tuple(chosen), fleet.name, options.by))
    failed: list[tuple[Result, int]] = []
    services: list[ServiceResult] = []
    for service, names in chosen.items():

        def one(emit: Emit, service: str = service, names: tuple[str, ...] = names) -> Outcome:
            with under_lock(world, fleet, service, options, emit) as session:
                if session.lease.over:
                    fence_off(session)
                here = {s.instance for s in _servers(session.section)}
                return work(session, tuple(name for name in names if name in here))

        try:
            services.append(reported(world, fleet, options, emit, service, one).service)
        except Interrupted:
            raise
        except FleetError as error:
            then = "the record and `fleetctl lb show` tell what was changed"
            emit(Failed(service, error.id, error.message, error.hint, error.host, then))
            failed.append(result_of(error))
    done: Result = "ok" if any(found.changed for found in services) else "nothing_to_do"
    result, code = failed[0] if failed else (done, int(ExitCode.DONE))
    seconds = world.clock.monotonic() - began
    finished = RunFinished(options.command, result, code, tuple(services), seconds)
    emit(finished)
    return finished
