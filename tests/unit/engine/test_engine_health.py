"""The health gate on an engine whose answers are given one by one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from fleetctl.engine.health import await_healthy
from fleetctl.errors import NotHealthy
from fleetctl.model.instance import Binding, Container, Instance
from fleetctl.model.observed import Probe
from fleetctl.model.spec import Healthcheck, Port, Rollout, ServiceSpec

INSTANCE = Instance("web", 1, 1, "node1", "10.0.0.1", (Binding("http", 80, 20000),), "abcd1234")
RUNNING = Container(
    "c1",
    INSTANCE.name,
    "node1",
    "10.0.0.1",
    "web",
    1,
    1,
    1,
    "abcd1234",
    "s",
    "running",
    started=5.0,
)
SPEC = ServiceSpec(
    "web",
    "app",
    ports=(Port("http", 80),),
    healthcheck=Healthcheck("http", "http", "/healthz"),
    rollout=Rollout(min_ready=3.0, healthy_deadline=10.0),
)


class Clock:
    time = 0.0

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.time += seconds


class Engine:
    """Gives out ``answers`` and ``lives`` in turn, the last of each for ever."""

    def __init__(self, answers: str, lives: tuple[Container | None, ...] = (RUNNING,)) -> None:
        self.answers = _then_the_last(answers)
        self.lives = _then_the_last(lives)
        self.asked = 0

    def find(self, lineage: str, name: str) -> Container | None:
        return next(self.lives)

    def inspect(self, container: str) -> Container:
        return RUNNING

    def logs(self, container: str, lines: int) -> tuple[str, ...]:
        return ("cannot open the database",)

    def probe(self, address: str, port: int, check: Healthcheck) -> Probe:
        self.asked += 1
        ok = next(self.answers) == "+"
        return Probe(ok, f"GET http://{address}:{port}{check.path}", "200" if ok else "503")


def _then_the_last(items) -> Iterator:
    yield from items
    while True:
        yield items[-1]


def wait(engine: Engine, spec: ServiceSpec = SPEC) -> float:
    clock = Clock()
    await_healthy(engine, INSTANCE, spec, "l", clock, lambda: None)  # type: ignore[arg-type]
    return clock.time


def test_healthy_for_the_whole_window() -> None:
    assert wait(Engine("+")) == 3.0


def test_good_after_bad_answers_on_the_same_process() -> None:
    assert wait(Engine("--+")) == 5.0


def test_a_bad_answer_within_the_window_starts_it_anew() -> None:
    assert wait(Engine("++-+")) == 6.0


def test_another_process_within_the_window_starts_it_anew() -> None:
    again = replace(RUNNING, started=7.0)
    assert wait(Engine("+", (RUNNING, RUNNING, again))) == 5.0


def test_never_healthy_ends_at_the_deadline_with_the_whole_report() -> None:
    with pytest.raises(NotHealthy) as failed:
        wait(Engine("-"))
    text = failed.value.message
    for words in (
        "GET http://10.0.0.1:20000/healthz",
        "503",
        "attempts: 11 in 10.0 s of 10 s",
        "cannot open the database",
        "exit code 0",
    ):
        assert words in text
    assert "healthy_deadline" in failed.value.hint


def test_flapping_ends_too() -> None:
    with pytest.raises(NotHealthy):
        wait(Engine("+-" * 50))


@pytest.mark.parametrize(
    "life",
    [None, replace(RUNNING, state="exited", exit_code=3), replace(RUNNING, restarts=1)],
    ids=["gone", "exited", "restarted"],
)
def test_a_container_that_ends_is_not_waited_for(life: Container | None) -> None:
    engine = Engine("-", (RUNNING, life))
    with pytest.raises(NotHealthy):
        wait(engine)
    assert engine.asked <= 2


def test_the_engines_own_verdict() -> None:
    spec = replace(SPEC, healthcheck=Healthcheck("command", command=("CMD", "true")))
    starting = replace(RUNNING, health="starting")
    healthy = replace(RUNNING, health="healthy")
    assert wait(Engine("-", (starting, starting, healthy)), spec) == 5.0
    with pytest.raises(NotHealthy, match="starting"):
        wait(Engine("-", (starting,)), spec)
