"""One host's container engine, through SSH, on a real host."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest

from fleetctl.containers import lanes
from fleetctl.containers.docker import DockerEngine
from fleetctl.errors import (
    ConnectionLost,
    EngineDown,
    EngineFailed,
    ForeignLineage,
    ImageMissing,
    NameTaken,
    PortTaken,
    Refused,
    StaleFence,
)
from fleetctl.lab.lab import Lab
from fleetctl.model.fleet import Host, Login
from fleetctl.model.instance import Binding, Container, Instance
from fleetctl.model.record import Fence
from fleetctl.model.spec import Healthcheck, Port, Resources, ServiceSpec
from fleetctl.ssh.connections import Connections

pytestmark = pytest.mark.lab

LINEAGE = "lineage-of-this-test"
FENCE = Fence("service-web", 1, "tester")
IMAGE = "registry:5000/app:1"
HTTP = Healthcheck("http", "http", "/healthz", timeout=5.0)
SPEC = ServiceSpec(
    "web",
    IMAGE,
    environment=(("COLOUR", "blue"),),
    labels=(("team", "a"),),
    ports=(Port("http", 8080),),
    resources=Resources(0.25, 64 << 20),
    tmpfs=("/tmp:size=1m",),
    cap_drop=("NET_RAW",),
    extra_hosts=(("db", "10.9.9.9"),),
    read_only=True,
    init=False,
)


def wait_for(what: Callable[[], bool], within: float = 60.0) -> None:
    end = time.monotonic() + within
    while not what():
        assert time.monotonic() < end, "it never came to it"
        time.sleep(0.05)


class Node:
    """A host of the lab, its engine as fleetctl has it, and its console."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab = lab
        found = lab.host(name)
        self.name = name
        login = Login(
            found.address,
            key_file=str(lab.inventory / "key"),
            known_hosts=(str(lab.inventory / "known_hosts"),),
        )
        self.host = Host(name, login, found.address)
        self.connections = Connections({name: login})
        self.engine = DockerEngine(self.connections, self.host)

    def __call__(self, script: str) -> str:
        done = self.lab.run(self.name, ["sh", "-c", script])
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode().strip()

    def clear(self) -> None:
        self("docker ps -aq | xargs -r docker rm -fv >/dev/null")
        self("docker images -aq | xargs -r docker rmi -f >/dev/null")
        self("find /var/lib/fleetctl -mindepth 1 -delete")

    def instance(self, slot: int = 1, port: int = 20001) -> Instance:
        bindings = (Binding("http", 8080, port),)
        return Instance("web", slot, 1, self.name, self.host.address, bindings, "abcd1234")

    def ready(self) -> None:
        self.engine.claim(LINEAGE, FENCE)
        self.engine.pull(IMAGE, FENCE, lambda text: None)

    def run(self, spec: ServiceSpec = SPEC, slot: int = 1, port: int = 20001) -> str:
        made = self.engine.create(self.instance(slot, port), spec, LINEAGE, 1, FENCE)
        self.engine.start(made, FENCE)
        return made


@pytest.fixture
def node(lab: Lab) -> Iterator[Node]:
    node = Node(lab, "node1")
    node.clear()
    yield node
    node.connections.close()
    node.clear()


def test_the_life_of_an_instance(node: Node) -> None:
    engine = node.engine
    before = engine.observe(LINEAGE)
    assert (before.state, before.lineage, before.containers) == ("up", "", ())
    assert before.boot_id
    assert before.engine
    assert before.arch == node("uname -m")
    assert before.cpus >= 1
    assert before.memory > 1 << 28
    assert 22 in before.ports

    engine.claim(LINEAGE, FENCE)
    engine.claim(LINEAGE, FENCE)
    image = engine.resolve(IMAGE)
    assert image.startswith("registry:5000/app@sha256:")
    assert not engine.has_image(image)
    words: list[str] = []
    engine.pull(image, FENCE, words.append)
    assert engine.has_image(image)
    assert words
    assert words[-1].endswith(" MB")
    engine.tag(image, "web", 1, FENCE)

    spec = replace(SPEC, image=image)
    instance = node.instance()
    made = engine.create(instance, spec, LINEAGE, 7, FENCE)
    created = engine.inspect(made)
    assert created is not None
    assert (created.state, created.started, created.restart_policy) == ("created", 0.0, "no")
    engine.start(made, FENCE)

    def answers() -> bool:
        return engine.probe(node.host.address, 20001, HTTP).ok

    wait_for(answers)
    after = engine.observe(LINEAGE)
    assert after.lineage == LINEAGE
    assert dict(after.fences)["service-web"] == 1
    assert after.kept == (("web", 1),)
    assert 20001 not in after.ports
    (seen,) = after.containers
    assert seen == replace(
        created, state="running", started=seen.started, exit_code=0, image=seen.image
    )
    assert seen.started > 1.7e9
    assert (seen.service, seen.slot, seen.revision, seen.generation) == ("web", 1, 1, 7)
    assert (seen.cpus, seen.memory, seen.bindings) == (0.25, 64 << 20, instance.bindings)
    assert engine.find(LINEAGE, instance.name) == seen
    assert engine.find("another", instance.name) is None
    shown = node(f"docker inspect {made}")
    for part in ("COLOUR=blue", "FLEETCTL_SLOT=1", '"size=1m"', "db:10.9.9.9", "NET_RAW"):
        assert part in shown

    engine.set_restart(made, "unless-stopped", FENCE)
    restarting = engine.inspect(made)
    assert restarting is not None
    assert restarting.restart_policy == "unless-stopped"
    assert any("listening" in line for line in engine.logs(made, 30))
    assert len(engine.logs(made, 1)) == 1

    engine.stop(made, 10.0, FENCE)
    engine.stop(made, 10.0, FENCE)
    stopped = engine.inspect(made)
    assert stopped is not None
    assert (stopped.state, stopped.exit_code) == ("exited", 0)
    engine.untag("web", (1,), FENCE)
    assert engine.has_image(image)
    engine.tag(image, "web", 1, FENCE)
    engine.remove(made, FENCE)
    engine.remove(made, FENCE)
    assert engine.inspect(made) is None
    engine.untag("web", (1, 2), FENCE)
    assert not engine.has_image(image)


def test_what_isnt_ours_is_left_alone(node: Node) -> None:
    node.ready()
    address = node.host.address
    bare = node(f"docker run -d -p {address}:20001:8080 {IMAGE}")
    half = node(
        f"docker run -d -p {address}:20002:8080 --label fleetctl.lineage={LINEAGE}"
        f" --label fleetctl.service=web {IMAGE}"
    )
    made = node.run(port=20003)
    node.engine.create(node.instance(2, 20004), SPEC, "another-fleet", 1, FENCE)
    theirs = node("docker ps -aqf label=fleetctl.lineage=another-fleet --no-trunc")
    seen = node.engine.observe(LINEAGE)
    assert [c.id for c in seen.containers] == [made]
    assert {20001, 20002} <= set(seen.ports)
    assert 20003 not in seen.ports
    for stranger in (bare, half, theirs):
        for act in (
            lambda id: node.engine.stop(id, 1.0, FENCE),
            lambda id: node.engine.set_restart(id, "always", FENCE),
            lambda id: node.engine.remove(id, FENCE),
            lambda id: node.engine.start(id, FENCE),
        ):
            with pytest.raises(Refused):
                act(stranger)
    assert set(node("docker ps -q --no-trunc").split()) == {bare, half, made}


def test_another_fleets_host_is_refused(node: Node) -> None:
    node.engine.claim(LINEAGE, FENCE)
    assert node("stat -c %a /var/lib/fleetctl/lineage") == "600"
    with pytest.raises(ForeignLineage, match=LINEAGE):
        node.engine.claim("another-fleet", FENCE)
    assert node.engine.observe("another-fleet").lineage == LINEAGE


def test_a_newer_schema_is_refused(node: Node) -> None:
    node.ready()
    node.run()
    node(
        f"docker create --label fleetctl.schema=2 --label fleetctl.lineage={LINEAGE}"
        f" --label fleetctl.service=web {IMAGE}"
    )
    with pytest.raises(Refused, match="newer fleetctl"):
        node.engine.observe(LINEAGE)


def test_images_that_are_not_there(node: Node) -> None:
    engine = node.engine
    for reference in ("registry:5000/app:nowhere", "registry:5000/nothing:1"):
        with pytest.raises(ImageMissing, match=reference):
            engine.resolve(reference)
    with pytest.raises(EngineFailed, match="could not be asked") as caught:
        engine.resolve("registry:5001/app:1")
    assert not isinstance(caught.value, ImageMissing)
    absent = "registry:5000/app@sha256:" + "0" * 64
    with pytest.raises(ImageMissing):
        engine.resolve(absent)
    with pytest.raises(EngineFailed):
        engine.pull(absent, FENCE, lambda text: None)
    with pytest.raises(ImageMissing, match="doesn't have"):
        engine.pull("sha256:" + "0" * 64, FENCE, lambda text: None)
    with pytest.raises(ImageMissing):
        engine.create(node.instance(), SPEC, LINEAGE, 1, FENCE)


def test_an_image_that_no_registry_has(node: Node) -> None:
    node.ready()
    node(f"docker tag {IMAGE} registry:5000/own:1; docker tag {IMAGE} own:1")
    identity = node(f"docker inspect -f '{{{{.Id}}}}' {IMAGE}")
    assert node.engine.resolve("registry:5000/own:1") == identity
    assert node.engine.resolve(identity) == identity
    made = node.run(replace(SPEC, image=identity))
    seen = node.engine.inspect(made)
    assert seen is not None
    assert seen.image == identity


def test_names_and_ports_that_are_taken(node: Node) -> None:
    node.ready()
    made = node.run()
    with pytest.raises(NameTaken, match="another container"):
        node.engine.create(node.instance(), SPEC, LINEAGE, 1, FENCE)
    second = node.engine.create(node.instance(2, 20001), SPEC, LINEAGE, 1, FENCE)
    with pytest.raises(PortTaken, match=r"20001.* held by something else"):
        node.engine.start(second, FENCE)
    assert [c.running for c in node.engine.observe(LINEAGE).containers] == [True, False]
    with pytest.raises(EngineFailed, match="running"):
        node.engine.remove(made, FENCE)
    with pytest.raises(EngineFailed, match="gone"):
        node.engine.start("f" * 64, FENCE)


def test_a_command_that_isnt_in_the_image(node: Node) -> None:
    node.ready()
    made = node.engine.create(
        node.instance(), replace(SPEC, entrypoint=("/bin/nothing",)), LINEAGE, 1, FENCE
    )
    with pytest.raises(EngineFailed, match="/bin/nothing") as caught:
        node.engine.start(made, FENCE)
    assert "command" in caught.value.hint


def test_probes(node: Node) -> None:
    node.ready()
    address = node.host.address
    nobody = node.engine.probe(address, 20009, HTTP)
    assert (nobody.ok, nobody.asked) == (False, f"GET http://{address}:20009/healthz")
    assert "no connection" in nobody.answer
    assert not node.engine.probe(address, 20009, Healthcheck("tcp", "http", timeout=5.0)).ok
    node.run(replace(SPEC, environment=(("FAIL_HEALTH", "1"),)))
    tcp = Healthcheck("tcp", "http", timeout=5.0)
    wait_for(lambda: node.engine.probe(address, 20001, tcp).ok)
    wait_for(lambda: "503" in node.engine.probe(address, 20001, HTTP).answer)
    assert not node.engine.probe(address, 20001, HTTP).ok
    assert node.engine.probe(address, 20001, replace(HTTP, path="/")).ok
    node.run(replace(SPEC, environment=(("HANG", "1"),)), 2, 20002)
    wait_for(lambda: node.engine.probe(address, 20002, tcp).ok)
    silent = node.engine.probe(address, 20002, replace(HTTP, timeout=0.5))
    assert (silent.ok, "no answer" in silent.answer) == (False, True)


def test_the_engines_own_healthcheck(node: Node) -> None:
    node.ready()
    check = Healthcheck("command", command=("/app", "check"), interval=0.2, retries=2)
    made = node.run(replace(SPEC, healthcheck=check))

    def look() -> Container:
        seen = node.engine.inspect(made)
        assert seen is not None
        return seen

    wait_for(lambda: look().health == "healthy")
    sick = node.run(replace(SPEC, healthcheck=check, environment=(("FAIL_HEALTH", "1"),)), 2, 20002)
    made = sick
    wait_for(lambda: look().health == "unhealthy")


def test_a_later_writer_ends_an_older_one(node: Node) -> None:
    node.ready()
    made = node.run()
    later = Fence(FENCE.scope, 2, "another")
    node.engine.set_restart(made, "always", later)
    with pytest.raises((StaleFence, ConnectionLost)):
        node.engine.set_restart(made, "no", FENCE)
    with pytest.raises(StaleFence) as caught:
        node.engine.set_restart(made, "no", FENCE)
    assert caught.value.seen == 2
    seen = node.engine.inspect(made)
    assert seen is not None
    assert seen.restart_policy == "always"


def test_a_channel_that_dies_under_a_change(node: Node) -> None:
    node.ready()
    made = node.run(replace(SPEC, environment=(("IGNORE_TERM", "1"),)))
    caught: list[Exception] = []

    def stop() -> None:
        try:
            node.engine.stop(made, 60.0, FENCE)
        except ConnectionLost as error:
            caught.append(error)

    thread = threading.Thread(target=stop, daemon=True)
    thread.start()
    told = f"docker events --since 5m --until 0s --filter container={made} --filter event=kill"
    wait_for(lambda: "signal=15" in node(told))
    node(
        "tail -n +2 /var/lib/fleetctl/fences/service-web | while read pid rest;"
        " do kill -KILL $pid; done"
    )
    thread.join(30)
    assert not thread.is_alive()
    assert "unknown" in str(caught[0]) or "not known" in str(caught[0])
    assert node.engine.observe(LINEAGE).up


def test_an_engine_that_is_down_or_frozen(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    node.ready()
    node("mv /run/docker.sock /run/docker.sock.away")
    try:
        fresh = Node(node.lab, "node1")
        with pytest.raises(EngineDown, match=r"engine of node1 is down: .*connect"):
            fresh.engine.has_image(IMAGE)
        seen = fresh.engine.observe(LINEAGE)
        assert (seen.state, "is down" in seen.error) == ("unknown", True)
        fresh.connections.close()
    finally:
        node("mv /run/docker.sock.away /run/docker.sock")
    monkeypatch.setattr(lanes, "GREETING", 1.0)
    node("kill -STOP $(cat /run/docker.pid)")
    try:
        fresh = Node(node.lab, "node1")
        seen = fresh.engine.observe(LINEAGE)
        assert (seen.state, "no answer" in seen.error) == ("unknown", True)
        with pytest.raises(EngineDown):
            fresh.engine.set_restart("f" * 64, "no", FENCE)
        fresh.connections.close()
    finally:
        node("kill -CONT $(cat /run/docker.pid)")
    wait_for(lambda: node.engine.observe(LINEAGE).up)


def test_a_host_that_cannot_be_reached_is_unknown(node: Node) -> None:
    nowhere = replace(node.host.login, port=2)
    engine = DockerEngine(Connections({"node1": nowhere}), node.host)
    seen = engine.observe(LINEAGE)
    assert seen.state == "unknown"
    assert seen.error
    assert not seen.containers


def test_much_at_once_stays_within_the_sessions_of_sshd(node: Node) -> None:
    node.ready()
    made = node.run()

    def work(number: int) -> bool:
        fence = Fence(f"service-s{number % 6}", 1, "tester")
        node.engine.set_restart(made, "always", fence)
        seen = node.engine.observe(LINEAGE)
        return seen.up and node.engine.probe(node.host.address, 22, Healthcheck("tcp")).ok

    with ThreadPoolExecutor(12) as pool:
        assert all(pool.map(work, range(24)))
