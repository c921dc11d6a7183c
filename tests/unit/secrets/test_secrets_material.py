"""What a deploy takes along: users, certificates, templates, names; and what check says."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from secrets_issue import DAY, issue

from fleetctl.cli import main
from fleetctl.cli.context import Context
from fleetctl.cli.wishes import Wishes
from fleetctl.errors import Diagnostic, InvalidFiles
from fleetctl.haproxy.templates import built_in
from fleetctl.model.events import Event, Note
from fleetctl.model.secret import Secret

HASH = f"$6$saltsalt${'x' * 86}"
HOSTS = """\
app: {hosts: {n1: {ansible_host: 192.0.2.1}}}
loadbalancers: {hosts: {lb1: {ansible_host: 192.0.2.9, fleetctl_internal_address: 10.0.0.9}}}
"""
WEB = """\
- service: web
  image: registry:5000/app:1
  hosts: app
  expose: {http: 8080}
  internal: {port: http}
  routes:
    - {host: shop.example, port: http, tls: {certificate: certs/shop.pem}}
    - {host: www.shop.example, port: http, tls: {certificate: certs/shop.pem}}
    - {host: api.example, port: http, tls: {certificate: {secret: api, key: {env: API_KEY}}}}
    - {path: /admin, port: http, basic_auth: {secret: team}}
- service: plain
  image: registry:5000/app:1
  hosts: app
"""
SECRETS = "team: {command: [cat, team]}\napi: certs/api.crt\n"
Check = Callable[..., list[dict[str, object]]]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLEETCTL_INVENTORY", raising=False)
    for folder in ("inventories/lab", "playbooks", "certs"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "inventories/lab/hosts.yml").write_text(HOSTS)
    (tmp_path / "playbooks/shop.yml").write_text(WEB)
    (tmp_path / "secrets.yml").write_text(SECRETS)
    (tmp_path / "team").write_text(f"ana:{HASH}\n")
    now = time.time()
    shop = issue("shop.example", "*.shop.example", begins=now - DAY, ends=now + 90 * DAY)
    api = issue("api.example", begins=now - DAY, ends=now + 90 * DAY)
    (tmp_path / "certs/shop.pem").write_bytes(shop.cert_pem + shop.key_pem)
    (tmp_path / "certs/api.crt").write_bytes(api.cert_pem)
    monkeypatch.setenv("API_KEY", api.key_pem.decode())
    return tmp_path


@pytest.fixture
def check(capsys: pytest.CaptureFixture[str]) -> Check:
    """The diagnostics that fleetctl check gives."""

    def run(*, ok: bool = False) -> list[dict[str, object]]:
        assert main(["check", "--json"]) == (0 if ok else 3)
        found: list[dict[str, object]] = json.loads(capsys.readouterr().out)["diagnostics"]
        return found

    return run


def context() -> Context:
    return Context(Wishes(), "deploy")


def wrong() -> list[Diagnostic]:
    with pytest.raises(InvalidFiles) as caught:
        context().prepared(["web"])
    return list(caught.value.diagnostics)


def test_a_service_with_all_that_it_takes(project: Path) -> None:
    (web,) = context().prepared(["web"])
    users = {route.path: route.users for route in web.spec.routes}
    assert users == {"/": (), "/admin": (("ana", HASH),)}
    names = [(c.name, c.names) for c in web.material.certificates]
    assert names == [("api", ("api.example",)), ("shop", ("*.shop.example", "shop.example"))]
    assert set(web.material.pems) == {c.digest for c in web.material.certificates}
    assert all(isinstance(pem, Secret) for pem in web.material.pems.values())
    assert web.material.names == ("web",)
    assert dict(built_in()).items() <= dict(web.material.templates).items()


def test_each_service_has_its_own(project: Path) -> None:
    web, plain = context().prepared(["playbooks/shop.yml"])
    assert (web.spec.name, plain.spec.name) == ("web", "plain")
    assert plain.material.certificates == ()
    assert (plain.material.pems, plain.material.names) == ({}, ("web",))


def test_a_playbook_elsewhere_names_its_services_too(project: Path) -> None:
    text = "- {service: db, image: 'db:1', expose: {sql: 1}, internal: {mode: tcp, listen: 1}}\n"
    (project / "elsewhere.yml").write_text(text)
    (db,) = context().prepared(["elsewhere.yml"])
    assert db.material.names == ("db", "web")


def test_templates_of_the_project_come_before_the_built_in(project: Path) -> None:
    folder = project / "templates/haproxy"
    folder.mkdir(parents=True)
    (folder / "haproxy.cfg.j2").write_text("{% include 'fleetctl/haproxy.cfg.j2' %}# ours\n")
    (web,) = context().prepared(["web"])
    templates = dict(web.material.templates)
    assert templates["haproxy.cfg.j2"].endswith("# ours\n")
    assert templates["fleetctl/haproxy.cfg.j2"] == dict(built_in())["haproxy.cfg.j2"]


def test_check_runs_no_command_and_needs_no_variable(
    project: Path, check: Check, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("API_KEY")
    (project / "secrets.yml").write_text("team: {command: [touch, ran]}\napi: certs/api.crt\n")
    assert check(ok=True) == []
    assert not (project / "ran").exists()
    (users, key) = sorted(wrong(), key=lambda d: d.message)
    assert "command touch is empty" in users.message
    assert "variable API_KEY is not set" in key.message
    assert (project / "ran").exists()


def test_all_that_is_wrong_with_secrets_at_once(project: Path, check: Check) -> None:
    text = WEB.replace("{secret: team}", "team").replace("host: www.", "host: www.sub.")
    (project / "playbooks/shop.yml").write_text(text)
    (project / "team").write_text("ana:open sesame\n")
    (project / "certs/api.crt").unlink()
    places = {
        ("bad-certificate", 8, "for *.shop.example, shop.example, not for www.sub.shop.example"),
        ("secret-missing", 9, "file certs/api.crt does not exist"),
        ("bad-users", 10, "line 1 has no hash of crypt"),
    }
    found = check()
    assert {(d["id"], d["line"]) for d in found} == {(id, line) for id, line, _ in places}
    for id, line, words in places:
        assert [words in str(d["message"]) for d in found if d["id"] == id] == [True], line
    assert "open sesame" not in json.dumps(found)
    assert [(d.id, d.span and d.span.line) for d in wrong()] == [
        (d["id"], d["line"]) for d in found
    ]


def test_a_certificate_that_ends_soon_is_told_once_and_stops_nothing(
    project: Path, check: Check
) -> None:
    now = time.time()
    shop = issue("shop.example", "www.shop.example", begins=now - DAY, ends=now + 3.5 * DAY)
    (project / "certs/shop.pem").write_bytes(shop.cert_pem + shop.key_pem)
    (warning,) = check(ok=True)
    assert (warning["severity"], warning["line"]) == ("warning", 7)
    assert "it expires in 3 days" in str(warning["message"])
    told: list[Event] = []
    given = context()
    assert given.prepared(["web"])
    given.tell_warnings(told.append)
    (note,) = told
    assert isinstance(note, Note)
    assert (note.level, "expires in 3 days" in note.text) == ("warning", True)


def test_until_users_are_read_nobody_gets_in(project: Path) -> None:
    (spec,) = context().specs(["web"])
    (route,) = [route for route in spec.routes if route.path == "/admin"]
    assert route.users
    assert not any(hashed.startswith("$") for _, hashed in route.users)


@pytest.mark.parametrize(
    ("snippet", "words"),
    [
        ("server x 192.0.2.1:80", "line 1 of its snippet begins with 'server'"),
        ("option httpchk\n    frontend x", "line 2 of its snippet begins with 'frontend'"),
    ],
)
def test_lines_that_are_not_for_a_snippet(
    project: Path, check: Check, snippet: str, words: str
) -> None:
    lines = "".join(f"      {line}\n" for line in snippet.splitlines())
    text = WEB.split("- service: plain")[0] + f"  balancing:\n    snippet: |\n{lines}"
    (project / "playbooks/shop.yml").write_text(text)
    (found,) = check()
    assert words in str(found["message"])
    assert found["line"] == 12


def test_a_template_that_is_none(project: Path, check: Check) -> None:
    folder = project / "templates/haproxy"
    folder.mkdir(parents=True)
    (folder / "haproxy.cfg.j2").write_text("{% if %}\n")
    (found,) = check()
    assert found["id"] == "bad-template"
    assert [one.id for one in wrong()] == ["bad-template"]
