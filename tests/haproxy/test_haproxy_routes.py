"""Which service answers: routes, guards and names inside, asked of a real HAProxy."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from balancer_bench import free_port, wait_for
from routes_bench import (
    INSIDE,
    PROXY,
    UPGRADE,
    Parrot,
    Serving,
    Teller,
    ask,
    certificate,
    first_words,
    h2_get,
    shown,
)

from fleetctl.model.balancing import Backend, Section, Server
from fleetctl.model.fleet import Balancer
from fleetctl.model.routing import Balancing, Internal, Rate, Route, Tls
from fleetctl.model.spec import Healthcheck

Start = Callable[..., int]
SECRET = "$5$q4vX9cYt$LYxHWoftK3MySKmnAcy8qnd0ykLQ/KVse4FOkktyXxB"


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts a Teller (or another server) of that name and returns its port."""
    started: list[Teller | Parrot] = []

    def one(name: str, kind: type[Teller] | type[Parrot] = Teller, **options: bool) -> int:
        started.append(kind(name, **options))
        return started[-1].port

    yield one
    for server in started:
        server.close()


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    instance = Serving(tmp_path)
    yield instance
    instance.stop()


def section(service: str, ports: list[int], *routes: Route, mode: str = "http", **more: object):  # type: ignore[no-untyped-def]
    servers = tuple(
        Server(n, f"{service}-{n}-1-abcd", n, 1, "node1", "127.0.0.1", port)
        for n, port in enumerate(ports, 1)
    )
    backend = Backend("main", 4, servers, mode=mode)  # type: ignore[arg-type]
    return Section(service, routes, backends=(backend,), **more)  # type: ignore[arg-type]


def route(host: str = "", path: str = "/", **more: object) -> Route:
    return Route("main", host, path, **more)  # type: ignore[arg-type]


def test_the_longest_path_of_the_nearest_host(serving: Serving, start: Start) -> None:
    serving.serve(
        section("any", [start("any")], route(), route(path="/deep/er")),
        section("shop", [start("shop")], route("shop.example"), route("shop.example", "/a/b/c")),
        section("api", [start("api")], route("shop.example", "/a"), route("shop.example", "/a/b/")),
        section("wild", [start("wild")], route("*.shop.example"), route("*.shop.example", "/a")),
        section("one", [start("one")], route("one.shop.example", "/only")),
    )
    for host, path, who in (
        ("shop.example", "/", "shop"),
        ("shop.example", "/deep/er", "shop"),
        ("shop.example", "/a", "api"),
        ("shop.example", "/ab", "shop"),
        ("shop.example", "/a/x?a/b/c", "api"),
        ("shop.example", "/a/b/c/d", "shop"),
        ("SHOP.example.:8080", "/a", "api"),
        ("x.shop.example", "/", "wild"),
        ("one.shop.example", "/", "wild"),
        ("one.shop.example", "/only/x", "one"),
        ("x.y.shop.example", "/", "any"),
        ("other.example", "/deep/er/x", "any"),
        ("[::1]:80", "/", "any"),
        ("", "/", "any"),
    ):
        assert serving.get(path, host).who == who, (host, path)


def test_no_route_is_404_and_no_server_503(serving: Serving) -> None:
    serving.serve(section("web", [], route("shop.example", "/shop")))
    answer = serving.get("/", "shop.example")
    assert (answer.status, answer.body) == (404, b"404 no route to a service\n")
    assert serving.get("/shop", "other.example").status == 404
    answer = serving.get("/shop")
    assert (answer.status, answer.body) == (503, b"503 no server is ready\n")
    assert answer.headers["retry-after"] == "10"


def test_headers_choose_between_routes_of_one_host_and_path(serving: Serving, start: Start) -> None:
    try_it = (("X-Try", "yes"),)
    both = (*try_it, ("X-Who", "a b (c)"))
    deep = [route("shop.example", f"/a/{n}") for n in range(40)]
    guarded = route("shop.example", "/a/admin", allow=("192.0.2.0/24",))
    serving.serve(
        section("web", [start("web")], route(), guarded, *deep),
        section("new", [start("new")], route(headers=try_it)),
        section("two", [start("two")], route(headers=both), route("*.example", headers=try_it)),
        section("deep", [start("deep")], route("shop.example", "/a", headers=try_it)),
    )
    assert serving.get().who == "web"
    assert serving.get(X_Try="no").who == "web"
    assert serving.get(host="any", X_Try="yes").who == "new"
    assert serving.get(host="any", X_Try="yes", X_Who="a b (c)").who == "two"
    assert serving.get(host="other.example", X_Try="yes").who == "two"
    assert serving.get("/ab", X_Try="yes").who == "two"
    assert serving.get("/a", X_Try="yes").who == "deep"
    for way_round in ("/a/admin", "/a//admin/x", "/a/%61dmin", "/a/admin;x"):
        assert serving.get(way_round, X_Try="yes").status == 403, way_round
    assert serving.get("/a/39/x", X_Try="yes").who == "web"
    assert serving.get("/a/40/x", X_Try="yes").who == "deep"


def test_a_port_of_its_own_and_tcp(serving: Serving, start: Start) -> None:
    http_port, tcp_port = free_port(), free_port()
    rendered = serving.serve(
        section("web", [start("web")], route(), route("own.example", "/x", listen=http_port)),
        section("all", [start("all")], route(listen=http_port, path="/all")),
        section("db", [start("db", Parrot)], route(mode="tcp", listen=tcp_port), mode="tcp"),
    )
    assert rendered.binds == tuple(
        sorted(("127.0.0.1", p) for p in (serving.port, http_port, tcp_port))
    )
    own = serving.connect
    assert serving.get("/x", "own.example", link=own(http_port)).who == "web"
    assert serving.get("/all", "own.example", link=own(http_port)).who == "all"
    assert serving.get("/", "own.example", link=own(http_port)).status == 404
    assert serving.get("/all", "own.example").who == "web"
    with serving.connect(tcp_port) as link:
        link.sendall(b"hello")
        heard = b""
        while len(heard) < 7:
            heard += link.recv(100)
    assert heard == b"dbhello"


def test_inside_and_outside_do_not_meet(tmp_path: Path, start: Start) -> None:
    serving = Serving(tmp_path, Balancer("lb1", internal=INSIDE))
    http_port, tcp_port = free_port(), free_port()
    try:
        serving.serve(
            section("web", [start("web")], route()),
            section("api", [start("api")], internal=Internal("main", "http", http_port)),
            section(
                "db", [start("db", Parrot)], mode="tcp", internal=Internal("main", "tcp", tcp_port)
            ),
        )
        inside = serving.get("/x", "api.internal", link=serving.connect(http_port, address=INSIDE))
        assert inside.who == "api"
        for host in ("web.internal", "shop.example", "internal|api.internal", "*"):
            link = serving.connect(http_port, address=INSIDE)
            assert serving.get("/", host, link=link).status in (400, 404)
        assert serving.get("/x", "api.internal").who == "web"
        for host in ("internal|api.internal", "|", "api.internal/"):
            assert serving.get("/", host).status == 400
        assert first_words(serving.connect(tcp_port, address=INSIDE)) == "db"
        for port in (http_port, tcp_port):
            with pytest.raises(OSError):
                serving.connect(port).close()
        with pytest.raises(OSError):
            serving.connect(address=INSIDE).close()
    finally:
        serving.stop()


GUARDED = route("shop.example", "/admin", allow=("192.0.2.0/24", "2001:db8::/32"))
SAME = ["/admin", "/admin/", "/admin/x", "/admin;x", "/admin;x=1;y/z", "/admin\\", "/admin\\x"]
SAME += ["//admin", "/;x/admin", "///admin//x", "/%61dmin", "/%2fadmin", "/admin%2fx", "/admin%5cx"]
SAME += ["/admin%3bx", "/admin?x=/public", "/\\admin", "/%5cadmin", "/a%64min%2F"]
REFUSED = [
    "/x/../admin",
    "/x/%2e%2e/admin",
    "/x/..;/admin",
    "/x/..%2fadmin",
    "/x\\..\\admin",
    "/..",
]
REFUSED += [
    "/./admin",
    "/admin/.",
    "/%2e/admin",
    "/admin%00",
    "/admin%00.png",
    "/%zz",
    "/%",
    "admin",
]
REFUSED += ["/admin#x", "/x/..;a=b;c/admin", "/..//admin", "*"]


def test_a_guard_is_met_by_whatever_means_its_path(serving: Serving, start: Start) -> None:
    serving.serve(section("web", [start("web")], route("shop.example"), GUARDED))
    for path in SAME:
        assert serving.get(path).status == 403, path
    for path in REFUSED:
        assert serving.get(path).status == 400, path
    for path in ("/", "/administrator", "/public/admin", "/admin.html", "/.well-known/x", "/a..b"):
        assert serving.get(path).told["path"] == path
    for host in ("shop.example/public", "shop.example/", "shop.example|", "*.example", "a" * 300):
        assert serving.get("/admin", host).status == 400, host
    assert serving.get("http://shop.example/admin").status == 403
    assert serving.get("http://other.example/admin").status == 400
    long = "/" + "x/" * 7000
    assert serving.get("/admin" + long).status in (400, 403)


def test_a_host_is_told_in_one_way(serving: Serving, start: Start) -> None:
    """Who is told apart by the guard has to be whom the application takes the client for."""
    inside = route("admin.example", allow=("192.0.2.0/24",))
    serving.serve(section("web", [start("web")], route(), route("shop.example"), inside))
    for host in ("admin.example", "ADMIN.example:80", "admin.example.", "admin.example.:80"):
        assert serving.get("/", host).status == 403, host
    for host in ("admin.example, shop.example", "admin.example,shop.example", "x@admin.example"):
        assert serving.get("/", host).status == 400, host
    for version in ("1.0", "1.1"):
        line = f"GET http://admin.example/ HTTP/{version}\r\nConnection: close\r\n\r\n"
        assert ask(serving.connect(), line.encode()).status == 400, version
        assert ask(serving.connect(), line.encode().replace(b"http://admin.example", b"")).who == (
            "web"
        )
    assert serving.get("http://admin.example/", "admin.example").status == 403
    assert serving.get("http://shop.example/", "shop.example").who == "web"


def test_a_path_is_of_ascii_alone(serving: Serving, start: Start) -> None:
    """HTTP/2 carries any byte, and some servers take \\x85 for a blank, after which is nothing."""
    found, pem = certificate("shop", "shop.example")
    serving.pems[found.digest] = pem
    routes = (replace(GUARDED, tls=Tls("shop")), route("shop.example", tls=Tls("shop")))
    serving.serve(section("web", [start("web")], *routes, certificates=(found,)))
    for path, status in ((b"/", 200), (b"/admin", 0), (b"/admin\x85", 0), (b"/admin\xa0", 0)):
        link = serving.tls("shop.example", alpn=["h2"])
        assert h2_get(link, "shop.example", path)[0] == status, path


def test_addresses_that_may(serving: Serving, start: Start) -> None:
    many = tuple(f"198.51.{n}.0/24" for n in range(100))
    tcp_port = free_port()
    serving.serve(
        section("web", [start("web")], route(allow=(*many, "127.0.0.2/32"))),
        section(
            "db",
            [start("db", Parrot)],
            route(mode="tcp", listen=tcp_port, allow=(*many, "127.0.0.2/32")),
            mode="tcp",
        ),
    )
    assert serving.get().status == 403
    assert serving.get(link=serving.connect(source="127.0.0.2")).who == "web"
    assert first_words(serving.connect(tcp_port)) == ""
    assert first_words(serving.connect(tcp_port, source="127.0.0.2")) == "db"


def test_as_many_requests_as_may(serving: Serving, start: Start) -> None:
    limit, tcp_port = Rate(3, 3600.0), free_port()
    serving.serve(
        section("web", [start("web")], route(), route(path="/login", rate=limit)),
        section(
            "db",
            [start("db", Parrot)],
            route(mode="tcp", listen=tcp_port, rate=limit),
            mode="tcp",
        ),
    )
    assert [serving.get("/login").status for _ in range(5)] == [200, 200, 200, 429, 429]
    assert serving.get("/login").headers["retry-after"] == "3600"
    assert serving.get("/login", link=serving.connect(source="127.0.0.2")).who == "web"
    assert serving.get("/").who == "web"
    words = [first_words(serving.connect(tcp_port)) for _ in range(5)]
    assert words == ["db", "db", "db", "", ""]


def test_who_may_log_in(serving: Serving, start: Start) -> None:
    users = (("ann", SECRET), ("nobody", "!"))
    serving.serve(section("web", [start("web")], route(), route(path="/in", users=users)))
    answer = serving.get("/in")
    assert (answer.status, answer.headers["www-authenticate"]) == (401, 'Basic realm="web"')
    for given, status in (
        ("YW5uOnNlc2FtZQ==", 200),  # ann:sesame
        ("YW5uOndyb25n", 401),  # ann:wrong
        ("bm9ib2R5OiE=", 401),  # nobody:!
        ("Ym9iOnNlc2FtZQ==", 401),  # bob:sesame
    ):
        assert serving.get("/in", Authorization=f"Basic {given}").status == status
    assert serving.get("/").who == "web"


def test_tls(serving: Serving, start: Start) -> None:
    shop, shop_pem = certificate("main", "shop.example", "www.shop.example")
    wild, wild_pem = certificate("wild", "*.shop.example")
    serving.pems = {shop.digest: shop_pem, wild.digest: wild_pem}
    tls = Tls("main", redirect=True, hsts=15552000.0)
    web = section(
        "web",
        [start("web")],
        route("shop.example", tls=tls),
        route("shop.example", "/plain", tls=Tls("main", redirect=False)),
        route("*.shop.example", tls=Tls("wild", redirect=False)),
        certificates=(shop, wild),
    )
    serving.serve(web, section("other", [start("other")], route("other.example")))
    away = f"https://shop.example:{serving.tls_port}/a?b=c"
    answer = serving.get("/a?b=c")
    assert (answer.status, answer.headers["location"]) == (308, away)
    assert "strict-transport-security" not in answer.headers
    assert serving.get("/plain").who == "web"
    assert serving.get(host="other.example").who == "other"
    answer = serving.get(link=serving.tls("shop.example"))
    assert answer.told["headers"]["x-forwarded-proto"] == "https"
    assert answer.headers["strict-transport-security"] == "max-age=15552000"
    assert (
        "strict-transport-security"
        not in serving.get("/plain", link=serving.tls("shop.example")).headers
    )
    for name, fingerprint in (
        ("shop.example", shop.fingerprint),
        ("x.shop.example", wild.fingerprint),
        ("unknown.example", shop.fingerprint),
        (None, shop.fingerprint),
    ):
        assert shown(serving.tls(name)) == fingerprint, name
    both = ("h2", "http/1.1")
    link = serving.tls("shop.example", alpn=both)
    assert (link.selected_alpn_protocol(), link.version()) == ("h2", "TLSv1.3")
    status, body = h2_get(link, "shop.example")
    assert status == 200
    assert b'"name": "web"' in body
    assert serving.get(link=serving.tls("shop.example", alpn=("http/1.1",))).who == "web"


def test_a_page_while_no_server_is_ready_and_in_maintenance(serving: Serving, start: Start) -> None:
    page = "<h1>Back söon</h1> ${HOME} %[env(HOME)]\n" + "x" * 11_000
    ready = section("web", [start("web")], route(), balancing=Balancing(maintenance_page=page))
    serving.serve(ready)
    assert serving.get().who == "web"
    maintenance = replace(ready, balancing=replace(ready.balancing, maintenance=True))
    for one in (section("web", [], route(), balancing=ready.balancing), maintenance):
        serving.serve(one)
        answer = serving.get()
        assert (answer.status, answer.body.decode()) == (503, page)
        assert answer.headers["retry-after"] == "10"
        assert answer.headers["content-type"] == "text/html; charset=utf-8"
    tcp_port = free_port()
    closed = Balancing(maintenance=True)
    tcp = route(mode="tcp", listen=tcp_port)
    serving.serve(
        section("web", [start("web")], route(), balancing=closed),
        section("db", [start("db", Parrot)], tcp, mode="tcp", balancing=closed),
    )
    assert serving.get().status == 503
    assert first_words(serving.connect(tcp_port)) == ""


def test_a_sticky_client_stays_and_comes_back_to_a_drained_server(
    serving: Serving, start: Start
) -> None:
    web = section("web", [start("a"), start("b")], route(), balancing=Balancing(sticky="at"))
    serving.serve(web)
    answers = [serving.get() for _ in range(4)]
    assert {answer.who for answer in answers} == {"a", "b"}
    for answer in answers:
        cookie, *attributes = answer.headers["set-cookie"].split("; ")
        assert attributes == ["path=/", "HttpOnly"]
        again = [serving.get(Cookie=f"x=y; {cookie}") for _ in range(3)]
        assert {a.who for a in again} == {answer.who}
        assert all("set-cookie" not in a.headers for a in again)
        assert "at=" not in again[0].told["headers"]["cookie"]
    backend = web.backends[0]
    first, second = backend.servers
    drained = web.with_backend(replace(backend, servers=(replace(first, held="drain"), second)))
    serving.serve(drained)
    assert {serving.get().who for _ in range(4)} == {"b"}
    assert serving.get(Cookie="at=slot1").who == "a"
    out = web.with_backend(replace(backend, servers=(replace(first, held="maint"), second)))
    serving.serve(out)
    assert serving.get(Cookie="at=slot1").who == "b"


def test_the_proxy_protocol_in_by_those_who_are_trusted_alone(tmp_path: Path, start: Start) -> None:
    trusted = (*(f"198.51.{n}.0/24" for n in range(100)), f"{PROXY}/32")
    serving = Serving(tmp_path, Balancer("lb1", trusted_proxies=trusted))
    tcp_port = free_port()
    line = b"PROXY TCP4 203.0.113.7 203.0.113.8 1234 80\r\n"
    try:
        serving.serve(
            section("web", [start("web")], route(), route(path="/in", allow=("203.0.113.7/32",))),
            section(
                "db",
                [start("db", Parrot)],
                route(mode="tcp", listen=tcp_port, allow=("203.0.113.7/32",)),
                mode="tcp",
            ),
        )

        def proxied(port: int = 0) -> socket.socket:
            return serving.connect(port, source=PROXY, first=line)

        assert serving.get(link=proxied()).told["headers"]["x-forwarded-for"] == "203.0.113.7"
        assert serving.get("/in", link=proxied()).who == "web"
        assert first_words(proxied(tcp_port)) == "db"
        assert serving.get().told["headers"]["x-forwarded-for"] == "127.0.0.1"
        assert serving.get("/in").status == 403
        assert serving.get("/in", link=serving.connect(first=line)).status == 400
        assert first_words(serving.connect(tcp_port, first=line)) == ""
    finally:
        serving.stop()


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_the_proxy_protocol_out(serving: Serving, start: Start, version: str) -> None:
    settings = Balancing(send_proxy=version)  # type: ignore[arg-type]
    web = section("web", [start("web", proxied=True)], route(), balancing=settings)
    if version == "v1":
        serving.serve(web)
        assert serving.get().told["proxy"].startswith("PROXY TCP4 127.0.0.1 127.0.0.1 ")
        return
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = replace(web.backends[0].servers[0], port=listener.getsockname()[1])
        serving.serve(web.with_backend(replace(web.backends[0], servers=(server,))))
        with serving.connect() as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            heard: list[bytes] = []

            def asked() -> bool:
                link, _ = listener.accept()
                with link, contextlib.suppress(ConnectionError):
                    heard.append(link.recv(16 + 12 + 3, socket.MSG_WAITALL))
                return heard[-1].endswith(b"GET")

            wait_for("a request, among checks", asked)
    assert heard[-1][:12] == b"\r\n\r\n\0\r\nQUIT\n"


def test_what_a_client_says_of_itself_is_not_believed(serving: Serving, start: Start) -> None:
    serving.serve(section("web", [start("web")], route()))
    told = serving.get(
        host="Shop.example:81",
        X_Forwarded_For="1.1.1.1",
        x_forwarded_FOR="1.1.1.2",
        X_Forwarded_Proto="https",
        X_Forwarded_Host="evil.example",
        X_Forwarded_Port="443",
        X_Real_IP="1.1.1.1",
        X_Request_ID="evil",
        Forwarded="for=1.1.1.1",
    ).told["headers"]
    assert len(told.pop("x-request-id")) == 36
    assert {k: v for k, v in told.items() if k != "connection"} == {
        "host": "Shop.example:81",
        "x-forwarded-for": "127.0.0.1",
        "x-forwarded-host": "Shop.example:81",
        "x-forwarded-port": str(serving.port),
        "x-forwarded-proto": "http",
        "x-real-ip": "127.0.0.1",
    }
    request = b"GET / HTTP/1.1\r\nHost: x\r\nX_Forwarded_For: 1\r\nConnection: close\r\n\r\n"
    assert "x_forwarded_for" not in ask(serving.connect(), request).told["headers"]
    twice = b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"
    assert ask(serving.connect(), twice).status == 400


def test_inside_callers_pass_on_what_they_know(tmp_path: Path, start: Start) -> None:
    serving = Serving(tmp_path, Balancer("lb1", listen=(), internal=INSIDE))
    port = free_port()
    try:
        rendered = serving.serve(
            section("api", [start("api")], route(), internal=Internal("main", "http", port))
        )
        assert rendered.binds == ((INSIDE, port),)
        told = serving.get(
            host="api.internal",
            link=serving.connect(port, address=INSIDE),
            X_Forwarded_For="203.0.113.7",
            X_Request_ID="mine",
        ).told["headers"]
        assert told["x-request-id"] == "mine"
        assert told["x-forwarded-for"] == "203.0.113.7, 127.0.0.1"
    finally:
        serving.stop()


def test_a_websocket_passes(serving: Serving, start: Start) -> None:
    serving.serve(section("web", [start("web")], route("shop.example", "/ws")))
    with serving.connect() as link:
        link.sendall(UPGRADE)
        with link.makefile("rb") as stream:
            assert stream.readline().startswith(b"HTTP/1.1 101")
            while stream.readline().strip():
                pass
            for word in (b"hello\n", b"again\n"):
                link.sendall(word)
                assert stream.readline() == word


def test_figures_for_people_and_prometheus(tmp_path: Path, start: Start) -> None:
    stats = (INSIDE, free_port())
    serving = Serving(tmp_path, Balancer("lb1", stats=stats))
    try:
        rendered = serving.serve(section("web", [start("web")], route()))
        assert stats in rendered.binds
        path = tmp_path / "stats.sock"
        assert path.stat().st_mode & 0o777 == 0o600
        request = b"GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
        link = socket.socket(socket.AF_UNIX)
        link.connect(str(path))
        assert b"haproxy_backend_status" in ask(link, request % b"/metrics").body
        link = serving.connect(stats[1], address=INSIDE)
        assert b"web.main" in ask(link, request % b"/").body
        link = serving.connect(stats[1], address=INSIDE)
        posted = ask(link, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert b"action" not in posted.body
    finally:
        serving.stop()


def test_requests_wait_for_a_server_that_is_full(serving: Serving, start: Start) -> None:
    """One at a time; the second waits, and gets 503 when it has waited for its time."""
    settings = Balancing(maxconn=1, queue_timeout=0.05, algorithm="leastconn", slowstart=1.0)
    serving.serve(section("web", [start("web")], route(), balancing=settings))
    with serving.connect() as first:
        first.sendall(UPGRADE)
        assert first.recv(12) == b"HTTP/1.1 101"
        assert serving.get().status == 503
    wait_for("the first has left", lambda: serving.get().status == 200)


def test_a_snippet_is_in_force(serving: Serving, start: Start) -> None:
    snippet = """
    # said by the play
    acl odd query -m found
    http-request set-header X-Odd "yes \\"indeed\\"" if odd
    http-response set-header Server mine
    no option redispatch
    timeout server 7s
    """
    serving.serve(section("web", [start("web")], route(), balancing=Balancing(snippet=snippet)))
    answer = serving.get("/?x")
    assert answer.told["headers"]["x-odd"] == 'yes "indeed"'
    assert answer.headers["server"] == "mine"
    assert "x-odd" not in serving.get("/").told["headers"]


def test_one_file_with_everything_is_valid(tmp_path: Path) -> None:
    """HAProxy has nothing to say against it, not even a warning."""
    main, pem = certificate("main", "shop.example")
    everywhere = (*(f"198.51.{n}.0/24" for n in range(200)), "2001:db8::/32")
    serving = Serving(
        tmp_path,
        Balancer(
            "lb1", internal="::1", trusted_proxies=everywhere, stats=("127.0.0.1", free_port())
        ),
        {main.digest: pem},
    )
    tls, users = Tls("main", hsts=60.0), tuple((f"user{n}", SECRET) for n in range(3))
    headers = tuple((f"X-Header-{n}", f"one of - {n}") for n in range(8))
    limit = Rate(5, 2.5)
    settings = Balancing(
        algorithm="random",
        sticky="at",
        maxconn=5,
        queue_timeout=1.5,
        slowstart=2.0,
        send_proxy="v2",
        server_timeout=1.0,
        tunnel_timeout=90000.0,
        tunnel_drain=86400.0,
        maintenance=True,
        maintenance_page="<h1>x</h1>" * 1000,
        snippet="stick-table type ip size 1k expire 1m\nhttp-request set-header A b",
    )
    guarded = {"allow": everywhere, "users": users, "rate": limit, "tls": tls}
    web = section(
        "web",
        [20000, 20001],
        route(**guarded),
        route("*.a-rather-long-name.example", "/with/a/path", headers=headers),
        *(route("*.a-rather-long-name.example", f"/with/a/path/{n}") for n in range(100)),
        route(listen=free_port(), rate=limit),
        internal=Internal("main", "http", free_port()),
        balancing=settings,
        certificates=(main,),
    )
    db = section(
        "db",
        [20002],
        route(mode="tcp", listen=free_port(), allow=everywhere, rate=limit),
        mode="tcp",
        internal=Internal("main", "tcp", free_port()),
        balancing=replace(settings, snippet="option srvtcpka", algorithm="source"),
        healthcheck=Healthcheck("http", "main", "/healthz?a=b&c"),
    )
    many = [section(f"s{n}", [], route(f"s{n}.example", **guarded)) for n in range(50)]
    many = [replace(one, certificates=(main,)) for one in many]
    serving.write(web, db, *many)
    assert serving.check() == ""
