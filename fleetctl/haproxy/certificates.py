"""Certificates on a balancer: those it was given, and those that its running worker uses.

Their texts hold private keys: they go from a file of the host to a socket of the host, and are in
no argument, message or log.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import PurePosixPath

from fleetctl.haproxy import checks
from fleetctl.haproxy.commands import NotOverTheSocket
from fleetctl.haproxy.rendered import LIVE
from fleetctl.haproxy.socket import BRIDGE
from fleetctl.model.fleet import HAProxyPaths
from fleetctl.model.secret import Secret
from fleetctl.ssh.shell import Shell

LONGEST = 15 * 1024
"""Bytes that fit into one command; a longer certificate takes a reload."""

# $1 the folder, then the digests. Prints those that are not there as they were given.
_LACKING = r"""
cd -- "$1" 2>/dev/null || { shift; printf '%s\n' "$@"; exit 0; }
shift
for digest; do
    [ "$(sha256sum 2>/dev/null <"pems/$digest" | cut -c 1-64)" = "$digest" ] ||
        printf '%s\n' "$digest"
done
"""
_READ = r"""[ ! -e "$1/pems/$2" ] || cat -- "$1/pems/$2" """

# $1 the socket, $2 what HAProxy calls the certificate, $3 its text, $4 the longest that may be.
# HAProxy has one transaction at a time; one that was left open takes in another certificate's
# text and says whose it is.
_SET = (
    BRIDGE
    + r"""
ask() { printf "$@" | bridge "$socket"; }
put() {
    { printf 'set ssl cert %s <<\n' "$path"; grep -v '^[[:space:]]*$' "$pem"; echo; } |
        bridge "$socket"
}
socket=$1 path=$2 pem=$3
[ -r "$pem" ] && [ "$(wc -c <"$pem")" -le "$4" ] || exit 1
answer=$(put)
case $answer in
    "Transaction "*"for certificate $path!"*) ;;
    "Transaction "*"for certificate "*)
        other=${answer#*for certificate }
        ask 'abort ssl cert %s\n' "${other%%!*}" >/dev/null
        answer=$(put) ;;
esac
case $answer in "Transaction "*"for certificate $path!"*) ;; *) exit 1 ;; esac
answer=$(ask 'commit ssl cert %s\n' "$path")
case $answer in
    *Success!*) ;;
    *) ask 'abort ssl cert %s\n' "$path" >/dev/null; exit 1 ;;
esac
"""
)


def lacking(shell: Shell, paths: HAProxyPaths, digests: Sequence[str]) -> tuple[str, ...]:
    """Those of ``digests`` that the host does not have, or not as it was given them."""
    if not digests:
        return ()
    done = shell.run(_LACKING, paths.files, *map(checks.sha256, digests))
    missing = set(done.check("looking for certificates").out.decode("ascii", "replace").split())
    return tuple(d for d in digests if d in missing)


def read(shell: Shell, paths: HAProxyPaths, wanted: str) -> Secret | None:
    """The text that hashes to ``wanted``. None if the host does not have just that."""
    done = shell.run(_READ, paths.files, checks.sha256(wanted))
    text = done.check("reading a certificate").out
    return Secret(text) if hashlib.sha256(text).hexdigest() == wanted else None


def replace(shell: Shell, paths: HAProxyPaths, path: str, wanted: str) -> None:
    """Has the running worker use the certificate of digest ``wanted`` for the one that it loaded
    from ``path`` (below live). Raises NotOverTheSocket when it doesn't take it, as it is too
    long or of another kind; then it uses the old one as before. What HAProxy said is not told:
    it was given a key."""
    name = checks.file(f"{paths.files}/{LIVE}/{path}")
    pem = str(PurePosixPath(paths.files, "pems", checks.sha256(wanted)))
    done = shell.run(_SET, paths.socket, name, pem, str(LONGEST))
    if done.code:
        raise NotOverTheSocket(f"{done.host}: HAProxy does not take a new {path}", host=done.host)
