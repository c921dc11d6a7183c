"""Routes, names inside and balancing: what a play comes to, and what is wrong with one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from fleetctl.config.lowering import Wanted
from fleetctl.config.project import Project
from fleetctl.config.routes import NOBODY
from fleetctl.errors import Diagnostic, InvalidFiles
from fleetctl.model.reference import Reference
from fleetctl.model.routing import Balancing, Internal, Rate, Route, Tls

Write = Callable[..., Project]
FIRST = 5
"""The line of a play's first key that a test writes."""


def wrong(project: Project) -> list[Diagnostic]:
    with pytest.raises(InvalidFiles) as caught:
        project.spec("web", {})
    return [d for d in caught.value.diagnostics if not d.warning]


def test_routes_with_everything(declared: Write) -> None:
    play = declared(
        files={"secrets.yml": "team: {env: TEAM}\n"},
        web="""\
routes:
  - host: "*.Shop.example"
    path: /admin/
    headers: {X-Version: "2", accept: "text/html"}
    port: http
    tls: {certificate: certs/shop.pem, redirect: false, hsts: 180d}
    allow: [10.0.0.0/8, 192.0.2.1, "2001:DB8::/32", 192.0.2.1/32]
    rate_limit: {requests: 100, per: 10s}
    basic_auth: {secret: team}
  - {mode: tcp, listen: 5432, port: db, allow: 10.0.0.0/8}
  - {listen: 8081, port: http}
""",
    ).play("web", {})
    headers = (("accept", "text/html"), ("x-version", "2"))
    assert play.spec is not None
    assert play.spec.routes == (
        Route(
            "http",
            "*.shop.example",
            "/admin",
            headers,
            tls=Tls("shop", redirect=False, hsts=180 * 86400.0),
            allow=("10.0.0.0/8", "192.0.2.1/32", "2001:db8::/32"),
            rate=Rate(100, 10.0),
            users=NOBODY,
        ),
        Route("db", mode="tcp", listen=5432, allow=("10.0.0.0/8",)),
        Route("http", listen=8081),
    )
    key = (0, "*.shop.example", "/admin", headers)
    assert play.wanted == (
        Wanted(key, Reference("file", ("certs/shop.pem",)), "shop", host="*.shop.example"),
        Wanted(key, Reference("secret", ("team",))),
    )
    assert [w.reference.span and w.reference.span.line for w in play.wanted] == [10, 13]


def test_balancing_and_a_name_inside(declared: Write) -> None:
    spec = declared(
        files={"pages/soon.html": "<h1>Soon</h1>\n"},
        web="""\
routes: [{port: http}]
internal: {port: db, mode: tcp, listen: 5432}
balancing:
  algorithm: leastconn
  sticky: session
  maxconn: 50
  queue_timeout: 2s
  slowstart: 10s
  send_proxy: v2
  server_timeout: 5m
  tunnel_timeout: 12h
  tunnel_drain: 10m
  maintenance: true
  maintenance_page: pages/soon.html
  snippet: |
    http-request set-header X-A b
    option httpchk
""",
    ).spec("web", {})
    assert spec.internal == Internal("db", "tcp", 5432)
    assert spec.balancing == Balancing(
        "leastconn",
        "session",
        50,
        2.0,
        10.0,
        "v2",
        300.0,
        43200.0,
        600.0,
        True,
        "<h1>Soon</h1>\n",
        "http-request set-header X-A b\noption httpchk",
    )
    assert spec.drain_limit == 600.0


@pytest.mark.parametrize(
    ("sticky", "cookie"),
    [
        ("true", "web_server"),
        ("false", ""),
        ('"{{ yes_it_is }}"', "web_server"),
        ("SESSION", "SESSION"),
    ],
)
def test_sticky(declared: Write, sticky: str, cookie: str) -> None:
    text = f"balancing: {{sticky: {sticky}}}\nvars: {{yes_it_is: true}}"
    assert declared(web=text).spec("web", {}).balancing.sticky == cookie


def test_names_inside_are_on_port_80_unless_said(declared: Write) -> None:
    spec = declared(web="internal: {port: http}").spec("web", {})
    assert spec.internal == Internal("http", "http", 80)
    assert spec.balancing == Balancing()


@pytest.mark.parametrize(
    ("written", "reference", "name"),
    [
        ("certs/shop.pem", Reference("file", ("certs/shop.pem",)), "shop"),
        ("{file: /etc/ssl/a.b.crt}", Reference("file", ("/etc/ssl/a.b.crt",)), "a.b"),
        ("{env: SHOP_PEM}", Reference("env", ("SHOP_PEM",)), "SHOP_PEM"),
        ("{secret: shop}", Reference("secret", ("shop",)), "shop"),
        (
            "{command: [pass, show, 'a b']}",
            Reference("command", ("pass", "show", "a b")),
            "command-33b2aae7",
        ),
    ],
)
def test_where_a_certificate_is(
    declared: Write, written: str, reference: Reference, name: str
) -> None:
    project = declared(
        files={"secrets.yml": "shop: certs/x.pem\n"},
        web=f"routes: [{{port: http, tls: {{certificate: {written}}}}}]",
    )
    play = project.play("web", {})
    assert play.spec
    assert play.spec.routes[0].tls == Tls(name)
    assert [(w.reference, w.certificate, w.key) for w in play.wanted] == [(reference, name, None)]


def test_a_key_beside_its_certificate_and_one_certificate_for_two_routes(declared: Write) -> None:
    one = "{certificate: {file: a.crt, key: {secret: key}}}"
    play = declared(
        files={"secrets.yml": "key: {command: [cat, key]}\n"},
        web=f"routes:\n- {{host: a.example, port: http, tls: {one}}}\n"
        f"- {{host: b.example, port: http, tls: {one}}}",
    ).play("web", {})
    assert {(w.certificate, w.key) for w in play.wanted} == {("a", Reference("secret", ("key",)))}
    assert [w.host for w in play.wanted] == ["a.example", "b.example"]


WAYS = [
    ("routes: [{port: http, host: '*.*.example'}]", "*.NAME for one label more", 31),
    ("routes: [{port: http, host: '*'}]", "no DNS name", 31),
    ("routes: [{port: http, hsot: a}]", 'did you mean "host"?', 25),
    ("routes: [{port: http, path: /a//b}]", "no //", 31),
    ("routes: [{port: http, path: /a/../b}]", "no //, .. or %", 31),
    ("routes: [{port: http, path: /%61}]", "no //, .. or %", 31),
    ("routes: [{port: http, path: /a}, {port: http, path: /a/}]", "any host /a is there twice", 36),
    (
        "routes: [{port: http, headers: {A: b}}, {port: http, headers: {a: b}}]",
        "any host /, a: b is there twice",
        43,
    ),
    ("routes: [{port: http, headers: {'A b': c}}]", "no name of a header", 35),
    ("routes: [{port: http, headers: {A: 'x\"y'}}]", "no value of a header", 38),
    ("routes: [{port: http, headers: {A: ' x'}}]", "never seen", 38),
    ("routes: [{port: http, headers: {A: 1}}]", 'put it in quotes: "1"', 38),
    ("routes: [{port: http, headers: {Host: x}}]", "write host: NAME", 35),
    ("routes: [{port: http, headers: {a: x, A: x}}]", "is there twice", 41),
    (
        f"routes: [{{port: http, headers: {{{', '.join(f'h{n}: x' for n in range(9))}}}}}]",
        "more than 8 headers",
        34,
    ),
    ("routes: [{port: http, mode: udp}]", '"udp" is none of http, tcp', 31),
    ("routes: [{port: db, mode: tcp}]", "needs a port of its own", 12),
    ("routes: [{port: db, mode: tcp, listen: 70000}]", "between 1 and 65535", 42),
    ("routes: [{port: db, mode: tcp, listen: 5432, path: /x}]", "path is of HTTP", 48),
    ("routes: [{port: db, mode: tcp, listen: 5432, host: a.b}]", "host is of HTTP", 48),
    ("routes: [{port: db, mode: tcp, listen: 5432, headers: {A: b}}]", "is of HTTP", 48),
    ("routes: [{port: db, mode: tcp, listen: 5432, basic_auth: x}]", "is of HTTP", 48),
    (
        "routes: [{port: db, mode: tcp, listen: 5432, tls: {certificate: x.pem}}]",
        "not supported with mode tcp",
        48,
    ),
    (
        "routes: [{port: http, listen: 8443, tls: {certificate: x.pem}}]",
        "on the public port (443) alone",
        39,
    ),
    ("routes: [{port: http}, {port: http, mode: tcp, listen: 99}]", "port http is http", 26),
    (
        "routes: [{port: http, listen: 99}]\ninternal: {port: http, mode: tcp, listen: 98}",
        "port http is http elsewhere, and tcp here",
        13,
    ),
    ("routes: [{port: http, allow: [10.0.0.1/8]}]", "write 10.0.0.0/8", 32),
    ("routes: [{port: http, allow: [10.0.0.0/33]}]", '"10.0.0.0/33" is no network', 32),
    ("routes: [{port: http, allow: ['fe80::1%eth0']}]", "is no network", 32),
    ("routes: [{port: http, allow: [office]}]", "write ADDRESS/BITS", 32),
    ("routes: [{port: http, rate_limit: {requests: 0, per: 1s}}]", "between 1 and", 48),
    ("routes: [{port: http, rate_limit: {requests: 5, per: 0}}]", "above 0", 56),
    ("routes: [{port: http, rate_limit: {requests: 5, per: 2d}}]", "at most 24h", 56),
    ("routes: [{port: http, rate_limit: {requests: 5}}]", '"routes[0].rate_limit.per" is', 37),
    ("routes: [{port: http, rate_limit: {requests: 5, per: 1s, pre: 2}}]", 'mean "per"?', 60),
    ("routes: [{port: http, tls: {certificate: x.pem, hsts: 1.5s}}]", "whole seconds", 57),
    ("routes: [{port: http, tls: {certificate: x.pem, hsts: 999d}}]", "at most 730d", 57),
    ("routes: [{port: http, tls: {certificate: x.pem, hsts: true}}]", "a duration", 57),
    ("routes: [{port: http, tls: {certificate: x.pem, hst: 1d}}]", 'did you mean "hsts"?', 51),
    ("routes: [{port: http, tls: {}}]", '"routes[0].tls.certificate" is missing', 30),
    ("routes: [{port: http, tls: {certificate: {}}}]", "found none of them", 44),
    (
        "routes: [{port: http, tls: {certificate: {file: a, env: B}}}]",
        "found file and env",
        44,
    ),
    ("routes: [{port: http, tls: {certificate: {fiel: a}}}]", 'did you mean "file"?', 51),
    ("routes: [{port: http, tls: {certificate: {env: 'A B'}}}]", "no name for a variable", 50),
    ("routes: [{port: http, tls: {certificate: {command: cat x}}}]", "a list of words", 54),
    ("routes: [{port: http, tls: {certificate: 'a b.pem'}}]", "name it in secrets.yml", 44),
    ("routes: [{port: http, basic_auth: {file: a, key: b}}]", 'unknown key "key"', 52),
    ("routes: [{port: http, basic_auth: 5}]", "a path or a mapping", 37),
    ("routes: [{port: http, basic_auth: {secret: taem}}]", 'no secret "taem"', 37),
    (
        "routes: [{port: http, tls: {certificate: a/x.pem}}, "
        "{port: http, path: /b, tls: {certificate: b/x.pem}}]",
        "two certificates are called x",
        97,
    ),
    ("routes: [{port: http, allow: []}]", "allow is empty, and guards nothing", 25),
    ("routes: [{port: http, basic_auth: }]", "basic_auth is empty", 25),
    ("routes: [{port: http, rate_limit: null}]", "rate_limit is empty", 25),
    ("routes: [{port: http, tls: null}]", "tls is empty", 25),
    ("internal: {port: db, mode: tcp}", "needs a port of its own", 13),
    ("internal: {port: htpt}", 'no port "htpt" under expose', 20),
    ("internal: {mode: http}", "port is missing; expose has 2 ports", 13),
    ("internal: true", "expected a mapping", 13),
    ("balancing: {algorithm: leastcon}", "is none of roundrobin, leastconn", 26),
    ("balancing: {sticky: 'a b'}", "no name for a cookie", 23),
    ("balancing: {sticky: 1}", "expected true or false", 23),
    ("balancing: {max_conn: 1}", 'did you mean "maxconn"?', 15),
    ("balancing: {maxconn: -1}", "between 0 and", 24),
    ("balancing: {queue_timeout: 0}", "queue_timeout is above 0", 30),
    ("balancing: {tunnel_timeout: 2d}", "tunnel_timeout is at most 24h", 31),
    ("balancing: {slowstart: 5}", "give its unit", 26),
    ("balancing: {send_proxy: v3}", "is none of v1, v2", 27),
    ('balancing: {snippet: "a\\u2028b"}', "control character U+2028", 24),
    ('balancing: {snippet: "a b\\nc\\td"}', "line 2 of snippet has the control character", 24),
    ("balancing: {maintenance_page: no.html}", "no.html can't be read", 33),
    ("balancing: {maintenance_page: big.html}", "at most 12288 are read", 33),
    ("balancing: {maintenance_page: odd.html}", "control character U+0007", 33),
    (
        "balancing: {sticky: true}\nroutes: [{mode: tcp, port: db, listen: 99}]",
        "there is none with mode tcp",
        23,
    ),
]


@pytest.mark.parametrize(("text", "words", "column"), WAYS)
def test_what_is_wrong_is_said_at_its_place(
    declared: Write, text: str, words: str, column: int
) -> None:
    files = {"big.html": "x" * 12289, "odd.html": "a\x07b", "secrets.yml": "team: {env: T}\n"}
    (found,) = wrong(declared(files=files, web=text))
    assert words in f"{found.message} {found.hint}"
    assert found.span
    assert found.span.file == "playbooks/web.yml"
    assert found.span.line >= FIRST
    assert found.span.column == column, found.span


def test_all_of_it_at_once(declared: Write) -> None:
    text = "\n".join(
        [
            "routes:",
            "- {port: http, allow: [x]}",
            "- {port: http, path: /b, rate_limit: {requests: 1}}",
            "internal: {prot: http}",
            "balancing: {algorithm: x}",
        ]
    )
    assert [d.span.line for d in wrong(declared(web=text)) if d.span] == [6, 7, 8, 9]


def test_a_value_in_the_place_of_its_source_is_not_repeated(declared: Write) -> None:
    pem = '"-----BEGIN PRIVATE KEY-----\\nMIIsecret\\n"'
    (found,) = wrong(declared(web=f"routes: [{{port: http, tls: {{certificate: {pem}}}}}]"))
    assert "this is a secret itself" in found.message
    assert "MIIsecret" not in found.message + found.hint


def test_first_without_maxconn_is_a_warning(declared: Write) -> None:
    found = declared(web="balancing: {algorithm: first}").diagnostics()
    assert [(d.warning, "everything to one instance" in d.message) for d in found] == [(True, True)]
    assert not declared(web="balancing: {algorithm: first, maxconn: 5}").diagnostics()


def test_templates_stand_for_any_value(declared: Write) -> None:
    spec = declared(
        web="""\
routes: [{port: "{{ p }}", listen: "{{ n }}", allow: "{{ nets }}", basic_auth: "{{ file }}"}]
balancing: {maxconn: "{{ n }}", maintenance: "{{ down }}"}
vars: {p: http, n: 99, nets: [10.0.0.0/8, 192.0.2.0/24], file: users, down: false}
"""
    ).spec("web", {})
    (route,) = spec.routes
    assert (route.port, route.listen, route.allow) == (
        "http",
        99,
        ("10.0.0.0/8", "192.0.2.0/24"),
    )
    assert (spec.balancing.maxconn, spec.balancing.maintenance) == (99, False)
