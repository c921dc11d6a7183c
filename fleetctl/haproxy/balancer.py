"""One HAProxy on its host: looked at, prepared, and brought in line with a rendered file."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

from fleetctl.errors import BalancerFailed, CommandFailed, DeadlinePassed, HostError
from fleetctl.haproxy import files, header, reload, runtime
from fleetctl.haproxy.look import Look, look
from fleetctl.haproxy.render import with_disabled
from fleetctl.haproxy.rendered import Applied, How, Rendered
from fleetctl.haproxy.socket import send
from fleetctl.haproxy.sync import in_sync
from fleetctl.model.fleet import Balancer
from fleetctl.model.observed import ObservedBalancer
from fleetctl.model.record import Fence
from fleetctl.ssh.connections import Connections
from fleetctl.ssh.shell import Shell

QUIET = 5.0
"""Seconds that a slot's former instance gets to lose its last connection."""
POLL = 0.1
TRIES = 2
"""How often one command is sent before it is taken for one that does nothing."""


class HAProxy:
    """The balancer port for HAProxy (engine/ports.py)."""

    def __init__(self, connections: Connections, balancer: Balancer) -> None:
        self.name = balancer.name
        self._connections = connections
        self._balancer = balancer

    def observe(self) -> ObservedBalancer:
        """One round trip. Never raises: a balancer that can't be asked is ``unknown``."""
        try:
            shell = self._connections.host(self.name).shell()
            return look(shell, self._balancer).observed
        except (HostError, BalancerFailed, CommandFailed, DeadlinePassed) as error:
            return ObservedBalancer(self.name, "unknown", error=error.message)

    def prepare(self, rendered: Rendered, fence: Fence) -> None:
        """Checks the file with the host's own HAProxy, and that every port it listens on is
        free or HAProxy's. Raises BalancerFailed; nothing on the host is different after it."""
        with self._changing(fence) as shell:
            seen = self._look(shell)
            if seen.observed.file_id != rendered.config_id:
                self._upload(shell, rendered.text, seen)
                files.discard(shell, self._balancer.paths.config)
            if seen.processes:
                files.check_binds(shell, rendered.binds, seen.processes.all)

    def apply(self, rendered: Rendered, fence: Fence) -> Applied:
        """File first; then commands where the running worker's file differs in its servers
        alone, a reload where it doesn't; then every server is read back.

        Raises BalancerFailed. When a reload fails the old file is back in its place and the
        old workers serve. Doing it again is always right, and sends nothing once in line.
        """
        started = time.monotonic()
        with self._changing(fence) as shell:
            how, sent = self._bring_in_line(shell, rendered)
        return Applied(how, sent, time.monotonic() - started)

    @contextmanager
    def _changing(self, fence: Fence) -> Iterator[Shell]:
        """The shell behind ``fence``; a command that failed or hung there is BalancerFailed."""
        try:
            yield self._connections.host(self.name).shell(fence)
        except (CommandFailed, DeadlinePassed) as error:
            raise BalancerFailed(error.message, hint=error.hint, host=self.name) from error

    def _bring_in_line(self, shell: Shell, rendered: Rendered) -> tuple[How, int]:
        seen = self._look(shell)
        if in_sync(rendered, seen.observed):
            return "nothing", 0
        if not self._only_servers_differ(rendered, seen.observed):
            return "reload", self._reload(shell, rendered, seen)
        if seen.observed.file_id != rendered.config_id:
            self._install(shell, rendered.text, seen)
            files.forget(shell, self._balancer.paths.config)
        sent = self._settle(shell, rendered)
        return ("runtime" if sent else "file"), sent

    def _look(self, shell: Shell) -> Look:
        seen = look(shell, self._balancer)
        if not seen.observed.up:
            raise BalancerFailed(
                f"{self.name}: {seen.observed.error}",
                hint="start it on the balancer: systemctl start haproxy",
                host=self.name,
            )
        return seen

    @staticmethod
    def _only_servers_differ(rendered: Rendered, seen: ObservedBalancer) -> bool:
        """Not when the file was edited by hand: the worker may have loaded that."""
        return seen.skeleton == rendered.skeleton and seen.file_id != header.EDITED

    def _upload(self, shell: Shell, text: str, seen: Look) -> None:
        master = seen.processes.master if seen.processes else seen.observed.pid
        files.upload(shell, self._balancer.paths.config, text, master)

    def _install(self, shell: Shell, text: str, seen: Look) -> None:
        self._upload(shell, text, seen)
        files.install(shell, self._balancer.paths.config)

    def _reload(self, shell: Shell, rendered: Rendered, seen: Look) -> int:
        """Servers that are not known to be good are disabled in the file that the new worker
        loads, and come in by a passed check. Returns the number of commands."""
        config, socket = self._balancer.paths.config, self._balancer.paths.socket
        leaving = runtime.leaving(rendered.sections, seen.observed.servers)
        untried = runtime.untried(rendered.sections, seen.observed.servers)
        careful = with_disabled(rendered, untried)
        if seen.processes is None:
            raise BalancerFailed(
                f"{self.name}: HAProxy can't be reloaded: no master's socket at "
                + " or ".join(self._balancer.paths.master_sockets),
                hint="run it in master-worker mode: haproxy -Ws -S /run/haproxy-master.sock",
                host=self.name,
            )
        self._install(shell, careful, seen)
        try:
            send(shell, socket, leaving)
            reload.reload(shell, self._balancer, seen.master, seen.processes, rendered)
        except BalancerFailed:
            files.put_back(shell, config)
            raise
        sent = self._settle(shell, rendered)
        if careful != rendered.text:
            self._install(shell, rendered.text, seen)
        files.forget(shell, config)
        return sent + len(leaving)

    def _settle(self, shell: Shell, rendered: Rendered) -> int:
        """Sends what is missing and looks again, until nothing is. Returns how many commands.

        Raises BalancerFailed when a command does nothing, or a slot stays busy."""
        sent: Counter[str] = Counter()
        deadline = time.monotonic() + QUIET
        while True:
            seen = self._look(shell).observed
            change = runtime.difference(rendered.sections, seen.servers)
            if not change:
                return sent.total()
            if change.commands:
                sent.update(command.text for command in change.commands)
                text, times = sent.most_common(1)[0]
                if times > TRIES:
                    raise BalancerFailed(f"{self.name}: HAProxy took {text!r} and did not do it")
                send(shell, self._balancer.paths.socket, change.commands)
            elif time.monotonic() < deadline:
                time.sleep(POLL)
            else:
                raise BalancerFailed(
                    f"{self.name}: {', '.join(change.busy)} still has connections of the "
                    f"instance before after {QUIET:g} s",
                    hint="run the command again; the new instance waits for a quiet slot",
                    host=self.name,
                )
