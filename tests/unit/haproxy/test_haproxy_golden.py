"""Whole files, to be read: the demo fleet's, and one of every kind of line."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fleetctl.config.project import Project
from fleetctl.haproxy.render import render
from fleetctl.haproxy.rendered import Rendered
from fleetctl.haproxy.section import admit
from fleetctl.model.balancing import Backend, Section, Server
from fleetctl.model.fleet import Balancer
from fleetctl.model.instance import Binding, Instance
from fleetctl.model.routing import Balancing, Certificate, Internal, Rate, Route, Tls
from fleetctl.model.spec import Healthcheck

REPOSITORY = Path(__file__).parents[3]
GOLDEN = REPOSITORY / "tests" / "golden" / "haproxy"
HOSTS = """\
all:
  vars: {fleetctl_balancers: loadbalancers}
  children:
    app:
      hosts:
        node1: {ansible_host: 10.90.0.11}
        node2: {ansible_host: 10.90.0.12}
        node3: {ansible_host: 10.90.0.13}
    loadbalancers:
      hosts:
        lb1:
          ansible_host: 10.90.0.21
          fleetctl_internal_address: 10.90.1.21
          fleetctl_haproxy: {http: "10.90.0.21:80", https: "10.90.0.21:443"}
"""


def demo(folder: Path) -> Rendered:
    """What the demo's playbook comes to on a lab: six instances on three hosts."""
    shutil.copytree(REPOSITORY / "playbooks", folder / "playbooks")
    (folder / "inventories" / "lab").mkdir(parents=True)
    (folder / "inventories" / "lab" / "hosts.yml").write_text(HOSTS)
    project = Project.find(folder, "inventories/lab")
    instances = [
        Instance(
            "web",
            slot,
            1,
            f"node{(slot - 1) % 3 + 1}",
            f"10.90.0.{11 + (slot - 1) % 3}",
            (Binding("http", 8080, 20000 + (slot - 1) // 3),),
            f"3f9c{slot:04x}",
        )
        for slot in range(1, 7)
    ]
    section = admit(None, project.spec("web", {}), instances)
    return render(project.inventory.fleet().balancers[0], [section])


def rich() -> Rendered:
    """A fleet with something of everything."""
    balancer = Balancer(
        "lb1",
        listen=(("192.0.2.1", 80),),
        listen_tls=(("192.0.2.1", 443), ("2001:db8::1", 443)),
        internal="10.0.0.5",
        trusted_proxies=("198.51.100.0/24", "2001:db8:f::/48"),
        stats=("127.0.0.1", 8404),
    )
    shop = Certificate("shop", "5" * 64, "5" * 40, ("shop.example", "www.shop.example"))
    tls = Tls("shop", hsts=15552000.0)
    users = (("ann", "$5$q4vX9cYt$LYxHWoftK3MySKmnAcy8qnd0ykLQ/KVse4FOkktyXxB"),)
    web = Section(
        "web",
        (
            Route("http", "shop.example", tls=tls),
            Route("http", "www.shop.example", tls=tls),
            Route("http", "shop.example", "/admin", tls=tls, allow=("10.0.0.0/8",), users=users),
            Route("http", "shop.example", "/login", tls=tls, rate=Rate(20, 10.0)),
            Route("http", "shop.example", headers=(("X-Try", "next"),), tls=tls),
            Route("http", listen=8080, allow=("10.0.0.0/8",)),
        ),
        Healthcheck("http", "http", "/healthz"),
        30.0,
        (
            Backend(
                "http",
                4,
                (
                    Server(1, "web-1-4-3f9c", 1, 4, "node1", "10.0.0.11", 20000),
                    Server(2, "web-2-4-3f9c", 2, 4, "node2", "10.0.0.12", 20000, "drain"),
                    Server(3, "web-3-4-3f9c", 3, 4, "node3", "10.0.0.13", 20000, weight=50),
                ),
            ),
        ),
        Internal("http"),
        Balancing(
            algorithm="leastconn",
            sticky="web_server",
            maxconn=100,
            queue_timeout=10.0,
            slowstart=10.0,
            tunnel_drain=600.0,
            maintenance_page="<h1>Back soon</h1>\n",
            snippet='http-response set-header X-Frame-Options "DENY"',
        ),
        (shop,),
    )
    db = Section(
        "db",
        (Route("pg", mode="tcp", listen=5432, allow=("10.0.0.0/8",), rate=Rate(50, 1.0)),),
        Healthcheck("tcp", "pg"),
        60.0,
        (
            Backend(
                "pg",
                4,
                (Server(1, "db-1-2-77aa", 1, 2, "node1", "10.0.0.11", 20001, held="maint"),),
                mode="tcp",
            ),
        ),
        Internal("pg", "tcp", 5432),
        Balancing(algorithm="first", send_proxy="v2", tunnel_timeout=86400.0),
    )
    api = Section(
        "api",
        (Route("rpc", "*.shop.example", "/api"),),
        backends=(
            Backend("rpc", 4, (Server(1, "api-1-1-0b0b", 1, 1, "node2", "2001:db8::12", 20003),)),
        ),
        internal=Internal("rpc"),
        balancing=Balancing(maintenance=True, server_timeout=300.0),
    )
    return render(balancer, [web, db, api])


@pytest.mark.parametrize("name", ["demo", "rich"])
def test_golden(tmp_path: Path, name: str) -> None:
    rendered = demo(tmp_path) if name == "demo" else rich()
    expected = (GOLDEN / f"{name}.cfg").read_text()
    assert rendered.text == expected, f"if this is meant, write it to {name}.cfg"


def test_the_files_beside_it() -> None:
    rendered = rich()
    files = {file.path: file for file in rendered.files}
    assert list(files) == ["certs.list", "certs/web.shop.pem", "pages/web.html", "routes.map"]
    live = "/var/lib/fleetctl/haproxy/live"
    listed = f"{live}/certs/web.shop.pem shop.example www.shop.example\n"
    assert files["certs.list"].text == listed
    assert files["certs/web.shop.pem"].text == ""
    assert files["certs/web.shop.pem"].digest == "5" * 64
    assert files["pages/web.html"].text == "<h1>Back soon</h1>\n"
    told = [line.split(" ") for line in files["routes.map"].text.splitlines()]
    assert tuple((key, value) for key, value in told) == rendered.routes
    guards = {key: value.partition("|")[2] for key, value in rendered.routes}
    assert [key for key, guard in guards.items() if not guard] == [
        "*.shop.example/api/",
        "internal|api.internal/",
        "internal|web.internal/",
    ]
    assert guards["shop.example/"] == guards["www.shop.example/"]
    assert len({*guards.values()} - {""}) == 4
    assert [path for path, _ in rendered.certificates] == ["certs/web.shop.pem"]
    inside = {("10.0.0.5", 80), ("10.0.0.5", 5432), ("127.0.0.1", 8404)}
    public = {("192.0.2.1", port) for port in (80, 443, 5432, 8080)} | {("2001:db8::1", 443)}
    assert set(rendered.binds) == inside | public


def test_it_is_the_same_whatever_the_order() -> None:
    sections = rich().sections
    balancer = Balancer("lb1", internal="10.0.0.5")
    assert render(balancer, sections) == render(balancer, sections[::-1])
    shuffled = [replace(s, routes=s.routes[::-1], certificates=s.certificates) for s in sections]
    assert render(balancer, sections).text == render(balancer, shuffled).text
