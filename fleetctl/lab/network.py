"""Namespaces, links and the blackhole route of the lab.

The switch (a bridge) lies in a namespace of its own, so that no packet filter of the machine
stands between the hosts; one link leads from it to the controller.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
from pathlib import Path

from fleetctl.errors import Refused
from fleetctl.lab.commands import attempt, call
from fleetctl.lab.layout import LINK, NAMESPACE, ROUTE_PROTOCOL, SUBNETS, LabHost, Layout

_NAMED = Path("/run/netns")


def free_subnet() -> str:
    """The first subnet that no route of this machine touches. Raises Refused if there is none."""
    routes = json.loads(call(["ip", "-json", "-4", "route", "show", "table", "all"]) or "[]")
    taken = [
        ipaddress.ip_network(route["dst"], strict=False)
        for route in routes
        if route["dst"] not in ("default", "0.0.0.0/0")
    ]
    for subnet in SUBNETS:
        network = ipaddress.ip_network(f"{subnet}.0/24")
        if not any(network.overlaps(other) for other in taken):
            return subnet
    raise Refused(
        f"all addresses of the lab ({SUBNETS[0]}.0/24 to {SUBNETS[-1]}.0/24) are routed already",
        hint="`ip route` shows by whom; end that network, or run the lab on another machine",
    )


def build(layout: Layout) -> None:
    """Make the switch with its link to the controller, the blackhole route, and the hosts."""
    blackhole = f"blackhole {layout.network} metric 42949 proto {ROUTE_PROTOCOL}"
    _ip(
        f"route add {blackhole}",
        f"netns add {NAMESPACE}",
        f"link add {LINK} type veth peer name controller netns {NAMESPACE}",
        f"addr add {layout.controller}/24 dev {LINK}",
        f"link set {LINK} up",
    )
    _ip(
        "link set lo up",
        f"link add switch address {_mac(layout.registry)} type bridge forward_delay 0",
        f"addr add {layout.registry}/24 dev switch",
        "link set switch up",
        "link set controller master switch up",
        inside=NAMESPACE,
    )
    for host in layout.members:
        attach(host)


def attach(host: LabHost) -> None:
    """Make a host's namespace, and its link to the switch."""
    eth0 = f"name eth0 address {_mac(host.address)} netns {host.namespace}"
    _ip(f"netns add {host.namespace}")
    _ip(
        f"link add {host.name} type veth peer {eth0}",
        f"link set {host.name} master switch up",
        inside=NAMESPACE,
    )
    _ip(
        "link set lo up",
        *(f"addr add {address}/24 dev eth0" for address in host.addresses),
        "link set eth0 up",
        inside=host.namespace,
    )


def _mac(address: str) -> str:
    """An address's own for ever: frames to another go unheard until the ARP entries of it
    expire. A bridge without one takes the lowest of its ports', anew with each port."""
    return "02:00:" + ":".join(f"{int(part):02x}" for part in address.split("."))


def detach(host: LabHost) -> None:
    """Undo ``attach``. No process may live in the namespace."""
    call(["ip", "-n", NAMESPACE, "link", "del", host.name])
    call(["ip", "netns", "del", host.namespace])


def _ip(*lines: str, inside: str = "") -> None:
    call(["ip", *(["-n", inside] if inside else []), "-batch", "-"], input="\n".join(lines))


def set_link(host: str, up: bool) -> None:
    """Plug a host's cable in or out, at the switch's end."""
    call(["ip", "-n", NAMESPACE, "link", "set", host, "up" if up else "down"])


def link_is_up(host: str) -> bool:
    shown = json.loads(call(["ip", "-n", NAMESPACE, "-json", "link", "show", host]))
    return "UP" in shown[0]["flags"]


def namespaces() -> dict[str, int]:
    """The lab's namespaces that exist, by name, with the inode that their processes show."""
    found = {}
    for entry in sorted(_NAMED.glob(f"{NAMESPACE}*")):
        if entry.name == NAMESPACE or entry.name.startswith(f"{NAMESPACE}-"):
            with contextlib.suppress(FileNotFoundError):
                found[entry.name] = entry.stat().st_ino
    return found


def remove() -> None:
    """Undo ``build``, whatever is left of it. No process may live in the namespaces."""
    attempt(["ip", "link", "del", LINK])
    attempt(["ip", "route", "flush", "table", "main", "proto", ROUTE_PROTOCOL])
    for name in namespaces():
        call(["ip", "netns", "del", name])
    if _NAMED.is_dir() and not any(_NAMED.iterdir()):
        # `ip netns` made it and mounted it on itself; nobody else's namespace needs it.
        attempt(["umount", str(_NAMED)])
        with contextlib.suppress(OSError):
            _NAMED.rmdir()


def remains() -> list[str]:
    """What of the lab's network still exists, for people."""
    left = [f"namespace {name}" for name in namespaces()]
    if attempt(["ip", "link", "show", LINK]).returncode == 0:
        left.append(f"link {LINK}")
    routes = attempt(["ip", "route", "show", "table", "main", "proto", ROUTE_PROTOCOL]).stdout
    return left + [f"route {line.strip()}" for line in routes.splitlines()]
