"""Runs that something befalls between two of their effects: the world changes, the controller
doesn't know of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from invariants import ON_A_HOST, Invariants, Violation
from judged import Run, converge, judged
from scenarios import Scenario, reconciling
from sim_effects import Effect
from sim_hosts import SimHost
from simulated import SimFleet, SimWorld

from fleetctl.errors import FleetError
from fleetctl.model.events import Event, Failed, RunFinished

Befall = Callable[[SimFleet], None]
COMING = frozenset({"pull", "tag", "create", "start", "remove"})
"""Not between the look before a drain or a stop and that itself: nothing could know of it."""
NOTICED = 5.0
"""Seconds in which the checks of balancers give a silent host up."""


@dataclass
class Befallen:
    """What the run came to, and the fleet that it left."""

    number: int
    effect: Effect
    fleet: SimFleet
    held: Invariants
    world: SimWorld
    ended: RunFinished | FleetError
    told: list[Event]

    @property
    def code(self) -> int:
        return int(self.ended.exit_code)

    @property
    def words(self) -> str:
        """All that a person is told went wrong."""
        said = [e.message for e in self.told if isinstance(e, Failed)]
        if isinstance(self.ended, FleetError):
            said.append(self.ended.message)
        return "; ".join(said)


def effects_of(fleet: SimFleet, held: Invariants, run: Run) -> list[Effect]:
    """Those of an undisturbed run, on a copy."""
    copy = fleet.fork()
    world = held.fork(copy).watch(copy.controller())
    judged(world, run)
    return world.effects.log


def between_effects(
    fleet: SimFleet,
    held: Invariants,
    run: Run,
    befall: Befall,
    kinds: frozenset[str] | None = None,
    watch: Callable[[SimFleet, Effect], None] = lambda fleet, effect: None,
    every: int = 1,
) -> Iterable[Befallen]:
    """``run`` again and again, each time from the same start, with ``befall`` before its first
    effect, its second and so on (only before those of ``kinds``). ``watch`` is called after
    each effect, besides the invariants."""
    numbers = [
        number
        for number, effect in enumerate(effects_of(fleet, held, run), 1)
        if kinds is None or effect.kind in kinds
    ]
    assert numbers
    for number in numbers[::every]:
        copy = fleet.fork()
        yield _one(copy, held.fork(copy), run, number, befall, watch)


def _one(
    fleet: SimFleet,
    held: Invariants,
    run: Run,
    number: int,
    befall: Befall,
    watch: Callable[[SimFleet, Effect], None],
) -> Befallen:
    world = held.watch(fleet.controller())
    at: list[Effect] = []
    told: list[Event] = []

    def turn(count: int, effect: Effect) -> None:
        if count == number:
            at.append(effect)
            before = set(fleet.answering())
            befall(fleet)
            held.lost |= before - set(fleet.answering())
            held.rebase()

    hear, look = world.emit, world.effects.watch

    def heard(event: Event) -> None:
        told.append(event)
        hear(event)

    def looked(effect: Effect) -> None:
        look(effect)
        watch(fleet, effect)

    world.emit, world.effects.watch, world.effects.turn = heard, looked, turn
    ended: RunFinished | FleetError
    try:
        ended = judged(world, run)
    except FleetError as error:
        ended = error
    return Befallen(number, at[0], fleet, held, world, ended, told)


class CutOffBalancers:
    """I3 where the controller can't see: a balancer that is cut off from it alone goes on
    sending requests to what it has. Nothing may be taken from behind it."""

    def __init__(self) -> None:
        self._before: set[tuple[str, int]] | None = None

    def forget(self) -> None:
        """What was before: another fleet follows."""
        self._before = None

    def __call__(self, fleet: SimFleet, effect: Effect) -> None:
        answering = set(fleet.answering())
        served = {
            (server.address, server.port)
            for balancer in fleet.balancers.values()
            if not balancer.up
            for server in balancer.servers.values()
            if server.admin == "ready"
        }
        before, self._before = self._before, answering
        if before is not None and effect.kind in ON_A_HOST:
            cut = (served & before) - answering
            if cut:
                raise Violation({"I3": f"{cut} was served by a balancer out of sight"}, str(effect))


def silence(*names: str) -> Befall:
    """These hosts, or balancers, answer nobody."""

    def befall(fleet: SimFleet) -> None:
        for name in names:
            machine(fleet, name).up = False
        fleet.clock.sleep(NOTICED)

    return befall


def machine(fleet: SimFleet, name: str) -> SimHost:
    return fleet.hosts.get(name) or fleet.balancers[name].machine


def speak(fleet: SimFleet) -> None:
    """All that fell silent answers again."""
    for name in (*fleet.hosts, *fleet.balancers):
        machine(fleet, name).up = True
    fleet.clock.sleep(NOTICED)


def settles(found: Befallen, scenario: Scenario) -> None:
    """All answer again: two runs at most, and the next has nothing to do."""
    speak(found.fleet)
    found.held.rebase()
    converge(found.held, scenario.recover, reconciling)
    scenario.settled(found.fleet)


def reboot(name: str) -> Befall:
    """What has a restart policy starts anew, what has none stays down."""

    def befall(fleet: SimFleet) -> None:
        host = fleet.hosts[name]
        for key, container in host.containers.items():
            if not container.running:
                continue
            if container.restart_policy == "no":
                host.containers[key] = replace(container, state="exited", exit_code=137)
            else:
                host.containers[key] = replace(container, started=fleet.clock.now())
        fleet.clock.sleep(NOTICED)

    return befall
