"""A project of hosts, two balancers and plays, as a test wants it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from fleetctl.config.project import Project

Write = Callable[..., Project]
HOSTS = """\
app: {hosts: {n1: {ansible_host: 192.0.2.1}, n2: {ansible_host: 192.0.2.2}}}
loadbalancers:
  hosts:
    lb1: {ansible_host: 192.0.2.8, fleetctl_internal_address: 10.0.0.8}
    lb2: {ansible_host: 192.0.2.9, fleetctl_internal_address: 10.0.0.9}
"""
HEAD = """\
- service: {name}
  hosts: app
  image: registry:5000/app:1
  expose: {{http: 8080, db: 5432}}
"""


@pytest.fixture
def declared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Makes a project: each service's further keys by its name, ``hosts`` the inventory,
    ``files`` whatever else it has."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLEETCTL_INVENTORY", raising=False)
    (tmp_path / "inventories/lab").mkdir(parents=True)
    (tmp_path / "playbooks").mkdir()

    def write(hosts: str = HOSTS, files: dict[str, str] | None = None, **plays: str) -> Project:
        (tmp_path / "inventories/lab/hosts.yml").write_text(hosts)
        for name, text in (files or {}).items():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(text)
        for name, keys in plays.items():
            lines = "".join(f"  {line}\n" for line in keys.splitlines())
            (tmp_path / f"playbooks/{name}.yml").write_text(HEAD.format(name=name) + lines)
        return Project.find(tmp_path, None)

    return write
