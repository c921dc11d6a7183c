"""Anything may happen, in any order, and the next runs put it right (I1 to I20).

Deploys, rollbacks and reconciles that are killed, fail or go through; hosts that fall silent;
containers that strangers end; balancers that come back with an older file; a controller that
stands still and goes on later. The invariants are looked at after each effect.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from befallen import COMING, NOTICED
from held import host_held, host_ready
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from invariants import Invariants
from judged import Run, at_rest, converge, judged, recorded
from scenarios import deploying, reconciling, rolling_back, web
from sim_effects import Effect, Fault, Killed
from sim_hosts import SimHost
from simulated import SimFleet, SimWorld

from fleetctl.errors import ConnectionLost, EngineFailed, FleetError
from fleetctl.haproxy.rendered import Rendered

SERVICES = ("web", "cache")
STRATEGIES = (("1", "0"), ("50%", "0"), ("0", "1"), ("25%", "25%"))
SOAK = os.environ.get("FLEETCTL_SOAK_EXAMPLES")

specs = st.builds(
    lambda name, image, replicas, limits, routed, policy: web(
        image,
        replicas,
        name=name,
        routed=routed,
        max_surge=limits[0],
        max_unavailable=limits[1],
        on_failure=policy,
    ),
    st.sampled_from(SERVICES),
    st.sampled_from(["app:1", "app:1", "app:2", "app:3", "app:bad"]),
    st.integers(1, 5),
    st.sampled_from(STRATEGIES),
    st.sampled_from([True, True, True, False]),
    st.sampled_from(["rollback", "rollback", "stop", "pause"]),
)
services = st.sampled_from(SERVICES)
runs: st.SearchStrategy[Run] = st.one_of(
    specs.map(lambda spec: deploying(spec, again=True)),
    specs.map(lambda spec: deploying(spec, again=True)),
    specs.map(lambda spec: deploying(spec, again=True)),
    services.map(rolling_back),
    st.builds(
        host_held, st.sampled_from(["node1", "node2", "node3"]), st.sampled_from([0.0, 60.0])
    ),
    st.sampled_from(["node1", "node2", "node3"]).map(host_ready),
    st.just(reconciling),
)
numbers = st.integers(1, 60)
errors: st.SearchStrategy[Callable[[], BaseException]] = st.sampled_from(
    [lambda: EngineFailed("the engine says no"), lambda: ConnectionLost("the line went dead")]
)
moments = st.sampled_from(["before", "after"])
nodes = st.sampled_from(["node1", "node2", "node3"])


class Fleet(RuleBasedStateMachine):
    """One fleet of three hosts and two balancers, and whoever comes along."""

    def __init__(self) -> None:
        super().__init__()
        self.fleet = SimFleet(balancers=2)
        self.held = Invariants(self.fleet)
        self.files: list[Rendered] = []

    def controller(self, faults: dict[int, Fault] | None = None) -> SimWorld:
        return self.held.watch(self.fleet.controller(faults))

    def go(self, world: SimWorld, run: Run) -> None:
        """Any error of fleetctl's own is an answer; none of Python's is."""
        try:
            judged(world, run)
        except FleetError:
            pass
        except Killed:
            world.fall_silent()
        for balancer in self.fleet.balancers.values():
            if balancer.file and balancer.file not in self.files:
                self.files.append(balancer.file)
        self.fleet.clock.sleep(1)

    @initialize(web_replicas=st.integers(2, 5), both=st.booleans())
    def has_services(self, web_replicas: int, both: bool) -> None:
        self.go(self.controller(), deploying(web("app:1", web_replicas)))
        if both:
            self.go(self.controller(), deploying(web("app:1", 2, name="cache")))

    @rule(run=runs)
    def goes_through(self, run: Run) -> None:
        self.go(self.controller(), run)

    @rule(run=runs, number=numbers, when=moments)
    def is_killed(self, run: Run, number: int, when: str) -> None:
        self.go(self.controller({number: Fault(when, Killed())}), run)

    @rule(run=runs, number=numbers, when=moments, error=errors)
    def fails_once(
        self, run: Run, number: int, when: str, error: Callable[[], BaseException]
    ) -> None:
        self.go(self.controller({number: Fault(when, error())}), run)

    @rule(run=runs, number=numbers, other=runs)
    def stands_still(self, run: Run, number: int, other: Run) -> None:
        """Another run comes while this one is frozen, which then goes on with a stale view."""
        world = self.controller()

        def meanwhile(count: int, effect: Effect) -> None:
            if count == number:
                world.fall_silent()
                self.fleet.clock.sleep(20)
                self.go(self.controller(), other)

        world.effects.turn = meanwhile
        self.go(world, run)

    @rule(run=runs, number=numbers, name=nodes)
    def loses_a_host(self, run: Run, number: int, name: str) -> None:
        """A host falls silent in the middle of a run, which learns of it as checks do. Not
        between the look before a drain or a stop and that itself: nothing could know of it."""
        world = self.controller()

        def meanwhile(count: int, effect: Effect) -> None:
            host = self.fleet.hosts[name]
            if count >= number and effect.kind in COMING and host.up:
                world.effects.turn = lambda count, effect: None
                host.up = False
                self.held.rebase()
                self.fleet.clock.sleep(NOTICED)

        world.effects.turn = meanwhile
        self.go(world, run)

    @rule(name=nodes)
    def goes_down_or_comes_up(self, name: str) -> None:
        self.fleet.hosts[name].up = not self.fleet.hosts[name].up

    @rule(name=st.sampled_from(["lb1", "lb2"]))
    def balancer_falls_silent_or_speaks(self, name: str) -> None:
        machine = self.fleet.balancers[name].machine
        machine.up = not machine.up

    @precondition(lambda self: self.fleet.containers())
    @rule(which=st.integers(0, 20), removed=st.booleans())
    def strangers_end_a_container(self, which: int, removed: bool) -> None:
        found = sorted((c.host, c.id) for c in self.fleet.containers())
        host, number = found[which % len(found)]
        if removed:
            del self.fleet.hosts[host].containers[number]
        else:
            self.fleet.hosts[host].end(number)

    @precondition(lambda self: self.files)
    @rule(which=st.integers(0, 20), name=st.sampled_from(["lb1", "lb2"]))
    def balancer_reboots_with_an_older_file(self, which: int, name: str) -> None:
        older = self.files[-1 - which % len(self.files)]
        self.fleet.balancers[name].reboot(older, self.fleet.clock.now())
        self.held.revive(name)

    @rule(seconds=st.sampled_from([5.0, 30.0, 3600.0]))
    def time_passes(self, seconds: float) -> None:
        self.fleet.clock.sleep(seconds)

    def teardown(self) -> None:
        """Faults over: what a person stopped is taken back, then two reconciles do the rest."""
        for machine in (*self.fleet.hosts.values(), *self.lb_machines()):
            machine.up = True
        self.fleet.clock.sleep(30)
        self.go(self.controller(), reconciling)
        self.fleet.clock.sleep(30)
        for name, record in sorted(recorded(self.fleet).items()):
            if record.open is not None and (record.open.paused or not record.current):
                self.go(self.controller(), deploying(web("app:1", 3, name=name), again=True))
        if recorded(self.fleet):
            converge(self.held, reconciling, reconciling)
            assert not at_rest(self.fleet)

    def lb_machines(self) -> list[SimHost]:
        return [balancer.machine for balancer in self.fleet.balancers.values()]


TestFleet = Fleet.TestCase
TestFleet.settings = settings(
    max_examples=int(SOAK or 60), stateful_step_count=12, deadline=None, derandomize=not SOAK
)
