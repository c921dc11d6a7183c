"""One HAProxy on its host: looked at, prepared, and brought in line with a rendered file."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from fleetctl.errors import BalancerFailed, CommandFailed, DeadlinePassed, HostError
from fleetctl.haproxy import certificates, commands, files, header, reload, runtime
from fleetctl.haproxy.binds import check_binds
from fleetctl.haproxy.look import Look, look
from fleetctl.haproxy.render import with_disabled
from fleetctl.haproxy.rendered import LIVE, ROUTES, Applied, How, Rendered
from fleetctl.haproxy.socket import send
from fleetctl.haproxy.sync import in_sync
from fleetctl.model.fleet import Balancer
from fleetctl.model.observed import ObservedBalancer
from fleetctl.model.record import Fence
from fleetctl.model.secret import Secret
from fleetctl.ssh.connections import Connections
from fleetctl.ssh.shell import Shell

QUIET = 5.0
"""Seconds that a slot's former instance gets to lose its last connection."""
POLL = 0.1
TRIES = 2
"""How often one command is sent before it is taken for one that does nothing."""

_RELOADING = threading.Lock()
"""Balancers of one run are reloaded one at a time."""


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

    def prepare(
        self, rendered: Rendered, fence: Fence, pems: Mapping[str, Secret] | None = None
    ) -> How:
        """Brings side files and ``pems`` (texts of certificates, by digest) to the host and checks
        the file with the host's own HAProxy, and that every port it listens on is free or
        HAProxy's. Returns what ``apply`` would take now: a command that turns out not to do
        may make a reload of it. Raises BalancerFailed; nothing serves differently after it."""
        with self._shell(fence) as shell:
            seen = self._look(shell)
            if pems or not _on_the_disk(rendered, seen.observed):
                known = seen.observed.files_id == rendered.files_id
                files.check(
                    shell, self._balancer.paths, rendered, _master(seen), pems or {}, known=known
                )
            if seen.processes:
                check_binds(shell, rendered.binds, seen.processes.all)
            if in_sync(rendered, seen.observed):
                return "nothing"
            return "runtime" if _by_commands(rendered, seen.observed) else "reload"

    def lacking(self, rendered: Rendered) -> tuple[str, ...]:
        """Digests of the certificates of this file that the host was never given, or no longer
        has as it was."""
        digests = dict.fromkeys(c.digest for _, c in rendered.certificates)
        with self._shell() as shell:
            return certificates.lacking(shell, self._balancer.paths, list(digests))

    def certificate(self, digest: str) -> Secret | None:
        """The text of a certificate with chain and key, if the host has just that."""
        with self._shell() as shell:
            return certificates.read(shell, self._balancer.paths, digest)

    def text(self) -> str:
        """The file on the disk, empty if there is none."""
        with self._shell() as shell:
            return files.read(shell, self._balancer.paths)

    def end_sessions(self, servers: Sequence[tuple[str, str]], fence: Fence) -> None:
        """Cuts all connections to these (backend, server) of the running worker; those of old
        workers end with them, by hard-stop-after."""
        cut = [commands.end_sessions(backend, server) for backend, server in servers]
        with self._shell(fence) as shell:
            send(shell, self._balancer.paths.socket, cut)

    def apply(self, rendered: Rendered, fence: Fence) -> Applied:
        """File and side files first; then commands where the running worker's file differs only
        in what its socket can change, a reload where it doesn't; then all is read back.

        Raises BalancerFailed. When a reload fails the old files are back in their place and the
        old workers serve. Doing it again is always right, and sends nothing once in line.
        """
        started = time.monotonic()
        with self._shell(fence) as shell:
            how, sent = self._bring_in_line(shell, rendered)
        return Applied(how, sent, time.monotonic() - started)

    @contextmanager
    def _shell(self, fence: Fence | None = None) -> Iterator[Shell]:
        """The shell, behind ``fence`` where something is changed; a command that failed or hung
        there is BalancerFailed."""
        try:
            yield self._connections.host(self.name).shell(fence)
        except (CommandFailed, DeadlinePassed) as error:
            raise BalancerFailed(error.message, hint=error.hint, host=self.name) from error

    def _bring_in_line(self, shell: Shell, rendered: Rendered) -> tuple[How, int]:
        seen = self._look(shell)
        if in_sync(rendered, seen.observed):
            if seen.unfinished:
                files.forget(shell, self._balancer.paths, rendered)
            return "nothing", 0
        if not _by_commands(rendered, seen.observed):
            return "reload", self._reload(shell, rendered, seen)
        if not _on_the_disk(rendered, seen.observed):
            renewed = self._install(shell, rendered, rendered.text, seen)
            seen = seen.without(renewed)
        try:
            sent = self._settle(shell, rendered, seen)
        except commands.NotOverTheSocket:
            return "reload", self._reload(shell, rendered, self._look(shell))
        files.forget(shell, self._balancer.paths, rendered)
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

    def _install(self, shell: Shell, rendered: Rendered, text: str, seen: Look) -> frozenset[str]:
        return files.install(shell, self._balancer.paths, rendered, text, _master(seen))

    def _reload(self, shell: Shell, rendered: Rendered, seen: Look) -> int:
        """Servers that are not known to be good are disabled in the file that the new worker
        loads, and come in by a passed check. Returns the number of commands."""
        with _RELOADING:
            return self._reload_alone(shell, rendered, seen)

    def _reload_alone(self, shell: Shell, rendered: Rendered, seen: Look) -> int:
        paths = self._balancer.paths
        leaving = runtime.leaving(rendered.sections, seen.observed.servers)
        untried = runtime.untried(rendered.sections, seen.observed.servers)
        careful = with_disabled(rendered, untried)
        if seen.processes is None:
            raise BalancerFailed(
                f"{self.name}: HAProxy can't be reloaded: no master's socket at "
                + " or ".join(paths.master_sockets),
                hint="run it in master-worker mode: haproxy -Ws -S /run/haproxy-master.sock",
                host=self.name,
            )
        self._install(shell, rendered, careful, seen)
        try:
            send(shell, paths.socket, leaving)
            reload.reload(shell, self._balancer, seen.master, seen.processes, rendered)
        except BalancerFailed:
            files.put_back(shell, paths)
            raise
        sent = self._settle(shell, rendered, self._look(shell))
        if careful != rendered.text:
            self._install(shell, rendered, rendered.text, seen)
        files.forget(shell, paths, rendered)
        return sent + len(leaving)

    def _settle(self, shell: Shell, rendered: Rendered, seen: Look) -> int:
        """Sends what was missing when it was ``seen`` and looks again, until nothing is. Returns
        how many commands.

        Raises BalancerFailed when a command does nothing, or a slot stays busy."""
        sent: Counter[str] = Counter()
        deadline = time.monotonic() + QUIET
        while True:
            change = runtime.difference(rendered, seen.observed)
            if not change:
                return sent.total()
            if done := self._send(shell, change):
                sent.update(done)
                text, times = sent.most_common(1)[0]
                if times > TRIES:
                    raise BalancerFailed(f"{self.name}: HAProxy took {text!r} and did not do it")
            elif time.monotonic() < deadline:
                time.sleep(POLL)
            else:
                raise BalancerFailed(
                    f"{self.name}: {', '.join(change.busy)} still has connections of the "
                    f"instance before after {QUIET:g} s",
                    hint="run the command again; the new instance waits for a quiet slot",
                    host=self.name,
                )
            seen = self._look(shell)

    def _send(self, shell: Shell, change: runtime.Change) -> list[str]:
        """Sends all of ``change`` that can be sent; returns what that was."""
        paths = self._balancer.paths
        routes = f"{paths.files}/{LIVE}/{ROUTES}"
        batch = [commands.change_map(routes, *entry) for entry in change.routes]
        batch += change.commands
        send(shell, paths.socket, batch)
        for path, digest in change.certificates:
            certificates.replace(shell, paths, path, digest)
        return [c.text for c in batch] + [f"certificate {path}" for path, _ in change.certificates]


def _on_the_disk(rendered: Rendered, seen: ObservedBalancer) -> bool:
    return seen.file_id == rendered.config_id and seen.files_id == rendered.files_id


def _by_commands(rendered: Rendered, seen: ObservedBalancer) -> bool:
    """Not when what is on the disk was edited by hand: the worker may have loaded that."""
    return seen.skeleton == rendered.skeleton and header.EDITED not in (seen.file_id, seen.files_id)


def _master(seen: Look) -> int:
    return seen.processes.master if seen.processes else seen.observed.pid
