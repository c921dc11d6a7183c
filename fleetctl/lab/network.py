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
from fleetctl.lab.layout import LINK, NAMESPACE, ROUTE_PROTOCOL, SUBNETS, Layout

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
    """Make the switch, a namespace and a link per host, and the blackhole route."""
    call(
        ["ip", "route", "add", "blackhole", layout.network]
        + ["metric", "42949", "proto", ROUTE_PROTOCOL]
    )
    members = layout.members
    call(
        ["ip", "-batch", "-"],
        input="\n".join(
            [
                *(f"netns add {name}" for name in (NAMESPACE, *(m.namespace for m in members))),
                f"link add {LINK} type veth peer name controller netns {NAMESPACE}",
                f"addr add {layout.controller}/24 dev {LINK}",
                f"link set {LINK} up",
            ]
        ),
    )
    call(
        ["ip", "-n", NAMESPACE, "-batch", "-"],
        input="\n".join(
            [
                "link set lo up",
                "link add switch type bridge forward_delay 0",
                f"addr add {layout.registry}/24 dev switch",
                "link set switch up",
                "link set controller master switch up",
                *(
                    line
                    for member in members
                    for line in (
                        f"link add {member.name} type veth peer name eth0 netns {member.namespace}",
                        f"link set {member.name} master switch up",
                    )
                ),
            ]
        ),
    )
    for member in members:
        call(
            ["ip", "-n", member.namespace, "-batch", "-"],
            input=f"link set lo up\naddr add {member.address}/24 dev eth0\nlink set eth0 up",
        )


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
