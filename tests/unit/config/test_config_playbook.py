"""Plays: what they come to, and everything that can be wrong with one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fleetctl.config.project import Project
from fleetctl.errors import Diagnostic, InvalidFiles
from fleetctl.model.routing import Route
from fleetctl.model.spec import (
    Healthcheck,
    Logging,
    Placement,
    Port,
    Resources,
    Rollout,
    ServiceSpec,
)

Write = Callable[..., Project]
PLAY = """\
- service: web
  hosts: app
  replicas: 3
  image: registry:5000/app:1
  expose: {http: 8080}
"""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Writes playbooks by name, and an inventory of two hosts with their group_vars."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLEETCTL_INVENTORY", raising=False)
    lab = tmp_path / "inventories/lab"
    (lab / "group_vars").mkdir(parents=True)
    (tmp_path / "playbooks").mkdir()
    (lab / "hosts.yml").write_text(
        "app: {hosts: {n1: {rack: r1}, n2: {rack: r2, spare: 1}}}\n"
        "loadbalancers: {hosts: {lb1: }}\n"
    )

    def write(web: str = PLAY, *, group_vars: str = "", **more: str) -> Project:
        (lab / "group_vars/all.yml").write_text(group_vars)
        for name, text in {"web": web, **more}.items():
            (tmp_path / f"playbooks/{name}.yml").write_text(text)
        return Project.find(tmp_path, None)

    return write


def wrong(project: Project, extra: dict[str, Any] | None = None) -> list[Diagnostic]:
    with pytest.raises(InvalidFiles) as caught:
        project.spec("web", extra or {})
    return [d for d in caught.value.diagnostics if not d.warning]


def test_a_play_with_everything(write: Write) -> None:
    spec = write(
        """\
- service: web
  hosts: app:!n2
  replicas: 6
  image: "{{ registry }}/web:{{ version }}"
  command: ["/bin/web", "--port", "8080"]
  entrypoint: /sbin/init --quiet "two words"
  environment: {LOG_LEVEL: info, PORT: 8080, RATIO: 1.5, QUOTES: "a 'b' $HOME `c` # %"}
  labels: [team=shop, empty=]
  user: "1000:1000"
  working_dir: /srv
  expose: {http: 8080, metrics: 9100}
  resources: {cpus: 0.5, memory: 256M, gpus: 0}
  healthcheck:
    {http: "/healthz?full=1", port: http, interval: 500ms, retries: 5, start_period: 1m30s}
  stop_signal: QUIT
  stop_grace_period: 1m
  restart: "no"
  read_only: true
  tmpfs: /run
  cap_add: [NET_BIND_SERVICE]
  cap_drop: [ALL]
  extra_hosts: ["db:192.0.2.7", "six=2001:db8::1", "gate:host-gateway"]
  init: true
  logging: {driver: local, options: {max-size: 1m}}
  placement: {strategy: pack, spread: [zone, rack], max_per_host: 2}
  rollout:
    serial: [1, "30%", "100%"]
    max_surge: 2
    max_unavailable: 20%
    min_ready: 0
    healthy_deadline: 90s
    progress_deadline: 1h
    drain_timeout: 5s
    on_failure: pause
  routes: [{host: Shop.Example, path: /, port: http}, {path: /m, port: metrics}]
  mode: replicated
  secrets: []
  post_tasks: []
  vars: {version: "1.10"}
""",
        group_vars="registry: registry.example:5000\n",
    ).spec("web", {})
    assert spec == ServiceSpec(
        name="web",
        image="registry.example:5000/web:1.10",
        hosts="app:!n2",
        replicas=6,
        command=("/bin/web", "--port", "8080"),
        entrypoint=("/sbin/init", "--quiet", "two words"),
        environment=(
            ("LOG_LEVEL", "info"),
            ("PORT", "8080"),
            ("QUOTES", "a 'b' $HOME `c` # %"),
            ("RATIO", "1.5"),
        ),
        labels=(("empty", ""), ("team", "shop")),
        user="1000:1000",
        working_dir="/srv",
        ports=(Port("http", 8080), Port("metrics", 9100)),
        resources=Resources(0.5, 256 << 20),
        healthcheck=Healthcheck(
            "http", "http", "/healthz?full=1", (), 0.5, 0.5, retries=5, start_period=90.0
        ),
        stop_signal="SIGQUIT",
        stop_grace=60.0,
        restart="no",
        read_only=True,
        tmpfs=("/run",),
        cap_add=("NET_BIND_SERVICE",),
        cap_drop=("ALL",),
        extra_hosts=(("db", "192.0.2.7"), ("gate", "host-gateway"), ("six", "2001:db8::1")),
        init=True,
        logging=Logging("local", (("max-size", "1m"),)),
        placement=Placement("pack", ("zone", "rack"), 2),
        rollout=Rollout(
            "rolling", ("1", "30%", "100%"), "2", "20%", 0.0, 90.0, 3600.0, 5.0, "pause"
        ),
        routes=(Route("metrics", "", "/m"), Route("http", "shop.example", "/")),
    )  # fmt: skip


def test_a_play_with_little_has_the_defaults_of_the_spec(write: Write) -> None:
    spec = write("- service: web\n  image: app:1\n").spec("web", {})
    assert spec == ServiceSpec(name="web", image="app:1")


@pytest.mark.parametrize(
    ("text", "check"),
    [
        ("{tcp: http}", Healthcheck("tcp", "http")),
        ("{http: /up}", Healthcheck("http", "http", "/up")),
        ("{test: [CMD, a, b]}", Healthcheck("command", command=("a", "b"))),
        ("{test: a | b}", Healthcheck("command", command=("CMD-SHELL", "a | b"))),
        ("{test: [CMD-SHELL, a | b]}", Healthcheck("command", command=("CMD-SHELL", "a | b"))),
        ("{test: [NONE]}", Healthcheck()),
    ],
)
def test_healthchecks(write: Write, text: str, check: Healthcheck) -> None:
    assert write(f"{PLAY}  healthcheck: {text}\n").spec("web", {}).healthcheck == check


@pytest.mark.parametrize(
    ("line", "words", "column"),
    [
        ("replica: 3", 'unknown key "replica" did you mean "replicas"?', 3),
        ("frobnicate: 3", "known here: balancing", 3),
        ("rollout: {max_unavailible: 1}", 'in rollout did you mean "max_unavailable"?', 13),
        ("routes: [{pth: /}]", 'unknown key "pth" in routes[0] did you mean "path"?', 13),
        ("replicas: '3'", "found \"3\" write it without quotes", 13),
        ("replicas: -1", "-1 is not between 0", 13),
        ("replicas: 2.5", "whole number, found the number 2.5", 13),
        ("replicas: 1000000000", "not between", 13),
        ("replicas: true", "whole number, found true", 13),
        ("image: 1.5", "expected text, found the number 1.5", 10),
        ("image: app", "has no tag", 10),
        ("image: app:latest", "whatever was pushed last", 10),
        ("image: UPPER/x:1", "no image reference", 10),
        ("image: 'img@sha256:12'", "no image reference", 10),
        ("image: --privileged", "no image reference", 10),
        ("image: https://h/app:1", "no image reference", 10),
        ("command: {a: b}", "a list of words, found a mapping", 12),
        ("command: [1]", "expected text", 12),
        ("environment: {A: true}", 'in quotes: "true"', 20),
        ("environment: {A: }", "found nothing", 19),
        ("environment: {1A: x}", "no name for a variable", 17),
        ("environment: {'A=B': x}", "no name for a variable", 17),
        ("environment: {'A B': x}", "no name for a variable", 17),
        ("environment: {'': x}", "no name for a variable", 17),
        ("environment: {FLEETCTL_X: x}", "set by fleetctl", 17),
        ("environment: [A]", '"A" has no value', 17),
        ("environment: [A=1, A=2]", "there twice", 22),
        ("labels: {fleetctl.service: x}", "fleetctl.* are fleetctl's own", 12),
        ("user: 1000", 'put it in quotes: "1000"', 9),
        ("working_dir: srv", "no absolute path", 16),
        ("expose: {http: 0}", "not between 1 and 65535", 18),
        ("expose: {http: 70000}", "not between 1 and 65535", 18),
        ("expose: {http: http}", "whole number", 18),
        ("expose: {HTTP: 80}", "no port name", 12),
        ("expose: {a: 80, b: 80}", "a and b are one port", 19),
        ("resources: {memory: 512}", "give its unit", 23),
        ("resources: {memory: -1M}", "no size", 23),
        ("resources: {cpus: '0.5'}", "write it without quotes", 21),
        ("resources: {gpus: 2}", '"resources.gpus" is not supported', 15),
        ("healthcheck: {http: healthz}", "begin it with /", 23),
        ("healthcheck: {http: /, tcp: http}", "one of http, tcp and test", 16),
        ("healthcheck: {interval: 1s}", "one of http, tcp and test", 16),
        ("healthcheck: {http: /, port: admin}", 'no port "admin" under expose known: http', 32),
        ("healthcheck: {tcp: admin}", 'no port "admin"', 22),
        ("healthcheck: {http: /, timeout: 5s}", "not within interval 1s", 35),
        ("healthcheck: {http: /, interval: 5}", "a duration, found the number 5", 36),
        ("healthcheck: {test: [RUN, a]}", "[CMD, PROGRAM, ...]", 23),
        ("stop_signal: 15", "expected text", 16),
        ("stop_grace_period: 10", "give its unit", 22),
        ("restart: sometimes", "none of no, always", 12),
        ("read_only: 'true'", "expected true or false", 14),
        ("tmpfs: [run]", "no absolute path", 11),
        ("cap_add: [net_admin]", "upper case", 13),
        ("extra_hosts: {db: nowhere}", "no address", 21),
        ("placement: {strategy: random}", "none of spread, pack", 25),
        ("placement: {require: [a]}", "not supported", 15),
        ("rollout: {strategy: canary}", "not supported by this version use rolling", 23),
        ("rollout: {max_surge: 0, max_unavailable: 0}", "nothing could ever be replaced", 12),
        ("rollout: {max_unavailable: 3}", "take all of them down", 30),
        ("rollout: {max_unavailable: 100%}", "take all of them down", 30),
        ("rollout: {max_surge: 150%}", "up to 100%", 24),
        ("rollout: {serial: [0]}", "a batch of nothing", 21),
        ("rollout: {healthy_deadline: 0}", "above 0", 31),
        ("rollout: [a]", "expected a mapping, found a list", 12),
        ("routes: {path: /}", "expected a list, found a mapping", 11),
        ("routes: [{path: x}]", "begin it with /", 19),
        ("routes: [{path: '/a;b'}]", "begin it with /", 19),
        ("routes: [{port: admin}]", 'no port "admin" under expose', 19),
        ("routes: [{host: 'a.*.example'}]", "or *.NAME for one label more", 19),
        ("routes: [{host: shop.example.}]", "no dot at the end", 19),
        ("routes: [{path: /a}, {path: /a}]", "/a is there twice", 24),
        ("secrets: [x]", '"secrets" is not supported by this version', 3),
        ("volumes: ['a:/b']", '"volumes" is not supported by this version', 3),
        ("mode: global", '"mode" is not supported by this version', 3),
        ("hosts: ap", 'names no host or group of inventory lab did you mean app?', 10),
        ("hosts: app:&loadbalancers", "matches no host", 10),
        ("hosts: '~('", "bad host pattern", 10),
        ("hosts: '~['", "[ and ] come in pairs", 10),
        ("hosts: 'app[0:1]]'", "[ and ] come in pairs", 10),
        ("vars: [a]", "a mapping of names", 9),
    ],
)  # fmt: skip
def test_one_line_that_is_wrong(write: Write, line: str, words: str, column: int) -> None:
    key = line.split(":")[0]
    kept = [x for x in PLAY.splitlines() if x.split(":")[0].strip() != key]
    found = wrong(write("\n".join([*kept, f"  {line}", ""])))
    assert len(found) == 1, found
    assert words in f"{found[0].message} {found[0].hint}"
    span = found[0].span
    assert span
    assert (span.file, span.line, span.column) == ("playbooks/web.yml", len(kept) + 1, column)
    assert span.text == f"  {line}"


@pytest.mark.parametrize(
    "name",
    [
        *("web; rm -rf x", "-web", "$(id)", "`id`", "Web", "web_1", "w.b", "web-", "1web", "all"),
        *("stats", "w\u0435b", "we\u200bb", "w" * 41, "{{ x }}", ""),
    ],
)
def test_names_that_no_service_may_have(write: Write, name: str) -> None:
    (found,) = wrong(write(f"- service: {name!r}\n  image: app:1\n".replace("'", '"')))
    assert "service" in found.message
    assert found.message.isascii()
    if name == "w\u0435b":
        assert "<U+0435>" in found.message


@pytest.mark.parametrize("name", ["w", "web-1", "a" * 40])
def test_names_that_services_may_have(write: Write, name: str) -> None:
    assert write(f"- service: {name}\n  image: app:1\n").spec(name, {}).name == name


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is empty"),
        ("# nothing\n", "is empty"),
        ("service: web\n", "is no list"),
        ("- web\n", "no play"),
        ("- image: app:1\n", '"service" is missing'),
        ("- service: web\n", '"image" is missing from the play of web'),
    ],
)
def test_files_that_are_no_playbook(write: Write, text: str, words: str) -> None:
    found = wrong(write(text))
    assert words in found[0].message


def test_a_value_that_is_too_long(write: Write) -> None:
    (found,) = wrong(write(f"{PLAY}  environment: {{A: {'x' * 200_000}}}\n"))
    assert "over 128 KiB" in found.message
    assert found.span
    assert len(found.span.text) < 1000


def test_all_mistakes_of_all_files_at_once_in_their_order(write: Write) -> None:
    found = wrong(
        write(
            PLAY.replace("replicas: 3", "replicas: 010") + "  image: twice\n  foo: NO\n",
            a="- service: a\n  image: 3\n  imgae: x\n",
            b="- service: [\n",
        )
    )
    assert [(d.span.file, d.span.line, d.id) for d in found if d.span] == [
        ("playbooks/a.yml", 2, "bad-value"),
        ("playbooks/a.yml", 3, "unknown-key"),
        ("playbooks/b.yml", 2, "bad-yaml"),
        ("playbooks/web.yml", 3, "ambiguous-value"),
        ("playbooks/web.yml", 6, "duplicate-key"),
        ("playbooks/web.yml", 7, "unknown-key"),
        ("playbooks/web.yml", 7, "ambiguous-value"),
    ]


def test_a_service_declared_twice_names_the_other_place(write: Write) -> None:
    (found,) = wrong(write(other=PLAY))
    assert "playbooks/other.yml:1:12" in found.message
    assert found.span
    assert found.span.file == "playbooks/web.yml"


def test_a_route_of_two_services_names_the_other_place(write: Write) -> None:
    web = PLAY + "  routes: [{host: a.example}, {path: /x}]\n"
    other = web.replace("service: web", "service: other").replace("a.example", "b.example")
    (found,) = wrong(write(web, other=other))
    assert "other" in found.message
    assert "playbooks/other.yml:6" in found.message
    assert "any host /x" in found.message
    alone = other.replace("/x", "/y")
    assert write(web, other=alone).spec("web", {}).name == "web"


def test_variables_win_in_their_order(write: Write) -> None:
    text = (
        "- {service: web, image: 'r/a:{{ a }}-{{ b }}-{{ c }}-{{ d }}', vars: {b: play, c: play}}"
    )
    project = write(text, group_vars="{a: inv, b: inv, c: inv, d: '{{ a }}.{{ c }}'}")
    assert project.spec("web", {"c": "cli"}).image == "r/a:inv-play-cli-inv.cli"


def test_numbers_and_truths_of_templates_are_read_by_their_field(write: Write) -> None:
    text = PLAY.replace("3", "'{{ n }}'").replace("8080", "'{{ port }}'")
    text += (
        "  read_only: '{{ n > 2 }}'\n  resources: {cpus: '{{ n / 2 }}', memory: '{{ n }}G'}\n"
        "  rollout: {max_surge: '{{ n }}', serial: ['{{ n }}']}\n"
        "  environment: '{{ common }}'\n  vars: {common: {A: 'x{{ n }}', B: '{{ port }}'}}\n"
    )
    spec = write(text, group_vars="{n: 3, port: 80}").spec("web", {})
    assert (spec.replicas, spec.ports, spec.read_only) == (3, (Port("http", 80),), True)
    assert spec.resources == Resources(1.5, 3 << 30)
    assert (spec.rollout.max_surge, spec.rollout.serial) == ("3", ("3",))
    assert spec.environment == (("A", "x3"), ("B", "80"))
    (found,) = wrong(write(PLAY.replace("3", "'{{ n }}'"), group_vars="n: many\n"))
    assert 'whole number, found "many"' in found.message


@pytest.mark.parametrize(
    ("template", "group_vars", "words"),
    [
        ("{{ verison }}", "version: 1", 'did you mean "version"?'),
        ("{{ version }}", "", "-e version=VALUE"),
        ("{{ version.minor }}", "version: {major: 1}", "minor"),
        ("{{ rack }}", "", "different values for n1 and n2"),
        ("{{ spare }}", "", "1 of 2 hosts only"),
        ("{{ inventory_hostname }}", "", "differs from host to host"),
        ("{{ version }}", "version: 1.10", "written as 1.10 is read as the number 1.1"),
        ("{{ version }}", "version: 010", "written as 010 is read as the number 8"),
        ("{{ version }}", "version:", "null"),
        ("{{ a }}", "{a: '{{ b }}', b: '{{ a }}'}", "circle: a -> b -> a"),
        ("{{ a", "", "end of"),
        ("{{ ''.__class__.__mro__ }}", "", "unsafe"),
        ("{{ 1 / 0 }}", "", "ZeroDivisionError"),
        ("{{ [].append(1) }}", "", "unsafe"),
        ("{{ 'a' * 10 ** 10 }}", "", "over 1000000 items"),
        ("{{ 2000000 * [1] }}", "", "over 1000000 items"),
        ("{{ 10 ** 10000000 }}", "", "over 1000000 items"),
        ("{{ 2 * 'a' + 3 ** 2 * 2 }}", "", "TypeError"),
    ],
)
def test_templates_that_give_nothing(
    write: Write, template: str, group_vars: str, words: str
) -> None:
    text = f'- service: web\n  hosts: app\n  image: "app:{template}"\n'
    (found,) = wrong(write(text, group_vars=group_vars + "\n"))
    assert words in f"{found.message} {found.hint}"
    assert found.span
    assert (found.span.line, found.span.column) == (3, 10)


def test_what_is_evaluated_is_not_evaluated_again(write: Write) -> None:
    text = PLAY + "  environment: {A: '{{ a }}', B: '{{ b }}'}\n"
    project = write(text, group_vars="a: !unsafe '{{ x }}'\n")
    spec = project.spec("web", {"b": "{{ 7 * 7 }}"})
    assert dict(spec.environment) == {"A": "{{ x }}", "B": "{{ 7 * 7 }}"}


def test_variables_that_only_others_lack_stop_nothing(write: Write) -> None:
    project = write(
        other="- service: other\n  image: 'app:{{ missing }}'\n  replicas: '{{ no }}'\n"
    )
    assert project.spec("web", {}).name == "web"
    assert [d.id for d in project.diagnostics({})] == ["undefined-variable"] * 2
    assert project.diagnostics({"missing": "1", "no": "2"}) == ()
    with pytest.raises(InvalidFiles):
        project.spec("other", {})


def test_two_names_of_one_machine_are_refused_where_a_service_would_use_both(
    write: Write, tmp_path: Path
) -> None:
    project = write()
    (tmp_path / "inventories/lab/hosts.yml").write_text(
        "app: {hosts: {n1: {ansible_host: 192.0.2.1}, n2: {ansible_host: 192.0.2.1}}}\n"
    )
    (found,) = wrong(project)
    assert "n1 and n2 are one machine" in found.message
    assert found.span
    assert found.span.text == "  hosts: app"
    narrower = write(PLAY.replace("hosts: app", "hosts: n1"))
    assert narrower.spec("web", {}).hosts == "n1"


def test_wrong_variables_of_hosts_are_told_with_the_mistakes_of_plays(write: Write) -> None:
    found = wrong(write(PLAY.replace("replicas", "replica"), group_vars="fleetctl_x: 1\n"))
    assert [d.id for d in found] == ["fleetctl-variable", "unknown-key"]
