from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import fake_docker
import pytest
from fake_docker import FENCE, FakeConnections, FakeDocker

from fleetctl.containers import lanes as lanes_module
from fleetctl.containers.lanes import CHANGING, Lanes
from fleetctl.errors import (
    ConnectionLost,
    EngineDown,
    EngineFailed,
    FleetError,
    StaleFence,
    Unreachable,
)
from fleetctl.model.record import Fence

OTHER = Fence("service-api", 3, "me")
THIRD = Fence("service-db", 1, "me")
FOURTH = Fence("service-mail", 1, "me")


@pytest.fixture
def docker() -> Iterator[FakeDocker]:
    docker = FakeDocker()
    yield docker
    docker.released.set()


@pytest.fixture
def connections(docker: FakeDocker) -> FakeConnections:
    return FakeConnections(docker)


def make(connections: FakeConnections, why: FleetError | None = None) -> Lanes:
    return Lanes(
        "node1",
        lambda fence: connections.open(("docker", "system", "dial-stdio"), fence),  # type: ignore[arg-type,return-value]
        lambda: why or ConnectionLost("ended"),
    )


def info(client: object) -> object:
    return client.info()["NCPU"]  # type: ignore[attr-defined]


def test_many_calls_go_over_one_channel(connections: FakeConnections) -> None:
    lanes = make(connections)
    assert [lanes.read("asking", info) for _ in range(5)] == [4] * 5
    assert [fence for fence, _ in connections.channels] == [None]


def test_reads_are_not_fenced_and_changes_are(connections: FakeConnections) -> None:
    lanes = make(connections)
    lanes.read("asking", info)
    lanes.change("changing", FENCE, info)
    lanes.change("changing", FENCE, info)
    assert [fence for fence, _ in connections.channels] == [None, FENCE]


@pytest.mark.parametrize(("server", "used"), [("1.41", "v1.41"), ("1.30", "v1.30"), ("1.99", None)])
def test_the_version_is_the_lower_of_both(
    docker: FakeDocker, connections: FakeConnections, server: str, used: str | None
) -> None:
    docker.version = server
    make(connections).read("asking", info)
    assert docker.bodies[-1][0] == (used or f"v{lanes_module.DEFAULT_DOCKER_API_VERSION}")


def test_a_read_is_asked_once_more_when_its_channel_ends(
    docker: FakeDocker, connections: FakeConnections
) -> None:
    docker.die_on = "GET info"
    assert make(connections).read("asking", info) == 4
    assert docker.asked.count("GET info") == 2
    assert len(connections.channels) == 2


def test_a_read_whose_channel_ends_twice_is_lost(
    docker: FakeDocker, connections: FakeConnections
) -> None:
    docker.die_on, docker.times = "GET info", 9
    with pytest.raises(ConnectionLost, match="asking on node1"):
        make(connections).read("asking", info)
    assert docker.asked.count("GET info") == 2


def test_a_change_is_never_repeated(docker: FakeDocker, connections: FakeConnections) -> None:
    lanes = make(connections)
    lanes.change("asking", FENCE, info)
    docker.die_on = "POST containers/x/start"
    with pytest.raises(ConnectionLost, match=r"starting x on node1.*unknown"):
        lanes.change("starting x", FENCE, lambda client: client.start("x"))
    assert docker.changes() == ["POST containers/x/start"]
    lanes.change("asking", FENCE, info)


def test_no_answer_in_time(docker: FakeDocker, connections: FakeConnections) -> None:
    docker.hang_on = "containers/"
    lanes = make(connections)
    with pytest.raises(EngineDown, match="gave no answer"):
        lanes.read("listing", lambda client: client.containers(), timeout=0.1)
    with pytest.raises(ConnectionLost, match=r"no answer within 0\.1 s"):
        lanes.change("starting x", FENCE, lambda client: client.start("x"), timeout=0.1)
    assert docker.changes() == ["POST containers/x/start"]
    assert lanes.read("asking", info) == 4


def test_an_engine_that_greets_nobody_is_down(
    docker: FakeDocker, connections: FakeConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    docker.hang_on = "_ping"
    monkeypatch.setattr(lanes_module, "GREETING", 0.1)
    with pytest.raises(EngineDown):
        make(connections).change("starting x", FENCE, info)


def test_a_channel_that_leads_nowhere_is_explained(connections: FakeConnections) -> None:
    connections.dial = fake_docker.Completed(1)
    why = EngineDown("the engine is down")
    with pytest.raises(EngineDown) as caught:
        make(connections, why).change("starting x", FENCE, info)
    assert caught.value is why


def test_what_isnt_an_engine_is_said(docker: FakeDocker, connections: FakeConnections) -> None:
    docker.version = "nginx"
    with pytest.raises(EngineFailed, match="why"):
        make(connections, EngineFailed("why")).read("asking", info)


def test_errors_of_the_connection_come_through(connections: FakeConnections) -> None:
    lanes = make(connections)
    connections.refuse = StaleFence("later", seen=9)
    with pytest.raises(StaleFence):
        lanes.change("starting x", FENCE, info)
    assert lanes.read("asking", info) == 4
    gone = Unreachable("no route")

    def opens(fence: Fence | None) -> object:
        raise gone

    with pytest.raises(Unreachable) as caught:
        Lanes("node1", opens, lambda: ConnectionLost("")).read("asking", info)  # type: ignore[arg-type]
    assert caught.value is gone


def test_a_refusal_leaves_the_channel_in_use(connections: FakeConnections) -> None:
    lanes = make(connections)
    with pytest.raises(EngineFailed, match="gone"):
        lanes.change("starting x", FENCE, lambda client: client.start("x"))
    lanes.change("asking", FENCE, info)
    assert len(connections.channels) == 1


def test_an_idle_channel_that_died_takes_no_change(
    docker: FakeDocker, connections: FakeConnections, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lanes_module, "QUIET", 0.0)
    lanes = make(connections)
    lanes.change("asking", FENCE, info)
    docker.die_on = "_ping"
    assert lanes.change("asking", FENCE, info) == 4
    assert len(connections.channels) == 2


def run_at_once(*calls: Callable[[], object]) -> list[threading.Thread]:
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for thread in threads:
        thread.start()
    return threads


def test_channels_are_bounded_over_all_fences(connections: FakeConnections) -> None:
    lanes = make(connections)
    entered = threading.Semaphore(0)
    leave = threading.Event()

    def slow(client: object) -> None:
        entered.release()
        assert leave.wait(60)

    fences = [FENCE, OTHER, THIRD, FOURTH] * 2
    threads = run_at_once(*[lambda f=f: lanes.change("x", f, slow) for f in fences])
    for _ in range(CHANGING):
        assert entered.acquire(timeout=60)
    assert not entered.acquire(timeout=0.05)
    assert lanes.read("asking", info) == 4
    leave.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    assert connections.most_open == CHANGING + lanes_module.READING


def test_an_idle_channel_of_another_fence_makes_room(connections: FakeConnections) -> None:
    lanes = make(connections)
    fences = [FENCE, OTHER, THIRD, FOURTH, FENCE]
    for fence in fences:
        assert lanes.change("asking", fence, info) == 4
    assert [fence for fence, _ in connections.channels] == fences
    assert connections.most_open == CHANGING


def test_a_failed_opening_gives_its_place_back(connections: FakeConnections) -> None:
    lanes = make(connections)
    connections.refuse = StaleFence("later", seen=9)
    for _ in range(CHANGING + 1):
        with pytest.raises(StaleFence):
            lanes.change("asking", FENCE, info)
    connections.refuse = None
    assert lanes.change("asking", FENCE, info) == 4


def test_an_interrupted_answer_is_not_taken_for_the_next_one(connections: FakeConnections) -> None:
    lanes = make(connections)

    def interrupted(client: object) -> None:
        client.get("http://engine:80/info", stream=True)  # type: ignore[attr-defined]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        lanes.change("asking", FENCE, interrupted)
    assert lanes.change("asking", FENCE, info) == 4
    assert len(connections.channels) == 2
