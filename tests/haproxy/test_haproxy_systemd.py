"""Setting up where systemd runs: a stand-in `systemctl` that starts what the unit says."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from balancer_bench import FENCE, Running, wait_for
from test_haproxy_machine import Local, bare, end

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import install, survey
from fleetctl.haproxy.machine import Machine
from fleetctl.haproxy.render import render

SYSTEMCTL = r"""#!/bin/sh
# $1 the verb. The unit's ExecStart is in FOLDER/start: the drop-in's, once it was reloaded.
folder=FOLDER
echo "$*" >>$folder/calls
case $1 in
    show)
        case $4 in
            LoadState) [ -e $folder/start ] && echo loaded || echo not-found ;;
            ActiveState) [ -e $folder/active ] && echo active || echo inactive ;;
            UnitFileState) [ -e $folder/enabled ] && echo enabled || echo disabled ;;
            Environment) echo 'CONFIG=CONFIGFILE "EXTRAOPTS=-S /run/none.sock"' ;;
            EnvironmentFiles) echo "$folder/default (ignore_errors=yes)" ;;
            ExecStart) echo "{ path=x ; argv[]=$(cat $folder/start) ; ignore_errors=no ; }" ;;
        esac ;;
    daemon-reload)
        sed -n 's/^ExecStart=\(.*haproxy\) -Ws/\1 -W/p' $folder/unit/*/*.conf >$folder/start ;;
    enable) touch $folder/enabled ;;
    start | restart)
        [ ! -e $folder/broken ] || exit 1
        touch $folder/active
        setsid $(cat $folder/start) -D </dev/null >$folder/log 2>&1 ;;
    status) echo 'haproxy.service: it would not' ;;
esac
"""


@pytest.fixture
def folder(running: Running, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the stand-in keeps what it knows."""
    folder = running.folder / "systemd"
    folder.mkdir()
    program = folder / "systemctl"
    text = SYSTEMCTL.replace("FOLDER", str(folder)).replace("CONFIGFILE", str(running.config))
    program.write_text(text)
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")
    pid_file = folder / "haproxy.pid"
    monkeypatch.setattr(install, "PID_FILE", str(pid_file))
    monkeypatch.setattr(install, "UNIT", str(folder / "unit" / "haproxy.service"))
    script = survey._SURVEY.replace("/run/systemd/system", str(folder))
    monkeypatch.setattr(survey, "_SURVEY", script)
    (folder / "start").write_text("/usr/sbin/haproxy -Ws -f $CONFIG $EXTRAOPTS")
    yield folder
    if pid_file.exists():
        end(int(pid_file.read_text().split()[0]))


def calls(folder: Path) -> list[str]:
    lines = (folder / "calls").read_text().splitlines()
    return [line for line in lines if not line.startswith("show")]


def test_a_unit_without_a_master_s_socket_gets_a_drop_in(running: Running, folder: Path) -> None:
    bare(running)
    machine = Machine(Local(), running.balancer)  # type: ignore[arg-type]
    rendered = render(running.balancer, ())
    found = machine.survey()
    assert found.unit is not None
    assert found.unit.arguments[-2:] == ("-S", "/run/none.sock")
    setup = machine.plan(rendered)
    actions = [step.action for step in setup.steps]
    assert actions == ["folders", "file", "unit", "enable", "start"]
    for step in setup.steps:
        machine.carry_out(step, rendered, FENCE)
    assert calls(folder) == ["daemon-reload", "enable haproxy.service", "start haproxy.service"]
    assert machine.plan(rendered).steps == ()
    assert running.get()[0] == 404


def test_the_environment_file_s_master_socket_counts(running: Running, folder: Path) -> None:
    (folder / "active").touch()
    (folder / "enabled").touch()
    (folder / "default").write_text(
        f'# its own\nEXTRAOPTS="-S {running.folder}/master.sock"\nOTHER=1\n'
    )
    machine = Machine(Local(), running.balancer)  # type: ignore[arg-type]
    assert [s.action for s in machine.plan(render(running.balancer, ())).steps] == ["folders"]


def test_one_that_runs_outside_of_systemd_makes_room_for_it(running: Running, folder: Path) -> None:
    machine = Machine(Local(), running.balancer)  # type: ignore[arg-type]
    (own,) = install.own(machine.survey(), running.balancer)
    Path(running.paths.master_sockets[1]).unlink()
    rendered = render(running.balancer, ())
    setup = machine.plan(rendered)
    assert [s.action for s in setup.steps][-1] == "restart"
    assert "open connections are cut" in setup.steps[-1].disruptive
    for step in setup.steps:
        machine.carry_out(step, rendered, FENCE)
    running._process.wait(60)  # type: ignore[union-attr]
    wait_for("it serves", lambda: machine.running().error == "")
    assert own.pid not in machine.running().pids
    running._process = None


def test_a_unit_that_does_not_start_says_why(running: Running, folder: Path) -> None:
    bare(running)
    (folder / "broken").touch()
    machine = Machine(Local(), running.balancer)  # type: ignore[arg-type]
    rendered = render(running.balancer, ())
    *before, start = machine.plan(rendered).steps
    for step in before:
        machine.carry_out(step, rendered, FENCE)
    with pytest.raises(BalancerFailed, match="it would not"):
        machine.carry_out(start, rendered, FENCE)
