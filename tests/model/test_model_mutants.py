"""Each check of the model can fail: a part that is broken on purpose fails exactly its check."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import invariants
import plans
import pytest
import scenarios
import sim_balancers
import sim_hosts
import sim_state
from held import HELD
from invariants import Violation
from judged import converge, points, under_watch
from scenarios import SCENARIOS, Scenario, deploying, reconciling, web
from sim_effects import Effect

from fleetctl.engine import balancing, draining, execute, goal, guard, opening, rollback, steps
from fleetctl.errors import FleetError
from fleetctl.haproxy import section
from fleetctl.haproxy.rendered import Applied
from fleetctl.model.balancing import Server
from fleetctl.model.events import RunFinished
from fleetctl.planner import plan, serving

BY_NAME = {scenario.name: scenario for scenario in (*SCENARIOS, *HELD)}
Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Mutant:
    """``breaks`` is done once the scenario is prepared; ``check`` is what must notice."""

    check: str
    scenario: str
    breaks: Callable[[Patch], None]
    drive: Callable[[Scenario, Patch, Mutant], None]


def act(scenario: Scenario, patch: Patch, mutant: Mutant) -> None:
    _, held = scenario.prepare()
    mutant.breaks(patch)
    under_watch(held, scenario.act)


def act_and_recover(scenario: Scenario, patch: Patch, mutant: Mutant) -> None:
    """Killed in the middle, then recovered."""
    fleet, held = scenario.prepare()
    found = points(fleet, held, scenario.act)
    mutant.breaks(patch)
    point = found[len(found) // 2]
    converge(point.held, scenario.recover, reconciling)


def recover(scenario: Scenario, patch: Patch, mutant: Mutant) -> None:
    _, held = scenario.prepare()
    mutant.breaks(patch)
    converge(held, scenario.recover, reconciling)


def with_silent_host(scenario: Scenario, patch: Patch, mutant: Mutant) -> None:
    fleet, held = scenario.prepare()
    fleet.hosts["node3"].up = False
    held.rebase()
    mutant.breaks(patch)
    under_watch(held, scenario.act)


def fences_go_backwards(patch: Patch) -> None:
    """The second run has a lower number, and hosts take it."""
    numbers = itertools.count(0, -1)

    def guard(host: sim_hosts.SimHost, fence: Any) -> None:
        host.fences[fence.scope] = (next(numbers), fence.holder)

    patch.setattr(sim_hosts.SimHost, "guard", guard)


def floor_too_low(patch: Patch) -> None:
    real = plan.limits

    def limits(rollout: Any, replicas: int) -> Any:
        found = real(rollout, replicas)
        return replace(found, unavailable=found.unavailable + 1)

    patch.setattr(plan, "limits", limits)


def ceiling_too_high(patch: Patch) -> None:
    real = plan.limits

    def limits(rollout: Any, replicas: int) -> Any:
        found = real(rollout, replicas)
        return replace(found, surge=found.surge + 1)

    patch.setattr(plan, "limits", limits)


def stops_before_it_drains(patch: Patch) -> None:
    real = steps._drain

    def drain(session: Any, step: Any) -> str:
        for container in step.containers:
            session.world.engine(container.host).stop(container.id, 1.0, session.fence)
        return real(session, step)

    patch.setattr(steps, "_drain", drain)
    _without(patch, "I14", "I2")


def _without(patch: Patch, *names: str) -> None:
    """What the mutant breaks besides, by what it is: not looked at."""
    left = tuple(pair for pair in invariants.AFTER_EACH_EFFECT if pair[0] not in names)
    patch.setattr(invariants, "AFTER_EACH_EFFECT", left)


def creates_twice(patch: Patch) -> None:
    real = steps._create

    def create(session: Any, plan: Any, step: Any) -> str:
        for deploy in ("aaaa", "bbbb"):
            real(session, plan, replace(step, instance=replace(step.instance, deploy=deploy)))
        return real(session, plan, step)

    patch.setattr(steps, "_create", create)


def creates_without_deploy(patch: Patch) -> None:
    real = steps._create

    def create(session: Any, plan: Any, step: Any) -> str:
        return real(session, plan, replace(step, instance=replace(step.instance, deploy="")))

    patch.setattr(steps, "_create", create)


def stops_a_stranger(patch: Patch) -> None:
    real = steps._stop

    def stop(session: Any, plan: Any, container: Any) -> str:
        number = container.host.removeprefix("node")
        session.world.engine(container.host).stop(f"stranger-{number}", 1.0, session.fence)
        return real(session, plan, container)

    patch.setattr(steps, "_stop", stop)


def removes_another_services(patch: Patch) -> None:
    real = steps._stop

    def stop(session: Any, plan: Any, container: Any) -> str:
        engine = session.world.engine(container.host)
        for other in engine.host.containers.values():
            if other.service == "cache":
                engine.set_restart(other.id, "no", session.fence)
                break
        return real(session, plan, container)

    patch.setattr(steps, "_stop", stop)


def lets_the_last_good_go(patch: Patch) -> None:
    real = steps._pull

    def pull(session: Any, plan: Any, step: Any, progress: Any) -> str:
        engine = session.world.engine(step.host)
        engine.untag(session.service, (session.record.current,), session.fence)
        return real(session, plan, step, progress)

    patch.setattr(steps, "_pull", pull)


def ignores_silent_hosts(patch: Patch) -> None:
    patch.setattr(guard, "_silent_hosts", lambda session, given: None)


def admits_the_sick(patch: Patch) -> None:
    patch.setattr(steps, "_health", lambda session, plan, step: "")


def empties_the_backend(patch: Patch) -> None:
    real = draining.drain

    def drain(section: Any, names: Any) -> Any:
        everyone = {s.instance for b in section.backends for s in b.servers}
        return real(section, everyone)

    patch.setattr(draining, "drain", drain)
    _without(patch, "I2")


def a_server_too_many(patch: Patch) -> None:
    real = steps.admit

    def admit(section: Any, spec: Any, instances: Any, *more: Any) -> Any:
        found = real(section, spec, instances, *more)
        backends = []
        for b in found.backends:
            last = b.servers[-1:]
            extra = tuple(replace(s, slot=b.size) for s in last)
            backends.append(replace(b, servers=(*b.servers, *extra)))
        return replace(found, backends=tuple(backends))

    patch.setattr(steps, "admit", admit)


def one_balancer_lags(patch: Patch) -> None:
    real = sim_balancers.SimBalancerPort.apply

    def apply(self: Any, rendered: Any, fence: Any) -> Any:
        drains = any(
            s.state == "drain" for x in rendered.sections for b in x.backends for s in b.servers
        )
        return Applied("nothing") if drains and self.name == "lb2" else real(self, rendered, fence)

    patch.setattr(sim_balancers.SimBalancerPort, "apply", apply)
    patch.setattr(draining, "withdraw", draining.drain)


def the_record_stands_still(patch: Patch) -> None:
    real = sim_state.SimRecord.write

    def write(self: Any, key: str, body: Any, expected: int, fence: Any) -> Any:
        do = self.effects.do

        def stale(effect: Effect, change: Callable[[], Any]) -> Any:
            def same() -> Any:
                change()
                self.fleet.documents[key] = replace(self.fleet.documents[key], generation=expected)
                return self.fleet.documents[key]

            return do(effect, same)

        self.effects.do = stale
        try:
            return real(self, key, body, expected, fence)
        finally:
            self.effects.do = do

    patch.setattr(sim_state.SimRecord, "write", write)


def lineage_changes(patch: Patch) -> None:
    real = sim_hosts.SimEngine.claim

    def claim(self: Any, lineage: str, fence: Any) -> None:
        self.host.lineage = ""
        real(self, "another", fence)

    patch.setattr(sim_hosts.SimEngine, "claim", claim)


def another_image_on_node2(patch: Patch) -> None:
    real = sim_hosts.SimEngine.create

    def create(self: Any, instance: Any, spec: Any, *rest: Any) -> str:
        if self.host.name == "node2":
            self.host.images.add("app@sha256:3")
            return real(self, instance, replace(spec, image="app@sha256:3"), *rest)
        return real(self, instance, spec, *rest)

    patch.setattr(sim_hosts.SimEngine, "create", create)


def means_nothing(patch: Patch) -> None:
    patch.setattr(sim_state.SimJournal, "intent", lambda self, *what: None)


def forgets_outcomes(patch: Patch) -> None:
    patch.setattr(sim_state.SimJournal, "outcome", lambda self, *what: None)


def rolls_on(patch: Patch) -> None:
    real = execute._run_step

    def run_step(session: Any, plan: Any, step: Any) -> None:
        try:
            real(session, plan, step)
        except FleetError:
            return

    patch.setattr(execute, "_run_step", run_step)


def forgets_the_limit(patch: Patch) -> None:
    real = opening.situation
    patch.setattr(opening, "situation", lambda *given: replace(real(*given), limit=None))


def does_not_finish(patch: Patch) -> None:
    done = RunFinished("reconcile", "ok", 0, (), 0.0)
    patch.setattr(scenarios, "reconcile", lambda *given: done)


def prunes_nothing(patch: Patch) -> None:
    patch.setattr(steps, "_prune", lambda session, step: "")


def is_never_content(patch: Patch) -> None:
    patch.setattr(serving.Serving, "out_of_line", lambda self: "as always")


def locks_never_end(patch: Patch) -> None:
    patch.setattr(sim_state, "LEASE", 1e9)


def takes_for_ever(patch: Patch) -> None:
    def wait(session: Any, names: Any, seconds: float) -> None:
        session.world.clock.sleep(invariants.LONGEST_RUN)

    patch.setattr(steps, "await_up", wait)


def rolls_back_by_half(patch: Patch) -> None:
    real = goal.rollback_goal

    def half(record: Any, to: Any) -> Any:
        found = real(record, to)
        spec = replace(found.target.spec, replicas=2)
        return replace(found, target=replace(found.target, spec=spec))

    patch.setattr(rollback, "rollback_goal", half)


def sends_to_another_service(patch: Patch) -> None:
    real = sim_balancers.SimBalancer.load

    def load(self: Any, rendered: Any, now: float) -> None:
        real(self, rendered, now)
        other = next(s for key, s in self.servers.items() if key[0] == "cache.http")
        for key, server in self.servers.items():
            if server.service == "web":
                self.servers[key] = replace(server, address=other.address, port=other.port)
                return

    patch.setattr(sim_balancers.SimBalancer, "load", load)
    _without(patch, "I2")


def _files_with(patch: Patch, change: Callable[[Any], dict[str, Any]]) -> None:
    real = balancing.render
    made = lambda *given: (file := real(*given)) and replace(file, **change(file))  # noqa: E731
    patch.setattr(balancing, "render", made)


def routes_lead_astray(patch: Patch) -> None:
    _files_with(
        patch, lambda file: {"routes": tuple((key, "cache.http") for key, _ in file.routes)}
    )


def forgets_names_inside(patch: Patch) -> None:
    kept = lambda file: tuple(pair for pair in file.routes if "internal" not in pair[0])  # noqa: E731
    _files_with(patch, lambda file: {"routes": kept(file)})


def listens_on_public_ports_alone(patch: Patch) -> None:
    kept = lambda file: tuple(bind for bind in file.binds if bind[1] in (80, 443))  # noqa: E731
    _files_with(patch, lambda file: {"binds": kept(file)})


def loads_no_certificate(patch: Patch) -> None:
    _files_with(patch, lambda file: {"certificates": ()})


def ends_holds(patch: Patch) -> None:
    real = steps.admit

    def admit(*given: Any) -> Any:
        found = real(*given)
        return section.release(found, {s.instance for b in found.backends for s in b.servers})

    patch.setattr(steps, "admit", admit)


def balancers_know_no_hold(patch: Patch) -> None:
    real = sim_balancers.SimBalancer.load

    def load(self: Any, rendered: Any, now: float) -> None:
        real(self, rendered, now)
        self.servers = {key: replace(s, admin="ready") for key, s in self.servers.items()}

    patch.setattr(sim_balancers.SimBalancer, "load", load)


def holds_for_ever(patch: Patch) -> None:
    patch.setattr(Server, "held_at", lambda self, now: bool(self.held))


MUTANTS = (
    Mutant("I1", "update", fences_go_backwards, act),
    Mutant("I2", "update without surge", floor_too_low, act),
    Mutant("I2 ceiling", "update", ceiling_too_high, act),
    Mutant("I3", "scale down", stops_before_it_drains, act),
    Mutant("I4", "update", creates_twice, act),
    Mutant("I5", "update", creates_without_deploy, act),
    Mutant("I6", "update", stops_a_stranger, act),
    Mutant("I6", "update", removes_another_services, act),
    Mutant("I7", "update", lets_the_last_good_go, act),
    Mutant("I8", "scale down", ignores_silent_hosts, with_silent_host),
    Mutant("I9", "failing revision", admits_the_sick, act),
    Mutant("I9 empty", "update", empties_the_backend, act),
    Mutant("I9 slot", "update", a_server_too_many, act),
    Mutant("I10", "update, two balancers", one_balancer_lags, act),
    Mutant("I11", "update", the_record_stands_still, act),
    Mutant("I11 lineage", "update", lineage_changes, act),
    Mutant("I12", "update", another_image_on_node2, act),
    Mutant("I14", "update", means_nothing, act),
    Mutant("I14 outcome", "update", forgets_outcomes, act),
    Mutant("I15", "failing revision", rolls_on, act),
    Mutant("I16", "part of an update", forgets_the_limit, act),
    Mutant("I17", "update", does_not_finish, act_and_recover),
    Mutant("I17", "scale up while open", prunes_nothing, act_and_recover),
    Mutant("I18", "update", is_never_content, act_and_recover),
    Mutant("I19", "update", locks_never_end, act_and_recover),
    Mutant("I20", "update", takes_for_ever, act),
    Mutant("I9 own", "update", sends_to_another_service, act),
    Mutant("I9 routes", "update", routes_lead_astray, act),
    Mutant("I17", "update, inside alone", forgets_names_inside, act_and_recover),
    Mutant("I17", "update, tcp", listens_on_public_ports_alone, act_and_recover),
    Mutant("I17", "first deploy with TLS", loads_no_certificate, act_and_recover),
    Mutant("holds", "held while open", ends_holds, act),
    Mutant("I10", "held", balancers_know_no_hold, act),
    Mutant("I17", "held too long", holds_for_ever, recover),
)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: f"{m.check} {m.breaks.__name__}")
def test_a_broken_part_fails_exactly_its_check(mutant: Mutant, monkeypatch: Patch) -> None:
    with pytest.raises(Violation) as caught:
        mutant.drive(BY_NAME[mutant.scenario], monkeypatch, mutant)
    assert caught.value.names == (mutant.check,), str(caught.value)


def test_every_check_has_a_mutant() -> None:
    shown = {mutant.check for mutant in MUTANTS} | {"I21", "I22", "I23"}
    assert shown >= {name for name, _ in invariants.AFTER_EACH_EFFECT}
    assert shown >= {"I10", "I14 outcome", "I15", "I17", "I18", "I19", "I20"}


def test_a_planner_that_looks_at_the_time_is_noticed(monkeypatch: Patch) -> None:
    counter = itertools.count()
    real = plans.make_plan
    monkeypatch.setattr(plans, "make_plan", lambda s: replace(real(s), previous=next(counter)))
    with pytest.raises(Violation) as caught:
        plans.same_plan(plans.situations_of(BY_NAME["update"])[0])
    assert caught.value.names == ("I22",)


def test_a_planner_that_follows_the_inventorys_order_is_noticed(monkeypatch: Patch) -> None:
    real = plans.make_plan
    monkeypatch.setattr(plans, "make_plan", lambda s: replace(real(s), warnings=(s.hosts[0].name,)))
    with pytest.raises(Violation) as caught:
        plans.same_plan(plans.situations_of(BY_NAME["update"])[0])
    assert caught.value.names == ("I23",)


def test_a_rollback_that_restores_half_is_noticed(monkeypatch: Patch) -> None:
    rolls_back_by_half(monkeypatch)
    with pytest.raises(Violation) as caught:
        plans.there_and_back(deploying(web()), deploying(web("app:2")))
    assert caught.value.names == ("I21",)
