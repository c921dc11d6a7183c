"""What lasts longer than a change of the fleet: idle connections of workers that a reload has
replaced, websockets, downloads, clients with a cookie, and connections under a certificate that is
renewed."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from harness import Fleet, Loaded
from lasting import Chat, Download
from proxy import Proxy

from fleetctl.lab.load import Load, Target

pytestmark = pytest.mark.lab

HOST = "shop.example"
BALANCERS = ("lb1", "lb2")


def play(fleet: Fleet, revision: int, name: str = "web", **settings: Any) -> None:
    host = HOST if name == "web" else f"{name}.example"
    quick = {
        "replicas": 2,
        "surge": 2,
        "min_ready": "0s",
        "interval": "500ms",
        "drain": "4s",
        "routes": [{"host": host, "port": "http"}],
    }
    fleet.play(name, image=f"registry:5000/app:{revision}", **{**quick, **settings})


def addresses(fleet: Fleet) -> list[str]:
    return [fleet.lab.host(name).address for name in BALANCERS]


def targets(fleet: Fleet, scheme: str = "http", **more: Any) -> list[Target]:
    """The service at both balancers."""
    return [Target(f"{scheme}://{address}/", HOST, "web", **more) for address in addresses(fleet)]


@contextmanager
def loaded(to: Sequence[Target], rate: float = 60) -> Iterator[Loaded]:
    """A client while the block runs."""
    loaded = Loaded()
    with Load(to, rate=rate) as client:
        yield loaded
        loaded.report = client.stop()


def workers(proxy: Proxy) -> int:
    """Processes that serve, old ones included."""
    return int(proxy.sh("cat /proc/$(cat /run/haproxy.pid)/task/*/children | wc -w"))


def test_idle_clients_of_an_old_worker_notice_no_roll(pair: Fleet) -> None:
    """Both balancers reload, their old workers live on with connections on which nothing is
    asked for seconds, and in that time all instances are replaced."""
    play(pair, 1)
    pair("deploy", "web")
    with loaded(targets(pair)) as busy, loaded(targets(pair), rate=5) as idle:
        time.sleep(7)  # by then each idle connection was used once: again in 6 s
        play(pair, 1, "api", replicas=1, surge=1)
        pair("deploy", "api")  # a new backend: a reload
        for proxy in (Proxy(pair, name) for name in BALANCERS):
            proxy.sh("kill -USR2 $(cat /run/haproxy.pid)")  # somebody reloads once more
            proxy.until(lambda proxy=proxy: workers(proxy) > 1)
        play(pair, 2)
        done = pair("deploy", "web", "--json")
        assert done.finished["services"][0]["revision"] == 2
    for report in (busy.report, idle.report):
        assert report.failed == 0, report
        assert set(report.revisions) == {"1", "2"}
    assert pair.status()["state"] == "converged"


@contextmanager
def talking(fleet: Fleet) -> Iterator[list[Chat]]:
    """Two websockets at each balancer."""
    chats = [Chat(address, HOST) for address in addresses(fleet) * 2]
    try:
        yield chats
    finally:
        for chat in chats:
            chat.hang_up()


def test_websockets_and_downloads_end_by_themselves_within_tunnel_drain(pair: Fleet) -> None:
    """A roll waits for them, longer than drain_timeout, and no longer than they take."""
    balancing = {"balancing": {"tunnel_drain": "60s"}}
    play(pair, 1, drain="2s", more=balancing)
    pair("deploy", "web")
    old = {i["name"] for i in pair.instances().values()}
    play(pair, 2, drain="2s", more=balancing)
    with loaded(targets(pair)) as load, talking(pair) as chats:
        downloads: list[Download] = []

        def begin() -> None:
            """New connections still come to the old instances, until they drain."""
            downloads.extend(
                Download(address, HOST, kib=64, seconds=12) for address in addresses(pair)
            )

        process = pair.start("deploy", "web", "--json")
        assert process.stdout is not None
        lines = []
        for line in process.stdout:
            lines.append(line)
            event = json.loads(line)
            if event["type"] == "step_started" and event["action"] == "create" and not downloads:
                begin()
            if event["type"] == "step_started" and event["action"] == "drain":
                break
        time.sleep(8)  # four times drain_timeout
        assert [chat.lost for chat in chats] == [""] * 4
        assert process.poll() is None, "it ended while its instances were in use"
        heard = [chat.echoes for chat in chats]
        for chat in chats:
            chat.hang_up()
        for download in downloads:
            download.join(60)
        rest, err = process.communicate(timeout=120)
        assert process.returncode == 0, (rest, err)
    assert {chat.instance for chat in chats} | {d.instance for d in downloads} <= old
    assert [chat.lost for chat in chats] == [""] * 4
    assert min(heard) > 20
    assert [(d.whole, d.lost) for d in downloads] == [(True, "")] * 2
    assert load.report.failed == 0, load.report
    drains = [
        event
        for event in map(json.loads, (*lines, *rest.splitlines()))
        if event["type"] == "step_finished" and event["action"] == "drain"
    ]
    assert [event["outcome"] for event in drains] == ["ok"]
    assert "cut" not in drains[0]["detail"], drains
    assert pair.status()["state"] == "converged"


def test_what_lasts_longer_than_tunnel_drain_is_cut_and_told(pair: Fleet) -> None:
    """The roll ends, who was cut notices, and nobody else does."""
    balancing = {"balancing": {"tunnel_drain": "3s"}}
    play(pair, 1, drain="2s", more=balancing)
    pair("deploy", "web")
    old = {i["name"] for i in pair.instances().values()}
    play(pair, 2, drain="2s", more=balancing)
    with loaded(targets(pair)) as load, talking(pair) as chats:
        downloads = [Download(a, HOST, kib=64, seconds=120) for a in addresses(pair)]
        done = pair("deploy", "web", "--json")
        for one in (*chats, *downloads):
            one.join(30)
        assert all(one.lost for one in (*chats, *downloads))
        assert {one.instance for one in (*chats, *downloads)} <= old
        again = Chat(addresses(pair)[0], HOST)
        again.hang_up()
        assert not again.lost
    assert load.report.failed == 0, load.report
    notes = [event for event in done.events if event["type"] == "note"]
    (told,) = [note for note in notes if "drain limit" in note["text"]]
    assert told["level"] == "warning"
    assert told["text"].startswith("drain limit of 3 s passed: 6 connections cut"), told
    assert pair.status()["state"] == "converged"


def test_clients_with_a_cookie_are_moved_once_and_lose_nothing(pair: Fleet) -> None:
    """A drained instance still gets what its cookie brings, until it is out for good."""
    sticky = {"balancing": {"sticky": True}}
    play(pair, 1, more=sticky)
    pair("deploy", "web")
    with Load(targets(pair, sticky=True), rate=60) as load:
        while load.so_far().answered < 64:
            time.sleep(0.1)
        settled = load.so_far()  # a client that asked again before its first answer has moved
        while load.so_far().answered < 256:
            time.sleep(0.1)
        assert load.so_far().moves == settled.moves
        play(pair, 2, more=sticky)
        pair("deploy", "web")
        report = load.stop()
    assert report.failed == 0, report
    assert set(report.revisions) == {"1", "2"}
    assert report.moves >= settled.moves + 16, report  # eight clients at each balancer


def certificate(folder: Path, name: str) -> str:
    """A self-signed one of HOST with its key. Returns the path of its public part."""
    key = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    subject = ("-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-days", "90")
    public, private = folder / f"{name}.crt", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", *key, "-keyout", private, "-out", public, *subject]
    subprocess.run(command, check=True, capture_output=True)
    (folder / f"{name}.pem").write_text(public.read_text() + private.read_text())
    return public.read_text()


def served(address: str, trusted: Path) -> bytes:
    """The certificate that a client with HOST's name gets."""
    context = ssl.create_default_context(cafile=str(trusted))
    with context.wrap_socket(socket.socket(), server_hostname=HOST) as sock:
        sock.connect((address, 443))
        found = sock.getpeercert(binary_form=True)
        assert found is not None
        return found


def test_a_certificate_is_renewed_in_the_middle_of_a_roll(pair: Fleet, tmp_path: Path) -> None:
    """No connection fails, the new one is served by workers that were not replaced."""
    old, new = certificate(tmp_path, "old"), certificate(tmp_path, "new")
    trusted = tmp_path / "trusted.pem"
    trusted.write_text(old + new)
    (pair.root / "certs").mkdir()
    installed = pair.root / "certs" / "shop.pem"
    routes = [{"host": HOST, "port": "http", "tls": {"certificate": "certs/shop.pem"}}]
    proxies = [Proxy(pair, name) for name in BALANCERS]

    def pids() -> list[str]:
        return [proxy.ask("show info").split("Pid: ")[1].split()[0] for proxy in proxies]

    def everywhere() -> list[bytes]:
        return [served(address, trusted) for address in addresses(pair)]

    installed.write_text((tmp_path / "old.pem").read_text())
    play(pair, 1, routes=routes)
    pair("deploy", "web")
    before = pids()
    assert everywhere() == [ssl.PEM_cert_to_DER_cert(old)] * 2
    with loaded(targets(pair, "https", ca=str(trusted))) as load:
        installed.write_text((tmp_path / "new.pem").read_text())
        play(pair, 2, routes=routes)
        pair("deploy", "web")
        assert everywhere() == [ssl.PEM_cert_to_DER_cert(new)] * 2
        containers = pair.containers()
        installed.write_text((tmp_path / "old.pem").read_text())
        assert pair("deploy", "web", "--json").finished["result"] == "ok"
        assert everywhere() == [ssl.PEM_cert_to_DER_cert(old)] * 2
        assert pair.containers() == containers, "a certificate is no reason to replace any"
    assert load.report.failed == 0, load.report
    assert set(load.report.revisions) == {"1", "2"}
    assert pids() == before, "a reload for a certificate"
    assert pair("reconcile", "--json").finished["result"] == "nothing_to_do"
