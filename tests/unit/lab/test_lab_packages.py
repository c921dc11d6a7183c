"""Which packages the lab misses, and how it gets them, with stand-ins for Debian's tools."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetctl.errors import Refused
from fleetctl.lab import packages


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose tools are the scripts in ``bin``; it has no start policy."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(packages, "_POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(packages, "_KEPT", tmp_path / "policy-rc.d.kept")
    return tmp_path


def tool(machine: Path, name: str, script: str) -> None:
    path = machine / "bin" / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_only_what_is_installed_counts(machine: Path) -> None:
    states = dict.fromkeys(packages.NEEDED, "installed")
    states["haproxy"] = "config-files"  # removed, not purged
    del states["gcc"]  # dpkg has never heard of it
    lines = "\\n".join(f"{name} {state}" for name, state in states.items())
    tool(machine, "dpkg-query", f"printf '{lines}\\n'; exit 1")
    assert packages.missing() == ["gcc", "haproxy"]


def test_a_machine_without_dpkg_is_refused(machine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(machine / "bin"))
    with pytest.raises(Refused, match="no dpkg"):
        packages.missing()


def test_no_service_starts_while_installing(machine: Path) -> None:
    tool(
        machine, "apt-get", f'{machine}/policy-rc.d; echo "$? $DEBIAN_FRONTEND $*" >{machine}/seen'
    )
    packages.install(["gcc", "haproxy"])
    assert (machine / "seen").read_text() == (
        "101 noninteractive -q -y install --no-install-recommends gcc haproxy\n"
    )
    assert not (machine / "policy-rc.d").exists()


def test_the_machines_own_policy_comes_back(machine: Path) -> None:
    (machine / "policy-rc.d").write_text("own")
    tool(machine, "apt-get", f"grep -q 101 {machine}/policy-rc.d")
    packages.install(["gcc"])
    assert (machine / "policy-rc.d").read_text() == "own"


@pytest.mark.parametrize("own", [True, False])
def test_the_policy_comes_back_after_a_kill(machine: Path, own: bool) -> None:
    if own:
        (machine / "policy-rc.d").write_text("own")
    begun = packages._no_service_starts()
    begun.__enter__()  # and never its end
    assert "101" in (machine / "policy-rc.d").read_text()
    packages.restore_policy()
    assert [place.name for place in machine.glob("policy*")] == (["policy-rc.d"] if own else [])
    assert not own or (machine / "policy-rc.d").read_text() == "own"


def test_package_lists_are_fetched_when_the_first_try_fails(machine: Path) -> None:
    script = f'echo "$3" >>{machine}/calls; [ "$3" = update ] && touch {machine}/fresh'
    tool(machine, "apt-get", f"{script}; test -e {machine}/fresh")
    packages.install(["gcc"])
    assert (machine / "calls").read_text().split() == ["install", "update", "install"]


def test_what_apt_cannot_install_is_named(machine: Path) -> None:
    tool(machine, "apt-get", "echo 'E: Unable to locate package gcc' >&2; exit 100")
    with pytest.raises(
        Refused, match=r"install them: gcc \(Unable to locate package gcc\)"
    ) as seen:
        packages.install(["gcc"])
    assert "apt-get install --no-install-recommends gcc" in seen.value.hint
    assert not (machine / "policy-rc.d").exists()
