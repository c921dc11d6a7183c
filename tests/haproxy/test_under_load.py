"""Changes of all classes under clients of all kinds: no request fails, none is answered by another
service's server."""

from __future__ import annotations

import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count

import pytest
from balancer_bench import DEADLINE, FENCE, App, Running, make_pem, shown_certificate, wait_for
from balancer_load import Load
from test_haproxy_apply import SPEC

from fleetctl.haproxy.render import render
from fleetctl.haproxy.section import admit, drain, hold, release, withdraw
from fleetctl.model.balancing import Section
from fleetctl.model.instance import Binding, Instance
from fleetctl.model.routing import Route, Tls
from fleetctl.model.secret import Secret

NAMES = ("one", "two")
CHANGES = 40
RELOADS = 4
SOAK_CHANGES = int(os.environ.get("SOAK_CHANGES", "1000"))
SOAK_RELOADS = int(os.environ.get("SOAK_RELOADS", "100"))


@dataclass
class Service:
    """One service under change: what runs of it, and the section that says so."""

    name: str
    app: Callable[[str], App]
    section: Section = field(init=False)
    running: dict[str, App] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def __post_init__(self) -> None:
        route = Route("http", f"{self.name}.example", "/", tls=Tls("main", redirect=False))
        self.spec = replace(SPEC, name=self.name, routes=(route,))
        self.certificate, self.pem = make_pem("main", f"{self.name}.example")
        self.section = admit(None, self.spec, [self.new(), self.new()], (self.certificate,))

    def new(self) -> Instance:
        number = next(self.numbers)
        app = self.app(f"{self.name} {number}")
        bindings = (Binding("http", 8080, app.port),)
        made = Instance(self.name, number, number, "node1", "127.0.0.1", bindings, "aaaa")
        self.running[made.name] = app
        return made

    @property
    def oldest(self) -> str:
        return next(iter(self.running))

    def slot(self, instance: str) -> str:
        servers = self.section.backends[0].servers
        return next(f"slot{s.slot}" for s in servers if s.instance == instance)


class Fleet:
    """A balancer with services, and what changes of it are made."""

    def __init__(self, running: Running, app: Callable[[str], App]) -> None:
        self.running = running
        self.services = [Service(name, app) for name in NAMES]
        self.done: Counter[str] = Counter()
        pems = {s.certificate.digest: s.pem for s in self.services}
        self.apply(pems)
        for service in self.services:
            for name in service.running:
                self.await_up(service, name)

    def apply(self, pems: dict[str, Secret] | None = None) -> str:
        rendered = render(self.running.balancer, [s.section for s in self.services])
        if pems:
            self.running.haproxy.prepare(rendered, FENCE, pems)
        applied = self.running.haproxy.apply(rendered, FENCE)
        self.done[applied.how] += 1
        return applied.how

    def await_up(self, service: Service, instance: str) -> None:
        def up() -> bool:
            server = self.running.server(service.slot(instance), f"{service.name}.http")
            return server.up and server.checked and server.admin == "ready"

        wait_for(f"{instance} is UP by a check", up)

    def await_quiet(self, service: Service, instance: str) -> None:
        """No session of the running worker, and no old worker that may have one."""
        backend, slot = f"{service.name}.http", service.slot(instance)

        def quiet() -> bool:
            seen = self.running.haproxy.observe()
            server = next(s for s in seen.servers if (s.backend, s.name) == (backend, slot))
            return not (server.sessions or server.queue or seen.old_workers)

        wait_for(f"{instance} has no session", quiet)

    def replace_oldest(self, service: Service) -> None:
        """A new instance comes in, the oldest drains, goes, and is ended. Three changes."""
        new, old = service.new(), service.oldest
        service.section = admit(service.section, service.spec, [new], (service.certificate,))
        assert self.apply() in ("runtime", "reload")
        self.await_up(service, new.name)
        service.section = drain(service.section, [old])
        assert self.apply() == "runtime"
        self.await_quiet(service, old)
        service.section = withdraw(service.section, [old])
        assert self.apply() == "runtime"
        service.running.pop(old).close()

    def renew(self, service: Service) -> None:
        service.certificate, service.pem = make_pem("main", f"{service.name}.example")
        service.section = replace(service.section, certificates=(service.certificate,))
        assert self.apply({service.certificate.digest: service.pem}) == "runtime"

    def reroute(self, service: Service, number: int) -> None:
        """Another route, which goes again at the next change of routes."""
        more = Route("http", f"more{number}.{service.name}.example", "/")
        service.section = replace(service.section, routes=(*service.spec.routes, more))
        assert self.apply() == "runtime"

    def rest(self, service: Service) -> None:
        """A person takes an instance out, and lets it in again."""
        name = service.oldest
        service.section = hold(service.section, [name], "drain", 0.0)
        assert self.apply() == "runtime"
        service.section = release(service.section, [name])
        assert self.apply() == "runtime"

    def weigh(self, service: Service, weight: int) -> None:
        backend = service.section.backends[0]
        servers = tuple(replace(s, weight=weight) for s in backend.servers)
        service.section = service.section.with_backend(replace(backend, servers=servers))
        self.apply()

    def reload(self, service: Service, number: int) -> None:
        service.spec = replace(
            service.spec, rollout=replace(SPEC.rollout, drain_timeout=20.0 + number % 2)
        )
        service.section = replace(service.section, drain_timeout=20.0 + number % 2)
        timeout = replace(service.section.balancing, queue_timeout=5.0 + number)
        service.spec = replace(service.spec, balancing=timeout)
        service.section = replace(service.section, balancing=timeout)
        assert self.apply() == "reload"

    def change(self, number: int) -> None:
        """One kind of change after the other, of one service after the other."""
        service = self.services[number % len(self.services)]
        match number // len(self.services) % 5:
            case 0:
                self.replace_oldest(service)
            case 1:
                self.reroute(service, number)
            case 2:
                self.renew(service)
            case 3:
                self.rest(service)
            case 4:
                self.weigh(service, 50 + number % 50)


@pytest.fixture
def fleet(running: Running, app: Callable[[str], App]) -> Fleet:
    return Fleet(running, app)


def keep_changing(fleet: Fleet, changes: int, reloads: int, rate: float) -> Load:
    load = Load(
        fleet.running.port,
        fleet.running.tls_port,
        hosts=[f"{name}.example" for name in NAMES],
        rate=rate,
        clients=24,
    )
    number = 0
    with load:
        for reloaded in range(1, reloads + 1):
            fleet.reload(fleet.services[reloaded % len(fleet.services)], reloaded)
            while fleet.done["runtime"] < changes * reloaded // reloads:
                fleet.change(number)
                number += 1
    return load


def judge(fleet: Fleet, load: Load) -> None:
    assert load.failures == []
    assert len(load.kinds) == 6, load.kinds
    wrong = {(host, body) for host, body in load.answers if not host.startswith(body.split()[0])}
    assert wrong == set()
    for service in fleet.services:
        shown = shown_certificate(fleet.running.tls_port, f"{service.name}.example")
        assert shown == service.certificate.fingerprint


def test_no_request_fails_through_changes_of_all_classes(fleet: Fleet) -> None:
    load = keep_changing(fleet, CHANGES, RELOADS, rate=80.0)
    judge(fleet, load)
    assert fleet.done["runtime"] >= CHANGES
    assert fleet.done["reload"] >= RELOADS


@pytest.mark.soak
def test_a_thousand_changes_and_a_hundred_reloads(fleet: Fleet) -> None:
    started = time.monotonic()
    load = keep_changing(fleet, SOAK_CHANGES, SOAK_RELOADS, rate=100.0)
    judge(fleet, load)
    seconds = time.monotonic() - started
    kinds = ", ".join(f"{name} {number}" for name, number in sorted(load.kinds.items()))
    print(
        f"\n{fleet.done['runtime']} runtime changes, {fleet.done['reload']} reloads in "
        f"{seconds:.0f} s: {load.sent} requests ({kinds}), {len(load.failures)} failed"
    )


def test_an_idle_keep_alive_client_is_not_lost_by_a_reload_and_a_roll(fleet: Fleet) -> None:
    """The old worker's case: it knows its servers from before, and hears of no change."""
    (service, _) = fleet.services
    hosts = ["one.example"]
    load = Load(fleet.running.port, hosts=hosts, rate=8.0, clients=8, think=1.0)
    with load:
        wait_for("each client has a connection", lambda: sum(load.answers.values()) > 32)
        fleet.reload(service, 1)
        for _ in range(2):
            fleet.replace_oldest(service)
    assert load.failures == []
    assert len(load.bodies) > 2


class Tunnel:
    """A websocket, as far as a balancer sees of it."""

    def __init__(self, port: int, host: str) -> None:
        self._link = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self._link.sendall(
            f"GET /echo HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\n"
            "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n".encode()
        )
        self._file = self._link.makefile("rb")
        assert b" 101 " in self._file.readline()
        while self._file.readline().strip():
            pass

    def echoes(self, word: str) -> bool:
        self._link.sendall(f"{word}\n".encode())
        return self._file.readline() == f"{word}\n".encode()

    def ended(self) -> bool:
        return self._file.readline() == b""

    def close(self) -> None:
        self._file.close()
        self._link.close()


def test_websockets_and_slow_downloads_survive_a_roll_and_a_reload(fleet: Fleet) -> None:
    (service, _) = fleet.services
    old = service.oldest
    fleet.weigh(service, 100)
    for name in list(service.running)[1:]:
        service.section = hold(service.section, [name], "drain", 0.0)
    fleet.apply()
    tunnel = Tunnel(fleet.running.port, "one.example")
    slow = service.running[old]
    slow.hold.clear()
    download = socket.create_connection(("127.0.0.1", fleet.running.port), timeout=DEADLINE)
    download.sendall(b"GET /slow HTTP/1.1\r\nHost: one.example\r\nConnection: close\r\n\r\n")
    backend, slot = "one.http", service.slot(old)
    wait_for("both are there", lambda: fleet.running.server(slot, backend).sessions == 2)
    service.section = release(service.section, list(service.running))
    service.section = drain(service.section, [old])
    assert fleet.apply() == "runtime"
    assert tunnel.echoes("drained")
    fleet.reload(service, 1)
    assert tunnel.echoes("reloaded")
    assert fleet.running.haproxy.observe().old_workers == 1
    slow.hold.set()
    answer = b""
    while part := download.recv(65536):
        answer += part
    assert answer.endswith(slow.name.encode())
    assert tunnel.echoes("still")
    download.close()
    tunnel.close()
    fleet.await_quiet(service, old)


def test_a_websocket_beyond_the_limit_is_ended(fleet: Fleet) -> None:
    (service, _) = fleet.services
    for name in list(service.running)[1:]:
        service.section = hold(service.section, [name], "drain", 0.0)
    fleet.apply()
    tunnel = Tunnel(fleet.running.port, "one.example")
    assert tunnel.echoes("here")
    slot = service.slot(service.oldest)
    fleet.running.haproxy.end_sessions([("one.http", slot)], FENCE)
    assert tunnel.ended()
    tunnel.close()
    wait_for("no session", lambda: not fleet.running.server(slot, "one.http").sessions)
