"""The rendered file: golden text, what its names depend on, and what gets no way in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetctl.errors import BalancerFailed, FleetError, Refused
from fleetctl.haproxy import checks, header
from fleetctl.haproxy.render import render, with_disabled
from fleetctl.haproxy.snippet import DIRECTIVES
from fleetctl.model.balancing import Backend, Section, Server
from fleetctl.model.fleet import Balancer, HAProxyPaths
from fleetctl.model.routing import Balancing, Certificate, Internal, Rate, Route, Tls
from fleetctl.model.spec import Healthcheck

LB = Balancer("lb1")
WEB = Section(
    "web",
    (Route("http", "shop.example", "/"), Route("http", "shop.example", "/static")),
    Healthcheck("http", "http", "/healthz?full=1", interval=1.0, timeout=2.0, retries=3),
    30.0,
    (
        Backend(
            "http",
            4,
            (
                Server(1, "web-1-1-abcd", 1, 1, "node1", "10.0.0.11", 20000),
                Server(2, "web-2-1-abcd", 2, 1, "node2", "10.0.0.12", 20000, "drain"),
                Server(4, "web-2-2-ef01", 2, 2, "node3", "2001:db8::13", 20007, weight=50),
            ),
            last=4,
        ),
    ),
)
API = Section(
    "api",
    (Route("rpc", "", "/api"), Route("rpc", "shop.example", "/api/v1")),
    Healthcheck("tcp", "rpc", interval=0.1, timeout=0.5, retries=2),
    60.0,
    (Backend("rpc", 4, (Server(3, "api-1-7-9999", 1, 7, "node1", "10.0.0.11", 20001),)),),
)


def test_order_of_sections_changes_nothing() -> None:
    assert render(LB, [WEB, API]) == render(LB, [API, WEB])


def test_one_more_service_changes_no_line_of_another() -> None:
    alone = render(LB, [WEB]).text.splitlines()
    both = render(LB, [WEB, API]).text.splitlines()
    own = [line for line in alone if "config_id" not in line and "hard-stop" not in line]
    rest = iter(both)
    assert all(line in rest for line in own), "own lines are there, and in their order"


def test_skeleton_changes_with_all_but_servers() -> None:
    base = render(LB, [WEB])
    backend = WEB.backends[0]
    for servers in ((), backend.servers[:1], (replace(backend.servers[0], weight=7),)):
        other = render(LB, [WEB.with_backend(replace(backend, servers=servers))])
        assert other.skeleton == base.skeleton
        assert other.config_id != base.config_id
    for section in (
        replace(WEB, drain_timeout=31.0),
        replace(WEB, healthcheck=Healthcheck("tcp", "http")),
        replace(WEB, routes=(*WEB.routes, Route("http", headers=(("X-Try", "1"),)))),
        WEB.with_backend(replace(backend, size=8)),
    ):
        assert render(LB, [section]).skeleton != base.skeleton
    listen = render(replace(LB, listen=(("10.0.0.5", 8080),)), [WEB])
    assert listen.skeleton != base.skeleton
    assert listen.binds == (("10.0.0.5", 8080),)


def test_file_id_tells_ours_foreign_and_edited() -> None:
    rendered = render(LB, [WEB])
    first, rest = rendered.text.split("\n", 1)

    def file_id(first_line: str, below: str) -> str:
        return header.file_id(first_line, header.checksum(below.encode()))

    assert file_id(first, rest) == rendered.config_id
    assert file_id("global", rest) == ""
    assert file_id(first, rest.replace("weight 50", "weight 51")) == header.EDITED
    cut = "".join(line + "\n" for line in rest.splitlines()[:-1])
    assert file_id(first, cut) == header.EDITED
    assert file_id(first[:40], rest) == header.EDITED


def test_with_disabled_touches_those_lines_alone() -> None:
    rendered = render(LB, [WEB, API])
    text = with_disabled(rendered, frozenset({("web.http", "slot4"), ("api.rpc", "slot3")}))
    before, after = rendered.text.splitlines(), text.splitlines()
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert len(changed) == 3
    assert all(" disabled  # " in line for line in changed[1:])
    first, rest = text.split("\n", 1)
    # Left there by a run that died, it isn't taken for the file that is to stay.
    found = header.file_id(first, header.checksum(rest.encode()))
    assert found not in ("", header.EDITED, rendered.config_id)
    assert with_disabled(rendered, frozenset()) == rendered.text


def test_two_services_cannot_have_one_route() -> None:
    twin = replace(API, routes=(Route("rpc", "shop.example", "/static/"),))
    with pytest.raises(Refused, match=r"api and web both want the route shop\.example/static"):
        render(LB, [WEB, twin])


@pytest.mark.parametrize(
    "section",
    [
        replace(WEB, routes=(Route("admin", "shop.example"),)),
        WEB.with_backend(replace(WEB.backends[0], size=2)),
        WEB.with_backend(replace(WEB.backends[0], servers=WEB.backends[0].servers[:1] * 2)),
    ],
)
def test_a_section_that_contradicts_itself_is_refused(section: Section) -> None:
    with pytest.raises(BalancerFailed):
        render(LB, [section])


ATTACKS = (
    "x\n    server evil 10.6.6.6:80",
    "x\r",
    "x y",
    "x#",
    "x;show env",
    'x"',
    "x'",
    "x\\",
    "x$HOME",
    '"${HOME}"',
    "%[env(HOME)]",
    "{ always_true }",
    "-f /etc/shadow",
    "-f",
    "/run/docker.sock",
    "unix@/x",
    "x\u2028y",
    "x\x00",
    "x\u202ey",
    "",
    "a" * 2000,
)


@pytest.mark.parametrize("value", ATTACKS)
def test_nothing_gets_in_as_a_name_or_an_address(value: str) -> None:
    server, backend = WEB.backends[0].servers[0], WEB.backends[0]

    def with_server(**change: object) -> Section:
        one = replace(server, **change)  # type: ignore[arg-type]
        return WEB.with_backend(replace(backend, servers=(one,)))

    sections = [
        replace(WEB, service=value),
        replace(WEB, backends=(replace(backend, port=value),), routes=(Route(value),)),
        with_server(instance=value),
        with_server(address=value),
    ]
    if value:
        sections.append(replace(WEB, routes=(Route("http", value, "/"),)))
    if not value.startswith("/"):
        sections.append(replace(WEB, routes=(Route("http", "", value),)))
        sections.append(replace(WEB, healthcheck=replace(WEB.healthcheck, path=value)))
    for section in sections:
        with pytest.raises(BalancerFailed):
            render(LB, [section])
    with pytest.raises(BalancerFailed):
        render(replace(LB, listen=((value, 80),)), [WEB])
    if not value.startswith("/"):
        with pytest.raises(BalancerFailed):
            render(replace(LB, paths=HAProxyPaths(socket=value)), [WEB])


HASH = "$5$q4vX9cYt$LYxHWoftK3MySKmnAcy8qnd0ykLQ/KVse4FOkktyXxB"
PEM = Certificate("main", "a" * 64, "B" * 40, ("shop.example",))


def with_value(value: str, empty_is_fine: bool) -> Iterator[tuple[Balancer, Section]]:
    """Fleets in which ``value`` is in one place, of all where a text of somebody's can be."""

    def routed(**change: object) -> Section:
        return replace(WEB, routes=(Route("http", **change),))  # type: ignore[arg-type]

    def balanced(**change: object) -> Section:
        return replace(WEB, balancing=Balancing(**change))  # type: ignore[arg-type]

    used = {"tls": Tls("main")}
    yield LB, routed(headers=((value, "x"),))
    yield LB, routed(headers=(("X-A", value),))
    yield LB, routed(allow=(value,))
    yield LB, routed(users=((value, HASH),))
    yield LB, routed(users=(("ann", value),))
    yield LB, routed(rate=Rate(value, 1.0))  # type: ignore[arg-type]
    yield LB, routed(rate=Rate(1, value))  # type: ignore[arg-type]
    yield LB, routed(listen=value or "x")
    yield LB, routed(mode=value)
    yield LB, replace(routed(tls=Tls(value)), certificates=(replace(PEM, name=value),))
    yield LB, replace(routed(**used), certificates=(replace(PEM, digest=value),))
    yield LB, balanced(algorithm=value)
    yield LB, balanced(queue_timeout=value)
    yield LB, balanced(slowstart=value or "x")
    yield LB, balanced(maxconn=value or "x")
    yield LB, WEB.with_backend(replace(WEB.backends[0], mode=value))  # type: ignore[arg-type]
    yield replace(LB, stats=(value, 8404)), WEB
    yield replace(LB, listen_tls=((value, 443),)), replace(routed(**used), certificates=(PEM,))
    yield replace(LB, trusted_proxies=(value,)), WEB
    yield replace(LB, paths=HAProxyPaths(files=value)), WEB
    if not empty_is_fine:
        inside = replace(WEB, internal=Internal("http"))
        yield replace(LB, internal=value), inside
        yield LB, balanced(sticky=value)
        yield LB, balanced(send_proxy=value)
        yield LB, balanced(snippet=value)


@pytest.mark.parametrize("value", ATTACKS)
def test_nothing_gets_in_as_anything_else(value: str) -> None:
    for balancer, section in with_value(value, not value):
        try:
            text = render(balancer, [section]).text
        except BalancerFailed:
            continue
        # Between quotes some of it is harmless, as what a header is to be; so is a folder.
        assert f'-- "{value}"' in text or f"({value}/live/routes.map)" in text, (value, section)


@given(st.text(max_size=40), st.integers(0, 23))
def test_whatever_the_text_it_never_makes_another_line(value: str, which: int) -> None:
    balancer, section = list(with_value(value, False))[which]
    try:
        text = render(balancer, [section]).text
    except FleetError:
        return
    known = {word for line in BEFORE for word in line.split()[:1]} | {"userlist", "user", "cookie"}
    for line in text.splitlines():
        assert all(" " <= c <= "~" for c in line)
        assert not line.split() or line.split()[0] in known | set(DIRECTIVES), line


def test_the_names_of_a_file_that_lead_out_of_the_folder() -> None:
    for name in ("../../etc/shadow", "a/b", ".", "..", ".hidden", "-x"):
        section = replace(
            WEB,
            routes=(Route("http", tls=Tls(name)),),
            certificates=(replace(PEM, name=name),),
        )
        with pytest.raises(BalancerFailed):
            render(LB, [section])
    for page in ("\x00", "</html>\n" * 100):
        section = replace(WEB, balancing=Balancing(maintenance_page=page))
        assert page not in render(LB, [section]).text


BEFORE = render(replace(LB, internal="10.0.0.5"), [WEB, API]).text.splitlines()


@given(st.text(max_size=40), st.text(max_size=40), st.text(max_size=40))
def test_nor_does_any_of_a_route_or_a_name(host: str, path: str, name: str) -> None:
    expected = render(LB, [WEB]).text.count("\n")
    backend = WEB.backends[0]
    servers = (replace(backend.servers[0], instance=name), *backend.servers[1:])
    section = replace(
        WEB,
        routes=(Route("http", host, path), WEB.routes[1]),
        healthcheck=replace(WEB.healthcheck, path=path),
        backends=(replace(backend, servers=servers),),
    )
    try:
        rendered = render(LB, [section])
    except FleetError:
        return
    assert rendered.text.count("\n") == expected
    for text in (rendered.text, *(file.text for file in rendered.files)):
        assert all(c == "\n" or " " <= c <= "~" for c in text)
    assert all(len(line.split(" ")) == 2 for line in rendered.files[0].text.splitlines())


@pytest.mark.parametrize(
    "path",
    [
        *("/a/../b", "/a/./b", "/..", "/.", "//a", "/a//b", "/a%20b", "/a;b", "/a\\b", "/a b"),
        *("", "a", "/a?b", "/a#b", "/a|b", "/\n", "/" + "a" * 1024),
    ],
)
def test_a_path_that_would_never_be_found_is_refused(path: str) -> None:
    with pytest.raises(BalancerFailed):
        checks.path(path)


@pytest.mark.parametrize("host", ["*", "*.", "*example", "a.*.b", "*.*.b", "a..b", "A.b", "a.b."])
def test_a_host_that_would_never_be_found_is_refused(host: str) -> None:
    with pytest.raises(BalancerFailed):
        checks.host(host)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.0001, "1ms"), (0.2, "200ms"), (1, "1s"), (90, "90s"), (120, "2m"), (3600.0, "1h")],
)
def test_times_are_written_for_people(seconds: float, text: str) -> None:
    assert checks.duration(seconds) == text


@pytest.mark.parametrize("port", [0, -1, 65536, 99999, True, "80", 80.0])
def test_ports_are_checked_by_us(port: object) -> None:
    with pytest.raises(BalancerFailed):
        checks.port(port)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [-1, float("nan"), float("inf"), 1e9, True, "1"])
def test_times_are_bounded(seconds: object) -> None:
    with pytest.raises(BalancerFailed):
        checks.milliseconds(seconds)  # type: ignore[arg-type]


def test_the_same_is_made_once() -> None:
    """drift and plan ask for each balancer's file once for every service."""
    one = render(LB, [WEB, API])
    assert render(LB, [API, replace(WEB)]) is one
    assert render(LB, [WEB]) is not one
