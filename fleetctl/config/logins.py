"""How a host is reached: Ansible's connection variables as a ``Login``."""

from __future__ import annotations

import os
import pwd
import re
import shlex
from pathlib import Path

from fleetctl.config.addresses import valid_ip
from fleetctl.config.host_view import HostView
from fleetctl.config.source import escaped
from fleetctl.model.fleet import Login

_HOST = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]{0,251}[A-Za-z0-9_])?")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.@-]{0,63}\$?")
_SSH_ARGS = ("ansible_ssh_common_args", "ansible_ssh_extra_args", "ansible_ssh_args")
_TURNS_ELSEWHERE = ("proxyjump", "proxycommand", "hostname", "connectto")
_CHECKING_OFF = {
    "stricthostkeychecking": ("no", "off", "false", "accept-new"),
    "userknownhostsfile": ("/dev/null",),
    "globalknownhostsfile": (),
}
_SSH = ("ssh", "smart", "paramiko", "paramiko_ssh", "ansible.builtin.ssh")


def valid_name(name: str) -> bool:
    """Whether ``name`` may stand for a host on command lines, in files and in the record."""
    return _HOST.fullmatch(name) is not None or valid_ip(name)


def login(view: HostView, folder: Path) -> Login:
    """The host's Login; mistakes are noted in the view."""
    connection = view.text("ansible_connection", "ssh")
    if connection not in _SSH:
        message = f'"{escaped(connection)}" is not supported by this version'
        view.note("ansible_connection", message, "hosts are reached by ssh")
    for name in (view.first("ansible_password", "ansible_ssh_pass"), "ansible_become_password"):
        if name in view.own.values:
            hint = "log in with a key, and let sudo ask for none"
            view.note(name, "passwords are not used", hint, warning=True)
    flags = _Flags(view)
    host = view.first("ansible_host", "ansible_ssh_host")
    address = view.text(host, view.name)
    if address != view.name and not valid_name(address):
        view.note(host, f'"{escaped(address)}" is no host name or address')
    named = view.first("ansible_user", "ansible_ssh_user")
    user = view.text(named, flags.user or _own_name())
    if not _USER.fullmatch(user):
        view.note(named, f'"{escaped(user)}" is no user name')
    port = view.first("ansible_port", "ansible_ssh_port")
    key = view.text(
        view.first("ansible_ssh_private_key_file", "ansible_private_key_file"), flags.key_file
    )
    return Login(
        address=address,
        port=view.whole(port, flags.port or 22, 1, 65535),
        user=user,
        key_file=_key_path(key, folder) if key else "",
        become=_become(view),
        known_hosts=_known_hosts(view, folder, flags.known_hosts),
    )


def _own_name() -> str:
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return "root"


def _key_path(text: str, folder: Path) -> str:
    path = Path(text).expanduser()
    if not path.is_absolute() and (folder / path).exists():
        path = folder / path
    return str(path.absolute())


def _known_hosts(view: HostView, folder: Path, more: list[str]) -> tuple[str, ...]:
    chosen = Path(view.text("fleetctl_known_hosts", "known_hosts")).expanduser()
    files = [str((folder / chosen).absolute()), *more]
    files.append(str(Path("~/.ssh/known_hosts").expanduser()))
    return tuple(dict.fromkeys(files))


def _become(view: HostView) -> bool:
    if not view.truth("ansible_become"):
        return False
    for name, wanted in (("ansible_become_method", "sudo"), ("ansible_become_user", "root")):
        if (found := view.text(name, wanted).removeprefix("ansible.builtin.")) != wanted:
            view.note(name, f'"{escaped(found)}" is not supported', f"only {wanted} is")
    return True


class _Flags:
    """What OpenSSH's own flags in Ansible's variables say."""

    def __init__(self, view: HostView) -> None:
        self.view = view
        self.port = 0
        self.user = ""
        self.key_file = ""
        self.known_hosts: list[str] = []
        if not view.truth("ansible_host_key_checking", True) or not view.truth(
            "ansible_ssh_host_key_checking", True
        ):
            self.refuse(view.first("ansible_host_key_checking", "ansible_ssh_host_key_checking"))
        for name in _SSH_ARGS:
            try:
                self.read(name, shlex.split(view.text(name)))
            except ValueError as error:
                view.note(name, str(error))

    def refuse(self, variable: str) -> None:
        message = "host keys are always checked; what switches that off is ignored"
        self.view.note(variable, message, "fleetctl hosts trust adds a host's key", warning=True)

    def read(self, variable: str, words: list[str]) -> None:
        words = [*words]
        while words:
            flag = words.pop(0)
            if len(flag) > 2 and flag[:2] in ("-o", "-p", "-l", "-i", "-J"):
                flag, value = flag[:2], flag[2:]
            elif flag in ("-o", "-p", "-l", "-i", "-J", "-F", "-c", "-m", "-S", "-b"):
                value = words.pop(0) if words else ""
            else:
                continue
            key = {"-p": "port", "-l": "user", "-i": "identityfile", "-J": "proxyjump"}.get(flag)
            if flag == "-o":
                key, _, value = value.replace(" ", "=", 1).partition("=")
            self.option(variable, (key or "").lower().strip(), value.strip())

    def option(self, variable: str, key: str, value: str) -> None:
        if key in _TURNS_ELSEWHERE and value.lower() != "none":
            self.view.note(variable, f"{key} is not supported by this version")
        elif value.lower() in _CHECKING_OFF.get(key, ()):
            self.refuse(variable)
        elif key == "port" and value.isdecimal() and 0 < int(value) < 65536:
            self.port = int(value)
        elif key == "user":
            self.user = value
        elif key == "identityfile":
            self.key_file = value
        elif key == "userknownhostsfile":
            self.known_hosts += [str(Path(file).expanduser()) for file in value.split()]
