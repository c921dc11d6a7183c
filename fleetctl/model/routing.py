"""Ways to a service through the balancers, and how they are guarded and balanced.

Seconds are floats. Nothing here is secret: of a certificate there is its name and what is
public of it, of a password its hash.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Pairs = tuple[tuple[str, str], ...]
Mode = Literal["http", "tcp"]


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate with its chain and key, as balancers hold it. ``digest`` is the SHA-256 of
    the PEM text, ``fingerprint`` the SHA-1 of the leaf in upper case hexadecimal, as HAProxy
    shows it; ``names`` are the DNS names that it covers, ``expires`` seconds since the epoch."""

    name: str
    digest: str
    fingerprint: str
    names: tuple[str, ...] = ()
    expires: float = 0.0


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS of a route: by which certificate of its service. ``redirect`` sends plain requests
    to https; ``hsts`` is the max-age in seconds, 0 for no header."""

    certificate: str
    redirect: bool = True
    hsts: float = 0.0


@dataclass(frozen=True, slots=True)
class Rate:
    """At most ``requests`` of one source address in ``per`` seconds."""

    requests: int
    per: float


@dataclass(frozen=True, slots=True)
class Route:
    """A public way in to ``port`` (the name of an exposed one).

    With ``mode`` http: requests for ``host`` (empty: any; ``*.example.com``: one label more)
    below ``path`` that have all ``headers``, on the public ports, or on ``listen`` alone. With
    tcp: connections to ``listen``. ``allow`` are the networks that may use it, none for all;
    ``users`` are (name, crypt hash) of those who may, none for all.
    """

    port: str
    host: str = ""
    path: str = "/"
    headers: Pairs = ()
    mode: Mode = "http"
    listen: int = 0
    tls: Tls | None = None
    allow: tuple[str, ...] = ()
    rate: Rate | None = None
    users: Pairs = ()

    @property
    def key(self) -> tuple[int, str, str, Pairs]:
        """What no two routes of a fleet have in common."""
        return (self.listen, self.host, self.path, self.headers)


@dataclass(frozen=True, slots=True)
class Internal:
    """The service's name inside the fleet, SERVICE.internal: with http on port ``listen`` (80
    unless said) by that name, with tcp on a port that is the service's alone."""

    port: str
    mode: Mode = "http"
    listen: int = 80


@dataclass(frozen=True, slots=True)
class Balancing:
    """How requests are spread over the servers of a service, and what they meet there.

    ``sticky`` is the name of a cookie that keeps a client at its server, empty for none.
    ``maxconn`` are requests (connections with tcp) that one server gets at once, 0 for any
    number; more wait up to ``queue_timeout``. ``server_timeout`` is how long a server may say
    nothing, ``tunnel_timeout`` the same of both ends of a websocket or tcp connection.
    ``tunnel_drain`` is the drain limit where such connections are to have more time than
    drain_timeout, 0 for no more. With ``maintenance`` every request gets ``maintenance_page``
    (HTML, empty for a plain one), which is also what clients get while no server is ready.
    ``snippet`` are lines of HAProxy's own language for the service's backends.
    """

    algorithm: Literal["roundrobin", "leastconn", "source", "random", "first"] = "roundrobin"
    sticky: str = ""
    maxconn: int = 0
    queue_timeout: float = 5.0
    slowstart: float = 0.0
    send_proxy: Literal["", "v1", "v2"] = ""
    server_timeout: float = 60.0
    tunnel_timeout: float = 3600.0
    tunnel_drain: float = 0.0
    maintenance: bool = False
    maintenance_page: str = ""
    snippet: str = ""
