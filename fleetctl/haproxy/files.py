"""HAProxy's file on its host: uploaded beside the old one, checked, put in its place."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Sequence

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import header
from fleetctl.ssh.completed import printable
from fleetctl.ssh.shell import Shell

_NAMES = r"""
file=$(readlink -f -- "$1") || file=$1
new=$file.fleetctl-new old=$file.fleetctl-old
"""

# The binary is the running master's own, also when its package has been upgraded since.
_UPLOAD = (
    _NAMES
    + r"""
umask 022
cat >"$new" || exit 1
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
binary=$(readlink "/proc/$2/exe") && binary=${binary% (deleted)} && [ -x "$binary" ] ||
    binary=haproxy
"$binary" -c -f "$new" 2>&1 || { rm -f -- "$new"; exit 2; }
"""
)
_REMOVE = _NAMES + r"""rm -f -- "$new" """
# An old file that is there already was left by a change that never ended: it is the one that
# HAProxy last took.
_INSTALL = (
    _NAMES
    + r"""
if [ -e "$file" ]; then
    case $(head -n 1 -- "$file") in
        "$2"*) ;;
        *) [ -e "$file.before-fleetctl" ] || cp -p -- "$file" "$file.before-fleetctl" || exit 1 ;;
    esac
    [ -e "$old" ] || cp -p -- "$file" "$old" || exit 1
fi
sync "$new" && mv -f -- "$new" "$file" && sync "$(dirname -- "$file")"
"""
)
_PUT_BACK = _NAMES + r"""[ ! -e "$old" ] || mv -f -- "$old" "$file" """
_FORGET = _NAMES + r"""rm -f -- "$old" """

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


def upload(shell: Shell, file: str, text: str, master: int) -> None:
    """Puts ``text`` beside ``file`` and has the host's own HAProxy check it. Raises
    BalancerFailed with HAProxy's words; then nothing is left there."""
    done = shell.run(_UPLOAD, file, str(master), input=text.encode(), timeout=60.0)
    if done.code == 2:
        raise BalancerFailed(
            f"{done.host}: HAProxy refuses the new file: {_alerts(done.out)}",
            hint="nothing was changed; correct the play or the template",
            host=done.host,
        )
    done.check(f"writing beside {file}")


def _alerts(out: bytes) -> str:
    """What HAProxy has against the file, without its notices and its summing up."""
    lines = out.decode("utf-8", "backslashreplace").splitlines()
    alerts = [
        line.split(" : config : ", 1)[1]
        for line in lines
        if "[ALERT]" in line and " : config : " in line
    ]
    told = [a for a in alerts if not a.startswith(("Error(s) found", "Fatal errors found"))]
    return printable("\n".join(told or lines).encode(), 2000)


def discard(shell: Shell, file: str) -> None:
    """Takes away what ``upload`` left."""
    shell.run(_REMOVE, file).check(f"removing what was uploaded beside {file}")


def install(shell: Shell, file: str) -> None:
    """Puts the uploaded file in the place of ``file``, durably. The one before is kept until
    ``forget``; a foreign one, once and for good, as FILE.before-fleetctl."""
    shell.run(_INSTALL, file, header.MARK).check(f"replacing {file}")


def put_back(shell: Shell, file: str) -> None:
    """Undoes ``install``."""
    shell.run(_PUT_BACK, file).check(f"putting the old {file} back")


def forget(shell: Shell, file: str) -> None:
    """Ends the time in which ``put_back`` works."""
    shell.run(_FORGET, file).check(f"removing the old {file}")


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
