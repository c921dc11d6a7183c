"""fleetctl as a wheel: it has all its files and works from any folder."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
INVENTORY = "[app]\nnode1 ansible_host=192.0.2.1\n\n[loadbalancers]\nlb1 ansible_host=192.0.2.2\n"
PLAY = """\
- service: web
  hosts: app
  image: registry.example/web:1
  expose: {http: 8080}
  routes: [{path: /, port: http}]
"""
RENDER = """
from pathlib import Path
import fleetctl
from fleetctl.haproxy.render import render
from fleetctl.model.fleet import Balancer
print(Path(fleetctl.__file__).parent)
print("frontend" in render(Balancer("lb1"), []).text)
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    pip(["wheel", "--no-build-isolation", "--wheel-dir", str(folder), str(ROOT)])
    (built,) = folder.glob("fleetctl-*.whl")
    return built


@pytest.fixture(scope="module")
def site(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the wheel is installed; what it needs comes from this environment."""
    folder = tmp_path_factory.mktemp("site")
    pip(["install", "--target", str(folder), str(wheel)])
    return folder


def pip(args: list[str]) -> None:
    """Without a package index: nothing is downloaded."""
    command = [sys.executable, "-m", "pip", args[0], "--no-deps", "--no-index", "-q", *args[1:]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def run(site: Path, cwd: Path, *command: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(site), "NO_COLOR": "1"}
    env.pop("FLEETCTL_INVENTORY", None)
    return subprocess.run(
        command, cwd=cwd, env=env, capture_output=True, text=True, timeout=120, check=False
    )


def test_a_wheel_has_what_is_not_python(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {
        "fleetctl/haproxy/templates/haproxy.cfg.j2",
        "fleetctl/lab/host_init.sh",
        "fleetctl/lab/app/app.c",
    } <= names
    assert not [name for name in names if name.startswith(("tests/", "inventories/", "playbooks/"))]


def test_an_installed_fleetctl_checks_a_project_anywhere(site: Path, tmp_path: Path) -> None:
    (tmp_path / "inventories/shop").mkdir(parents=True)
    (tmp_path / "inventories/shop/hosts.ini").write_text(INVENTORY)
    (tmp_path / "playbooks").mkdir()
    (tmp_path / "playbooks/web.yml").write_text(PLAY)
    fleetctl = str(site / "bin/fleetctl")
    done = run(site, tmp_path, fleetctl, "check")
    assert (done.returncode, done.stderr) == (0, ""), done.stderr
    for args in (["--version"], ["schema"], ["explain", "mixed"], ["hosts", "list"]):
        done = run(site, tmp_path, fleetctl, *args)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        assert done.stdout


def test_an_installed_fleetctl_has_its_haproxy_template(site: Path, tmp_path: Path) -> None:
    done = run(site, tmp_path, sys.executable, "-c", RENDER)
    assert done.stdout.splitlines() == [str(site / "fleetctl"), "True"], done.stderr
