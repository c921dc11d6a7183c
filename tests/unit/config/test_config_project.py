"""Which files belong together, what -e says, and the commands that only read files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fleetctl.cli import main
from fleetctl.config.json_schema import play_schema
from fleetctl.config.project import Project
from fleetctl.config.schema import Play
from fleetctl.config.variables import extra_vars
from fleetctl.errors import InvalidFiles, Usage

ROOT = Path(__file__).parents[3]
PLAY = "- {{service: {0}, image: 'app:1', hosts: app, expose: {{http: 8080}}}}\n"
HOSTS = "app: {hosts: {n1: {ansible_host: 192.0.2.1}}}\n"


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLEETCTL_INVENTORY", raising=False)
    (tmp_path / "playbooks").mkdir()
    for name in ("web", "api"):
        (tmp_path / f"playbooks/{name}.yml").write_text(PLAY.format(name))
    add_inventory(tmp_path, "lab")
    return tmp_path


def add_inventory(root: Path, name: str) -> Path:
    folder = root / "inventories" / name
    folder.mkdir(parents=True)
    (folder / "hosts.yml").write_text(HOSTS)
    return folder


def test_the_project_is_found_from_below(tree: Path) -> None:
    below = tree / "playbooks/deep"
    below.mkdir()
    project = Project.find(below, None)
    assert (project.root, project.inventory.name) == (tree, "lab")
    assert project.services() == ("api", "web")


def test_which_inventory(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = add_inventory(tree / "else", "other")
    add_inventory(tree, "prod")
    with pytest.raises(Usage, match="lab, prod"):
        Project.find(tree, None)
    assert Project.find(tree, "prod").inventory.name == "prod"
    assert Project.find(tree, str(elsewhere)).inventory.name == "other"
    assert Project.find(tree, "else/inventories/other/hosts.yml").inventory.name == "other"
    assert Project.find(tree, "inventories/lab").inventory.root == tree
    monkeypatch.setenv("FLEETCTL_INVENTORY", "lab")
    assert Project.find(tree, None).inventory.name == "lab"
    assert Project.find(tree, "prod").inventory.name == "prod"
    with pytest.raises(InvalidFiles) as caught:
        _ = Project.find(tree, "nowhere").inventory
    assert "below inventories/" in caught.value.diagnostics[0].hint


def test_no_inventory_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FLEETCTL_INVENTORY", raising=False)
    with pytest.raises(Usage, match="no inventory"):
        Project.find(tmp_path, None)


def test_a_folder_behind_a_link_keeps_the_name_of_the_link(tree: Path, tmp_path: Path) -> None:
    real = add_inventory(tmp_path / "else", "real")
    (tree / "inventories/linked").symlink_to(real)
    fleet = Project.find(tree, "linked").inventory.fleet()
    assert (fleet.name, fleet.journal) == ("linked", str(tree / ".fleetctl/linked.db"))


def test_a_path_means_all_its_plays(tree: Path) -> None:
    project = Project.find(tree, None)
    (tree / "elsewhere.yml").write_text(PLAY.format("c") + PLAY.format("a"))
    assert [p.play.service for p in project.plays_in(Path("playbooks/web.yml"), {})] == ["web"]
    assert [p.play.service for p in project.plays_in(Path("elsewhere.yml"), {})] == ["c", "a"]
    with pytest.raises(InvalidFiles):
        project.plays_in(Path("missing.yml"), {})


def test_an_unknown_service_names_a_near_one(tree: Path) -> None:
    with pytest.raises(InvalidFiles) as caught:
        Project.find(tree, None).spec("wbe", {})
    (found,) = caught.value.diagnostics
    assert (found.id, found.hint) == ("unknown-service", 'did you mean "web"?')


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (["a=1", "b=x=y"], {"a": "1", "b": "x=y"}),
        (["a=1 b='two words'"], {"a": "1", "b": "two words"}),
        (["a=1", "a=2"], {"a": "2"}),
        (["a="], {"a": ""}),
        (['{"a": 1, "b": [true]}'], {"a": 1, "b": [True]}),
        (["@vars.yml", "b=3"], {"a": "1.10", "b": "3"}),
        (["@vars.json"], {"a": {"b": None}}),
    ],
)
def test_extra_variables(tree: Path, given: list[str], found: dict[str, Any]) -> None:
    (tree / "vars.yml").write_text('a: "1.10"\nb: 2\n')
    (tree / "vars.json").write_text('{"a": {"b": null}}')
    assert extra_vars(given) == found


@pytest.mark.parametrize("given", ["novalue", "a-b=1", "=1", "1a=2", "a='"])
def test_extra_variables_that_are_none(given: str) -> None:
    with pytest.raises(Usage):
        extra_vars([given])


@pytest.mark.parametrize("text", ["a: 1.10\n", "- a\n", "a: [\n", "a: 1\na: 2\n"])
def test_extra_variables_of_a_bad_file(tree: Path, text: str) -> None:
    (tree / "vars.yml").write_text(text)
    with pytest.raises(InvalidFiles):
        extra_vars(["@vars.yml"])


def ended(capsys: pytest.CaptureFixture[str], *args: str) -> tuple[int, str, str]:
    code = main(list(args))
    out, err = capsys.readouterr()
    return code, out, err


def test_check(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ended(capsys, "check") == (0, "ok: 2 services on 1 host\n", "")
    (tree / "playbooks/api.yml").write_text(PLAY.format("api").replace("hosts", "hsots"))
    code, out, err = ended(capsys, "check")
    assert (code, out) == (3, "")
    assert "playbooks/api.yml:1:" in err
    assert 'unknown key "hsots"' in err
    assert "1 error" in err
    code, out, _ = ended(capsys, "check", "--json")
    document = json.loads(out)
    assert (code, document["schema"], document["ok"]) == (3, "fleetctl.check/1", False)
    assert document["diagnostics"][0]["line"] == 1


def test_check_tells_mistakes_of_inventory_and_plays_together(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tree / "inventories/lab/hosts.yml").write_text(HOSTS.replace("192.0.2.1", "n1, fleetctl_x: 1"))
    (tree / "playbooks/api.yml").write_text("- {service: api}\n")
    code, _, err = ended(capsys, "check")
    assert code == 3
    assert "fleetctl_x" in err
    assert '"image" is missing' in err


def test_a_route_without_a_balancer_is_a_warning(
    tree: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = PLAY.format("api").replace("}}\n", "}, routes: [{path: /}]}\n")
    (tree / "playbooks/api.yml").write_text(text)
    code, _, err = ended(capsys, "check")
    assert code == 0
    assert "warning[no-balancer]" in err


def test_hosts_list(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ended(capsys, "hosts", "list", "--json")
    assert (code, json.loads(out)) == (
        0,
        {
            "schema": "fleetctl.hosts/1",
            "hosts": [
                {
                    "name": "n1",
                    "address": "192.0.2.1",
                    "groups": ["app"],
                    "vars": {"ansible_host": "192.0.2.1"},
                }
            ],
        },
    )
    code, out, _ = ended(capsys, "hosts", "list", "-l", "n1")
    assert (code, out.splitlines()[1].split()) == (0, ["n1", "192.0.2.1", "app"])
    code, _, err = ended(capsys, "hosts", "list", "-l", "n2")
    assert code != 0
    assert "n2" in err


def test_config_show(tree: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ended(capsys, "config", "show", "web", "--json")
    document = json.loads(out)
    assert (code, document["schema"]) == (0, "fleetctl.config/1")
    assert [s["name"] for s in document["services"]] == ["web"]
    code, out, _ = ended(capsys, "config", "show")
    assert (code, out.count("image: app:1")) == (0, 2)


def test_the_schema_is_of_the_plays_that_are_read(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ended(capsys, "schema")
    document = json.loads(out)
    assert (code, document) == (0, play_schema())
    play = document["$defs"]["Play"]
    assert set(play["properties"]) == set(Play.model_fields)
    assert play["additionalProperties"] is False
    assert play["required"] == ["service", "image"]
    template = {"type": "string", "pattern": r"\{[{%]"}
    assert template in play["properties"]["replicas"]["anyOf"]


def test_the_examples_of_the_repository_are_right(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    assert ended(capsys, "check", "-i", "example")[0] == 0
    spec = Project.find(ROOT, "example").spec("web", {"version": "2", "patience": "8s"})
    assert (spec.image, spec.rollout.healthy_deadline) == ("registry:5000/app:2", 8.0)


def test_an_inventory_needs_no_pydantic_and_no_ssh() -> None:
    code = (
        "import sys, fleetctl.config.inventory\n"
        "print([m for m in ('pydantic', 'paramiko', 'fabric', 'docker') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_the_example_is_no_second_inventory(tree: Path) -> None:
    add_inventory(tree, "example")
    assert Project.find(tree, None).inventory.name == "lab"
