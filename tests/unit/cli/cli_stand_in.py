"""A command line on a stand-in fleet: files, adapters and use cases are replaced."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from fleetctl.cli import main
from fleetctl.errors import Diagnostic, InvalidFiles
from fleetctl.model.fleet import Fleet
from fleetctl.model.plan import Plan
from fleetctl.model.record import Revision
from fleetctl.model.spec import ServiceSpec


@dataclass
class Ended:
    """What a command came to."""

    code: int
    out: str
    err: str

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def document(self) -> dict[str, Any]:
        return json.loads(self.out)


@dataclass
class StandIn:
    """``calls`` are the use cases that ran, with what they were given; ``closed`` counts the
    worlds that were closed."""

    root: Path
    monkeypatch: pytest.MonkeyPatch
    capsys: pytest.CaptureFixture[str]
    specs: dict[str, ServiceSpec] = field(default_factory=dict)
    calls: list[tuple[str, Any]] = field(default_factory=list)
    journal: dict[str, tuple[Any, ...]] = field(default_factory=dict)
    warnings: tuple[Diagnostic, ...] = ()
    damaged: tuple[str, ...] = ()
    inventory_path: Path = Path("inventories/lab")
    closed: int = 0
    opened: dict[str, Any] = field(default_factory=dict)

    def fleetctl(self, *args: str) -> Ended:
        code = main(list(args))
        out, err = self.capsys.readouterr()
        return Ended(code, out, err)

    def use(self, module: str, **functions: Callable[..., Any]) -> None:
        """Puts functions in the place of an engine module's."""
        name = f"fleetctl.engine.{module}"
        self.monkeypatch.setitem(sys.modules, name, SimpleNamespace(**functions))

    # What follows is in the place of fleetctl.config and fleetctl.engine.real.

    def find(self, start: Path, inventory: str | None) -> Any:
        self.calls.append(("find", inventory))
        return SimpleNamespace(
            root=self.root,
            inventory_path=self.inventory_path,
            inventory=SimpleNamespace(
                fleet=lambda: Fleet("lab", (), journal=str(self.root / ".fleetctl/lab.db")),
                fleet_warnings=self.warnings,
                match=lambda pattern: (f"match:{pattern}",),
                limit=self.limit,
            ),
            services=lambda: tuple(self.specs),
            play=self.play,
            plays_in=lambda path, variables: tuple(map(play_of, self.specs.values())),
            secrets={},
            names_inside=lambda: (),
        )

    def limit(self, pattern: str) -> tuple[str, ...]:
        if pattern == "none":
            wrong = Diagnostic("no-such-host", "none names no host", hint="fleetctl hosts list")
            raise InvalidFiles((wrong,))
        return (f"limit:{pattern}",)

    def play(self, name: str, variables: dict[str, Any]) -> Any:
        self.calls.append(("play", dict(variables)))
        return play_of(self.specs[name])

    def open_world(self, fleet: Fleet, **options: Any) -> Any:
        self.opened = options

        def close() -> None:
            self.closed += 1

        def history(service: str, limit: int, run: str = "") -> tuple[Any, ...]:
            found = [e for e in self.journal.get(service, ()) if e.run.startswith(run)]
            return tuple(found[:limit])

        journal = SimpleNamespace(history=history, warnings=self.damaged)
        return SimpleNamespace(journal=journal, close=close)


@pytest.fixture
def stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> StandIn:
    given = StandIn(tmp_path, monkeypatch, capsys)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("FLEETCTL_INVENTORY", raising=False)
    project = SimpleNamespace(Project=SimpleNamespace(find=given.find), ordered=tuple)
    monkeypatch.setitem(sys.modules, "fleetctl.config.project", project)
    variables = SimpleNamespace(extra_vars=lambda given: dict(v.split("=") for v in given))
    monkeypatch.setitem(sys.modules, "fleetctl.config.variables", variables)
    given.use("real", open_world=given.open_world)
    return given


def spec_of(name: str) -> ServiceSpec:
    return ServiceSpec(name, "registry:5000/app:1", hosts="app")


def play_of(spec: ServiceSpec) -> Any:
    return SimpleNamespace(play=SimpleNamespace(service=spec.name), spec=spec, wanted=())


def plan_of(name: str, **changes: Any) -> Plan:
    return Plan(name, Revision(2, spec_of(name)), 1, "d1", **changes)
