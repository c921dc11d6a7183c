"""Whatever is rendered at all, HAProxy understands: and as it was meant."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from routes_bench import Serving, Teller, certificate

from fleetctl.haproxy.templates import effective
from fleetctl.model.balancing import Backend, Section, Server
from fleetctl.model.fleet import Balancer
from fleetctl.model.routing import Balancing, Internal, Rate, Route, Tls
from fleetctl.model.spec import Healthcheck

HASH = "$5$q4vX9cYt$LYxHWoftK3MySKmnAcy8qnd0ykLQ/KVse4FOkktyXxB"
VALUES = ["or", "if", "unless", "||", "!", "!!", "-f", "--", "-i x", "-m", "a 'b' c", "(", ")", "'"]
VALUES += [
    "*",
    "^",
    "&",
    "|",
    "a: b",
    "=",
    "/etc/passwd",
    "?",
    "@",
    "+",
    "~",
    ".",
    "_",
    "eq 1",
    "0",
]

service = st.from_regex(r"[a-z]([a-z0-9-]{0,38}[a-z0-9])?", fullmatch=True)
port = st.from_regex(r"[a-z]([a-z0-9-]{0,13}[a-z0-9])?", fullmatch=True)
host = st.from_regex(
    r"(\*\.)?[a-z0-9]([a-z0-9-]{0,10}[a-z0-9])?(\.[a-z0-9]{1,5}){0,3}", fullmatch=True
)
path = st.from_regex(r"(/[A-Za-z0-9._~+=:@,-]{3,9}){1,4}/?", fullmatch=True)
check = st.from_regex(r"/[A-Za-z0-9._~/+=:@,%?&-]{0,30}", fullmatch=True)
header = st.tuples(
    st.from_regex(r"[A-Za-z][A-Za-z0-9-]{0,20}", fullmatch=True),
    st.from_regex(
        r"[A-Za-z0-9._~/+=:@!?*()'&|^-][A-Za-z0-9 ._~/+=:@!?*()'&|^-]{0,30}", fullmatch=True
    ),
)
headers = st.lists(header, max_size=8, unique_by=lambda pair: pair[0].lower()).map(tuple)
user = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.@+-]{0,20}", fullmatch=True)
network = st.ip_addresses().map(lambda address: f"{address}/{address.max_prefixlen}")
rate = st.builds(Rate, st.integers(1, 1_000_000), st.floats(0.001, 86400.0))
route = st.builds(
    Route,
    st.just("main"),
    st.one_of(st.just(""), host),
    st.one_of(st.just("/"), path),
    headers,
    tls=st.sampled_from([None, Tls("main"), Tls("main", False, 3600.0)]),
    allow=st.lists(network, max_size=40).map(tuple),
    rate=st.one_of(st.none(), rate),
    users=st.dictionaries(user, st.sampled_from([HASH, "!"]), max_size=2).map(
        lambda users: tuple(users.items())
    ),
)
seconds = st.floats(0.001, 86400.0)
balancing = st.builds(
    Balancing,
    algorithm=st.sampled_from(["roundrobin", "leastconn", "source", "random", "first"]),
    sticky=st.one_of(
        st.just(""), st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True)
    ),
    maxconn=st.integers(0, 1_000_000),
    queue_timeout=seconds,
    slowstart=st.one_of(st.just(0.0), seconds),
    send_proxy=st.sampled_from(["", "v1", "v2"]),
    server_timeout=seconds,
    tunnel_timeout=seconds,
    tunnel_drain=st.floats(0.0, 86400.0),
    maintenance=st.booleans(),
    maintenance_page=st.text(max_size=200),
)


@pytest.fixture(scope="module")
def pem() -> tuple[object, bytes]:
    return certificate("main", "shop.example")


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(service, port, route, balancing, check, st.integers(0, 300))
def test_haproxy_takes_every_file(  # type: ignore[no-untyped-def]
    tmp_path: Path, pem, name, port, route, balancing, check, size
) -> None:
    made, text = pem
    serving = Serving(tmp_path, Balancer("lb1", internal="127.0.0.2"), {made.digest: text})
    servers = (Server(1, f"{name}-1-1-abcd", 1, 1, "node1", "2001:db8::1", 65535, weight=256),)
    serving.write(
        Section(
            name,
            (replace(route, port=port),),
            Healthcheck("http", port, check),
            backends=(Backend(port, size + 1, servers),),
            internal=Internal(port),
            balancing=balancing,
            certificates=(made,),
        )
    )
    said = [line for line in serving.check().splitlines() if "[NOTICE]" not in line]
    assert said == []


def test_a_header_is_compared_as_it_is_written(tmp_path: Path) -> None:
    tellers = {value: Teller(value) for value in VALUES}
    serving = Serving(tmp_path)
    try:
        sections = [
            Section(
                f"s{number}",
                (Route("main", headers=(("X-Say", value),)),),
                backends=(
                    Backend("main", 1, (Server(1, "x", 1, 1, "n", "127.0.0.1", teller.port),)),
                ),
            )
            for number, (value, teller) in enumerate(tellers.items())
        ]
        serving.serve(*sections)
        for value in VALUES:
            assert serving.get(X_Say=value).who == value
            assert serving.get(X_Say=f"{value}x").status == 404
            assert serving.get(X_Say="x").status == 404
    finally:
        serving.stop()
        for teller in tellers.values():
            teller.close()


def test_templates_of_a_project_serve(tmp_path: Path) -> None:
    """A block more in the frontend and one in the service's own backend, on a running HAProxy."""
    (tmp_path / "frontend.cfg.j2").write_text(
        '{% extends "fleetctl/frontend.cfg.j2" %}\n{% block extra %}\n'
        '{% if frontend.name == "public" %}\n'
        "    http-request return status 200 content-type text/plain string pong if { path /ping }\n"
        "{% endif %}\n{% endblock %}\n"
    )
    (tmp_path / "backend.cfg.j2").write_text(
        '{% extends "fleetctl/backend.cfg.j2" %}\n{% block extra %}\n'
        "    http-request set-header X-From {{ backend.service }}\n{% endblock %}\n"
    )
    serving = Serving(tmp_path, templates=effective(tmp_path))
    teller = Teller("web")
    try:
        backend = Backend("main", 1, (Server(1, "x", 1, 1, "n", "127.0.0.1", teller.port),))
        serving.serve(Section("web", (Route("main"),), backends=(backend,)))
        assert serving.get("/ping").body == b"pong"
        assert serving.get("/").told["headers"]["x-from"] == "web"
    finally:
        serving.stop()
        teller.close()


def test_the_check_would_notice(tmp_path: Path) -> None:
    """What the first test relies on: errors are told, and warnings."""
    serving = Serving(tmp_path)
    serving.write()
    rules = "    http-request deny\n    http-request deny\n"
    serving.config.write_text(f"{serving.config.read_text()}backend x from http\n{rules}")
    assert "[WARNING]" in serving.check()
    serving.config.write_text("global\n    nonsense\n")
    with pytest.raises(AssertionError, match="nonsense"):
        serving.check()
