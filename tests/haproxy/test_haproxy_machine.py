"""The machine port on this machine: looked over, and set up from nothing, with a real HAProxy."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from balancer_bench import FENCE, LocalConnections, LocalShell, Running, wait_for

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import header, install
from fleetctl.haproxy.machine import Machine
from fleetctl.haproxy.render import render
from fleetctl.haproxy.templates import effective
from fleetctl.model.balancing import Section
from fleetctl.model.fleet import Balancer
from fleetctl.model.lb import SetupStep
from fleetctl.model.record import Fence
from fleetctl.ssh.completed import Completed


class Local(LocalConnections):
    """As ssh's Connections, with commands in channels of their own too."""

    def run(
        self,
        script: str,
        *args: str,
        input: bytes = b"",
        timeout: float = 30.0,
        fence: Fence | None = None,
    ) -> Completed:
        assert fence == FENCE, "what changes a host goes behind a fence"
        return LocalShell().run(script, *args, input=input, timeout=timeout)


@pytest.fixture
def machine(running: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Machine]:
    """Of the HAProxy ``running``; what it starts itself is ended after the test."""
    pid_file = running.folder / "haproxy.pid"
    monkeypatch.setattr(install, "PID_FILE", str(pid_file))
    yield Machine(Local(), running.balancer)  # type: ignore[arg-type]
    if pid_file.exists():
        for line in pid_file.read_text().split():
            end(int(line))


def end(pid: int) -> None:
    """A master with its workers, which are a session of their own."""
    if Path(f"/proc/{pid}").exists():
        os.killpg(os.getpgid(pid), signal.SIGKILL)
        wait_for(f"{pid} is gone", lambda: not alive(pid))


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().split()[2] not in "ZX"
    except FileNotFoundError:
        return False


def bare(running: Running) -> None:
    """As a machine that has the package and nothing else."""
    running.stop()
    for path in (running.config, Path(running.paths.socket), running.folder / "master.sock"):
        path.unlink(missing_ok=True)


def set_up(machine: Machine, balancer: Balancer) -> list[str]:
    """Carries the plan out. Returns the actions."""
    rendered = render(balancer, ())
    steps = machine.plan(rendered).steps
    for step in steps:
        machine.carry_out(step, rendered, FENCE)
    return [step.action for step in steps]


def test_a_machine_is_looked_over(running: Running, machine: Machine) -> None:
    found = machine.survey()
    assert found.binary.endswith("/haproxy")
    assert found.version.startswith(("2.", "3."))
    assert (found.user, found.passes, found.foreign, found.unit) == (True, True, True, None)
    assert found.missing == (running.paths.files,)
    modes = {Path(s.path).name: (s.mode, s.open_to, s.is_socket) for s in found.sockets}
    assert modes == {"admin.sock": (0o600, "", True), "master.sock": (0o600, "", True)}
    (own,) = install.own(found, running.balancer)
    assert own.workers
    assert machine.running().error == ""
    assert machine.running().pids == {own.pid, *own.workers}


def test_one_that_runs_and_can_be_changed_is_left_as_it_is(
    running: Running, machine: Machine
) -> None:
    os.chmod(running.paths.socket, 0o606)
    setup = machine.plan(render(running.balancer, ()))
    assert [step.action for step in setup.steps] == ["folders"]
    assert "the first change replaces" in setup.notes[0]
    assert set_up(machine, running.balancer) == ["folders"]
    assert machine.plan(render(running.balancer, ())).steps == ()
    assert running.config.read_text() == running.foreign
    assert Path(running.paths.files).stat().st_mode & 0o777 == 0o700
    assert "everybody" in [socket.open_to for socket in machine.survey().sockets]


def test_a_bare_machine_gets_a_haproxy_that_outlives_its_starter(
    running: Running, machine: Machine
) -> None:
    bare(running)
    assert machine.running().error
    assert set_up(machine, running.balancer) == ["folders", "file", "start"]
    assert running.haproxy.observe().config_id == render(running.balancer, ()).config_id
    (own,) = install.own(machine.survey(), running.balancer)
    assert os.getsid(own.pid) != os.getsid(0)
    environment = Path(f"/proc/{own.pid}/environ").read_bytes()
    assert b"PYTEST" not in environment
    assert running.get() == (404, "404 no route to a service\n")
    assert machine.plan(render(running.balancer, ())).steps == ()
    assert set(machine.side_files()) == {"routes.map"}


def test_one_without_a_master_s_socket_is_replaced_and_its_file_kept(
    running: Running, machine: Machine
) -> None:
    bare(running)
    running.config.write_text(running.foreign)
    process = subprocess.Popen(
        ["/usr/sbin/haproxy", "-db", "-f", str(running.config)], start_new_session=True
    )
    try:
        wait_for("it runs", lambda: Path(running.paths.socket).exists())
        steps = machine.plan(render(running.balancer, ())).steps
        assert [step.action for step in steps] == ["folders", "file", "restart"]
        assert "routes no more" in steps[-1].disruptive
        set_up(machine, running.balancer)
        assert process.wait(60) in (0, 143)
    finally:
        process.kill()
        process.wait()
    assert running.config.with_name("haproxy.cfg.before-fleetctl").read_text() == running.foreign
    assert running.get()[0] == 404
    assert machine.plan(render(running.balancer, ())).steps == ()


def test_a_file_of_ours_is_started_as_it_is_unless_haproxy_would_not(
    running: Running, machine: Machine
) -> None:
    bare(running)
    set_up(machine, running.balancer)
    (own,) = install.own(machine.survey(), running.balancer)
    whole = running.config.read_text()
    end(own.pid)
    assert [step.action for step in machine.plan(render(running.balancer, ())).steps] == ["start"]
    running.config.write_text(whole + "nonsense\n")
    found = machine.survey()
    assert (found.file_id, found.passes) == (header.EDITED, False)
    given = Path(running.paths.files) / "pems" / ("ab" * 32)
    given.write_text("a certificate that nobody else has")
    assert set_up(machine, running.balancer) == ["file", "start"]
    assert running.config.read_text() == whole
    assert given.exists()
    assert [path.name for path in running.folder.glob("haproxy.cfg*")] == ["haproxy.cfg"]


def test_a_port_that_is_taken_is_told_before_anything_is_done(
    running: Running, machine: Machine
) -> None:
    bare(running)
    words = rf"{running.port}: .* \(process {os.getpid()}\)"
    with (
        socket.create_server(("127.0.0.1", running.port)),
        pytest.raises(BalancerFailed, match=words),
    ):
        machine.plan(render(running.balancer, ()))
    assert not running.config.exists()


def test_what_haproxy_has_against_a_file_is_told_and_nothing_is_left(
    running: Running, machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "scratch"
    place.mkdir()
    monkeypatch.setenv("TMPDIR", str(place))
    monkeypatch.setattr(tempfile, "tempdir", None)
    assert machine.refusal(render(running.balancer, (Section("web"),))) == ""
    override = tmp_path / "templates"
    override.mkdir()
    (override / "global.cfg.j2").write_text("global\n    nonsense here\n")
    wrong = render(running.balancer, (), effective(override))
    assert "nonsense" in machine.refusal(wrong)
    assert list(place.iterdir()) == []
    assert not Path(running.paths.files).exists()


def test_a_program_that_does_not_start_says_why(running: Running, machine: Machine) -> None:
    bare(running)
    rendered = render(running.balancer, ())
    setup = machine.plan(rendered)
    *before, start = setup.steps
    for step in before:
        machine.carry_out(step, rendered, FENCE)
    running.config.write_text("nonsense\n")
    with pytest.raises(BalancerFailed, match=r"could not start HAProxy.*nonsense"):
        machine.carry_out(start, rendered, FENCE)


def test_the_package_and_its_user(
    running: Running, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With stand-ins: the first attempt fails, as with lists of packages that are old."""
    tools = running.folder / "tools"
    tools.mkdir()
    for name in ("apt-get", "useradd"):
        program = tools / name
        program.write_text(
            f"#!/bin/sh\necho {name} $* $DEBIAN_FRONTEND >>{tools}/calls\n"
            f'case "$*" in *update*) touch {tools}/fresh ;; esac\n'
            f"[ {name} = useradd ] || [ -e {tools}/fresh ] || exit 100\n"
        )
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    rendered = render(running.balancer, ())
    machine.carry_out(SetupStep("package", "install it"), rendered, FENCE)
    machine.carry_out(SetupStep("user", "make it"), rendered, FENCE)
    first, update, again, user = (tools / "calls").read_text().splitlines()
    assert first == again
    assert first.endswith("install --no-install-recommends haproxy noninteractive")
    assert "--force-confold" in first
    assert update.endswith("update noninteractive")
    assert user.startswith("useradd --system")
    (tools / "fresh").unlink()
    (tools / "apt-get").write_text("#!/bin/sh\necho E: no such package >&2\nexit 100\n")
    with pytest.raises(BalancerFailed, match="could not install it: E: no such package"):
        machine.carry_out(SetupStep("package", "install it"), rendered, FENCE)
