"""A reload of a HAProxy in master-worker mode, until the new worker is seen to serve."""

from __future__ import annotations

import time

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import header
from fleetctl.haproxy.parse import Processes, parse_processes
from fleetctl.haproxy.rendered import Rendered
from fleetctl.haproxy.socket import admin, ask_master
from fleetctl.model.fleet import Balancer
from fleetctl.ssh.completed import printable
from fleetctl.ssh.shell import Shell

DEADLINE = 30.0
POLL = 0.05


def reload(
    shell: Shell, balancer: Balancer, master: str, before: Processes, rendered: Rendered
) -> None:
    """Has the master load the file that lies in its place. ``before`` is what ran then.

    Up to 2.6 the master answers nothing; from 2.7 on it says whether it could. A command sent
    too early reaches the worker that leaves: so its list of processes is read until a new worker
    is there, and that worker until it names our file. Raises BalancerFailed; then the old
    workers serve on.
    """
    answer = ask_master(shell, master, "reload")
    if answer.startswith("Success=0"):
        raise _not_loaded(balancer, printable(answer.partition("--")[2].encode()) or "no reason")
    deadline = time.monotonic() + DEADLINE
    problem = "its master did not answer"
    while time.monotonic() < deadline:
        answer = ask_master(shell, master, "show proc")
        if answer.strip():
            now = parse_processes(answer)
            if now.failed > before.failed:
                raise _not_loaded(balancer, f"{now.failed} failed")
            new = set(now.workers) - before.all
            problem = _not_yet(shell, balancer, new, rendered) if new else "no new worker came"
            if not problem:
                return
        time.sleep(POLL)
    raise BalancerFailed(
        f"{balancer.name}: HAProxy was not reloaded within {DEADLINE:g} s: {problem}",
        hint="its log says why (journalctl -u haproxy)",
        host=balancer.name,
    )


def _not_loaded(balancer: Balancer, why: str) -> BalancerFailed:
    return BalancerFailed(
        f"{balancer.name}: HAProxy could not load the new file, the old one serves on ({why})",
        hint="its log says why (journalctl -u haproxy): often a port that is taken",
        host=balancer.name,
    )


def _not_yet(shell: Shell, balancer: Balancer, new: set[int], rendered: Rendered) -> str:
    """Why the worker that answers isn't one of ``new`` with our file; empty when it is."""
    try:
        with admin(shell, balancer.paths.socket) as haproxy:
            info = haproxy.info()[0]
    except BalancerFailed as error:
        return error.message
    pid, description = str(info.get("Pid", "")), str(info.get("description", ""))
    if not pid.isdigit() or int(pid) not in new:
        return "the old worker still answers"
    if header.read_description(description)[0] != rendered.config_id:
        return f"the new worker runs another file ({description or 'not ours'})"
    return ""
