"""The machine of one balancer: looked over, and set up step by step."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from dataclasses import replace

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import files, install
from fleetctl.haproxy.binds import check_binds
from fleetctl.haproxy.look import look
from fleetctl.haproxy.rendered import LIVE, Rendered, id_of
from fleetctl.haproxy.survey import Running, Survey, survey
from fleetctl.model.fleet import Balancer
from fleetctl.model.lb import BalancerSetup, SetupStep
from fleetctl.model.record import Fence
from fleetctl.ssh.completed import Completed, printable
from fleetctl.ssh.connection import Connection
from fleetctl.ssh.connections import Connections

STARTED = 30.0
"""Seconds in which a HAProxy that was started has to answer."""
APT = 900.0
POLL = 0.2
MOST_SIDE = 32 * 1024 * 1024

_SCRATCH = r"""
umask 077
[ -d "$1" ] && scratch=$(mktemp -d -p "$1") || scratch=$(mktemp -d) || exit 1
mkdir "$scratch/pems" || exit 1
for pem in "$1"/pems/*; do [ ! -e "$pem" ] || cp -- "$pem" "$scratch/pems/" || exit 1; done
printf %s "$scratch"
"""
_SIDE = rf"""
cd -- "$1/{LIVE}" 2>/dev/null || exit 0
for path in * */*; do
    [ -f "$path" ] && [ "$path" != MANIFEST ] || continue
    case $path in
        *.pem) printf '72 %s\nsha256 %s\n' "$path" "$(sha256sum <"$path" | cut -c 1-64)" ;;
        *) printf '%s %s\n' "$(wc -c <"$path")" "$path"; cat -- "$path" ;;
    esac
done
"""
_PACKAGE = r"""
export DEBIAN_FRONTEND=noninteractive
quiet="apt-get -q -y -o Dpkg::Options::=--force-confold"
get() { $quiet install --no-install-recommends haproxy </dev/null; }
get >/dev/null 2>&1 || { $quiet update </dev/null >/dev/null 2>&1; get; }
"""
_USER = r"""
PATH=$PATH:/usr/sbin:/sbin
useradd --system --user-group --home-dir /var/lib/haproxy --no-create-home \
    --shell /usr/sbin/nologin haproxy
"""
# $1 the folder of side files, which holds keys; then all that are missing.
_FOLDERS = r"""
files=$1
shift
umask 022
mkdir -p -- "$@" && if [ -d "$files" ]; then chmod 0700 "$files"; fi
"""
# There is no way back from a first file. Certificates stay: nobody else may have them.
_SETTLED = r"""
file=$(readlink -f -- "$1") || file=$1
rm -f -- "$file.fleetctl-old" "$2.old"
"""
_UNIT = r"""
umask 022
mkdir -p -- "$(dirname -- "$1")" && cat >"$1.new" && mv -f -- "$1.new" "$1" &&
    systemctl daemon-reload
"""
_ENABLE = r"""systemctl enable haproxy.service 2>&1"""
_SYSTEMD = r"""
verb=$1
shift
[ "$#" = 0 ] || kill -USR1 "$@" 2>/dev/null
systemctl "$verb" haproxy.service 2>&1 && exit 0
systemctl status --no-pager --lines 5 haproxy.service 2>&1
exit 1
"""
# With the processes of before as $4...: the new one asks them to finish once it listens. It gets
# nothing of this session, whose end would end it.
_PROCESS = r"""
config=$1 master=$2 pid=$3
shift 3
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
umask 022
mkdir -p -- "$(dirname -- "$master")" || exit 1
[ "$#" = 0 ] || set -- -sf "$@"
log=$(mktemp) || exit 1
env -i PATH="$PATH" setsid haproxy -W -D -S "$master,mode,600" -p "$pid" -f "$config" "$@" \
    </dev/null >"$log" 2>&1
code=$?
[ "$code" = 0 ] || cat -- "$log"
rm -f -- "$log"
exit "$code"
"""


class Machine:
    """The machine port (engine/ports.py)."""

    def __init__(self, connections: Connections, balancer: Balancer) -> None:
        self._connections = connections
        self._balancer = balancer

    @property
    def _host(self) -> Connection:
        return self._connections.host(self._balancer.name)

    def survey(self) -> Survey:
        return survey(self._host.shell(), self._balancer)

    def running(self) -> Running:
        """Whether what runs there can be changed: its master's socket answers."""
        try:
            seen = look(self._host.shell(), self._balancer)
        except BalancerFailed as error:
            return Running(error=error.message)
        if not seen.observed.up:
            return Running(error=f"{self._balancer.name}: {seen.observed.error}")
        if seen.processes is None:
            places = " or ".join(self._balancer.paths.master_sockets)
            words = f"{self._balancer.name}: HAProxy runs without a master's socket at {places}"
            return Running(error=words)
        return Running(seen.master, "", seen.processes.failed, seen.processes.all)

    def taken(self, rendered: Rendered) -> tuple[str, ...]:
        """Who else than HAProxy listens where it is to, a sentence each."""
        found: dict[str, None] = {}
        own = self.running().pids | self._pids()
        for bind in rendered.binds:
            try:
                check_binds(self._host.shell(), [bind], own)
            except BalancerFailed as error:
                found[error.message] = None
        return tuple(found)

    def _pids(self) -> frozenset[int]:
        own = install.own(self.survey(), self._balancer)
        return frozenset(pid for p in own for pid in (p.pid, *p.workers))

    def refusal(self, rendered: Rendered) -> str:
        """HAProxy's words against the file, tried in a folder that is gone afterwards."""
        shell, paths = self._host.shell(), self._balancer.paths
        made = shell.run(_SCRATCH, paths.files).check("making a folder to try the file in")
        scratch = made.out.decode("utf-8", "replace")
        try:
            moved = _moved(rendered, f"{paths.files}/{LIVE}/", f"{scratch}/{LIVE}/")
            place = replace(paths, config=f"{scratch}/haproxy.cfg", files=scratch)
            files.check(shell, place, moved, 0, {}, known=False)
        except BalancerFailed as error:
            return error.message.partition("refuses the new file: ")[2] or error.message
        finally:
            shell.run('rm -rf -- "$1"', scratch)
        return ""

    def side_files(self) -> Mapping[str, str]:
        """Path below ``live`` to text; of a certificate its SHA-256."""
        done = self._host.shell().run(_SIDE, self._balancer.paths.files, timeout=60.0)
        left, found = done.check("reading HAProxy's side files").out[:MOST_SIDE], {}
        while left:
            head, _, left = left.partition(b"\n")
            size, _, path = head.decode("utf-8", "replace").partition(" ")
            if not size.strip().isdigit():
                break
            found[path] = left[: int(size)].decode("utf-8", "replace")
            left = left[int(size) :]
        return found

    def plan(self, rendered: Rendered, fresh: bool = False) -> BalancerSetup:
        """What there is to set up. Raises Refused, and BalancerFailed where something else
        listens where HAProxy is to."""
        setup = install.plan(self.survey(), self.running(), self._balancer, fresh=fresh)
        actions = {step.action for step in setup.steps}
        if "file" in actions and actions & {"start", "restart"}:
            for words in self.taken(rendered):
                raise BalancerFailed(words, hint="stop that first, or let HAProxy listen elsewhere")
        return setup

    def carry_out(self, step: SetupStep, rendered: Rendered, fence: Fence) -> None:
        """Raises BalancerFailed, StaleFence, HostError."""
        done = self._do(step, rendered, fence)
        if done.code:
            words = printable(done.err) or printable(done.out) or "no output"
            raise BalancerFailed(
                f"{self._balancer.name}: could not {step.what}: {words}", host=self._balancer.name
            )
        if step.action in ("start", "restart"):
            self._await()

    def _do(self, step: SetupStep, rendered: Rendered, fence: Fence) -> Completed:
        host, paths = self._host, self._balancer.paths
        match step.action:
            case "package":
                return host.run(_PACKAGE, timeout=APT, fence=fence)
            case "user":
                return host.run(_USER, fence=fence)
            case "folders":
                return host.run(_FOLDERS, paths.files, *self.survey().missing, fence=fence)
            case "file":
                files.install(host.shell(fence), paths, rendered, rendered.text, 0)
                return host.run(_SETTLED, paths.config, f"{paths.files}/{LIVE}", fence=fence)
            case "unit":
                found = self.survey()
                text = install.unit_text(found, self._balancer).encode()
                return host.run(_UNIT, install.unit_path(found), input=text, fence=fence)
            case "enable":
                return host.run(_ENABLE, fence=fence)
        return self._start(step.action, fence)

    def _start(self, action: str, fence: Fence) -> Completed:
        found, host = self.survey(), self._host
        before = [str(process.pid) for process in install.own(found, self._balancer)]
        if found.systemd:
            strangers = () if found.unit and found.unit.active else before
            return host.run(_SYSTEMD, action, *strangers, fence=fence, timeout=120.0)
        master = install.master_of(self._balancer)
        place = self._balancer.paths.config, master, install.PID_FILE
        return host.run(_PROCESS, *place, *before, fence=fence, timeout=60.0)

    def _await(self) -> None:
        """Until the HAProxy that was started can be changed. Raises BalancerFailed."""
        deadline = time.monotonic() + STARTED
        while error := self.running().error:
            if time.monotonic() > deadline:
                raise BalancerFailed(
                    f"{self._balancer.name}: HAProxy was started and can't be used: {error}",
                    hint="its log says why: journalctl -u haproxy",
                    host=self._balancer.name,
                )
            time.sleep(POLL)


def _moved(rendered: Rendered, before: str, after: str) -> Rendered:
    """``rendered`` with its side files in another place."""
    side = []
    for file in rendered.files:
        if file.kind == "list":
            text = file.text.replace(before, after)
            file = replace(file, text=text, digest=hashlib.sha256(text.encode()).hexdigest())
        side.append(file)
    text = rendered.text.replace(before, after)
    return replace(rendered, text=text, files=tuple(side), files_id=id_of(side))
