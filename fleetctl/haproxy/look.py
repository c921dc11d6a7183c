"""One look at a HAProxy: its file, its running worker, its processes, in one round trip."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import header, parse
from fleetctl.haproxy.commands import replies
from fleetctl.haproxy.files import WHOLE
from fleetctl.haproxy.rendered import LIVE, ROUTES, tree
from fleetctl.haproxy.socket import BRIDGE
from fleetctl.model.fleet import Balancer
from fleetctl.model.observed import ObservedBalancer
from fleetctl.ssh.completed import printable
from fleetctl.ssh.shell import Shell

# The master refuses connections for some milliseconds while it re-executes itself: a socket
# that is there and silent is asked again, as "no old workers" must not be guessed. When no
# worker answers either, HAProxy is most likely dead.
_LOOK = (
    BRIDGE
    + WHOLE
    + rf"""
file=$1 socket=$2 folder=$3 map=$3/{LIVE}/{ROUTES}
shift 3
head -n 1 -- "$file" 2>/dev/null | tr -d '\036'
printf '\036'
tail -n +2 -- "$file" 2>/dev/null | sha256sum
printf '\036'
certs=$(ls -- "$folder/{LIVE}/certs" 2>/dev/null | grep -x '[A-Za-z0-9._-]*')
real=$(readlink -f -- "$file") || real=$file
name=$(readlink -- "$folder/{LIVE}") || name=
{{
    if [ -z "$name" ]; then echo none
    elif whole "$folder/{LIVE}" "${{name#{tree("")}}}"; then echo whole
    else echo damaged
    fi
    if [ -e "$real.fleetctl-old" ]; then echo unfinished; else echo finished; fi
    printf '%s\n' "${{name:-none}}" | head -n 1
    printf '%s\n' "$certs"
}} | tr -d '\036'
printf '\036'
ask() {{
    printf 'prompt\nshow info\nshow servers state\nshow stat -1 4 -1\nshow map %s\n' "$map"
    [ -z "$certs" ] || printf '%s\n' "$certs" | sed "s|^|show ssl cert $folder/{LIVE}/certs/|"
    echo quit
}}
if ask | bridge "$socket" session; then most=20 admin=1; else most=2 admin=; fi
printf '\036'
tries=0 there=
while [ "$tries" -lt "$most" ]; do
    for master; do
        [ -S "$master" ] || continue
        there=$master
        answer=$(printf 'show proc\n' | bridge "$master") && [ -n "$answer" ] || continue
        printf '%s\036%s\036' "$master" "$answer"
        [ -n "$admin" ] || printf '@1 show info\n' | bridge "$master"
        exit 0
    done
    [ -n "$there" ] || break
    tries=$((tries + 1))
    sleep 0.1
done
printf '%s\036\036' "$there"
"""
)
_PARTS = 7


@dataclass(frozen=True, slots=True)
class Look:
    """``processes`` is None, and ``master`` empty, where no master's socket is there.
    ``unfinished``: a change before did not get to its end, and what it kept is still there."""

    observed: ObservedBalancer
    processes: parse.Processes | None
    master: str
    unfinished: bool = False

    def without(self, certificates: Collection[str]) -> Look:
        """As if the worker had loaded something unknown for these paths."""
        known = tuple((p, "" if p in certificates else f) for p, f in self.observed.certificates)
        return replace(self, observed=replace(self.observed, certificates=known))


def look(shell: Shell, balancer: Balancer) -> Look:
    """Raises BalancerFailed for an answer that makes no sense, HostError for none.

    A HAProxy whose worker doesn't answer on the admin socket is up, with nothing known of its
    servers, if it runs a foreign file.
    """
    paths = balancer.paths
    places = paths.config, paths.socket, paths.files
    done = shell.run(_LOOK, *places, *paths.master_sockets, timeout=60.0)
    # What an application answered its checks stands in the fourth part: it may hold anything.
    parts = done.out.split(b"\x1e", 3)
    parts[3:] = parts[-1].rsplit(b"\x1e", 3) if len(parts) == 4 else []
    if len(parts) != _PARTS:
        raise BalancerFailed(f"{balancer.name}: can't look at HAProxy: {printable(done.err)}")
    first, checksum, tree_lines, admin, master, proc, through_master = parts
    whole, finished, name, *certificates = _text(tree_lines).splitlines() or ("none", "", "")
    seen = ObservedBalancer(
        balancer.name,
        file_id=header.file_id(_text(first), _text(checksum).split(" ")[0]),
        files_id=_files_id(whole, name),
    )
    processes = parse.parse_processes(_text(proc)) if proc.strip() else None
    if not admin and b"Permission denied" in done.err:
        raise BalancerFailed(
            f"{balancer.name}: HAProxy's sockets may not be used: {printable(done.err)}",
            hint="log in there as root, or with ansible_become: true",
            host=balancer.name,
        )
    if not admin and processes is None:
        error = f"HAProxy does not run, or not with the sockets expected: {printable(done.err)}"
        return Look(replace(seen, state="down", error=error), None, "")
    if master and processes is None:
        raise BalancerFailed(f"{balancer.name}: no answer from HAProxy's master at {_text(master)}")
    seen = replace(seen, old_workers=len(processes.old_workers) if processes else 0)
    if admin:
        seen = _running(seen, admin, certificates)
    else:
        _must_be_foreign(balancer, _text(through_master))
    return Look(seen, processes, _text(master), finished == "unfinished")


def _running(seen: ObservedBalancer, admin: bytes, certificates: list[str]) -> ObservedBalancer:
    """``seen`` with what the running worker answered."""
    info_text, state, stat, routes, *loaded = replies(admin, 4 + len(certificates))
    info = parse.parse_info(info_text)
    config_id, skeleton = header.read_description(info.get("description", ""))
    found = {n: parse.parse_fingerprint(text) for n, text in zip(certificates, loaded, strict=True)}
    return replace(
        seen,
        version=info.get("Version", ""),
        pid=int(info["Pid"]) if info.get("Pid", "").isdigit() else 0,
        config_id=config_id,
        skeleton=skeleton,
        servers=parse.parse_servers(state, stat),
        routes=parse.parse_map(routes),
        certificates=tuple((f"certs/{name}", print_) for name, print_ in found.items() if print_),
    )


def _files_id(whole: str, name: str) -> str:
    """The id of the tree ``name``, if it is as it was written."""
    if whole == "none":
        return ""
    return name.removeprefix(tree("")) if whole == "whole" else header.EDITED


def _must_be_foreign(balancer: Balancer, info: str) -> None:
    if any(header.read_description(parse.parse_info(info).get("description", ""))):
        raise BalancerFailed(
            f"{balancer.name}: HAProxy's socket {balancer.paths.socket} is gone, and a reload does "
            "not bring it back: restart HAProxy there",
            hint="systemctl restart haproxy, on the balancer",
            host=balancer.name,
        )


def _text(part: bytes) -> str:
    return part.decode("utf-8", "replace").strip()
