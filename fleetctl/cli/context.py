"""The one place where files, fleet and adapters come together for a command."""

from __future__ import annotations

import contextlib
import getpass
import os
import socket
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fleetctl.cli.wishes import Wishes
from fleetctl.errors import Diagnostic, FleetError, InvalidFiles, Usage
from fleetctl.model.events import Note

if TYPE_CHECKING:
    from fleetctl.cli.material import Materials, Prepared
    from fleetctl.config.playbook import Evaluated
    from fleetctl.config.project import Project
    from fleetctl.engine.options import RunOptions, StopSignal
    from fleetctl.engine.ports import Emit, World
    from fleetctl.model.fleet import Fleet
    from fleetctl.model.routing import Pairs
    from fleetctl.model.spec import ServiceSpec


class Context:
    """Reads and opens each thing when it is first asked for. Raises InvalidFiles and Usage.

    ``by`` is who runs this, as user@machine.
    """

    def __init__(self, wishes: Wishes, command: str) -> None:
        self.wishes = wishes
        self.command = command
        self.user = _user()
        self.by = f"{self.user}@{socket.gethostname()}"
        self._doubts: list[Diagnostic] = []

    @cached_property
    def project(self) -> Project:
        from fleetctl.config.project import Project

        return Project.find(Path.cwd(), self.wishes.inventory)

    @cached_property
    def fleet(self) -> Fleet:
        return self.project.inventory.fleet()

    @cached_property
    def variables(self) -> dict[str, Any]:
        from fleetctl.config.variables import extra_vars

        return extra_vars(self.wishes.extra_vars)

    @cached_property
    def limit(self) -> tuple[str, ...] | None:
        if self.wishes.limit is None:
            return None
        try:
            return self.project.inventory.limit(self.wishes.limit)
        except InvalidFiles as error:
            first = error.diagnostics[0]
            raise Usage(f"--limit: {first.message}", hint=first.hint) from None

    @property
    def declared(self) -> tuple[str, ...]:
        """The services of the plays here, as far as they can be read."""
        try:
            return self.project.services()
        except InvalidFiles:
            return ()

    def tell_warnings(self, emit: Emit) -> None:
        """What the inventory says that fleetctl does not follow, and what is doubtful about
        the secrets that were read."""
        _ = self.fleet
        for one in (*self.project.inventory.fleet_warnings, *self._doubts):
            where = f"{one.span}: " if one.span else ""
            emit(Note(f"{where}{one.message}", level="warning"))

    def match(self, pattern: str) -> tuple[str, ...]:
        """The names of the inventory's hosts that an Ansible pattern means."""
        return self.project.inventory.match(pattern)

    def specs(self, names: list[str]) -> list[ServiceSpec]:
        """Each name's play as it is written: users of its routes are not read. A path stands
        for all plays in it. Nothing is given twice."""
        return [play.spec for play in self._plays(names) if play.spec is not None]

    def prepared(self, names: list[str]) -> tuple[Prepared, ...]:
        """As ``specs``, with users and all that goes along: secrets are read. Raises
        InvalidFiles, with what is wrong with any of them."""
        from fleetctl.config.project import ordered

        materials = self._materials()
        found = materials.of(self._plays(names))
        if any(not one.warning for one in materials.found):
            raise InvalidFiles(ordered(materials.found))
        self._doubts += materials.found
        return found

    def diagnostics(self) -> tuple[Diagnostic, ...]:
        """All that is wrong or doubtful in the project's files, those of secrets among them.
        Runs no command and reads no variable of the environment."""
        from fleetctl.config.project import ordered

        found = self.project.diagnostics(self.variables)
        try:
            plays = self.project.readable(self.variables)
        except InvalidFiles:
            return found
        materials = self._materials(files_only=True)
        materials.of(plays)
        return (*found, *ordered(materials.found))

    @property
    def templates(self) -> Pairs:
        """All that balancers' files are made with here. Raises BalancerFailed."""
        from fleetctl.haproxy.templates import effective

        return effective(self.project.root / "templates" / "haproxy")

    def _materials(self, *, files_only: bool = False) -> Materials:
        from fleetctl.cli.material import Materials
        from fleetctl.secrets.values import Values

        project = self.project
        return Materials(
            values=Values(project.root, project.secrets, files_only=files_only),
            templates=self.templates,
            names=project.names_inside(),
            now=time.time(),
        )

    def _plays(self, names: list[str]) -> list[Evaluated]:
        found: dict[str, Evaluated] = {}
        for name in names:
            for play in self._named(name):
                found.setdefault(play.play.service, play)
        return list(found.values())

    def _named(self, name: str) -> tuple[Evaluated, ...]:
        if name.endswith((".yml", ".yaml")):
            return self.project.plays_in(Path(name), self.variables)
        return (self.project.play(name, self.variables),)

    @contextlib.contextmanager
    def world(self) -> Iterator[World]:
        """Adapters of the real fleet, closed at the end. Raises Usage when the fleet is the
        example and nobody asked for it by name."""
        self._refuse_example()
        from fleetctl.engine.real import open_world

        opened = open_world(
            self.fleet,
            who=self.user,
            command=self.command,
            parallel=self.wishes.parallel,
            journal=self.journal,
        )
        try:
            yield opened
        finally:
            opened.close()

    def _refuse_example(self) -> None:
        named = self.wishes.inventory or os.environ.get("FLEETCTL_INVENTORY")
        if not named and self.project.inventory_path.name == "example":
            raise Usage(
                "there is no inventory but the example, and its hosts don't exist",
                hint="write inventories/NAME/hosts.yml, or make a fleet to try: fleetctl lab up",
            )

    @property
    def journal(self) -> Path:
        """This controller's memory; its folder is made if need be. Raises FleetError."""
        path = Path(self.fleet.journal)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise FleetError(
                f"the journal's folder {path.parent} can't be made: {error.strerror}",
                hint="fleetctl_journal in the inventory says where it is",
            ) from None
        return path

    def options(self, *, again: bool = False, stop: StopSignal | None = None) -> RunOptions:
        from fleetctl.engine.options import RunOptions, StopSignal

        return RunOptions(
            by=self.by,
            command=self.command,
            wait=self.wishes.wait,
            again=again,
            limit=self.limit,
            parallel=self.wishes.parallel,
            stop=stop or StopSignal(),
        )


def _user() -> str:
    """The user of the operating system."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown"
