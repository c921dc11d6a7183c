"""HAProxy's unix sockets, reached through the SSH connection of their host.

On the host socat carries the bytes if it is there, else perl-base does. haproxyadmin, which
wants a local socket, gets one that leads to the host's.
"""

from __future__ import annotations

import socketserver
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import haproxyadmin.haproxy  # type: ignore[import-untyped]
from haproxyadmin.exceptions import HAProxyBaseError  # type: ignore[import-untyped]

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy.commands import BATCH, Command, replies, session
from fleetctl.ssh.completed import printable
from fleetctl.ssh.shell import Shell

BRIDGE = r"""
bridge() {
    if command -v socat >/dev/null 2>&1; then
        socat -t 20 -T 20 - "UNIX-CONNECT:$1${2:+,shut-none}"
    else
        perl -MSocket -e '
            $SIG{ALRM} = "DEFAULT";
            alarm 20;
            socket(S, AF_UNIX, SOCK_STREAM, 0) && connect(S, sockaddr_un($ARGV[0]))
                or die "$ARGV[0]: $!\n";
            my ($b, $child) = ("", fork);
            unless ($child) {
                while (sysread(STDIN, $b, 65536)) {
                    my $n = 0;
                    while ($n < length $b) { $n += syswrite(S, $b, 65536, $n) || exit 1 }
                }
                shutdown(S, 1) unless $ARGV[1];
                exit 0;
            }
            while (sysread(S, $b, 65536)) { print STDOUT $b }
            kill "TERM", $child;
            waitpid $child, 0;
        ' "$1" "$2"
    fi
}
"""
"""A shell function: stdin to the socket $1, its answer to stdout. Fails if nobody listens. With
a $2 the end of stdin isn't told: what ends with ``quit`` needs it not, and HAProxy drops a
connection that was closed for more commands than it has read."""

_ONE = BRIDGE + '\nbridge "$1"\n'
_SESSION = BRIDGE + '\nbridge "$1" session\n'
ADMIN_TIMEOUT = 5


def send(shell: Shell, socket: str, commands: Sequence[Command]) -> None:
    """Sends ``commands`` in order and checks each reply. Raises BalancerFailed at the first
    that was refused; those after it in its batch have been sent all the same."""
    for start in range(0, len(commands), BATCH):
        batch = commands[start : start + BATCH]
        done = shell.run(_SESSION, socket, input=session([command.text for command in batch]))
        if done.code:
            raise BalancerFailed(
                f"{done.host}: HAProxy's socket {socket} can't be used: {printable(done.err)}",
                host=done.host,
            )
        for command, reply in zip(batch, replies(done.out, len(batch)), strict=True):
            command.check(reply)


def ask_master(shell: Shell, socket: str, line: str) -> str:
    """One command to the master's socket. Empty when it answers nothing or isn't there, as
    during its re-execution."""
    done = shell.run(_ONE, socket, input=f"{line}\n".encode())
    return done.out.decode("utf-8", "replace")


@contextmanager
def admin(shell: Shell, socket: str) -> Iterator[haproxyadmin.haproxy.HAProxy]:
    """haproxyadmin on the socket ``socket`` of the shell's host. What it raises becomes
    BalancerFailed."""
    with _local(shell, socket) as path:
        try:
            yield haproxyadmin.haproxy.HAProxy(
                socket_file=str(path), retry=None, retry_interval=0, timeout=ADMIN_TIMEOUT
            )
        except (HAProxyBaseError, ValueError, KeyError, OSError) as error:
            raise BalancerFailed(f"HAProxy's socket {socket} does not answer: {error}") from error


@contextmanager
def _local(shell: Shell, socket: str) -> Iterator[Path]:
    """A unix socket here, in a folder that is ours alone: each connection is one command."""

    class Carry(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            line = self.rfile.readline()
            if line:
                self.wfile.write(shell.run(_ONE, socket, input=line).out)

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            """The other end sees a connection closed without an answer: that is enough."""

    with tempfile.TemporaryDirectory(prefix="fleetctl-") as folder:
        path = Path(folder) / "admin.sock"
        with Server(str(path), Carry) as server:
            thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
            thread.start()
            try:
                yield path
            finally:
                server.shutdown()
                thread.join()
