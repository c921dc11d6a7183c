from __future__ import annotations

import inspect as signatures
from collections.abc import Iterator
from typing import Any

import pytest
from fake_docker import FENCE, HOST, Completed, FakeConnections, FakeDocker, inspected

from fleetctl.containers.docker import DockerEngine
from fleetctl.engine.ports import EnginePort
from fleetctl.errors import (
    ConnectionLost,
    EngineDown,
    EngineFailed,
    ForeignLineage,
    ImageMissing,
    NameTaken,
    PortTaken,
    Refused,
    Unreachable,
)
from fleetctl.model.instance import Binding, Instance
from fleetctl.model.spec import ServiceSpec

INSTANCE = Instance("web", 1, 2, "node1", "10.0.0.1", (Binding("http", 8080, 20001),), "abcd1234")
SPEC = ServiceSpec("web", "app:1")
FACTS = b"""Welcome!
boot 11111111-2222
lineage fleet-a
fence service-web 7
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1 0 100
   1: 0100000A:4E21 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1 1 0 100
"""


@pytest.fixture
def docker() -> Iterator[FakeDocker]:
    docker = FakeDocker(images={"app:1": {"Id": "sha256:e", "RepoTags": [], "RepoDigests": []}})
    yield docker
    docker.released.set()


@pytest.fixture
def connections(docker: FakeDocker) -> FakeConnections:
    connections = FakeConnections(docker)
    connections.facts = FACTS
    return connections


@pytest.fixture
def engine(connections: FakeConnections) -> DockerEngine:
    engine = DockerEngine(connections, HOST)  # type: ignore[arg-type]
    engine.observe("fleet-a")
    return engine


def created(engine: DockerEngine) -> str:
    return engine.create(INSTANCE, SPEC, "fleet-a", 3, FENCE)


def strange(docker: FakeDocker, id: str, port: int, **labels: str) -> str:
    body: dict[str, Any] = {
        "Image": "app:1",
        "Labels": {f"fleetctl.{key}": value for key, value in labels.items()},
        "HostConfig": {"PortBindings": {"80/tcp": [{"HostIp": "", "HostPort": str(port)}]}},
    }
    docker.containers[id] = inspected(id, f"strange{id}", body)
    docker.containers[id]["State"]["Status"] = "running"
    return id


def test_it_has_the_shape_that_the_engine_asks_for() -> None:
    wanted = {
        name: signatures.signature(method)
        for name, method in vars(EnginePort).items()
        if callable(method) and not name.startswith("_")
    }
    assert len(wanted) > 10
    assert {name: signatures.signature(getattr(DockerEngine, name)) for name in wanted} == wanted


def test_a_host_is_observed_whole(docker: FakeDocker, engine: DockerEngine) -> None:
    made = created(engine)
    engine.start(made, FENCE)
    strange(docker, "a" * 64, 20005)
    seen = engine.observe("fleet-a")
    assert (seen.name, seen.state, seen.error) == ("node1", "up", "")
    assert (seen.boot_id, seen.lineage, seen.fences) == (
        "11111111-2222",
        "fleet-a",
        (("service-web", 7),),
    )
    assert (seen.engine, seen.arch, seen.cpus, seen.memory) == ("20.10.24", "x86_64", 4.0, 8 << 30)
    assert [(c.id, c.service, c.slot, c.running) for c in seen.containers] == [
        (made, "web", 1, True)
    ]
    assert seen.ports == (22, 20005)


def test_a_host_tells_which_revisions_it_keeps(
    docker: FakeDocker, connections: FakeConnections, engine: DockerEngine
) -> None:
    connections.facts = FACTS + b"spec cache/2\nspec web/3\n"
    engine.tag("app:1", "web", 3, FENCE)
    engine.tag("app:1", "web", 4, FENCE)
    docker.images["app:1"]["RepoTags"] += ["app:1", "fleetctl/web:latest", "other/web:9"]
    assert engine.observe("fleet-a").kept == (("cache", 2), ("web", 3), ("web", 4))
    assert engine.observe("fleet-b").kept == ()
    assert engine.observe("").kept == ()
    docker.list_error = "layer does not exist"
    seen = engine.observe("fleet-a")
    assert (seen.state, seen.kept) == ("up", (("cache", 2), ("web", 3)))


def test_a_port_that_a_stranger_holds_is_not_free_while_ours_is_down(engine: DockerEngine) -> None:
    created(engine)
    assert 20001 in engine.observe("fleet-a").ports


def test_only_this_lineages_whole_labels_count(docker: FakeDocker, engine: DockerEngine) -> None:
    created(engine)
    engine.create(Instance("web", 2, 2, "node1", "10.0.0.1", (), "abcd"), SPEC, "fleet-b", 1, FENCE)
    strange(docker, "a" * 64, 20005, lineage="fleet-a", service="web")
    assert [c.slot for c in engine.observe("fleet-a").containers] == [1]
    assert 20005 in engine.observe("fleet-a").ports
    assert engine.observe("").containers == ()


def test_a_host_that_cannot_be_asked_is_unknown(
    connections: FakeConnections, docker: FakeDocker
) -> None:
    engine = DockerEngine(connections, HOST)  # type: ignore[arg-type]
    connections.lost = Unreachable("no route to node1")
    assert (engine.observe("fleet-a").state, engine.observe("fleet-a").error) == (
        "unknown",
        "no route to node1",
    )
    connections.lost = None
    docker.die_on, docker.times = "GET info", 9
    assert engine.observe("fleet-a").state == "unknown"


def test_containers_of_a_newer_fleetctl_are_refused(
    docker: FakeDocker, engine: DockerEngine
) -> None:
    docker.containers[created(engine)]["Config"]["Labels"]["fleetctl.schema"] = "2"
    with pytest.raises(Refused, match="newer"):
        engine.observe("fleet-a")


@pytest.mark.parametrize("labels", [{}, {"lineage": "fleet-a"}, {"service": "web"}])
def test_strangers_are_not_touched(
    docker: FakeDocker, engine: DockerEngine, labels: dict[str, str]
) -> None:
    id = strange(docker, "a" * 64, 20005, **labels)
    for act in (
        lambda: engine.start(id, FENCE),
        lambda: engine.stop(id, 1.0, FENCE),
        lambda: engine.set_restart(id, "no", FENCE),
        lambda: engine.remove(id, FENCE),
    ):
        with pytest.raises(Refused, match="not touched"):
            act()
    assert docker.changes() == []


def test_nor_is_another_fleets(docker: FakeDocker, engine: DockerEngine) -> None:
    theirs = engine.create(INSTANCE, SPEC, "fleet-b", 1, FENCE)
    engine.observe("fleet-a")
    before = docker.changes()
    with pytest.raises(Refused):
        engine.stop(theirs, 1.0, FENCE)
    assert docker.changes() == before


def test_a_container_lives_and_goes(docker: FakeDocker, engine: DockerEngine) -> None:
    made = created(engine)
    engine.start(made, FENCE)
    engine.set_restart(made, "unless-stopped", FENCE)
    seen = engine.inspect(made)
    assert seen is not None
    assert (seen.state, seen.restart_policy) == ("running", "unless-stopped")
    assert engine.find("fleet-a", INSTANCE.name) == seen
    assert engine.find("fleet-b", INSTANCE.name) is None
    assert engine.find("fleet-a", "web-9-9-none") is None
    with pytest.raises(EngineFailed, match=INSTANCE.name):
        engine.remove(made, FENCE)
    engine.stop(made, 10.0, FENCE)
    engine.stop(made, 10.0, FENCE)
    engine.remove(made, FENCE)
    assert engine.inspect(made) is None
    engine.remove(made, FENCE)
    engine.stop(made, 10.0, FENCE)
    with pytest.raises(EngineFailed, match="gone"):
        engine.start(made, FENCE)
    engine.set_restart(made, "no", FENCE)
    with pytest.raises(EngineFailed, match="gone"):
        engine.set_restart(made, "always", FENCE)


def test_a_renamed_container_is_the_same(docker: FakeDocker, engine: DockerEngine) -> None:
    made = created(engine)
    docker.containers[made]["Name"] = "/mine"
    docker.containers["s" * 64] = inspected("s" * 64, INSTANCE.name, {"Image": "app:1"})
    seen = engine.find("fleet-a", INSTANCE.name)
    assert seen is not None
    assert (seen.id, seen.name) == (made, INSTANCE.name)
    assert [c.name for c in engine.observe("fleet-a").containers] == [INSTANCE.name]
    assert engine.find("fleet-b", INSTANCE.name) is None


def test_refusals_are_told_apart(docker: FakeDocker, engine: DockerEngine) -> None:
    made = created(engine)
    with pytest.raises(NameTaken):
        created(engine)
    docker.start_error = "Bind for 10.0.0.1:20001 failed: port is already allocated"
    with pytest.raises(
        PortTaken, match=f"starting {INSTANCE.name} on node1 failed: 10.0.0.1:20001"
    ):
        engine.start(made, FENCE)
    del docker.images["app:1"]
    with pytest.raises(ImageMissing):
        engine.create(
            Instance("web", 2, 2, "node1", "10.0.0.1", (), "abcd"), SPEC, "fleet-a", 1, FENCE
        )


def test_a_creation_cut_off_is_not_repeated(docker: FakeDocker, engine: DockerEngine) -> None:
    docker.die_on = "containers/create"
    with pytest.raises(ConnectionLost, match="unknown"):
        created(engine)
    assert docker.changes() == ["POST containers/create"]
    assert created(engine)


def test_logs(engine: DockerEngine) -> None:
    made = created(engine)
    assert engine.logs(made, 2) == ("two \ufffd", "three")
    assert engine.logs("f" * 64, 2) == ()


def test_claiming(connections: FakeConnections, engine: DockerEngine) -> None:
    connections.facts = b"fleet-a\n"
    engine.claim("fleet-a", FENCE)
    _, args, fence = connections.scripts[-1]
    assert (args, fence) == (("fleet-a",), FENCE)
    with pytest.raises(ForeignLineage, match="fleet-a"):
        engine.claim("fleet-b", FENCE)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        (Completed(127), EngineFailed, "not installed"),
        (
            Completed(1, err=b"Cannot connect to the Docker daemon at unix:///x."),
            EngineDown,
            "down",
        ),
        (Completed(1, err=b"permission denied while trying"), EngineFailed, "may not use"),
        (Completed(0), ConnectionLost, "ended"),
    ],
)
def test_why_there_is_no_engine(
    connections: FakeConnections,
    engine: DockerEngine,
    answer: Completed,
    kind: type[Exception],
    words: str,
) -> None:
    connections.dial = answer
    with pytest.raises(kind, match=words) as caught:
        created(engine)
    assert type(caught.value) is kind
    fresh = DockerEngine(connections, HOST)  # type: ignore[arg-type]
    seen = fresh.observe("fleet-a")
    assert seen.state == "unknown"
    assert words in seen.error
