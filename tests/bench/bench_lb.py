"""`make bench-lb`: what changes of a balancer cost, on a real HAProxy behind a real sshd.

All through the adapter as a deploy uses it, over SSH on loopback. Prints the tables of
docs/benchmarks.md; absolute figures are of this machine, ratios are of one run.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS / "haproxy"))

from balancer_bench import FENCE, App, Running, wait_for  # noqa: E402

from fleetctl.haproxy import commands, reload  # noqa: E402
from fleetctl.haproxy import socket as runtime_socket  # noqa: E402
from fleetctl.haproxy.balancer import HAProxy  # noqa: E402
from fleetctl.haproxy.render import render  # noqa: E402
from fleetctl.haproxy.section import admit, withdraw  # noqa: E402
from fleetctl.model.balancing import Backend, Section, Server  # noqa: E402
from fleetctl.model.instance import Binding, Instance  # noqa: E402
from fleetctl.model.routing import Route  # noqa: E402
from fleetctl.model.spec import Healthcheck, Port, ServiceSpec  # noqa: E402
from fleetctl.ssh.connections import Connections  # noqa: E402
from fleetctl.ssh.shell import Shell  # noqa: E402

PER_SERVICE = 200


def sshd(folder: Path) -> Any:
    """A server as the tests of ``ssh`` start it."""
    spec = importlib.util.spec_from_file_location("sshd", TESTS / "unit" / "ssh" / "conftest.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    folder.mkdir()
    return module.Server(folder, ())


@contextlib.contextmanager
def listener() -> Iterator[int]:
    """Takes connections and closes them, which is all that a check asks."""
    with socket.create_server(("127.0.0.1", 0), backlog=4096) as taking:

        def take() -> None:
            with contextlib.suppress(OSError):
                while True:
                    taking.accept()[0].close()

        threading.Thread(target=take, daemon=True).start()
        yield taking.getsockname()[1]
        taking.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def world(folder: Path) -> Iterator[Running]:
    """A HAProxy whose adapter goes through SSH."""
    server = sshd(folder / "sshd")
    connections = Connections({"lb1": server.login()}, state_dir=str(server.state))
    running = Running(folder)
    running.haproxy = HAProxy(connections, running.balancer)
    running.connections = connections  # type: ignore[assignment]
    try:
        running.start()
        yield running
    finally:
        running.stop()
        connections.close()
        server.stop()


def sections(count: int, port: int, *, weight: int = 100, drain: float = 30.0) -> list[Section]:
    """``count`` servers, in services of at most PER_SERVICE."""
    check = Healthcheck("tcp", interval=60.0)
    found = []
    for first in range(0, count, PER_SERVICE):
        name = f"s{first // PER_SERVICE}"
        of = range(1, min(PER_SERVICE, count - first) + 1)
        servers = tuple(
            Server(n, f"{name}-{n}-1-aaaa", n, 1, "node1", "127.0.0.1", port, weight=weight)
            for n in of
        )
        backend = Backend("http", len(of), servers)
        route = Route("http", f"{name}.example", "/")
        found.append(Section(name, (route,), check, drain, (backend,)))
    return found


def timed(act: Callable[[], object]) -> float:
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def apply(running: Running, wanted: list[Section], how: str) -> float:
    """Seconds of a whole change: rendered, checked by the host, brought, read back."""

    def act() -> None:
        rendered = render(running.balancer, wanted)
        applied = running.haproxy.apply(rendered, FENCE)
        assert applied.how == how, applied

    return timed(act)


@contextlib.contextmanager
def reloads() -> Iterator[list[float]]:
    """Seconds of each reload alone: from the command to a new worker that answers."""
    seconds: list[float] = []
    real = reload.reload

    def measured(*args: Any) -> None:
        seconds.append(timed(lambda: real(*args)))

    reload.reload = measured
    try:
        yield seconds
    finally:
        reload.reload = real


def ways(running: Running, port: int, count: int) -> list[tuple[str, float]]:
    """(way, changes a second) of weights of servers, 1,000 being there."""
    apply(running, sections(1000, port), "reload")
    shell: Shell = running.connections.host("lb1").shell()  # type: ignore[assignment]
    path = running.paths.socket
    servers = [
        (f"s{n // PER_SERVICE}.http", f"slot{n % PER_SERVICE + 1}", n % 2) for n in range(1000)
    ]

    def lines(weight: int) -> list[commands.Command]:
        return [commands.set_weight(b, s, weight + odd) for b, s, odd in servers]

    def one_by_one() -> None:
        for command in lines(3)[:count]:
            runtime_socket.send(shell, path, [command])

    def through_haproxyadmin() -> None:
        with runtime_socket.admin(shell, path) as haproxy:
            for backend, name, _ in servers[: count // 10]:
                haproxy.server(name, backend=backend)[0].setweight(4)

    batched = median(
        timed(lambda w=w: runtime_socket.send(shell, path, lines(w))) for w in (2, 5, 8)
    )
    return [
        ("batches", len(servers) / batched),
        ("one connection a command", count / timed(one_by_one)),
        ("haproxyadmin, server by server", count // 10 / timed(through_haproxyadmin)),
    ]


def take_for_up(running: Running, count: int) -> None:
    """As their checks would do in time: a reload takes servers that aren't UP in one by one."""
    shell: Shell = running.connections.host("lb1").shell()  # type: ignore[assignment]
    names = (f"s{n // PER_SERVICE}.http/slot{n % PER_SERVICE + 1}" for n in range(count))
    up = [commands.Command(f"set server {name} health up") for name in names]
    runtime_socket.send(shell, running.paths.socket, up)


def sizes(running: Running, port: int) -> Iterator[tuple[int, float, float, float, float]]:
    """(servers, seconds of a look, of a change of all servers' weights, of a change of structure,
    of that its reload alone)."""
    for count in (100, 1000, 10_000):
        apply(running, sections(count, port), "reload")
        take_for_up(running, count)
        look = median(timed(running.haproxy.observe) for _ in range(3))
        weights = median(
            apply(running, sections(count, port, weight=w), "runtime") for w in (50, 60, 70)
        )
        with reloads() as alone:
            structure = median(
                apply(running, sections(count, port, weight=70, drain=d), "reload")
                for d in (31.0, 32.0, 33.0)
            )
        yield count, look, weights, structure, median(alone)


def first_request(running: Running, tries: int) -> dict[str, float]:
    """Seconds from an instance that is healthy to the first request that it serves, by class."""
    route = (Route("http", "shop.example", "/"),)
    check = Healthcheck("http", "http", "/healthz")
    spec = ServiceSpec("web", "app:1", ports=(Port("http", 8080),), healthcheck=check, routes=route)
    apps = [App("first")]
    found: dict[str, list[float]] = {"runtime": [], "reload": []}
    try:
        section = admit(None, spec, [_instance(apps[0], 1)])
        apply(running, [section], "reload")
        wait_for("it serves", lambda: running.serves("first"))
        for number in range(2, 2 + 2 * tries):
            how = ("runtime", "reload")[number % 2]
            apps.append(App(f"app{number}"))
            if how == "reload":
                section = replace(
                    section, balancing=replace(section.balancing, queue_timeout=number)
                )
                spec = replace(spec, balancing=section.balancing)
            section = admit(section, spec, [_instance(apps[-1], number)])
            start = time.perf_counter()
            apply(running, [section], how)
            wait_for("the new one serves", lambda: running.serves(apps[-1].name))
            found[how].append(time.perf_counter() - start)
            old = [s.instance for s in section.backends[0].servers if s.container_slot != number]
            section = withdraw(section, old)
            apply(running, [section], "runtime")
            apps.pop(0).close()
    finally:
        for app in apps:
            app.close()
    return {how: median(seconds) for how, seconds in found.items()}


def _instance(app: App, number: int) -> Instance:
    bindings = (Binding("http", 8080, app.port),)
    return Instance("web", number, number, "node1", "127.0.0.1", bindings, "aaaa")


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    for row in (head, ("---",) * len(head), *rows):
        print("| " + " | ".join(row) + " |")
    print()


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, listener() as port, world(Path(folder)) as lb:
        seen = lb.haproxy.observe()
        load = f"{os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f} before"
        print(f"HAProxy {seen.version}, Python {platform.python_version()}, {load}\n")
        rows = ways(lb, port, 200)
        single = dict(rows)["one connection a command"]
        head = ("way", "changes a second", "against one connection a command")
        table(head, [(way, f"{n:,.0f}", f"{n / single:,.1f} x") for way, n in rows])
        found = list(sizes(lb, port))
        head = (
            "servers",
            "look",
            "all servers changed by commands",
            "changed by a reload",
            "of that the reload alone",
            "commands against reload",
        )
        table(
            head,
            [
                (
                    f"{n:,}",
                    *(f"{s:.2f} s" for s in (look, weights, structure, alone)),
                    f"{weights / structure:.2f} x",
                )
                for n, look, weights, structure, alone in found
            ],
        )
        served = first_request(lb, 5)
        head = ("class", "healthy to first request served", "against commands")
        table(
            head,
            [(how, f"{s:.2f} s", f"{s / served['runtime']:.1f} x") for how, s in served.items()],
        )
        state = found[-1][2]
        print(f"10,000 servers changed in {state:.2f} s: {'under' if state < 2 else 'OVER'} 2 s")


if __name__ == "__main__":
    main()
