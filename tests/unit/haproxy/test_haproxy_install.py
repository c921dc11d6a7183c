"""What is to be done on a machine, from what was found there."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fleetctl.errors import BalancerFailed, Refused
from fleetctl.haproxy import header, install, survey
from fleetctl.haproxy.survey import Process, Running, Socket, Survey, Unit
from fleetctl.model.fleet import Balancer, HAProxyPaths

LB = Balancer("lb1")
CONFIG = LB.paths.config
DOWN = Running(error="lb1: HAProxy does not run")
UP = Running("/run/haproxy/master.sock", pids=frozenset({7, 8}))
DEBIAN = (
    "/usr/sbin/haproxy", "-Ws", "-f", CONFIG, "-p", "/run/haproxy.pid",
    "-S", "/run/haproxy-master.sock",
)  # fmt: skip
BARE = Survey(apt=True, missing=("/etc/haproxy", "/run/haproxy"))
PACKAGE = Survey("/usr/sbin/haproxy", "2.6.12", apt=True, user=True, file_id="", passes=True)
SYSTEMD = replace(PACKAGE, systemd=True, unit=Unit(True, True, DEBIAN))


def actions(found: Survey, running: Running = DOWN, *, fresh: bool = False) -> list[str]:
    return [step.action for step in install.plan(found, running, LB, fresh=fresh).steps]


@pytest.mark.parametrize(
    ("found", "running", "wanted"),
    [
        (BARE, DOWN, ["package", "folders", "file", "start"]),
        (PACKAGE, DOWN, ["file", "start"]),
        (replace(PACKAGE, user=False), DOWN, ["user", "file", "start"]),
        (replace(PACKAGE, file_id="ab" * 8), DOWN, ["start"]),
        (replace(PACKAGE, file_id="ab" * 8, passes=False), DOWN, ["file", "start"]),
        (replace(PACKAGE, file_id=header.EDITED, passes=True), DOWN, ["start"]),
        (PACKAGE, UP, []),
        (replace(PACKAGE, file_id=None), UP, ["file"]),
        (replace(PACKAGE, passes=False), UP, []),
        (SYSTEMD, UP, []),
        (replace(SYSTEMD, unit=Unit(False, False, DEBIAN)), DOWN, ["file", "enable", "start"]),
        (replace(SYSTEMD, unit=Unit(True, True, ())), DOWN, ["file", "unit", "restart"]),
        (replace(SYSTEMD, unit=None), DOWN, ["file", "unit", "enable", "start"]),
    ],
)
def test_steps(found: Survey, running: Running, wanted: list[str]) -> None:
    assert actions(found, running) == wanted


def test_what_a_fresh_package_started_gets_the_first_file() -> None:
    assert actions(SYSTEMD, UP, fresh=True) == ["file", "restart"]
    setup = install.plan(SYSTEMD, UP, LB, fresh=True)
    assert not any(step.disruptive for step in setup.steps)
    assert "kept as /etc/haproxy/haproxy.cfg.before-fleetctl" in setup.steps[0].what
    mine = replace(SYSTEMD, file_id="ab" * 8)
    assert actions(mine, UP, fresh=True) == []


def test_what_a_restart_does_to_clients_is_said() -> None:
    running = replace(PACKAGE, processes=(Process(7, ("haproxy", "-f", CONFIG)),))
    (*_, restart) = install.plan(running, DOWN, LB).steps
    assert restart.action == "restart"
    assert restart.disruptive == (
        "new connections may fail for a moment; what it routes now it routes no more"
    )
    (restart,) = install.plan(replace(running, file_id="ab" * 8), DOWN, LB).steps
    assert restart.disruptive == "new connections may fail for a moment"
    systemd = replace(SYSTEMD, file_id="ab" * 8)
    (restart,) = install.plan(systemd, DOWN, LB).steps
    assert restart.disruptive == "open connections are cut"


def test_another_haproxy_is_left_alone_and_told() -> None:
    other = replace(PACKAGE, processes=(Process(9, ("haproxy", "-f", "/etc/mine.cfg")),))
    setup = install.plan(other, DOWN, LB)
    assert setup.steps[-1].action == "start"
    assert "process 9" in " ".join(setup.notes)


def test_a_machine_without_apt_is_refused() -> None:
    with pytest.raises(Refused, match="no apt-get"):
        install.plan(replace(BARE, apt=False), DOWN, LB)


@pytest.mark.parametrize(
    "words",
    [
        DEBIAN,
        ("haproxy", "-W", "-f", CONFIG, "-S", "/run/haproxy/master.sock,mode,600"),
    ],
)
def test_a_unit_that_fits(words: tuple[str, ...]) -> None:
    assert install.fits(replace(SYSTEMD, unit=Unit(True, True, words)), LB)


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("haproxy", "-f", CONFIG, "-S", "/run/haproxy-master.sock"),
        ("haproxy", "-Ws", "-f", CONFIG),
        ("haproxy", "-Ws", "-f", CONFIG, "-S", "/run/other.sock"),
        ("haproxy", "-Ws", "-f", "/etc/other.cfg", "-S", "/run/haproxy-master.sock"),
    ],
)
def test_a_unit_that_does_not(words: tuple[str, ...]) -> None:
    assert not install.fits(replace(SYSTEMD, unit=Unit(True, True, words)), LB)


def test_a_drop_in_and_a_whole_unit() -> None:
    drop_in = install.unit_text(SYSTEMD, LB)
    assert install.unit_path(SYSTEMD).endswith("haproxy.service.d/fleetctl.conf")
    assert drop_in.startswith("[Service]\n")
    assert (
        "ExecStart=\nExecStart=/usr/sbin/haproxy -Ws -f /etc/haproxy/haproxy.cfg "
        "-p /run/haproxy.pid -S /run/haproxy/master.sock,mode,600\n" in drop_in
    )
    assert "RuntimeDirectory=haproxy\n" in drop_in
    none = replace(SYSTEMD, unit=None)
    assert install.unit_path(none) == install.UNIT
    whole = install.unit_text(none, LB)
    assert whole.startswith("[Unit]\n")
    assert whole.endswith("[Install]\nWantedBy=multi-user.target\n")


def test_no_path_breaks_out_of_a_unit() -> None:
    wrong = Balancer("lb1", HAProxyPaths(config="/etc/h.cfg\nExecStartPost=/bin/sh"))
    with pytest.raises(BalancerFailed):
        install.unit_text(SYSTEMD, wrong)


SAID = """\
binary /usr/sbin/haproxy
version HAProxy version 2.6.12-1+deb12u4 2026/06/01 - https://haproxy.org/
apt yes
user yes
missing /run/haproxy
missing /run/haproxy
first global
rest d41d8cd98f00b204e9800998ecf8427e  -
passes yes
socket 660 root root socket /run/haproxy/admin.sock
socket 755 root root socket /run/haproxy-master.sock
socket 666 root haproxy socket /run/haproxy/all.sock
socket 660 root haproxy socket /run/haproxy/some.sock
socket 644 root root regular file /run/haproxy/file.sock
process 10 1 /usr/sbin/haproxy -Ws -f /etc/haproxy/haproxy.cfg
process 11 10 /usr/sbin/haproxy -Ws -f /etc/haproxy/haproxy.cfg
systemd yes
unit.LoadState loaded
unit.ActiveState active
unit.UnitFileState enabled
unit.Environment CONFIG=/etc/haproxy/haproxy.cfg PIDFILE=/run/haproxy.pid "EXTRAOPTS=-S \
/run/haproxy-master.sock"
unit.ExecStart { path=/usr/sbin/haproxy ; argv[]=/usr/sbin/haproxy -Ws -f $CONFIG \
-p $PIDFILE $EXTRAOPTS ; ignore_errors=no ; start_time=[n/a] }
"""


def test_debian_s_own_unit_is_read() -> None:
    found = survey.read(SAID)
    assert (found.version, found.foreign, found.missing) == (
        "2.6.12-1+deb12u4",
        True,
        ("/run/haproxy",),
    )
    assert found.unit == Unit(True, True, DEBIAN)
    assert found.processes == (Process(10, ("/usr/sbin/haproxy", "-Ws", "-f", CONFIG), (11,)),)
    assert [socket.open_to for socket in found.sockets] == [
        "",
        "",
        "everybody",
        "group haproxy",
        "",
    ]
    assert found.sockets[-1] == Socket("/run/haproxy/file.sock", 0o644, "root", "root", False)
    assert install.fits(found, LB)


def test_the_environment_file_wins() -> None:
    found = survey.read(SAID + 'env EXTRAOPTS="-de -m 16"\n')
    assert found.unit is not None
    assert found.unit.arguments[-3:] == ("-de", "-m", "16")
    assert not install.fits(found, LB)


def test_what_makes_no_sense_is_nothing() -> None:
    assert survey.read("") == Survey()
    odd = survey.read(
        "socket what\nprocess x y\nprocess 1\nsystemd yes\nunit.LoadState not-found\n"
    )
    assert odd == Survey(systemd=True)
