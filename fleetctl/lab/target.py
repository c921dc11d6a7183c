"""Where the load client sends requests, and who has to answer there."""

from __future__ import annotations

import ssl
from collections.abc import Collection
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from fleetctl.lab.exchange import Answer, exchange, request_bytes
from fleetctl.lab.line import Failed, Line, connect

_KEPT = 8  # connections that are kept open to one address and name, and cookie jars of a target


@dataclass(frozen=True, slots=True)
class Target:
    """One route at one balancer. ``host`` is the Host header, if it isn't the URL's.
    ``service`` has to answer (empty: any), with a revision of ``allow`` (none given: any). With
    https the certificate is checked against the PEM file ``ca``. ``sticky`` clients send back
    the cookies that they get."""

    url: str
    host: str = ""
    service: str = ""
    allow: tuple[str, ...] = ()
    ca: str = ""
    sticky: bool = False

    @property
    def name(self) -> str:
        parts = urlsplit(self.url)
        return f"{self.service or self.host or 'any'} {parts.path or '/'} at {parts.netloc}"


@dataclass(slots=True)
class Jar:
    """The memory of one client: a cookie, and the instance that it was last answered by."""

    cookie: str = ""
    instance: str = ""


@dataclass(slots=True)
class Pool:
    """Kept lines to one address, used in turn by all its targets."""

    places: list[Line | None] = field(default_factory=lambda: [None] * _KEPT)
    turn: int = 0


class Way:
    """A target as requests go there."""

    def __init__(self, target: Target, pools: dict[tuple[object, ...], Pool]) -> None:
        parts = urlsplit(target.url)
        self.target = target
        self.name = target.name
        self.connections = 0
        self.moves = 0
        self.done = False
        self._host = target.host or parts.netloc
        self._path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        secure = parts.scheme == "https"
        self._address, self._port = parts.hostname or "", parts.port or (443 if secure else 80)
        self._context = ssl.create_default_context(cafile=target.ca or None) if secure else None
        tls_name = self._host if secure else ""
        self._pool = pools.setdefault((self._address, self._port, tls_name), Pool())
        self._jars = [Jar() for _ in range(_KEPT)] if target.sticky else []

    async def ask(self, number: int, body: bytes, keep: bool) -> Answer:
        """One request. Raises Failed."""
        pool, place, line = self._pool, 0, None
        if keep:
            place = pool.turn = (pool.turn + 1) % _KEPT
            line, pool.places[place] = pool.places[place], None
            if line and not line.still_open():
                line.close()
                line = None
        if line is None:
            name = self._host.partition(":")[0]
            line = await connect(self._address, self._port, self._context, name)
            self.connections += 1
        jar = self._jars[number % _KEPT] if self._jars else Jar()
        method = "POST" if body else "GET"
        request = request_bytes(method, self._path, self._host, body, keep, jar.cookie)
        try:
            answer = await exchange(line, request)
        except BaseException:
            line.close()
            raise
        if not keep or not answer.keeps or pool.places[place] or self.done:
            line.close()
        else:
            pool.places[place] = line
        self._remember(jar, answer)
        return answer

    def _remember(self, jar: Jar, answer: Answer) -> None:
        instance = answer.headers.get("x-instance", "")
        self.moves += jar.instance not in ("", instance)
        jar.instance = instance
        if cookie := answer.headers.get("set-cookie"):
            jar.cookie = cookie.partition(";")[0]

    def judge(self, answer: Answer, size: int, allowed: Collection[str]) -> str:
        """The revision that answered a request with a body of ``size`` bytes. Raises Failed for
        an answer that is not right."""
        revision = answer.headers.get("x-revision", "")
        instance = answer.headers.get("x-instance", "")
        if answer.status != 200:
            kind = "404" if answer.status == 404 else "status"
            raise Failed(
                kind, f"{answer.status} of {instance or 'no instance'} {answer.body[:80]!r}"
            )
        if answer.body != f"revision {revision}\ninstance {instance}\nreceived {size}\n".encode():
            raise Failed("body", f"{answer.body[:80]!r}")
        if self.target.service and self.target.service != service_of(instance):
            raise Failed("service", f"{instance} answered for {self.target.service}")
        if allowed and revision not in allowed:
            raise Failed("revision", f"revision {revision} of {instance}")
        return revision


def service_of(instance: str) -> str:
    """Of an instance called SERVICE-SLOT-REVISION-xxxx."""
    return instance.rsplit("-", 3)[0]
