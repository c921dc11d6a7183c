"""The health gate (s5): answers well, on one unchanged process, for the whole window.

``http`` and ``tcp`` are asked from the host's end of the SSH connection, ``command`` is
the engine's own verdict (SEMANTICS, "Who probes").
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from fleetctl.engine.ports import Clock, EnginePort
from fleetctl.errors import NotHealthy
from fleetctl.model.instance import Container, Instance, port_of
from fleetctl.model.spec import ServiceSpec

LOG_LINES = 30


@dataclass(slots=True)
class _Watch:
    """What the gate has seen so far."""

    began: float
    attempts: int = 0
    asked: str = ""
    answer: str = ""
    good_since: float | None = None
    life: tuple[str, float, int] | None = None
    restarts: int | None = None


def await_healthy(
    engine: EnginePort,
    instance: Instance,
    spec: ServiceSpec,
    lineage: str,
    clock: Clock,
    check: Callable[[], None],
) -> Container:
    """Returns the container once it has been healthy for ``min_ready`` seconds.

    Raises NotHealthy, with the whole report, as soon as it ends or at ``healthy_deadline``
    (plus ``min_ready`` when it was healthy at the deadline); what ``check`` raises, between
    two questions.
    """
    watch = _Watch(clock.monotonic())
    deadline = watch.began + spec.rollout.healthy_deadline
    while True:
        check()
        container = engine.find(lineage, instance.name)
        if container is None:
            raise NotHealthy(_report(watch, instance, spec, clock, None, (), "it is gone"))
        if _look(engine, container, instance, spec, watch, clock):
            return container
        if watch.restarts is None:
            watch.restarts = container.restarts
        again = container.restarts > watch.restarts
        ended = container.state not in ("running", "created") or again
        late = clock.monotonic() >= deadline and watch.good_since is None
        if ended or late:
            why = "it ended" if ended else "it was not healthy in time"
            found = engine.inspect(container.id) or container
            logs = engine.logs(container.id, LOG_LINES)
            raise NotHealthy(
                _report(watch, instance, spec, clock, found, logs, why),
                hint="change `healthcheck` if what was asked is wrong, "
                "`rollout.healthy_deadline` if it needs longer",
                host=instance.host,
            )
        clock.sleep(min(spec.healthcheck.interval, 1.0))


def _look(
    engine: EnginePort,
    container: Container,
    instance: Instance,
    spec: ServiceSpec,
    watch: _Watch,
    clock: Clock,
) -> bool:
    """One question; whether the window is now whole."""
    life = (container.id, container.started, container.restarts)
    good = container.running and _ask(engine, container, instance, spec, watch)
    if not good:
        watch.good_since = None
    elif watch.good_since is None or watch.life != life:
        watch.good_since = clock.monotonic()
    watch.life = life
    if watch.good_since is None:
        return False
    return clock.monotonic() - watch.good_since >= spec.rollout.min_ready


def _ask(
    engine: EnginePort, container: Container, instance: Instance, spec: ServiceSpec, watch: _Watch
) -> bool:
    check = spec.healthcheck
    watch.attempts += 1
    match check.kind:
        case "none":
            watch.asked, watch.answer = "that it runs", container.state
            return True
        case "command":
            watch.asked = "the engine's health check: " + " ".join(check.command)
            watch.answer = container.health or "no verdict"
            return container.health == "healthy"
        case _:
            port = port_of(instance.bindings, check.port)
            probe = engine.probe(instance.address, port, check)
            watch.asked, watch.answer = probe.asked, probe.answer
            return probe.ok


def _report(
    watch: _Watch,
    instance: Instance,
    spec: ServiceSpec,
    clock: Clock,
    container: Container | None,
    logs: tuple[str, ...],
    why: str,
) -> str:
    seconds = clock.monotonic() - watch.began
    lines = [
        f"{instance.name} on {instance.host} did not become healthy: {why}",
        f"  asked: {watch.asked or 'nothing yet'}",
        f"  last answer: {watch.answer or 'none'}",
        f"  attempts: {watch.attempts} in {seconds:.1f} s "
        f"of {spec.rollout.healthy_deadline:g} s (rollout.healthy_deadline)",
    ]
    if container is not None:
        lines.append(
            f"  container: {container.state}, exit code {container.exit_code}, "
            f"{container.restarts} restarts"
        )
    if logs:
        lines.append(f"  last {len(logs)} lines of its log:")
        lines += [f"    {line}" for line in logs]
    return "\n".join(lines)
