"""A working tree: its inventories and the services that its playbooks declare."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, TypeAlias

from fleetctl.config.between import between
from fleetctl.config.inventory import Inventory, load_inventory
from fleetctl.config.notes import serious
from fleetctl.config.playbook import Evaluated, RawPlay, evaluate, read_playbook
from fleetctl.config.positions import place
from fleetctl.config.secrets_file import read_secrets
from fleetctl.config.source import escaped, shown
from fleetctl.config.variables import PlayVariables
from fleetctl.errors import Diagnostic, InvalidFiles, Usage
from fleetctl.model.fleet import Fleet
from fleetctl.model.reference import Reference
from fleetctl.model.spec import ServiceSpec

_Evaluations: TypeAlias = tuple[tuple[Evaluated, ...], tuple[Diagnostic, ...]]

_HINT = "name one with -i, or in FLEETCTL_INVENTORY"


class Project:
    """``root`` is the nearest folder, from where one stands upwards, with ``playbooks/`` or
    ``inventories/``. Files are read when they are first asked for."""

    def __init__(self, root: Path, inventory: Path) -> None:
        self.root = root
        self.inventory_path = inventory
        self._last: tuple[Any, Any, _Evaluations] | None = None

    @classmethod
    def find(cls, start: Path, inventory: str | None) -> Project:
        """``inventory`` is a name below ``inventories/`` or a path; by default what
        FLEETCTL_INVENTORY says, else the only one (``example`` does not count beside
        another). Raises Usage when that decides nothing."""
        start = start.absolute()
        root = next((f for f in (start, *start.parents) if _is_root(f)), start)
        named = inventory or os.environ.get("FLEETCTL_INVENTORY")
        if named:
            return cls(root, _named(start, root, named))
        folder = root / "inventories"
        found = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
        found = [path for path in found if not path.name.startswith(".")]
        found = [path for path in found if path.name != "example"] or found
        if not found:
            raise Usage(f"there is no inventory below {shown(folder)}", hint=_HINT)
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise Usage(f"there are several inventories: {names}", hint=_HINT)
        return cls(root, found[0])

    @cached_property
    def inventory(self) -> Inventory:
        """Raises InvalidFiles."""
        return load_inventory(self.inventory_path, self.root)

    @cached_property
    def playbooks(self) -> tuple[Path, ...]:
        folder = self.root / "playbooks"
        if not folder.is_dir():
            return ()
        found = [p for p in folder.iterdir() if p.suffix in (".yml", ".yaml")]
        return tuple(sorted(p for p in found if not p.name.startswith(".")))

    def services(self) -> tuple[str, ...]:
        """The names of all services, sorted. Raises InvalidFiles for files that can't be read
        and for a service that is declared twice."""
        plays, diagnostics = self._plays(self.playbooks)
        if serious(diagnostics):
            raise InvalidFiles(diagnostics)
        return tuple(sorted(play.service for play in plays))

    def spec(self, service: str, extra_vars: Mapping[str, Any]) -> ServiceSpec:
        """What ``play`` comes to. Raises InvalidFiles."""
        found = self.play(service, extra_vars).spec
        assert found is not None
        return found

    def play(self, service: str, extra_vars: Mapping[str, Any]) -> Evaluated:
        """The service, with its spec. Raises InvalidFiles with every error of every file,
        except variables that only other services lack."""
        plays = self._wanted(self.playbooks, extra_vars, lambda play: play.service == service)
        if plays:
            return plays[0]
        names = sorted({play.service for play in self._plays(self.playbooks)[0]})
        near = difflib.get_close_matches(service, names, 1)
        hint = f"declared: {', '.join(names)}" if names else "write playbooks/NAME.yml"
        hint = f'did you mean "{near[0]}"?' if near else hint
        message = f'no play declares the service "{escaped(service)}"'
        raise InvalidFiles((Diagnostic("unknown-service", message, hint=hint),))

    def plays_in(self, path: Path, extra_vars: Mapping[str, Any]) -> tuple[Evaluated, ...]:
        """All services of one playbook, in its order, with their specs. Raises InvalidFiles."""
        path = path.absolute()
        files = self.playbooks
        if not any(path.exists() and file.exists() and file.samefile(path) for file in files):
            files = (*files, path)
        return self._wanted(files, extra_vars, lambda play: _same(play.path, path))

    def readable(self, extra_vars: Mapping[str, Any]) -> tuple[Evaluated, ...]:
        """Of all plays those that are right."""
        found = self._evaluated(self.playbooks, extra_vars)[0]
        return tuple(one for one in found if one.spec is not None)

    def names_inside(self) -> tuple[str, ...]:
        """The services that their plays give a name inside the fleet, sorted."""
        plays = self._plays(self.playbooks)[0]
        return tuple(
            sorted({play.service for play in plays if play.data.get("internal") is not None})
        )

    @property
    def secrets(self) -> Mapping[str, Reference]:
        """What secrets.yml defines."""
        return self._secrets[0]

    @cached_property
    def _secrets(self) -> tuple[Mapping[str, Reference], tuple[Diagnostic, ...]]:
        return read_secrets(self.root)

    def diagnostics(self, extra_vars: Mapping[str, Any] | None = None) -> tuple[Diagnostic, ...]:
        """Everything wrong or doubtful in inventory and playbooks; touches no host."""
        try:
            inventory = self.inventory
        except InvalidFiles as error:
            return (*error.diagnostics, *ordered(self._plays(self.playbooks)[1]))
        evaluated, problems = self._evaluated(self.playbooks, extra_vars or {})
        found = [*inventory.warnings, *self._fleet[1]]
        found += ordered([*problems, *(d for one in evaluated for d in one.diagnostics)])
        fleet = self._fleet[0]
        balancers = fleet is None or any(balancer.listen for balancer in fleet.balancers)
        for one in evaluated:
            if one.spec is not None and one.spec.routes and not balancers:
                message = f"{one.spec.name} has routes, and inventory {inventory.name} no balancer"
                span = one.play.data.span("routes", of_key=True)
                found.append(Diagnostic("no-balancer", message, span, warning=True))
        return tuple(found)

    def _wanted(
        self, files: tuple[Path, ...], extra: Mapping[str, Any], wanted: Callable[[RawPlay], bool]
    ) -> tuple[Evaluated, ...]:
        evaluated, problems = self._evaluated(files, extra)
        found = list(problems)
        for one in evaluated:
            if wanted(one.play) or not one.undefined:
                found += one.diagnostics
        found = [*self._fleet[1], *ordered(found)]
        if serious(found):
            raise InvalidFiles(tuple(found))
        return tuple(one for one in evaluated if one.spec and wanted(one.play))

    @cached_property
    def _fleet(self) -> tuple[Fleet | None, tuple[Diagnostic, ...]]:
        """The fleet as the files have it, and what is wrong or doubtful with its variables."""
        try:
            fleet = self.inventory.fleet(resolve=False)
        except InvalidFiles as error:
            return None, error.diagnostics
        return fleet, self.inventory.fleet_warnings

    def _same_machines(self, evaluated: tuple[Evaluated, ...]) -> list[Diagnostic]:
        """Hosts of one play that are one machine under two names: its room counts double."""
        found: list[Diagnostic] = []
        logins = {host.name: host.login for host in self._fleet[0].hosts} if self._fleet[0] else {}
        for one in evaluated:
            first: dict[tuple[str, int], str] = {}
            for name in self.inventory.match(one.spec.hosts) if one.spec and logins else ():
                key = (logins[name].address, logins[name].port)
                if (other := first.setdefault(key, name)) != name:
                    message = f"hosts: {other} and {name} are one machine, {key[0]}:{key[1]}"
                    span = place(one.play.data, ("hosts",))
                    hint = "take one of them out of the pattern"
                    found.append(Diagnostic("bad-value", message, span, hint))
        return found

    def _plays(self, files: tuple[Path, ...]) -> tuple[list[RawPlay], tuple[Diagnostic, ...]]:
        plays: list[RawPlay] = []
        found: list[Diagnostic] = []
        first: dict[str, RawPlay] = {}
        for path in files:
            more, diagnostics = read_playbook(path)
            plays += more
            found += diagnostics
        for play in plays:
            if play.service and (other := first.setdefault(play.service, play)) is not play:
                message = f'service "{escaped(play.service)}" is declared at {other.span} too'
                found.append(Diagnostic("declared-twice", message, play.span, "keep one of them"))
        return plays, tuple(found)

    def _evaluated(self, files: tuple[Path, ...], extra: Mapping[str, Any]) -> _Evaluations:
        """All plays of ``files``, and what is wrong with the files or between plays."""
        if self._last is None or self._last[:2] != (files, extra):
            plays, problems = self._plays(files)
            bad = frozenset(d.span for d in problems if d.span is not None)
            variables = PlayVariables(self.inventory, extra)
            found = tuple(evaluate(play, self.inventory, variables, bad) for play in plays)
            defined, mistakes = self._secrets
            rest = [*between(found, self._fleet[0], defined), *self._same_machines(found)]
            self._last = (files, dict(extra), (found, (*problems, *mistakes, *rest)))
        return self._last[2]


def ordered(diagnostics: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """By file, line and column; what has no place comes first."""

    def key(diagnostic: Diagnostic) -> tuple[str, int, int]:
        span = diagnostic.span
        return (span.file, span.line, span.column) if span else ("", 0, 0)

    return tuple(sorted(diagnostics, key=key))


def _is_root(folder: Path) -> bool:
    return (folder / "playbooks").is_dir() or (folder / "inventories").is_dir()


def _named(start: Path, root: Path, text: str) -> Path:
    below = root / "inventories" / text
    return below if below.exists() else start / Path(text).expanduser()


def _same(one: Path, other: Path) -> bool:
    return one == other or (one.exists() and other.exists() and one.samefile(other))
