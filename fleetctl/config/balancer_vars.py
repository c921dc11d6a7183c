"""What an inventory says of a HAProxy: files and sockets, where it listens, whom it trusts."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Any

from fleetctl.config.addresses import network, valid_ip
from fleetctl.config.host_view import HostView, kind
from fleetctl.config.logins import valid_name
from fleetctl.config.ordinary_yaml import WrittenInt
from fleetctl.config.source import escaped
from fleetctl.model.fleet import Balancer, HAProxyPaths

KEYS = ("config", "files", "http", "https", "master_socket", "socket", "stats")
ANYWHERE = ("*", "0.0.0.0", "::")
INTERNAL_HTTP = 80
"""Where services answer by name inside the fleet unless their plays say otherwise."""
_PATH = re.compile(r"/[A-Za-z0-9._/@+-]+")
_BIND = re.compile(r"(?:(?P<any>\*)|\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<four>[0-9.]+)):(?P<port>\d+)")
_Bind = tuple[str, int]


def balancer_of(view: HostView) -> Balancer:
    """The HAProxy on this host, should there be one. Mistakes are noted in the view."""
    values = view.mapping("fleetctl_haproxy", KEYS)
    listen = _binds(view, "http", values.get("http", 80))
    listen_tls = _binds(view, "https", values.get("https", 443))
    stats = _binds(view, "stats", values["stats"]) if values.get("stats") is not None else ()
    if stats and stats[0][0] in ANYWHERE:
        message = "stats: name the address; figures of the fleet are not for everybody"
        view.note("fleetctl_haproxy", message, 'stats: "127.0.0.1:8404"')
    taken: set[_Bind] = set()
    for bind in (*listen, *listen_tls, *stats):
        if bind in taken or ("*", bind[1]) in taken:
            view.note("fleetctl_haproxy", f"{shown_bind(bind)} is there twice")
        taken.add(bind)
    return Balancer(
        name=view.name,
        paths=_paths(view, values),
        listen=listen,
        listen_tls=listen_tls,
        internal=_internal(view),
        trusted_proxies=_trusted(view),
        stats=stats[0] if stats else None,
    )


def meets_public(
    balancer: Balancer, own: tuple[str, ...], port: int, more: Collection[int] = ()
) -> _Bind | None:
    """The public bind that ``port`` on the internal address would take requests from: the more
    precise of two binds gets them. ``own`` are the addresses that the host is known by,
    ``more`` the ports that routes have for themselves."""
    if not balancer.internal:
        return None
    addresses = {address for address, _ in balancer.listen}
    own_ports = {(address, number) for address in addresses for number in more}
    for bind in sorted({*balancer.listen, *balancer.listen_tls} | own_ports):
        everywhere = bind[0] in ANYWHERE and balancer.internal in own
        if bind[1] == port and (bind[0] == balancer.internal or everywhere):
            return bind
    return None


def shown_bind(bind: _Bind) -> str:
    return f"[{bind[0]}]:{bind[1]}" if ":" in bind[0] else f"{bind[0]}:{bind[1]}"


def _binds(view: HostView, key: str, value: Any) -> tuple[_Bind, ...]:
    found = []
    for item in value if isinstance(value, list) and value else [value]:
        text = str(item) if isinstance(item, str) or _is_whole(item) else ""
        if text.isdecimal() and key != "stats":
            text = f"*:{text}"
        match = _BIND.fullmatch(text)
        address = (match["any"] or match["six"] or match["four"]) if match else ""
        if not match or not (match["any"] or valid_ip(address)) or not _is_port(match["port"]):
            hint = f'write {key}: "127.0.0.1:8404"'
            if key != "stats":
                hint = f'write {key}: PORT, or {key}: "ADDRESS:PORT"'
            view.note("fleetctl_haproxy", f"{key}: {kind(item)} is no place to listen on", hint)
            return ()
        found.append((address, int(match["port"])))
    return tuple(found)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, (bool, WrittenInt))


def _is_port(text: str) -> bool:
    return len(text) <= 5 and 1 <= int(text) <= 65535


def _internal(view: HostView) -> str:
    name = "fleetctl_internal_address"
    address = view.text(name)
    if address and not valid_name(address):
        view.note(name, f'"{escaped(address)}" is no address')
    elif address in ANYWHERE:
        hint = "it is the one address that other services come to"
        view.note(name, f"{address} would let everybody in", hint)
    return address


def _trusted(view: HostView) -> tuple[str, ...]:
    name = "fleetctl_trusted_proxies"
    value = view.get(name)
    found = set()
    for item in value if isinstance(value, list) else [] if value is None else [value]:
        if not isinstance(item, str):
            view.note(name, f"expected a network, found {kind(item)}", "write [10.0.0.0/8]")
            continue
        try:
            found.add(network(item))
        except ValueError as error:
            message, hint = error.args
            view.note(name, escaped(message), hint)
    return tuple(sorted(found))


def _is_shared(folder: PurePosixPath) -> bool:
    """Whether more of a system than fleetctl is sure to need it."""
    deep = 4 if folder.parts[1:2] in (("var",), ("usr",)) else 3
    return len(folder.parts) < deep or ".." in folder.parts


def _paths(view: HostView, values: Any) -> HAProxyPaths:
    default = HAProxyPaths()
    masters = values.get("master_socket", list(default.master_sockets))
    paths = {
        "config": [values.get("config", default.config)],
        "socket": [values.get("socket", default.socket)],
        "master_socket": masters if isinstance(masters, list) and masters else [masters],
        "files": [values.get("files", default.files)],
    }
    for key, found in paths.items():
        for path in found:
            if not isinstance(path, str) or not _PATH.fullmatch(path):
                view.note("fleetctl_haproxy", f"{key}: {kind(path)} is no absolute path")
                return default
    folder = PurePosixPath(paths["files"][0])
    others = [path for key, found in paths.items() if key != "files" for path in found]
    if _is_shared(folder) or any(folder in PurePosixPath(path).parents for path in others):
        message = f"files: {folder} has to be a folder of its own, which is closed to all but root"
        view.note("fleetctl_haproxy", message, f"files: {default.files}")
    return HAProxyPaths(
        paths["config"][0],
        paths["socket"][0],
        tuple(str(path) for path in paths["master_socket"]),
        paths["files"][0],
    )
