"""What two plays, or a play and the balancers, can't both have; secrets.yml."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fleetctl.config.project import Project
from fleetctl.errors import Diagnostic, InvalidFiles
from fleetctl.model.reference import Reference

Write = Callable[..., Project]
BALANCERS = (
    "app: {{hosts: {{n1: {{ansible_host: 192.0.2.1}}}}}}\nloadbalancers: {{hosts: {{{0}}}}}\n"
)


def wrong(project: Project, service: str = "web") -> list[Diagnostic]:
    with pytest.raises(InvalidFiles) as caught:
        project.spec(service, {})
    return [d for d in caught.value.diagnostics if not d.warning]


@pytest.mark.parametrize(
    ("api", "web", "words"),
    [
        (
            "routes: [{port: http, path: /a}]",
            "routes: [{port: http}, {port: http, path: /a/}]",
            "route any host /a is api's too, at playbooks/api.yml:5:12",
        ),
        (
            "routes: [{port: http, host: A.example}]",
            "routes: [{port: http, host: a.EXAMPLE}]",
            "route a.example/ is api's too",
        ),
        (
            "routes: [{port: http, headers: {A: x}}]",
            "routes: [{port: http, headers: {a: x}}]",
            "route any host /, a: x is api's too",
        ),
        (
            "routes: [{port: db, mode: tcp, listen: 99}]",
            "routes: [{port: db, mode: tcp, listen: 99}]",
            "route port 99 is api's too",
        ),
        (
            "routes: [{port: db, mode: tcp, listen: 99}]",
            "routes: [{port: http, listen: 99, path: /a}]",
            "port 99 is tcp of api, at playbooks/api.yml:5:12",
        ),
        (
            "internal: {port: db, mode: tcp, listen: 99}",
            "internal: {port: db, mode: tcp, listen: 99}",
            "internal: port 99 is api's too, at playbooks/api.yml:5:3",
        ),
        (
            "internal: {port: http}",
            "internal: {port: db, mode: tcp, listen: 80}",
            "internal: port 80 is api's too",
        ),
    ],
)
def test_two_services_want_one_way_in(declared: Write, api: str, web: str, words: str) -> None:
    (found,) = wrong(declared(api=api, web=web))
    assert words in found.message
    assert found.span
    assert (found.id, found.span.file, found.span.line) == ("same-route", "playbooks/web.yml", 5)
    assert found.hint


@pytest.mark.parametrize(
    ("api", "web"),
    [
        ("routes: [{port: http}]", "routes: [{port: http, headers: {A: x}}]"),
        ("routes: [{port: http}]", "routes: [{port: http, listen: 99}]"),
        ("routes: [{port: http, listen: 99}]", "routes: [{port: http, listen: 99, path: /a}]"),
        ("routes: [{port: db, mode: tcp, listen: 98}]", "routes: [{port: http, listen: 99}]"),
        ("internal: {port: http}", "internal: {port: http}"),
        ("internal: {port: http}", "internal: {port: db, mode: tcp, listen: 5432}"),
    ],
)
def test_ways_in_that_can_be_told_apart(declared: Write, api: str, web: str) -> None:
    assert not declared(api=api, web=web).diagnostics()


@pytest.mark.parametrize(
    ("lb1", "web", "words"),
    [
        ("", "routes: [{port: http, listen: 80}]", "80 is taken: lb1 has *:80"),
        ("", "routes: [{port: db, mode: tcp, listen: 443}]", "lb1 has *:443"),
        (
            "fleetctl_haproxy: {http: '192.0.2.8:8080', stats: '127.0.0.1:8404'}",
            "routes: [{port: db, mode: tcp, listen: 8404}]",
            "lb1 has 127.0.0.1:8404",
        ),
        ("", "internal: {port: http}", "no balancer of inventory lab has an address inside"),
        (
            "fleetctl_internal_address: 192.0.2.8, fleetctl_haproxy: {http: 8080}",
            "internal: {port: http, listen: 443}",
            "public requests to 192.0.2.8:443 of lb1 would get there, as *:443 is public",
        ),
        (
            "fleetctl_internal_address: 192.0.2.8, fleetctl_haproxy: {http: 8080}",
            "routes: [{port: http, listen: 99}]\ninternal: {port: db, mode: tcp, listen: 99}",
            "as *:99 is public",
        ),
    ],
)
def test_ports_and_addresses_of_balancers(declared: Write, lb1: str, web: str, words: str) -> None:
    extra = f", {lb1}" if lb1 else ""
    hosts = BALANCERS.format(f"lb1: {{ansible_host: 192.0.2.8{extra}}}")
    (found,) = wrong(declared(hosts, web=web))
    assert words in found.message
    assert found.span
    assert found.span.file == "playbooks/web.yml"


def test_a_name_inside_may_have_a_public_port_at_another_address(declared: Write) -> None:
    web = "routes: [{port: db, mode: tcp, listen: 99}]\ninternal: {port: db, mode: tcp, listen: 99}"
    assert not declared(web=web).diagnostics()


def test_names_inside_with_a_haproxy_on_every_host(declared: Write) -> None:
    every = "app: {hosts: {n1: {ansible_host: 192.0.2.1}}}\n"
    every += "all: {vars: {fleetctl_internal: every_host}}\n"
    assert not declared(every, web="internal: {port: http}").diagnostics()
    (found,) = wrong(declared(every, web="internal: {port: db, mode: tcp, listen: 20000}"))
    assert "20000-29999, which instances on n1 have" in found.message
    (warning,) = declared(every, web="routes: [{port: http}]").diagnostics()
    assert warning.id == "no-balancer"


def test_which_plays_have_a_name_inside(declared: Write) -> None:
    project = declared(
        web="internal: {}", api="internal: ", db="internal: {port: '{{ nobody_sets_it }}'}"
    )
    assert project.names_inside() == ("db", "web")


def test_secrets_yml(declared: Write) -> None:
    text = "a: certs/a.pem\nb: {env: B}\nc: {command: [pass, show, c]}\nd: {file: x}\n"
    project = declared(files={"secrets.yml": text})
    assert dict(project.secrets) == {
        "a": Reference("file", ("certs/a.pem",)),
        "b": Reference("env", ("B",)),
        "c": Reference("command", ("pass", "show", "c")),
        "d": Reference("file", ("x",)),
    }
    assert project.secrets["b"].span
    assert str(project.secrets["b"].span) == "secrets.yml:2:4"
    assert not project.diagnostics()


@pytest.mark.parametrize(
    ("text", "words", "place"),
    [
        ("- a\n", "is a mapping of names", "1:1"),
        ("a: {secret: b}\n", 'unknown key "secret"', "1:5"),
        ("a: {evn: B}\n", 'did you mean "env"?', "1:5"),
        ("a: 5\n", "expected a path or a mapping", "1:4"),
        ("ok: {env: A}\na b: {env: A}\n", "no name for a secret", "2:1"),
        ("a: '{{ x }}'\n", "templates are for plays", "1:4"),
        ("a: {env: A}\na: {env: B}\n", "duplicate key", "2:1"),
        ("a: {command: []}\n", "a list of words", "1:5"),
        ("a: [\n", "not valid YAML", "2:1"),
        ("a: no\n", "is read as false", "1:4"),
    ],
)
def test_what_is_wrong_with_secrets_yml(declared: Write, text: str, words: str, place: str) -> None:
    project = declared(files={"secrets.yml": text}, web="")
    (found,) = wrong(project)
    assert words in f"{found.message} {found.hint}"
    assert str(found.span) == f"secrets.yml:{place}"


def test_a_secret_that_is_not_defined(declared: Write, tmp_path: Path) -> None:
    web = "routes: [{port: http, tls: {certificate: {secret: shpo, key: {secret: kye}}}}]"
    project = declared(files={"secrets.yml": "shop: {env: A}\nkey: {env: B}\n"}, web=web)
    first, second = wrong(project)
    assert (first.message, first.hint) == (
        'secrets.yml defines no secret "shpo"',
        'did you mean "shop"?',
    )
    assert second.hint == 'did you mean "key"?'
    (tmp_path / "secrets.yml").unlink()
    assert wrong(declared(web=web))[0].hint == "define it in secrets.yml"
