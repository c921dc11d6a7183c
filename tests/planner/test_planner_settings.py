"""What is another in the section than in its revision is named, and takes one step."""

from __future__ import annotations

from dataclasses import replace

import pytest
from planned_world import World, carry_out, converged, deployed, host, spec

from fleetctl.model.plan import Plan
from fleetctl.model.routing import Balancing, Certificate, Internal, Route, Tls
from fleetctl.model.spec import Rollout
from fleetctl.planner.inputs import Situation
from fleetctl.planner.plan import make_plan

SHOP = Certificate("shop", "1" * 64, "A" * 40)


def demo(**changes: object) -> World:
    return deployed(World([host(i) for i in range(1, 4)]), spec(replicas=6, **changes))


def given(world: World, **changes: object) -> Situation:
    return replace(world.situation(world.revisions[max(world.revisions)]), **changes)  # type: ignore[arg-type]


def only_settings(plan: Plan) -> str:
    assert [step.id for step in plan.steps] == ["admit-settings", "commit"]
    assert plan.summary.nothing
    return plan.steps[0].cause


@pytest.mark.parametrize(
    ("changes", "cause"),
    [
        ({"routes": (Route("http"), Route("http", path="/api"))}, "routes changed"),
        ({"routes": (Route("http", allow=("10.0.0.0/8",)),)}, "routes changed"),
        ({"internal": Internal("http")}, "the name inside the fleet changed"),
        ({"rollout": Rollout(drain_timeout=99.0)}, "drain_timeout changed"),
        (
            {"balancing": Balancing("leastconn", maxconn=5)},
            "balancing changed: algorithm, maxconn",
        ),
        ({"balancing": Balancing(tunnel_drain=99.0)}, "balancing changed: tunnel_drain"),
    ],
)
def test_a_setting_that_changed_is_named(changes: dict[str, object], cause: str) -> None:
    world = demo()
    base = world.revisions[1].spec
    target = world.revision(replace(base, **changes))  # type: ignore[arg-type]
    plan = make_plan(world.situation(target))
    assert only_settings(plan) == cause
    carry_out(world, plan)
    converged(world, target)
    assert make_plan(world.situation(target)).nothing


def test_a_service_for_others_alone_is_rolled_through_the_balancers() -> None:
    world = demo(routes=(), internal=Internal("http"))
    target = world.revision(spec("app@sha256:2", replicas=6, routes=(), internal=Internal("http")))
    plan = make_plan(world.situation(target))
    assert {type(step).__name__ for step in plan.steps} >= {"Admit", "Drain"}
    carry_out(world, plan)
    converged(world, target)


def test_a_certificate_is_new_and_then_renewed() -> None:
    world = demo()
    target = world.revision(
        replace(world.revisions[1].spec, routes=(Route("http", tls=Tls("shop")),))
    )
    carry_out(world, make_plan(world.situation(target)))
    assert world.section
    assert only_settings(make_plan(given(world, certificates=(SHOP,)))) == "certificate shop is new"
    section = replace(world.section, certificates=(SHOP,))
    assert make_plan(given(world, section=section, certificates=(SHOP,))).nothing
    renewed = replace(SHOP, digest="2" * 64)
    plan = make_plan(given(world, section=section, certificates=(renewed,)))
    assert only_settings(plan) == "certificate shop was renewed"


def test_the_weights_of_hosts_are_looked_at() -> None:
    world = demo()
    hosts = tuple(replace(h, weight=10) if h.name != "node2" else h for h in world.hosts)
    assert only_settings(make_plan(given(world, hosts=hosts))) == "weight changed: node1, node3"


def test_files_are_made_anew_for_the_reason_given() -> None:
    world = demo()
    plan = make_plan(given(world, resettle="templates changed: haproxy.cfg.j2"))
    assert only_settings(plan) == "templates changed: haproxy.cfg.j2"


def test_nothing_of_that_matters_where_no_request_comes_through_balancers() -> None:
    world = demo(routes=())
    assert make_plan(given(world, resettle="templates changed")).nothing


def test_certificates_that_a_failed_deploy_brought_are_cleared_away() -> None:
    plan = make_plan(given(demo(routes=()), certificates=(SHOP,)))
    assert only_settings(plan) == "certificates that nothing names were left"


def test_what_is_started_brings_settings_along() -> None:
    """One change of the balancers, not two."""
    world = demo()
    target = world.revision(
        spec("app@sha256:2", replicas=6, internal=Internal("http"), balancing=Balancing("first"))
    )
    plan = make_plan(world.situation(target))
    assert "admit-settings" not in [step.id for step in plan.steps]
    carry_out(world, plan)
    converged(world, target)
    assert world.section
    assert (world.section.internal, world.section.balancing.algorithm) == (
        Internal("http"),
        "first",
    )
