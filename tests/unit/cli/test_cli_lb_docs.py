"""What the guide to the load balancer shows is right: its play, and every command in it."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from fleetctl.cli import main
from fleetctl.config.project import Project
from fleetctl.config.schema import BalancingPart, RoutePart
from fleetctl.engine.lb_check import SOON
from fleetctl.ui import lb_view

GUIDE = (Path(__file__).parents[3] / "docs" / "load-balancer.md").read_text()
INVENTORY = """\
all: {hosts: {n1: {fleetctl_weight: 200}}}
loadbalancers:
  hosts:
    lb1: {fleetctl_internal_address: 10.0.0.5, fleetctl_haproxy: {http: "192.0.2.1:80",
          https: "192.0.2.1:443", stats: "127.0.0.1:8404"}}
"""


def commands() -> list[str]:
    typed = re.findall(r"^    \$ fleetctl ([^#;\n]*)", GUIDE, re.MULTILINE)
    return sorted({" ".join(command.split()) for command in typed})


@pytest.mark.parametrize("command", commands())
def test_a_command_is_one(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*shlex.split(command), "--help"]) == 0


def test_all_lb_commands_are_shown() -> None:
    shown = {command.split()[1] for command in commands()}
    assert shown == {"install", "show", "render", "check", "drain", "maint", "ready"}


def test_the_play_says_what_it_means(tmp_path: Path) -> None:
    (play,) = re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)
    files = {
        "playbooks/shop.yml": play,
        "inventories/lab/hosts.yml": INVENTORY,
        "pages/sorry.html": "<h1>Sorry</h1>\n",
        "secrets.yml": "admins: {env: ADMINS}\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    spec = Project.find(tmp_path, "lab").spec("shop", {})
    assert len(spec.routes) == 5
    (admin,) = [route for route in spec.routes if route.path == "/admin"]
    assert (admin.tls is not None, bool(admin.allow), bool(admin.rate)) == (True, True, True)
    assert spec.balancing.maintenance_page == "<h1>Sorry</h1>\n"
    assert spec.balancing.tunnel_drain == 300.0


def test_every_key_of_routes_and_balancing_is_told() -> None:
    told = set(re.findall(r"[`{ ,]([a-z_]+):", GUIDE))
    assert {*RoutePart.model_fields, *BalancingPart.model_fields} - told == set()


def test_the_days_before_a_certificate_s_end_are_the_check_s() -> None:
    assert SOON == lb_view.SOON
    assert f"within {SOON / 86400:g} days" in " ".join(GUIDE.split())
