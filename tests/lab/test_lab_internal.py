"""Services reach each other by name: from every host, never from outside, while their
instances are replaced, and when a balancer is lost."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from harness import Fleet

from fleetctl.lab.inside import inside
from fleetctl.lab.lab import Lab
from fleetctl.lab.load import Load

pytestmark = pytest.mark.lab

LINES = 5432
PLAYS = f"""\
- service: echo
  hosts: app
  replicas: 2
  image: registry:5000/app:1
  command: [/bin/busybox, nc, -ll, -p, "8080", -e, /bin/cat]
  stop_signal: SIGKILL
  expose: {{lines: 8080}}
  healthcheck: {{tcp: lines}}
  internal: {{port: lines, mode: tcp, listen: {LINES}}}
  rollout: {{min_ready: 0s}}
- service: asks
  hosts: app
  replicas: 2
  image: registry:5000/app:1
  command: [/bin/sleep, "100000"]
  stop_signal: SIGKILL
  placement: {{max_per_host: 1}}
  rollout: {{min_ready: 0s}}
"""
# What most clients do: try each address of a name in turn.
ASK = """
import http.client, json, sys
answers = []
for _ in range(int(sys.argv[1])):
    connection = http.client.HTTPConnection("web.internal", timeout=float(sys.argv[2]))
    try:
        connection.request("GET", "/")
        answers.append(connection.getresponse().status)
    except OSError as error:
        answers.append(type(error).__name__)
    connection.close()
json.dump(answers, sys.stdout)
"""


@dataclass
class Named:
    """A fleet whose services know each other by name. ``clients`` are containers of another
    service, by host."""

    fleet: Fleet
    mode: str
    clients: Mapping[str, str]

    def command(self, host: str, *argv: str) -> str:
        """What a program in the client's image says there."""
        return self.fleet.on(host, "docker", "exec", self.clients[host], *argv)

    def ask(self, host: str, times: int, patience: float) -> list[int | str]:
        """Answers to a client that tries all addresses, each for ``patience`` seconds."""
        where = inside(self.fleet.lab, host, self.clients[host])
        program = [*where, sys.executable, "-c", ASK, str(times), str(patience)]
        done = subprocess.run(program, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        answers: list[int | str] = json.loads(done.stdout)
        return answers

    def load(self, host: str) -> Load:
        """An open-loop client that knows only the first address."""
        where = inside(self.fleet.lab, host, self.clients[host])
        return Load("http://web.internal/", rate=40, inside=where)


@pytest.fixture(scope="module", params=["balancers", "every_host"])
def own_lab(
    request: pytest.FixtureRequest,
    _lab_lock: None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Named]:
    """Two hosts and two balancers, or one and one on each host. The service that asks is
    deployed before those it asks."""
    folder = tmp_path_factory.mktemp("named")
    lab = Lab(folder / "lab")
    lab.down()
    every_host = request.param == "every_host"
    lab.up(2, 1 if every_host else 2, every_host)
    try:
        fleet = Fleet(lab, folder / "project")
        play(fleet, "registry:5000/app:1")
        (fleet.root / "playbooks/more.yml").write_text(PLAYS)
        fleet("deploy", "--all", "--yes")
        clients = {i["host"]: i["name"] for i in fleet.status("asks")["instances"]}
        yield Named(fleet, request.param, clients)
    finally:
        lab.down()
    assert lab.remains() == []


def play(fleet: Fleet, image: str) -> None:
    routes = [{"host": "web.example", "path": "/", "port": "http"}]
    more = {"internal": {"port": "http"}}
    fleet.play(image=image, replicas=2, min_ready="0s", routes=routes, more=more)


def test_every_host_reaches_services_by_name(own_lab: Named) -> None:
    assert sorted(own_lab.clients) == ["node1", "node2"]
    lab = own_lab.fleet.lab
    balancers = [host.internal for host in lab.hosts if host.balancer]
    for host in own_lab.clients:
        lines = [line.split() for line in own_lab.command(host, "cat", "/etc/hosts").splitlines()]
        for name in ("web.internal", "echo.internal"):
            known = [words[0] for words in lines if name in words]
            own = [lab.host(host).address]
            assert sorted(known) == (balancers if own_lab.mode == "balancers" else own)
        answer = own_lab.command(host, "wget", "-q", "-O", "-", "http://web.internal/")
        assert answer.startswith("revision 1\ninstance web-"), answer
        said = own_lab.command(
            host, "sh", "-c", f"echo hello from {host} | busybox nc echo.internal {LINES}"
        )
        assert said == f"hello from {host}\n"


def status_of(address: str, host: str) -> int:
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("GET", "/", headers={"Host": host})
    status = connection.getresponse().status
    connection.close()
    return status


def test_no_public_request_reaches_a_name_inside(own_lab: Named) -> None:
    for balancer in (host for host in own_lab.fleet.lab.hosts if host.balancer):
        assert status_of(balancer.address, "web.example") == 200
        assert status_of(balancer.address, "web.internal") == 404
        assert status_of(balancer.internal, "web.internal") == 200
        assert status_of(balancer.internal, "web.example") == 404
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection((balancer.address, LINES), timeout=10)
        socket.create_connection((balancer.internal, LINES), timeout=10).close()


def test_a_roll_of_the_provider_fails_no_request_inside(own_lab: Named) -> None:
    with ExitStack() as stack:
        loads = [stack.enter_context(own_lab.load(host)) for host in sorted(own_lab.clients)]
        before = set(own_lab.fleet.containers())
        play(own_lab.fleet, "registry:5000/app:2")
        own_lab.fleet("deploy", "web")
        reports = [load.stop() for load in loads]
    for report in reports:
        assert report.failed == 0, report
        assert set(report.revisions) == {"1", "2"}, report
    after = set(own_lab.fleet.containers())
    others = {name for name in before if not name.startswith("web-")}
    assert others == {name for name in after if not name.startswith("web-")}


def kill_haproxy(fleet: Fleet, host: str) -> None:
    script = "m=$(cat /run/haproxy.pid); kill -9 $m $(cat /proc/$m/task/$m/children)"
    fleet.on(host, "sh", "-c", f"{script}; while [ -d /proc/$m ]; do sleep 0.05; done")


def test_a_name_survives_the_loss_of_a_balancer(own_lab: Named) -> None:
    """Killed first, then its whole host: for clients that try the next address, or for all
    clients where each host has a balancer of its own."""
    hosts = sorted(own_lab.clients)
    with ExitStack() as stack:
        loads = {}
        if own_lab.mode == "every_host":
            loads = {host: stack.enter_context(own_lab.load(host)) for host in hosts}
        kill_haproxy(own_lab.fleet, "lb1")
        for host in hosts:
            assert own_lab.ask(host, 20, patience=10.0) == [200] * 20
        own_lab.fleet.lab.link("lb1", False)
        for host in hosts:
            assert own_lab.ask(host, 2, patience=5.0) == [200] * 2
        for host, load in loads.items():
            report = load.stop()
            assert report.failed == 0, (host, report)
            assert report.sent > 0
        if own_lab.mode == "every_host":
            kill_haproxy(own_lab.fleet, "node1")
            assert set(own_lab.ask("node1", 3, patience=5.0)) == {"ConnectionRefusedError"}
            assert own_lab.ask("node2", 20, patience=10.0) == [200] * 20
