"""Where a balancer listens, the map of routes and guards: what changes with what."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleetctl.errors import BalancerFailed, Refused
from fleetctl.haproxy.render import render
from fleetctl.model.balancing import Backend, Section, Server
from fleetctl.model.fleet import Balancer
from fleetctl.model.routing import Balancing, Certificate, Internal, Mode, Rate, Route, Tls

LB = Balancer("lb1", internal="10.0.0.5")
CERTIFICATE = Certificate("main", "a" * 64, "B" * 40, ("shop.example",))
TLS = Tls("main")
HASH = "$5$q4vX9cYt$LYxHWoftK3MySKmnAcy8qnd0ykLQ/KVse4FOkktyXxB"


def section(service: str, *routes: Route, mode: Mode = "http", **more: object) -> Section:
    server = Server(1, f"{service}-1-1-abcd", 1, 1, "node1", "10.0.0.11", 20000)
    backends = (Backend("main", 4, (server,), mode=mode),)
    return Section(service, routes, backends=backends, certificates=(CERTIFICATE,), **more)  # type: ignore[arg-type]


def route(host: str = "", path: str = "/", **more: object) -> Route:
    return Route("main", host, path, **more)  # type: ignore[arg-type]


def frontends(text: str) -> dict[str, list[str]]:
    """Where each frontend listens."""
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["frontend"]:
            name = words[1]
            found[name] = []
        elif words[:1] == ["bind"]:
            found[name].append(words[1])
    return found


def test_it_listens_where_it_is_to() -> None:
    sections = [
        section("web", route(tls=TLS), route(listen=8080), internal=Internal("main")),
        section("api", internal=Internal("main", "http", 8081)),
        section(
            "db",
            route(mode="tcp", listen=5432),
            mode="tcp",
            internal=Internal("main", "tcp", 5432),
        ),
    ]
    listen = (("192.0.2.1", 80), ("192.0.2.2", 80))
    balancer = replace(LB, listen=listen, stats=("10.0.0.5", 8404))
    rendered = render(balancer, sections)
    found = frontends(rendered.text)
    assert found == {
        "statistics": ["unix@/run/haproxy/stats.sock", "10.0.0.5:8404"],
        "public": ["192.0.2.1:80", "192.0.2.2:80", "*:443"],
        "port-5432": ["192.0.2.1:5432", "192.0.2.2:5432"],
        "port-8080": ["192.0.2.1:8080", "192.0.2.2:8080"],
        "internal": ["10.0.0.5:80", "10.0.0.5:8081"],
        "internal-db": ["10.0.0.5:5432"],
    }
    all_of_them = {where for those in found.values() for where in those if where[0] != "u"}
    assert {f"{address}:{port}" for address, port in rendered.binds} == all_of_them


def test_what_a_balancer_lacks_it_simply_lacks() -> None:
    web = section(
        "web",
        route(tls=TLS),
        route(listen=8080, users=(("ann", HASH),)),
        internal=Internal("main"),
    )
    inside = render(replace(LB, listen=(), listen_tls=()), [web])
    assert list(frontends(inside.text)) == ["statistics", "internal"]
    assert inside.routes == (("internal|web.internal/", "web.main"),)
    assert inside.certificates == ()
    assert [file.path for file in inside.files] == ["routes.map"]
    assert "ann" not in inside.text, "what guards the public is nowhere else"
    outside = render(replace(LB, internal=""), [web])
    assert list(frontends(outside.text)) == ["statistics", "public", "port-8080"]
    assert "internal|web.internal/" not in dict(outside.routes)
    plain = render(replace(LB, listen_tls=()), [web])
    assert frontends(plain.text)["public"] == ["*:80"]
    assert plain.certificates == ()
    assert "code 308" not in plain.text, "there is nothing to be redirected to"


def test_the_redirect_names_the_port_of_tls() -> None:
    web = section("web", route(tls=TLS))
    assert "https://%[var(txn.host)]%[pathq]" in render(LB, [web]).text
    other = render(replace(LB, listen_tls=(("*", 8443),)), [web])
    assert "https://%[var(txn.host)]:8443%[pathq]" in other.text


def test_a_new_service_changes_no_line_of_another() -> None:
    web = section("web", route("a.example", allow=("10.0.0.0/8",)), internal=Internal("main"))
    more = [
        section("api", route("b.example", tls=TLS, rate=Rate(5, 1.0)), internal=Internal("main")),
        section("db", route(mode="tcp", listen=5432), mode="tcp"),
        section("zoo", route("c.example", listen=8080), route(headers=(("X-Zoo", "1"),))),
    ]
    for sections in ([web, one] for one in more):
        before, after = render(LB, [web]), render(LB, sections)
        own = [
            line
            for line in before.text.splitlines()
            if "config_id" not in line and "hard-stop" not in line
        ]
        rest = iter(after.text.splitlines())
        assert all(line in rest for line in own), "own lines are there, and in their order"
        assert set(before.routes) <= set(after.routes)


def test_a_route_more_is_a_matter_of_the_map() -> None:
    web = section("web", route("a.example"), route("a.example", "/in", users=(("ann", HASH),)))
    before = render(LB, [web])
    for one in (route("b.example", "/x"), route("*.b.example"), route()):
        after = render(LB, [replace(web, routes=(*web.routes, one))])
        assert after.skeleton == before.skeleton
        assert after.files_id != before.files_id
        assert after.config_id != before.config_id
    known = route("c.example", "/in/too", users=(("ann", HASH),))
    after = render(LB, [replace(web, routes=(*web.routes, known))])
    assert after.skeleton == before.skeleton
    assert dict(after.routes)["c.example/in/too/"] == dict(before.routes)["a.example/in/"]


def test_what_else_changes_is_structure() -> None:
    web = section("web", route("a.example"))
    before = render(LB, [web]).skeleton
    settings = [
        Balancing(algorithm="leastconn"),
        Balancing(sticky="at"),
        Balancing(queue_timeout=6.0),
        Balancing(server_timeout=61.0),
        Balancing(tunnel_timeout=10.0),
        Balancing(slowstart=1.0),
        Balancing(send_proxy="v1"),
        Balancing(send_proxy="v2"),
        Balancing(maintenance=True),
        Balancing(maintenance_page="x"),
        Balancing(maintenance_page="y"),
        Balancing(snippet="retries 4"),
        Balancing(tunnel_drain=100.0),
    ]
    found = [render(LB, [replace(web, balancing=one)]).skeleton for one in settings]
    found += [
        render(LB, [replace(web, routes=(*web.routes, one))]).skeleton
        for one in (
            route("b.example", tls=TLS),
            route("b.example", listen=8080),
            route("b.example", headers=(("A", "b"),)),
            route("b.example", allow=("10.0.0.0/8",)),
            route("b.example", allow=("10.0.0.0/8", "192.0.2.0/24")),
            route("b.example", rate=Rate(1, 1.0)),
            route("b.example", rate=Rate(1, 2.0)),
            route("b.example", users=(("ann", HASH),)),
        )
    ]
    found.append(render(LB, [replace(web, internal=Internal("main"))]).skeleton)
    assert len({before, *found}) == 1 + len(found)


def test_servers_limits_and_renewed_certificates_are_not() -> None:
    web = section("web", route("shop.example", tls=TLS))
    before = render(LB, [web])
    backend = web.backends[0]
    server = backend.servers[0]
    renewed = replace(CERTIFICATE, digest="c" * 64, fingerprint="D" * 40)
    for other in (
        replace(web, balancing=Balancing(maxconn=10)),
        web.with_backend(replace(backend, servers=(replace(server, weight=7),))),
        web.with_backend(replace(backend, servers=(replace(server, state="drain"),))),
        web.with_backend(replace(backend, servers=(replace(server, held="drain"),))),
        web.with_backend(replace(backend, servers=(replace(server, held="maint"),))),
        replace(web, certificates=(renewed,)),
    ):
        after = render(LB, [other])
        assert after.skeleton == before.skeleton
        assert after.config_id != before.config_id
    unused = replace(web, certificates=(CERTIFICATE, replace(renewed, name="old")))
    assert render(LB, [unused]).config_id == before.config_id


def test_a_held_server_keeps_its_address() -> None:
    web = section("web", route())
    backend = web.backends[0]

    def line(**change: object) -> list[str]:
        server = replace(backend.servers[0], **change)  # type: ignore[arg-type]
        text = render(LB, [web.with_backend(replace(backend, servers=(server,)))]).text
        found = next(line for line in text.splitlines() if "10.0.0.11" in line)
        return found.split("#")[0].split()[2:]

    where = ["10.0.0.11:20000", "id", "1"]
    assert line() == [*where, "weight", "100"]
    assert line(held="drain") == line(state="drain") == [*where, "weight", "0"]
    assert line(held="maint") == [*where, "weight", "100", "disabled"]
    assert line(held="maint", state="drain") == [*where, "weight", "100", "disabled"]


def test_two_certificates_for_two_hosts() -> None:
    other = Certificate("other", "e" * 64, "F" * 40, ("x.example",))
    web = section(
        "web",
        route("b.example", tls=TLS),
        route("a.example", tls=TLS),
        route("a.example", "/x", tls=TLS),
        route("*.c.example", tls=Tls("other")),
    )
    api = section("api", route("d.example", tls=TLS), route("", "/api", tls=TLS))
    web = replace(web, certificates=(CERTIFICATE, other))
    files = {file.path: file for file in render(LB, [web, api]).files}
    certs = "/var/lib/fleetctl/haproxy/live/certs"
    assert files["certs.list"].text.splitlines() == [
        f"{certs}/api.main.pem",
        f"{certs}/web.main.pem a.example b.example",
        f"{certs}/web.other.pem *.c.example",
    ]


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ([section("web", route()), section("api", route())], "api and web both want the route any"),
        (
            [section("web", route("a.example", "/x/")), section("api", route("a.example", "/x"))],
            r"api and web both want the route a\.example/x",
        ),
        (
            [section("web", route(listen=8080)), section("api", route(listen=8080))],
            r"api and web both want the route any host/ on port 8080",
        ),
        (
            [
                section("web", route(headers=(("X-A", "1"),))),
                section("api", route(headers=(("x-a", "1"),))),
            ],
            r"api and web both want the route any host/, X-A: 1",
        ),
        ([section("web", route("a.example"), route("a.example", tls=TLS))], "web and web"),
        (
            [
                section("db", route(mode="tcp", listen=5432), mode="tcp"),
                section("dc", route(mode="tcp", listen=5432), mode="tcp"),
            ],
            r"port 5432 has a tcp route, and other routes besides \(db, dc\)",
        ),
        (
            [
                section("db", route(mode="tcp", listen=8080), mode="tcp"),
                section("web", route(listen=8080)),
            ],
            r"port 8080 has a tcp route, and other routes besides \(db, web\)",
        ),
        ([section("web", route(listen=80))], r"public and port-80 both want to listen on \*:80"),
        (
            [
                section("db", mode="tcp", internal=Internal("main", "tcp", 80)),
                section("web", internal=Internal("main")),
            ],
            r"internal and internal-db both want to listen on 10\.0\.0\.5:80",
        ),
        (
            [
                section("db", mode="tcp", internal=Internal("main", "tcp", 5432)),
                section("dc", mode="tcp", internal=Internal("main", "tcp", 5432)),
            ],
            r"internal-db and internal-dc both want to listen on 10\.0\.0\.5:5432",
        ),
    ],
)
def test_two_cannot_have_one_way_in(sections: list[Section], message: str) -> None:
    with pytest.raises(Refused, match=message):
        render(LB, sections)


@pytest.mark.parametrize(
    "section",
    [
        section("web", replace(route(), port="admin")),
        section("web", route(mode="tcp", listen=81)),
        section("web", route(mode="tcp"), mode="tcp"),
        section("web", route(listen=8080, tls=TLS)),
        section("web", route(tls=Tls("missing"))),
        section("web", route(mode="tcp", listen=81, users=(("ann", HASH),)), mode="tcp"),
        section("web", route(), mode="tcp"),
        section("web", route(), mode="udp"),  # type: ignore[arg-type]
        section("web", internal=Internal("main", "tcp", 81)),
        section("web", internal=Internal("other")),
        section("web", route(users=(("ann", HASH), ("ann", HASH)))),
        section("web", route(headers=tuple((f"X-{n}", "1") for n in range(9)))),
        section("web", route(), balancing=Balancing(maintenance_page="x" * 13_000)),
        section("web", route(), balancing=Balancing(algorithm="sideways")),  # type: ignore[arg-type]
        section("web", route(), balancing=Balancing(send_proxy="v3")),  # type: ignore[arg-type]
        section("web", route(), balancing=Balancing(maxconn=-1)),
        section("web", route(rate=Rate(0, 1.0))),
        section("web", route(rate=Rate(1, -1.0))),
    ],
)
def test_a_section_that_makes_no_sense_is_refused(section: Section) -> None:
    with pytest.raises(BalancerFailed):
        render(LB, [section])


def test_figures_have_a_port_of_their_own() -> None:
    with pytest.raises(Refused, match=r"statistics and public both want to listen on \*:80"):
        render(replace(LB, stats=("*", 80)), [])


def test_a_wildcard_and_any_listen_beside_an_exact_address() -> None:
    """The kernel prefers the exact address, so this is no clash."""
    db = section(
        "db", route(mode="tcp", listen=5432), mode="tcp", internal=Internal("main", "tcp", 5432)
    )
    assert render(LB, [db]).binds == (("*", 80), ("*", 5432), ("10.0.0.5", 5432))
