"""The inventory, resolved: hosts, balancers, and where the record lies."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Login:
    """How a host is reached, from Ansible's variables. ``known_hosts`` are files, first wins."""

    address: str
    port: int = 22
    user: str = "root"
    key_file: str = ""
    become: bool = False
    known_hosts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a host has or keeps back. None: what the host reports."""

    cpus: float | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """One machine. ``address`` is where instances publish and balancers connect; ``weight`` (0
    to 256) is the share of requests that its instances get."""

    name: str
    login: Login
    address: str
    groups: tuple[str, ...] = ()
    labels: tuple[tuple[str, str], ...] = ()
    capacity: Capacity = field(default_factory=Capacity)
    reserved: Capacity = field(default_factory=lambda: Capacity(0.0, 0))
    port_range: tuple[int, int] = (20000, 29999)
    weight: int = 100


@dataclass(frozen=True, slots=True)
class HAProxyPaths:
    """Where HAProxy's file and sockets lie on a balancer; ``files`` is the folder of what its
    file names: maps, certificates, pages."""

    config: str = "/etc/haproxy/haproxy.cfg"
    socket: str = "/run/haproxy/admin.sock"
    master_sockets: tuple[str, ...] = ("/run/haproxy/master.sock", "/run/haproxy-master.sock")
    files: str = "/var/lib/fleetctl/haproxy"


@dataclass(frozen=True, slots=True)
class Balancer:
    """A HAProxy, on the host of the same name. ``listen`` are the public (address, port)
    pairs, ``listen_tls`` those for TLS; the address ``*`` is any. ``internal`` is the address at
    which services are reached from inside the fleet, empty for none. ``trusted_proxies`` are
    networks whose connections begin with the PROXY protocol. ``stats`` is where figures are
    shown besides the unix socket beside the admin socket, None for nowhere."""

    name: str
    paths: HAProxyPaths = field(default_factory=HAProxyPaths)
    listen: tuple[tuple[str, int], ...] = (("*", 80),)
    listen_tls: tuple[tuple[str, int], ...] = (("*", 443),)
    internal: str = ""
    trusted_proxies: tuple[str, ...] = ()
    stats: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Fleet:
    """One inventory. Hosts and balancers are sorted by name; ``record_hosts`` too. ``internal``
    tells where the names of services lead from inside a container: to all balancers, or to
    the HAProxy that then runs on every host that has instances."""

    name: str
    hosts: tuple[Host, ...]
    balancers: tuple[Balancer, ...] = ()
    record_hosts: tuple[str, ...] = ()
    journal: str = ""
    internal: Literal["balancers", "every_host"] = "balancers"

    def host(self, name: str) -> Host:
        """Raises KeyError for a host that the inventory doesn't have."""
        for host in self.hosts:
            if host.name == name:
                return host
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class ListedHost:
    """A host as ``hosts list`` shows it: no connection needed, variables as Ansible has them."""

    name: str
    address: str
    groups: tuple[str, ...]
    vars: dict[str, Any]
