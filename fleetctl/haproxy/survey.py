"""What there is of HAProxy on a machine: program, user, files, sockets, processes, systemd."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from fleetctl.haproxy import header
from fleetctl.model.fleet import Balancer
from fleetctl.ssh.shell import Shell

HOME = "/var/lib/haproxy"
"""Where Debian's HAProxy chroots to."""
MOST = 65536

# Every line is NAME VALUE; the values are cut, and none has a line break.
_SURVEY = r"""
config=$1 socket=$2 files=$3 home=$4
shift 4
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
say() { printf '%s %s\n' "$1" "$(printf %s "$2" | tr '\n\r' '  ' | cut -c1-2000)"; }
binary=$(command -v haproxy) || binary=
if [ -n "$binary" ]; then
    say binary "$binary"
    say version "$("$binary" -v 2>/dev/null | head -n 1)"
fi
if command -v apt-get >/dev/null 2>&1; then say apt yes; fi
if id -u haproxy >/dev/null 2>&1; then say user yes; fi
for folder in "$(dirname "$config")" "$(dirname "$socket")" "$home" "$files"; do
    [ -d "$folder" ] || say missing "$folder"
done
if [ -e "$config" ]; then
    say first "$(head -n 1 -- "$config")"
    say rest "$(tail -n +2 -- "$config" | sha256sum)"
    if [ -n "$binary" ] && "$binary" -c -q -f "$config" >/dev/null 2>&1; then say passes yes; fi
fi
for path in "$socket" "$@"; do
    [ ! -e "$path" ] || say socket "$(stat -L -c '%a %U %G %F' -- "$path") $path"
done
space=$(readlink /proc/self/ns/pid)
for entry in /proc/[0-9]*; do
    name=
    read -r name 2>/dev/null <"$entry/comm" || continue
    [ "$name" = haproxy ] && [ "$(readlink "$entry/ns/pid")" = "$space" ] || continue
    read -r line 2>/dev/null <"$entry/stat" || continue
    set -- ${line##*) }
    say process "${entry#/proc/} $2 $(tr '\0' ' ' <"$entry/cmdline")"
done
[ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1 || exit 0
say systemd yes
for key in LoadState ActiveState UnitFileState Environment ExecStart; do
    say "unit.$key" "$(systemctl show haproxy.service -p "$key" --value 2>/dev/null)"
done
systemctl show haproxy.service -p EnvironmentFiles --value 2>/dev/null | while read -r file rest; do
    [ -r "$file" ] || continue
    grep -E '^[A-Z_]+=' "$file" | while read -r line; do say env "$line"; done
done
"""


@dataclass(frozen=True, slots=True)
class Socket:
    """A socket's file. ``mode`` are its permission bits."""

    path: str
    mode: int
    owner: str
    group: str
    is_socket: bool = True

    @property
    def open_to(self) -> str:
        """Who besides root may connect, empty for nobody: that takes the right to write."""
        if self.mode & 0o002:
            return "everybody"
        if self.mode & 0o020 and self.group != "root":
            return f"group {self.group}"
        return f"user {self.owner}" if self.owner != "root" else ""


@dataclass(frozen=True, slots=True)
class Process:
    """A HAProxy that no other one started: a master with its workers, or one that has none."""

    pid: int
    arguments: tuple[str, ...]
    workers: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Unit:
    """systemd's haproxy.service. ``arguments`` are how it starts HAProxy, variables replaced."""

    active: bool
    enabled: bool
    arguments: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Running:
    """HAProxy as it runs. ``master`` is the socket of its master, empty where none answers;
    ``error`` says then why it can't be changed. ``failed`` are the reloads that failed since
    the last that didn't, ``pids`` all its processes."""

    master: str = ""
    error: str = ""
    failed: int = 0
    pids: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Survey:
    """``file_id`` is that of the file on the disk: None for no file, empty for a foreign one;
    ``passes``: HAProxy takes it. ``missing`` are folders. ``unit`` is None where systemd has
    none; ``systemd``: it runs the machine."""

    binary: str = ""
    version: str = ""
    apt: bool = False
    user: bool = False
    missing: tuple[str, ...] = ()
    file_id: str | None = None
    passes: bool = False
    sockets: tuple[Socket, ...] = ()
    processes: tuple[Process, ...] = ()
    systemd: bool = False
    unit: Unit | None = None

    @property
    def foreign(self) -> bool:
        return self.file_id == ""


def survey(shell: Shell, balancer: Balancer) -> Survey:
    """One round trip; changes nothing. Raises CommandFailed, HostError."""
    paths = balancer.paths
    done = shell.run(
        _SURVEY, paths.config, paths.socket, paths.files, HOME, *paths.master_sockets
    ).check("looking at HAProxy's files and processes")
    return read(done.out.decode("utf-8", "replace")[:MOST])


def read(text: str) -> Survey:
    """What the script said."""
    said: dict[str, list[str]] = {}
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        said.setdefault(name, []).append(value.strip())

    def one(name: str) -> str:
        return said.get(name, [""])[0]

    file_id = None
    if "first" in said:
        file_id = header.file_id(one("first"), one("rest").split(" ")[0])
    return Survey(
        binary=one("binary"),
        version=_version(one("version")),
        apt="apt" in said,
        user="user" in said,
        missing=tuple(dict.fromkeys(said.get("missing", ()))),
        file_id=file_id,
        passes="passes" in said,
        sockets=tuple(filter(None, map(_socket, said.get("socket", ())))),
        processes=_masters(said.get("process", ())),
        systemd="systemd" in said,
        unit=_unit({k: v[0] for k, v in said.items()}, said.get("env", [])),
    )


def _version(line: str) -> str:
    found = re.search(r"version (\S+)", line)
    return found[1] if found else ""


def _socket(line: str) -> Socket | None:
    found = re.fullmatch(r"([0-7]+) (\S+) (\S+) (.*?) (/\S+)", line)
    if found is None:
        return None
    return Socket(found[5], int(found[1], 8), found[2], found[3], found[4] == "socket")


def _masters(lines: list[str] | tuple[str, ...]) -> tuple[Process, ...]:
    """From lines of process, parent and arguments."""
    rows = [line.split() for line in lines]
    rows = [row for row in rows if len(row) > 2 and row[0].isdigit()]
    pids = {row[0] for row in rows}
    return tuple(
        Process(int(row[0]), tuple(row[2:]), tuple(int(r[0]) for r in rows if r[1] == row[0]))
        for row in rows
        if row[1] not in pids
    )


def _unit(said: Mapping[str, str], files: list[str]) -> Unit | None:
    if said.get("unit.LoadState") != "loaded":
        return None
    found = re.search(r"argv\[\]=(.*?) ; ignore_errors=", said.get("unit.ExecStart", ""))
    variables = _assignments(said.get("unit.Environment", ""))
    for line in files:
        variables |= _assignments(line)
    return Unit(
        active=said.get("unit.ActiveState") in ("active", "reloading", "activating"),
        enabled=said.get("unit.UnitFileState", "").startswith("enabled"),
        arguments=expand(found[1] if found else "", variables),
    )


def _assignments(text: str) -> dict[str, str]:
    try:
        pairs = [word.partition("=") for word in shlex.split(text)]
    except ValueError:
        return {}
    return {name: value for name, equals, value in pairs if equals}


def expand(line: str, variables: Mapping[str, str]) -> tuple[str, ...]:
    """A command line of a unit in words: ``$NAME`` becomes several, ``${NAME}`` stays one."""
    words: list[str] = []
    for word in line.split():
        if re.fullmatch(r"\$[A-Za-z_]\w*", word):
            words += variables.get(word[1:], "").split()
        else:
            words.append(re.sub(r"\$\{(\w+)\}", lambda m: variables.get(m[1], ""), word))
    return tuple(words)
