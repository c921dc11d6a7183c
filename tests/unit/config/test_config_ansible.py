"""The yardstick: what ansible-inventory --list and ansible --list-hosts say of the same files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from fleetctl.config.inventory import Inventory, load_inventory

FOLDER = Path(__file__).parent / "inventories"
NAMES = ("classic", "quirks", "several", "shop")


def expected(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text())
    return found


def members(listed: dict[str, Any], group: str) -> set[str]:
    body = listed.get(group, {})
    below = (members(listed, child) for child in body.get("children", ()))
    return set(body.get("hosts", ())).union(*below)


@pytest.mark.parametrize("name", NAMES)
def test_groups_are_the_same(name: str) -> None:
    listed = expected(name)["list"]
    inventory = load_inventory(FOLDER / name)
    groups = set(inventory.groups) | (set(listed) - {"_meta"})
    assert {g: set(inventory.groups.get(g, ())) for g in groups} == {
        g: members(listed, g) for g in groups
    }


@pytest.mark.parametrize("name", NAMES)
def test_variables_are_the_same(name: str) -> None:
    listed = expected(name)["list"]
    hosts = {host.name: host for host in load_inventory(FOLDER / name).hosts()}
    assert set(hosts) == members(listed, "all")
    for host, listing in hosts.items():
        wanted = listed["_meta"]["hostvars"].get(host, {})
        assert json.loads(json.dumps(listing.vars)) == wanted, host


@pytest.mark.parametrize(
    ("name", "pattern"), [(n, p) for n in NAMES for p in expected(n)["patterns"]]
)
def test_patterns_match_the_same_hosts_in_the_same_order(name: str, pattern: str) -> None:
    wanted = expected(name)["patterns"][pattern]
    assert list(load_inventory(FOLDER / name).match(pattern)) == wanted


def test_a_subscript_counts_a_host_once_for_each_group() -> None:
    inventory = load_inventory(FOLDER / "shop")
    eu, us = inventory.match("eu"), inventory.match("us")
    assert set(eu) & set(us)
    assert inventory.match("[eu][us]") == tuple(dict.fromkeys([*eu, *us]))
    assert inventory.match(f"[eu][us][{len(eu)}:]") == us


def test_one_file_of_a_folder_finds_the_variables_beside_it() -> None:
    folder, file = load_inventory(FOLDER / "shop"), load_inventory(FOLDER / "shop/hosts.yml")
    assert (folder.name, file.name) == ("shop", "shop")
    assert folder.hosts() == file.hosts()


def test_group_names_are_ansibles() -> None:
    inventory: Inventory = load_inventory(FOLDER / "shop")
    assert inventory.group_names("web1.shop.example") == (
        "backend",
        "eu",
        "queue",
        "web",
        "zz_same_depth",
    )
    assert inventory.group_names("lonely.example") == ("ungrouped",)


def test_addresses_are_templated_and_variables_are_not(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text(
        "a ansible_host={{inventory_hostname}}.lan x={{nothing}}\nb ansible_host={{nothing}}\n"
    )
    a, b = load_inventory(tmp_path).hosts()
    assert (a.address, a.vars["x"]) == ("a.lan", "{{nothing}}")
    assert b.address == "{{nothing}}"
