"""A look at many containers: what it finds, and how often it waits for the far side."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from fake_docker import FENCE, HOST, FakeConnections, FakeDocker, listed

from fleetctl.containers import pipeline
from fleetctl.containers.docker import DockerEngine
from fleetctl.model.instance import Binding, Instance
from fleetctl.model.spec import ServiceSpec

FACTS = b"boot 11111111-2222\nlineage fleet-a\n"


class CountedSocket(socket.socket):
    """A round trip begins with what is sent after something was received."""

    trips = 0
    waiting = False

    def sendall(self, *args: Any) -> None:
        if not self.waiting:
            self.trips, self.waiting = self.trips + 1, True
        super().sendall(*args)

    def recv_into(self, *args: Any) -> int:
        self.waiting = False
        return super().recv_into(*args)


class CountedConnections(FakeConnections):
    def __init__(self, docker: FakeDocker) -> None:
        super().__init__(docker)
        self.facts = FACTS
        self.counted: list[CountedSocket] = []

    def open(self, command: Any, fence: Any = None) -> socket.socket:
        near = super().open(command, fence)
        self.counted.append(CountedSocket(fileno=near.detach()))
        return self.counted[-1]

    @property
    def trips(self) -> int:
        return sum(one.trips for one in self.counted)


@dataclass
class OddDocker(FakeDocker):
    """``ghosts`` are listed and gone when they are asked for; ``broken`` can't be inspected."""

    ghosts: list[dict[str, Any]] = field(default_factory=list)
    broken: str = ""

    def answer(self, method: str, path: str, query: dict[str, str], body: Any) -> tuple[int, Any]:
        if self.broken and path == f"containers/{self.broken}/json":
            return 500, {"message": "it is broken"}
        status, found = super().answer(method, path, query, body)
        if path == "containers/json":
            found = [*found, *map(listed, self.ghosts)]
        return status, found


@pytest.fixture
def docker() -> Iterator[OddDocker]:
    docker = OddDocker(images={"app:1": {"Id": "sha256:e", "RepoTags": [], "RepoDigests": []}})
    yield docker
    docker.released.set()


@pytest.fixture
def connections(docker: OddDocker) -> CountedConnections:
    return CountedConnections(docker)


@pytest.fixture
def engine(connections: CountedConnections) -> DockerEngine:
    engine = DockerEngine(connections, HOST)  # type: ignore[arg-type]
    engine.observe("fleet-a")
    return engine


def run_slots(engine: DockerEngine, *slots: int) -> list[str]:
    made = []
    for slot in slots:
        bindings = (Binding("http", 8080, 20000 + slot),)
        instance = Instance("web", slot, 2, "node1", "10.0.0.1", bindings, "abcd1234")
        made.append(engine.create(instance, ServiceSpec("web", "app:1"), "fleet-a", 3, FENCE))
        engine.start(made[-1], FENCE)
    return made


def seen_slots(engine: DockerEngine) -> list[int]:
    seen = engine.observe("fleet-a")
    assert (seen.state, seen.error) == ("up", "")
    assert all(c.started and c.running for c in seen.containers)
    return [c.slot for c in seen.containers]


def test_thirty_containers_cost_no_more_round_trips_than_one(
    connections: CountedConnections, engine: DockerEngine
) -> None:
    def look() -> tuple[int, int]:
        before = connections.trips
        return len(seen_slots(engine)), connections.trips - before

    run_slots(engine, 1)
    one = look()
    run_slots(engine, *range(2, 31))
    assert (one[0], look()) == (1, (30, one[1]))


def test_more_than_are_asked_for_at_once_are_seen(
    engine: DockerEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "AT_ONCE", 4)
    run_slots(engine, *range(1, 11))
    assert seen_slots(engine) == list(range(1, 11))


def test_a_container_that_goes_while_it_is_looked_at(
    docker: OddDocker, engine: DockerEngine
) -> None:
    first, second, third = run_slots(engine, 1, 2, 3)
    docker.ghosts.append(docker.containers.pop(second))
    assert seen_slots(engine) == [1, 3]
    assert 20002 in engine.observe("fleet-a").ports
    assert [c.id for c in engine.observe("fleet-a").containers] == [first, third]


def test_a_refusal_leaves_no_answer_for_the_next_question(
    docker: OddDocker, connections: CountedConnections, engine: DockerEngine
) -> None:
    docker.broken = run_slots(engine, 1, 2, 3)[0]
    channels = len(connections.counted)
    seen = engine.observe("fleet-a")
    assert seen.state == "unknown"
    assert "it is broken" in seen.error
    docker.broken = ""
    assert seen_slots(engine) == [1, 2, 3]
    assert len(connections.counted) == channels


def test_a_channel_that_ends_between_two_answers(
    docker: OddDocker, connections: CountedConnections, engine: DockerEngine
) -> None:
    docker.die_on = f"GET containers/{run_slots(engine, 1, 2, 3)[1]}/json"
    channels = len(connections.counted)
    assert seen_slots(engine) == [1, 2, 3]
    assert len(connections.counted) == channels + 1
