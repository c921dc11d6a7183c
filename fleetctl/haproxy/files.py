"""HAProxy's file and its side files on the host: brought there, checked, put in their place."""

from __future__ import annotations

from collections.abc import Mapping

from fleetctl.errors import BalancerFailed
from fleetctl.haproxy import header, trees
from fleetctl.haproxy.rendered import LIVE, Rendered, tree
from fleetctl.model.fleet import HAProxyPaths
from fleetctl.model.secret import Secret
from fleetctl.ssh.completed import Completed, printable
from fleetctl.ssh.shell import Shell

# $1 HAProxy's file, $2 the folder of side files, $3 the id of a tree (empty for none).
_NAMES = rf"""
file=$(readlink -f -- "$1") || file=$1
new=$file.fleetctl-new old=$file.fleetctl-old
folder=$2 id=$3 name={tree("$3")} live=$2/{LIVE} before=$2/{LIVE}.old
"""

# Tells whether a tree is as it was written: its manifest hashes to its name.
WHOLE = rf"""
whole() {{
    [ "$(sha256sum 2>/dev/null <"$1/{trees.MANIFEST}" | cut -c 1-16)" = "$2" ] &&
        (cd "$1" && sha256sum --status --strict -c {trees.MANIFEST} 2>/dev/null)
}}
"""

# $4 the master's process. The binary is the running master's own, also when its package has been
# upgraded since. HAProxy's file names what is live: the check reads the new tree instead.
_BRING = (
    _NAMES
    + WHOLE
    + r"""
umask 077
incoming=$folder/incoming tree=$folder/$name
trap 'rm -rf -- "$incoming" "$file.fleetctl-check"' EXIT
mkdir -p -- "$folder/pems" && chmod 0700 "$folder" "$folder/pems" || exit 1
rm -rf -- "$incoming" && mkdir "$incoming" && tar -xof - -C "$incoming" || exit 1
for pem in "$incoming"/pems/*; do
    [ -e "$pem" ] || continue
    sync "$pem" && mv -f -- "$pem" "$folder/pems/" || exit 1
done
if [ -n "$id" ] && ! whole "$tree" "$id"; then
    made=$incoming/tree
    [ -e "$made" ] || exit 3
    while read -r digest path; do
        [ ! -e "$made/$path" ] || continue
        mkdir -p -- "$made/${path%/*}" || exit 1
        [ -e "$folder/pems/$digest" ] || { echo "$path"; exit 4; }
        cp -- "$folder/pems/$digest" "$made/$path" || exit 1
    done <"$made/MANIFEST"
    (cd "$made" && sha256sum --quiet --strict -c MANIFEST 2>&1) || exit 5
    find "$made" -exec sync {} + || exit 1
    if [ -n "$only_check" ] && [ "$(readlink -- "$live")" = "$name" ]; then
        tree=$made
    else
        rm -rf -- "$tree" && mv -T -- "$made" "$tree" && sync "$folder" || exit 1
    fi
fi
rm -f -- "$new"
cat "$incoming/main" >"$new" || { rm -f -- "$new"; exit 1; }
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
binary=$(readlink "/proc/$4/exe") && binary=${binary% (deleted)} && [ -x "$binary" ] ||
    binary=haproxy
if [ -n "$id" ]; then
    for list in "$tree"/*.list; do
        [ ! -e "$list" ] || sed "s|$live/|$tree/|g" "$list" >"$incoming/${list##*/}" || exit 1
    done
    sed -e "s|$live/\([A-Za-z0-9_-]*\.list\)|$incoming/\1|g" -e "s|$live/|$tree/|g" \
        "$new" >"$file.fleetctl-check" || { rm -f -- "$new"; exit 1; }
else
    cp -- "$new" "$file.fleetctl-check" || { rm -f -- "$new"; exit 1; }
fi
"$binary" -c -f "$file.fleetctl-check" 2>&1 || { rm -f -- "$new"; exit 2; }
"""
)
# A tree that is live and isn't whole stays: it shows that the worker may have loaded it.
_CHECK = "only_check=1" + _BRING + r"""rm -f -- "$new" """
# $5 the mark of our files. Prints the certificates that are others than before, where the same
# key and name may have another chain. What is kept as old already was left by a change that
# never ended: it is what HAProxy last took.
_INSTALL = (
    "only_check="
    + _BRING
    + r"""
if [ -e "$file" ]; then
    case $(head -n 1 -- "$file") in
        "$5"*) ;;
        *) [ -e "$file.before-fleetctl" ] || cp -p -- "$file" "$file.before-fleetctl" || exit 1 ;;
    esac
    [ -e "$old" ] || cp -p -- "$file" "$old" || exit 1
fi
for pem in "$folder/$name"/certs/*; do
    loaded=$live/certs/${pem##*/}
    [ ! -e "$loaded" ] || [ "$(sha256sum <"$pem")" = "$(sha256sum <"$loaded")" ] ||
        printf '\036certs/%s\n' "${pem##*/}"
done
if [ -n "$id" ] && [ "$(readlink -- "$live")" != "$name" ]; then
    [ -L "$live" ] || rm -rf -- "$live"
    (cd -- "$live" 2>/dev/null && find . -type f) | while read -r path; do
        [ -e "$folder/$name/$path" ] || {
            mkdir -p -- "$folder/$name/${path%/*}" && ln -- "$live/$path" "$folder/$name/$path" &&
                sync "$folder/$name/${path%/*}"
        } || exit 1
    done || exit 1
    [ ! -L "$live" ] || [ -L "$before" ] || cp -P -- "$live" "$before" || exit 1
    ln -sfn -- "$name" "$live.new" && mv -fT -- "$live.new" "$live" && sync "$folder" || exit 1
fi
sync "$new" && mv -f -- "$new" "$file" && sync "$(dirname -- "$file")"
"""
)
_PUT_BACK = (
    _NAMES
    + r"""
[ ! -e "$old" ] || mv -f -- "$old" "$file" || exit 1
[ ! -L "$before" ] || mv -fT -- "$before" "$live"
"""
)
# $4... the certificates to keep.
_FORGET = (
    _NAMES
    + r"""
shift 3
rm -f -- "$old" "$before" || exit 1
[ -d "$folder" ] || exit 0
for tree in "$folder/$name"*; do
    [ "${tree##*/}" = "$(readlink -- "$live")" ] || rm -rf -- "$tree"
done
(cd -- "$live" 2>/dev/null && [ -s MANIFEST ] && {
    echo ./MANIFEST && cut -c 67- MANIFEST | sed 's|^|./|' && find . -type f
} | sort | uniq -u | while read -r path; do rm -f -- "$path"; done)
# What a `lb check` that was cut off left.
find "$folder" -maxdepth 1 -name 'tmp.*' -mmin +60 -exec rm -rf -- {} +
keep=" $* "
for pem in "$folder"/pems/*; do
    case $keep in *" ${pem##*/} "*) ;; *) rm -f -- "$pem" ;; esac
done
"""
)
_READ = r"""[ ! -e "$1" ] || cat -- "$1" """


def check(
    shell: Shell,
    paths: HAProxyPaths,
    rendered: Rendered,
    master: int,
    pems: Mapping[str, Secret],
    *,
    known: bool,
) -> None:
    """Brings the side files (if they aren't ``known`` to be there) and ``pems`` to the host and
    has the host's own HAProxy check the file with them; what serves is as before. Raises
    BalancerFailed with HAProxy's words."""
    _bring(shell, _CHECK, paths, rendered, rendered.text, master, pems, contents=not known)


def install(
    shell: Shell, paths: HAProxyPaths, rendered: Rendered, text: str, master: int
) -> frozenset[str]:
    """As ``check``, then puts the side files and ``text`` in their place, durably. Those before
    are kept until ``forget``; a foreign file, once and for good, as FILE.before-fleetctl.
    Side files that are on the host are not sent again. Returns the paths (below live) of the
    certificates that are others than before."""
    done = _bring(shell, _INSTALL, paths, rendered, text, master, {}, contents=False)
    lines = done.out.decode("utf-8", "replace").split("\n")
    return frozenset(line[1:] for line in lines if line.startswith("\x1e"))


def put_back(shell: Shell, paths: HAProxyPaths) -> None:
    """Undoes ``install``."""
    shell.run(_PUT_BACK, paths.config, paths.files, "").check(f"putting {paths.config} back")


def forget(shell: Shell, paths: HAProxyPaths, rendered: Rendered) -> None:
    """Ends the time in which ``put_back`` works, and takes away what nothing names any more."""
    keep = sorted(trees.certificates_of(rendered))
    done = shell.run(_FORGET, paths.config, paths.files, "", *keep)
    done.check(f"removing what was before {paths.config}")


def read(shell: Shell, paths: HAProxyPaths) -> str:
    """The file on the disk, empty if there is none. Raises CommandFailed."""
    done = shell.run(_READ, paths.config).check(f"reading {paths.config}")
    return done.out.decode("utf-8", "replace")


def _bring(
    shell: Shell,
    script: str,
    paths: HAProxyPaths,
    rendered: Rendered,
    text: str,
    master: int,
    pems: Mapping[str, Secret],
    *,
    contents: bool,
) -> Completed:
    """Runs ``script`` with all that it takes; once more, with the side files, if they are lacking
    there."""
    place = paths.config, paths.files, rendered.files_id
    sent = trees.pack(text, rendered, pems, contents=contents)
    done = shell.run(script, *place, str(master), header.MARK, input=sent, timeout=60.0)
    words = printable(done.out)
    if done.code == 3 and not contents:
        return _bring(shell, script, paths, rendered, text, master, pems, contents=True)
    if done.code == 2:
        raise BalancerFailed(
            f"{done.host}: HAProxy refuses the new file: {_alerts(done.out)}",
            hint="nothing was changed; correct the play or the template",
            host=done.host,
        )
    if done.code == 4:
        raise BalancerFailed(
            f"{done.host} was never given {_certificate_at(words, rendered)}",
            hint="a deploy of its service brings it along, from where its play takes it",
            host=done.host,
        )
    if done.code == 5:
        raise BalancerFailed(
            f"{done.host}: side files of HAProxy did not arrive whole in {paths.files}: {words}",
            hint="run the command again",
            host=done.host,
        )
    return done.check(f"writing {paths.config} and {paths.files}")


def _certificate_at(path: str, rendered: Rendered) -> str:
    for known, certificate in rendered.certificates:
        if known == path:
            service = path.rpartition("/")[2].partition(".")[0]
            return f"the certificate {certificate.name} of {service} ({path})"
    return path


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
