"""docs/load-balancing.md: its example is right, and it has every key and variable there is."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from secrets_issue import DAY, issue

from fleetctl.cli import main
from fleetctl.config import balancer_vars, fleet_vars, sources
from fleetctl.config.json_schema import play_schema
from fleetctl.config.schema import (
    BalancingPart,
    InternalPart,
    RatePart,
    RoutePart,
    TlsPart,
)

TEXT = (Path(__file__).parents[3] / "docs/load-balancing.md").read_text()
PLAYS, SECRETS, VARIABLES = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
INVENTORY = """\
all:
  children:
    app: {{hosts: {{n1: {{ansible_host: 192.0.2.1}}}}}}
    loadbalancers:
      hosts: {{lb1: {{ansible_host: 192.0.2.9}}}}
      vars: {0}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLEETCTL_INVENTORY", raising=False)
    for folder in ("inventories/lab", "playbooks", "certs", "pages"):
        (tmp_path / folder).mkdir(parents=True)
    hosts = INVENTORY.format(json.dumps(yaml.safe_load(VARIABLES)))
    (tmp_path / "inventories/lab/hosts.yml").write_text(hosts)
    (tmp_path / "playbooks/shop.yml").write_text(PLAYS)
    (tmp_path / "secrets.yml").write_text(SECRETS)
    (tmp_path / "pages/soon.html").write_text("<h1>Soon</h1>\n")
    now = time.time()
    one = issue("shop.example", begins=now - DAY, ends=now + 90 * DAY)
    (tmp_path / "certs/shop.pem").write_bytes(one.cert_pem + one.key_pem)
    return tmp_path


def test_the_example_is_right(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "ok: 2 services on 2 hosts\n"
    assert captured.err == ""


def test_the_json_schema_takes_the_example_and_nothing_else() -> None:
    schema, plays = play_schema(), yaml.safe_load(PLAYS)
    assert not _wrong(plays, schema, schema)
    for path, value in {
        (0, "routes", 0, "hsot"): "x",
        (0, "routes", 0, "mode"): "udp",
        (0, "routes", 0, "tls"): {"hsts": "1d"},
        (0, "routes", 0, "tls", "certificate"): {"file": "a", "env": "B"},
        (0, "routes", 2, "basic_auth"): {"file": "a", "key": "b"},
        (0, "routes", 2, "allow"): 5,
        (0, "routes", 3, "rate_limit", "requests"): 0,
        (0, "internal", "listen"): 70000,
        (0, "balancing", "algorithm"): "fastest",
        (0, "balancing", "sticky"): 1,
        (0, "balancing", "maintenance"): "soon",
    }.items():
        broken = yaml.safe_load(PLAYS)
        at = broken
        for key in path[:-1]:
            at = at[key]
        at[path[-1]] = value
        assert _wrong(broken, schema, schema), path


def test_every_key_and_variable_is_told() -> None:
    told = set(re.findall(r"[a-z_]+", TEXT))
    parts = (RoutePart, TlsPart, RatePart, InternalPart, BalancingPart)
    keys = {key for part in parts for key in part.model_fields}
    assert keys | set(balancer_vars.KEYS) | set(sources.KINDS) <= told
    assert {
        name for name in fleet_vars.KNOWN if re.search("haproxy|internal|prox|weight", name)
    } <= told


def _wrong(value: Any, schema: dict[str, Any], root: dict[str, Any]) -> bool:
    """Whether ``value`` is none of ``schema``, as far as its words are used here."""
    if "$ref" in schema:
        return _wrong(value, root["$defs"][schema["$ref"].rsplit("/", 1)[1]], root)
    fitting = [not _wrong(value, one, root) for one in schema.get("anyOf", ())]
    exact = [not _wrong(value, one, root) for one in schema.get("oneOf", ())]
    if (fitting and not any(fitting)) or (exact and sum(exact) != 1):
        return True
    if "enum" in schema and value not in schema["enum"]:
        return True
    if "type" in schema and not _of_type(value, schema["type"]):
        return True
    if isinstance(value, str) and not re.search(schema.get("pattern", ""), value):
        return True
    if isinstance(value, int) and not isinstance(value, bool):
        return not schema.get("minimum", value) <= value <= schema.get("maximum", value)
    if isinstance(value, list) and "items" in schema:
        return any(_wrong(item, schema["items"], root) for item in value)
    if not isinstance(value, dict):
        return False
    known, more = schema.get("properties", {}), schema.get("additionalProperties", {})
    if not set(schema.get("required", ())) <= set(value) or (
        more is False and set(value) - set(known)
    ):
        return True
    return any(_wrong(item, known.get(key, more or {}), root) for key, item in value.items())


def _of_type(value: Any, names: str | list[str]) -> bool:
    kinds = {"string": str, "array": list, "object": dict, "boolean": bool, "null": type(None)}
    if isinstance(names, list):
        return any(_of_type(value, name) for name in names)
    if names in ("integer", "number"):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return isinstance(value, kinds[names])
