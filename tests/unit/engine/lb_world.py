"""A fleet of two balancers in memory, for what looks at balancers and sets them up."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

from fleetctl.errors import FleetError
from fleetctl.haproxy.render import render
from fleetctl.haproxy.rendered import Rendered
from fleetctl.haproxy.runtime import wanted_servers
from fleetctl.haproxy.survey import Running, Socket, Survey
from fleetctl.model.balancing import Backend, Section, Server
from fleetctl.model.codec import encode
from fleetctl.model.fleet import Balancer, Fleet, Host, Login
from fleetctl.model.lb import BalancerSetup, SetupStep
from fleetctl.model.observed import ObservedBalancer, ObservedServer
from fleetctl.model.record import Document, Fence, FleetRecord, section_key
from fleetctl.model.routing import Certificate, Route, Tls

NOW = 1_000_000.0
DAY = 86400.0
CERTIFICATE = Certificate("shop", "ab" * 32, "CD" * 20, ("shop.example",), NOW + 90 * DAY)
SECTION = Section(
    "web",
    routes=(Route("http", "shop.example", "/", tls=Tls("shop")),),
    certificates=(CERTIFICATE,),
    backends=(
        Backend(
            "http",
            4,
            (
                Server(1, "web-1-7-aaaa", 1, 7, "node1", "10.0.0.1", 20001),
                Server(2, "web-2-7-aaaa", 2, 7, "node2", "10.0.0.2", 20002),
            ),
        ),
    ),
)
WHOLE = Survey(
    "/usr/sbin/haproxy",
    "2.6.12",
    user=True,
    file_id="ab" * 8,
    passes=True,
    sockets=(
        Socket("/run/haproxy/admin.sock", 0o600, "root", "root"),
        Socket("/run/haproxy/master.sock", 0o600, "root", "root"),
    ),
)
FLEET = Fleet(
    "lab",
    tuple(Host(name, Login(name), name) for name in ("lb1", "lb2", "node1", "node2")),
    (Balancer("lb1"), Balancer("lb2")),
    ("lb1", "lb2"),
)


def in_line(name: str, *sections: Section) -> ObservedBalancer:
    """A balancer that serves what the record has."""
    rendered = render(Balancer(name), sections)
    servers = [
        ObservedServer(
            backend=backend,
            name=slot,
            id=number,
            address=wanted.address if wanted else "127.0.0.1",
            port=wanted.port if wanted else 1,
            up=wanted is not None,
            admin=wanted.wanted if wanted else "maint",
            status="UP" if wanted else "MAINT",
            weight=wanted.weight if wanted else 100,
            sessions=3,
            requests=1000,
            errors=2,
            rate=7,
            checked=True,
            check="L7OK 200",
        )
        for number, (backend, slot, wanted, *_) in enumerate(wanted_servers(rendered.sections), 1)
    ]
    return ObservedBalancer(
        name,
        version="2.6.12",
        pid=7,
        config_id=rendered.config_id,
        skeleton=rendered.skeleton,
        file_id=rendered.config_id,
        files_id=rendered.files_id,
        routes=rendered.routes,
        certificates=tuple((path, c.fingerprint) for path, c in rendered.certificates),
        servers=tuple(servers),
    )


@dataclass
class FakeMachine:
    """``does`` are the steps that were carried out, with the fence's number, and ``listens`` where
    the first file of each listens; ``setups`` what there is to do at each look, the last one from
    then on."""

    survey_: Survey | FleetError = WHOLE
    running_: Running = field(default_factory=lambda: Running("/run/haproxy/master.sock"))
    taken_: tuple[str, ...] = ()
    refusal_: str = ""
    side: Mapping[str, str] = field(default_factory=dict)
    setups: list[BalancerSetup | FleetError] = field(default_factory=list)
    failures: list[FleetError] = field(default_factory=list)
    does: list[tuple[str, int]] = field(default_factory=list)
    listens: list[tuple[tuple[str, int], ...]] = field(default_factory=list)
    fresh: list[bool] = field(default_factory=list)

    def survey(self) -> Survey:
        if isinstance(self.survey_, FleetError):
            raise self.survey_
        return self.survey_

    def running(self) -> Running:
        return self.running_

    def taken(self, rendered: Rendered) -> tuple[str, ...]:
        return self.taken_

    def refusal(self, rendered: Rendered) -> str:
        return self.refusal_

    def side_files(self) -> Mapping[str, str]:
        return self.side

    def plan(self, rendered: Rendered, fresh: bool = False) -> BalancerSetup:
        self.fresh.append(fresh)
        setup = self.setups.pop(0) if len(self.setups) > 1 else self.setups[0]
        if isinstance(setup, FleetError):
            raise setup
        return setup

    def carry_out(self, step: SetupStep, rendered: Rendered, fence: Fence) -> None:
        assert rendered.sections == (), "a first file routes nothing"
        if self.failures:
            raise self.failures.pop(0)
        self.does.append((step.action, fence.number))
        self.listens.append(rendered.binds)


@dataclass
class FakeLease:
    fence: Fence
    released: bool = False

    def check(self) -> None:
        assert not self.released

    def raise_to(self, number: int) -> None:
        self.fence = replace(self.fence, number=number)

    def release(self) -> None:
        self.released = True


class FakeWorld:
    """Both balancers as the record has them, until a test says otherwise."""

    def __init__(self, *sections: Section) -> None:
        self.sections = sections
        self.seen = {name: in_line(name, *sections) for name in ("lb1", "lb2")}
        self.machines = {name: FakeMachine() for name in self.seen}
        self.texts: dict[str, str] = {}
        self.lineages: dict[str, str] = {}
        self.leases: list[FakeLease] = []
        self.told: list[tuple[str, ...]] = []
        self.clock = SimpleNamespace(now=lambda: NOW)
        self.record = SimpleNamespace(read=self._read)
        self.locks = SimpleNamespace(acquire=self._acquire)
        self.journal = SimpleNamespace(
            begin=lambda entry: self.told.append(("begin", entry.service, entry.command)),
            intent=lambda run, step, action, *rest: self.told.append(("intent", action)),
            outcome=lambda run, step, outcome, detail: self.told.append(("outcome", outcome)),
            end=lambda run, result, *rest: self.told.append(("end", result)),
        )

    def _read(self) -> dict[str, Document]:
        found: dict[str, Any] = {section_key(s.service): encode(s) for s in self.sections}
        found["fleet"] = encode(FleetRecord("feed"))
        return {key: Document(key, 1, body) for key, body in found.items()}

    def _acquire(self, scope: str, wait: float) -> FakeLease:
        self.leases.append(FakeLease(Fence(scope, 5, "me")))
        return self.leases[-1]

    def connect(self, names: Any) -> None:
        self.connected = sorted(names)

    def balancer(self, name: str) -> Any:
        return SimpleNamespace(
            observe=lambda: self.seen[name],
            text=lambda: self.texts.get(name, render(Balancer(name), self.sections).text),
        )

    def machine(self, name: str) -> FakeMachine:
        return self.machines[name]

    def engine(self, name: str) -> Any:
        lineage = self.lineages.get(name, "")
        return SimpleNamespace(evidence=lambda: SimpleNamespace(lineage=lineage))

    def new_id(self) -> str:
        return "run1"
