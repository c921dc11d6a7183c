"""What it takes to have a HAProxy on a machine that fleetctl can work with. Pure.

Needed are the program and its user, folders, a file, and a master with its socket: all else
comes with the first change. What runs and can be changed is left as it is.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from pathlib import PurePosixPath

from fleetctl.errors import Refused
from fleetctl.haproxy import checks, header
from fleetctl.haproxy.survey import Process, Running, Survey
from fleetctl.model.fleet import Balancer
from fleetctl.model.lb import BalancerSetup, SetupStep

UNIT = "/etc/systemd/system/haproxy.service"
PID_FILE = "/run/haproxy.pid"


def plan(
    found: Survey, running: Running, balancer: Balancer, *, fresh: bool = False
) -> BalancerSetup:
    """Nothing for a HAProxy that runs and can be changed, whatever its file. ``fresh``: the
    package has just been installed, and what it started routes nothing. Raises Refused."""
    steps = tuple(_steps(found, running, balancer, fresh))
    return BalancerSetup(balancer.name, steps, notes=tuple(_notes(found, running, balancer, steps)))


def _steps(found: Survey, running: Running, balancer: Balancer, fresh: bool) -> Iterator[SetupStep]:
    usable = not running.error
    if not found.binary:
        if not found.apt:
            raise Refused(
                f"{balancer.name}: HAProxy is not installed, and there is no apt-get to do it",
                hint="install HAProxy 2.6 or newer there, then run this again",
            )
        yield SetupStep("package", "install Debian's package haproxy with apt-get")
    elif not found.user:
        yield SetupStep("user", "make the system user haproxy")
    if found.missing:
        yield SetupStep("folders", f"make {', '.join(found.missing)}")
    first = _needs_file(found, usable, fresh)
    if first:
        yield SetupStep("file", _file_words(found, balancer))
    if found.systemd and found.binary:
        yield from _unit(found, balancer)
    if not usable or (first and fresh):
        yield _run(found, balancer, fresh=fresh, first=first)


def _needs_file(found: Survey, usable: bool, fresh: bool) -> bool:
    """Ours is kept while HAProxy takes it; a foreign one while it serves."""
    if found.file_id is None:
        return True
    if usable and not fresh:
        return False
    if not found.binary:
        return found.file_id in ("", header.EDITED)
    return found.foreign or not found.passes


def _file_words(found: Survey, balancer: Balancer) -> str:
    path = balancer.paths.config
    words = f"write {path}: it routes nothing, and has fleetctl's sockets"
    return f"{words}; the one there is kept as {path}.before-fleetctl" if found.foreign else words


def _unit(found: Survey, balancer: Balancer) -> Iterator[SetupStep]:
    if not fits(found, balancer):
        master = master_of(balancer)
        yield SetupStep(
            "unit", f"write {unit_path(found)}: master and worker, with a socket at {master}"
        )
    if found.unit is None or not found.unit.enabled:
        yield SetupStep("enable", "have systemd start it at boot")


def _run(found: Survey, balancer: Balancer, *, fresh: bool, first: bool) -> SetupStep:
    """``first``: the file of before goes."""
    how = "by systemd" if found.systemd else "as a process of its own"
    if not found.binary or not (own(found, balancer) or (found.unit and found.unit.active)):
        boot = "" if found.systemd or not found.binary else "; nothing here starts it at boot"
        return SetupStep("start", f"start HAProxy {how if found.binary else ''}".rstrip() + boot)
    if fresh:
        return SetupStep("restart", f"restart HAProxy {how}")
    cut = "open connections are cut" if found.systemd else "new connections may fail for a moment"
    if first:
        cut += "; what it routes now it routes no more"
    return SetupStep("restart", f"restart HAProxy {how}: it has no master's socket", cut)


def _notes(
    found: Survey, running: Running, balancer: Balancer, steps: tuple[SetupStep, ...]
) -> Iterator[str]:
    path = balancer.paths.config
    if found.binary and not running.error and not any(s.action == "file" for s in steps):
        if found.foreign:
            yield (
                f"HAProxy runs with a file that is not fleetctl's: the first change replaces "
                f"{path} without a restart, and keeps it as {path}.before-fleetctl"
            )
        elif found.file_id == header.EDITED:
            yield f"{path} was edited by hand: `fleetctl reconcile` puts it right"
    ours = {process.pid for process in own(found, balancer)}
    others = [str(p.pid) for p in found.processes if p.pid not in ours]
    if others and not (found.unit and found.unit.active):
        yield f"another HAProxy runs there and is left alone (process {', '.join(others)})"


def own(found: Survey, balancer: Balancer) -> tuple[Process, ...]:
    """The HAProxy that was started with the balancer's file."""
    return tuple(p for p in found.processes if balancer.paths.config in p.arguments)


def fits(found: Survey, balancer: Balancer) -> bool:
    """Whether systemd's unit starts the balancer's file, with a master's socket that the
    inventory names."""
    words = found.unit.arguments if found.unit else ()
    values = dict(pairwise(words))
    master = values.get("-S", "").split(",")[0]
    return (
        bool({"-W", "-Ws"} & set(words))
        and values.get("-f") == balancer.paths.config
        and master in balancer.paths.master_sockets
    )


def master_of(balancer: Balancer) -> str:
    """Where the socket of a master goes that is started here."""
    return checks.file(balancer.paths.master_sockets[0])


def unit_path(found: Survey) -> str:
    """A drop-in beside the unit that is there, or a unit."""
    return f"{UNIT}.d/fleetctl.conf" if found.unit else UNIT


def unit_text(found: Survey, balancer: Balancer) -> str:
    """What goes to ``unit_path``. Only known paths stand in it."""
    config, binary = checks.file(balancer.paths.config), checks.file(found.binary)
    service = [
        "[Service]",
        "Type=notify",
        "ExecStart=",
        f"ExecStart={binary} -Ws -f {config} -p {PID_FILE} -S {master_of(balancer)},mode,600",
        "ExecReload=",
        f"ExecReload={binary} -Ws -c -q -f {config}",
        "ExecReload=/bin/kill -USR2 $MAINPID",
        "KillMode=mixed",
        "Restart=always",
        "SuccessExitStatus=143",
    ]
    folder = PurePosixPath(master_of(balancer)).parent
    if folder.parent == PurePosixPath("/run"):
        service += [f"RuntimeDirectory={folder.name}", "RuntimeDirectoryPreserve=yes"]
    if found.unit:
        return "\n".join(service) + "\n"
    head = ["[Unit]", "Description=HAProxy", "Wants=network-online.target"]
    head += ["After=network-online.target", ""]
    tail = ["", "[Install]", "WantedBy=multi-user.target"]
    return "\n".join([*head, *service, *tail]) + "\n"
