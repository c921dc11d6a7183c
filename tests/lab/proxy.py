"""A HAProxy of the lab as somebody at its host's console handles it."""

from __future__ import annotations

import time
from collections.abc import Callable

from harness import Fleet

CONFIG = "/etc/haproxy/haproxy.cfg"
SOCKET = "/run/haproxy/admin.sock"
ASK = (
    'my $s = IO::Socket::UNIX->new(Peer => shift) or die "no socket: $!"; '
    'print $s shift, "\\n"; $s->flush; print while <$s>'
)


class Proxy:
    """Of one balancer."""

    def __init__(self, fleet: Fleet, name: str = "lb1") -> None:
        self.fleet = fleet
        self.name = name

    def sh(self, script: str, *args: str) -> str:
        return self.fleet.on(self.name, "sh", "-c", script, "sh", *args)

    def ask(self, command: str) -> str:
        """What the admin socket answers; nothing when there is none."""
        return self.sh(
            f"perl -MIO::Socket::UNIX -e '{ASK}' {SOCKET} \"$1\" 2>/dev/null || true", command
        ).strip()

    @property
    def file(self) -> str:
        return self.sh(f"cat {CONFIG}")

    @property
    def alive(self) -> bool:
        return "Pid: " in self.ask("show info")

    @staticmethod
    def until(so: Callable[[], bool], within: float = 60.0) -> None:
        deadline = time.monotonic() + within
        while not so():
            assert time.monotonic() < deadline, "did not come about"
            time.sleep(0.1)

    def kill(self) -> None:
        """Master and workers at once, and waits until they are gone."""
        self.sh(
            "master=$(cat /run/haproxy.pid)\n"
            "all=$(cat /proc/$master/task/$master/children)\n"
            "kill -9 $master $all\n"
            "for pid in $master $all; do while [ -d /proc/$pid ]; do sleep 0.05; done; done"
        )

    def start(self) -> None:
        """With the file that lies there; returns when it answers."""
        self.sh(
            f"haproxy -W -D -S /run/haproxy/master.sock -p /run/haproxy.pid -f {CONFIG} "
            "</dev/null >/run/haproxy.log 2>&1 || { cat /run/haproxy.log >&2; exit 1; }"
        )
        self.until(lambda: self.alive)
