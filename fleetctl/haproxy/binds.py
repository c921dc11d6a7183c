"""Whether the ports that a HAProxy is to listen on are free on its host."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence

from fleetctl.errors import BalancerFailed
from fleetctl.ssh.completed import printable
from fleetctl.ssh.shell import Shell

_LISTENERS = r"""
perl -e '
    my %port = map { $_ => 1 } @ARGV;
    my %socket;
    for my $table ("tcp", "tcp6") {
        open(my $in, "<", "/proc/net/$table") or next;
        while (<$in>) {
            my @c = split;
            next unless $c[3] eq "0A";
            my ($address, $p) = split(/:/, $c[1]);
            next unless $port{hex $p};
            my $bytes = join("", map { pack("L", hex $_) } $address =~ /.{8}/g);
            $socket{$c[9]} = unpack("H*", $bytes) . " " . hex $p;
        }
    }
    exit 0 unless %socket;
    my %owned;
    opendir(my $proc, "/proc");
    for my $pid (grep { /^\d+$/ } readdir $proc) {
        opendir(my $fds, "/proc/$pid/fd") or next;
        for my $fd (readdir $fds) {
            my $to = readlink("/proc/$pid/fd/$fd") or next;
            next unless $to =~ /^socket:\[(\d+)\]$/ and $socket{$1};
            open(my $in, "<", "/proc/$pid/comm") or next;
            chomp(my $name = <$in> // "");
            print "$socket{$1} $pid $name\n";
            $owned{$1} = 1;
        }
    }
    for (keys %socket) { print "$socket{$_} 0 unknown\n" unless $owned{$_} }
' "$@"
"""


def check_binds(shell: Shell, binds: Sequence[tuple[str, int]], own: Collection[int]) -> None:
    """Raises BalancerFailed when another process than ``own`` listens where ``binds`` are to:
    HAProxy's check passes then, and the reload cuts clients off for two seconds."""
    ports = [str(port) for port in sorted({port for _, port in binds})]
    done = shell.run(_LISTENERS, *ports).check("looking for listeners")
    for line in done.out.decode("utf-8", "replace").splitlines():
        where, port, pid, process = line.split(" ", 3)
        listener = ipaddress.ip_address(bytes.fromhex(where))
        if int(pid) in own:
            continue
        for address, wanted in binds:
            if int(port) == wanted and _overlap(address, listener):
                raise BalancerFailed(
                    f"{done.host}: HAProxy can't listen on {address}:{port}: "
                    f"{printable(process.encode())} (process {pid}) does",
                    hint="stop that process, or let HAProxy listen elsewhere",
                    host=done.host,
                )


def _overlap(bind: str, listener: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    return bind == "*" or listener.is_unspecified or ipaddress.ip_address(bind) == listener
