"""One host's SSH connection: commands, shells and streams through it, all bounded."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Sequence

import fabric
import paramiko

from fleetctl.errors import CommandFailed, ConnectionLost, DeadlinePassed, HostError
from fleetctl.model.record import Fence
from fleetctl.ssh.channel import Channel
from fleetctl.ssh.completed import Completed, printable
from fleetctl.ssh.fence import STATE_DIR, Guarded, guard
from fleetctl.ssh.names import ADDRESS
from fleetctl.ssh.shell import LOOP, Shell
from fleetctl.ssh.sockets import HeardSocket
from fleetctl.ssh.transport import CHANNEL_TIMEOUT

__all__ = ["Channel", "Completed", "Connection", "Shell"]

# sshd's MaxSessions is 10.
MOST_SESSIONS = 8
# The guard waits up to 10 s for the scope's lock and a moment for older commands to end.
OPEN_TIMEOUT = 30.0


class Connection:
    """Thread-safe. Every method ends in bounded time, and raises HostError's children,
    CommandFailed, DeadlinePassed, and StaleFence where a fence is given."""

    def __init__(
        self,
        name: str,
        connection: fabric.Connection,
        sock: HeardSocket,
        *,
        become: bool = False,
        state_dir: str = STATE_DIR,
    ) -> None:
        self.name = name
        self._connection = connection
        self._transport: paramiko.Transport = connection.transport
        self._socket = sock
        self._become = become
        self._state_dir = state_dir
        self._shells: dict[Fence | None, Shell] = {}
        self._shells_lock = threading.Lock()
        self._sessions = 0
        self._freed = threading.Condition()

    @property
    def alive(self) -> bool:
        return self._transport.is_active()

    @property
    def silent(self) -> float | None:
        """When (monotonic) the connection was ended because the host had fallen silent."""
        return self._socket.silent

    def run(
        self,
        script: str,
        *args: str,
        input: bytes = b"",
        timeout: float = 30.0,
        fence: Fence | None = None,
    ) -> Completed:
        """One exec channel: ``script`` (a constant; data only in ``args`` and ``input``) in a
        POSIX shell, with ``args`` as $1, $2... It must leave no child behind that holds its
        output. ``timeout`` in seconds; after DeadlinePassed the outcome is unknown."""
        deadline = time.monotonic() + timeout
        channel, guarded = self._start(["sh", "-c", script, "fleetctl", *args], fence)
        with channel:
            out, err = channel.exchange(input, None, timeout)
            start = guarded.admitted(out)
            code = channel.exit_code(max(0.1, deadline - time.monotonic()))
        if start < 0:
            raise self._not_started(code, err)
        return Completed(code, bytes(out[start:]), bytes(err), self.name)

    def shell(self, fence: Fence | None = None) -> Shell:
        """The shell of this scope and writer. Nothing is sent before its first request."""
        with self._shells_lock:
            shell = self._shells.get(fence)
            if shell is None:
                shell = Shell(lambda: self.open(["sh", "-c", LOOP], fence))
                self._shells[fence] = shell
            return shell

    def open(self, command: Sequence[str], fence: Fence | None = None) -> Channel:
        """A raw exec channel. It has passed its fence when this returns."""
        channel, guarded = self._start(command, fence)
        try:
            out, err = channel.exchange(
                b"", lambda out, _: guarded.admitted(out) >= 0, OPEN_TIMEOUT
            )
            start = guarded.admitted(out)
            if start < 0:
                raise self._not_started(channel.exit_code(CHANNEL_TIMEOUT), err)
        except BaseException:
            channel.close()
            raise
        channel.hold(out[start:])
        channel.complain(err)
        return channel

    def tcp(self, address: str, port: int, timeout: float) -> Channel:
        """A TCP connection that the host makes. Raises CommandFailed when nothing accepts it,
        DeadlinePassed after ``timeout`` seconds."""
        if not ADDRESS.fullmatch(address):
            raise ValueError(f"not an address: {address!r}")
        where = f"{address}:{port}"
        began = time.monotonic()
        try:
            raw = self._transport.open_channel(
                "direct-tcpip", (address, port), ("127.0.0.1", 0), timeout=timeout
            )
        except paramiko.ChannelException as error:
            if error.code == 1:
                raise HostError(
                    f"{self.name}: its sshd forwards no connections",
                    hint="set AllowTcpForwarding yes (or local) in sshd_config there",
                    host=self.name,
                ) from None
            raise CommandFailed(
                f"{self.name}: can't connect to {where}: {error.text}", host=self.name
            ) from None
        except (paramiko.SSHException, EOFError, OSError):
            if self.alive and time.monotonic() - began >= timeout:
                raise DeadlinePassed(
                    f"{self.name}: {where} does not answer within {timeout:g} s", host=self.name
                ) from None
            raise self._gone() from None
        channel = Channel(raw, self.name, lambda: None)
        channel.settimeout(timeout)
        return channel

    def close(self) -> None:
        """Ends all that is open. Closing twice does no harm."""
        with contextlib.suppress(Exception):
            self._connection.client.close()
        self._socket.cut()

    def _start(self, command: Sequence[str], fence: Fence | None) -> tuple[Channel, Guarded]:
        guarded = guard(self.name, command, fence, become=self._become, state_dir=self._state_dir)
        self._take_session()
        try:
            raw = self._transport.open_session(timeout=CHANNEL_TIMEOUT)
            raw.exec_command(guarded.line)
        except paramiko.ChannelException as error:
            self._free_session()
            raise HostError(
                f"{self.name}: its sshd refuses another session: {error.text}",
                hint="set MaxSessions 10 or more in sshd_config there",
                host=self.name,
            ) from None
        except (paramiko.SSHException, EOFError, OSError) as error:
            self._free_session()
            if self.alive:
                raise HostError(
                    f"{self.name}: its sshd starts no command: {error}",
                    hint="look at the user's shell and at ForceCommand there",
                    host=self.name,
                ) from None
            raise self._gone() from None
        except BaseException:
            self._free_session()
            raise
        return Channel(raw, self.name, self._free_session), guarded

    def _take_session(self) -> None:
        if self._sessions >= MOST_SESSIONS:
            with self._shells_lock:
                shells = list(self._shells.values())
            any(shell.rest() for shell in shells)
        with self._freed:
            if not self._freed.wait_for(lambda: self._sessions < MOST_SESSIONS, OPEN_TIMEOUT):
                raise DeadlinePassed(
                    f"{self.name}: all {MOST_SESSIONS} sessions are busy", host=self.name
                )
            self._sessions += 1

    def _free_session(self) -> None:
        with self._freed:
            self._sessions -= 1
            self._freed.notify()

    def _gone(self) -> ConnectionLost:
        return ConnectionLost(
            f"{self.name}: the connection has ended",
            hint="look with `fleetctl status`, then run the command again",
            host=self.name,
        )

    def _not_started(self, code: int, err: bytes | bytearray) -> CommandFailed:
        words = printable(bytes(err)) or "no output"
        hint = "let the user run `sudo -n` without a password there" if self._become else ""
        return CommandFailed(
            f"{self.name}: the command did not start (code {code}): {words}",
            code=code,
            hint=hint,
            host=self.name,
        )
