"""Playbooks: files of plays, and one play evaluated to a ServiceSpec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from fleetctl.config.inventory import Inventory
from fleetctl.config.lower import lower
from fleetctl.config.lowering import Lowering, RouteKey, Wanted
from fleetctl.config.messages import diagnose, without_later_keys
from fleetctl.config.notes import Notes, serious
from fleetctl.config.positions import Located, LocatedList, place
from fleetctl.config.schema import Play
from fleetctl.config.source import Source, Unusable, read
from fleetctl.config.strict_yaml import load_strict
from fleetctl.config.templates import Rendered, TemplateError, Variables
from fleetctl.config.variables import PlayVariables
from fleetctl.errors import Diagnostic, InvalidFiles, Span
from fleetctl.model.spec import ServiceSpec

_SHAPE = "a playbook is a list of plays: - service: NAME"


@dataclass(frozen=True, slots=True)
class RawPlay:
    """A play as it was written. ``service`` is its name, right or wrong."""

    path: Path
    service: str
    data: Located

    @property
    def span(self) -> Span:
        """The place of its name."""
        return self.data.span("service")


@dataclass(frozen=True, slots=True)
class Evaluated:
    """``spec`` is None when an error is among the diagnostics. ``undefined`` tells that all
    errors are of variables that nothing sets. ``wanted`` is what the spec still needs of
    secrets: until then its routes with users let nobody in. ``places`` are those of routes."""

    play: RawPlay
    spec: ServiceSpec | None
    diagnostics: tuple[Diagnostic, ...]
    undefined: bool = False
    wanted: tuple[Wanted, ...] = ()
    places: Mapping[RouteKey, Span] = field(default_factory=dict)


def read_playbook(path: Path) -> tuple[tuple[RawPlay, ...], tuple[Diagnostic, ...]]:
    """The plays of a file, and what is wrong with it as a file."""
    try:
        source = read(path)
        data, diagnostics = load_strict(source)
    except Unusable as error:
        return (), (error.diagnostic,)
    found = list(diagnostics)
    if not isinstance(data, LocatedList) or not data:
        what = "is empty" if not data else "is no list"
        found.append(Diagnostic("bad-playbook", f"the playbook {what}", _top(source), _SHAPE))
        return (), tuple(found)
    plays = []
    for index, item in enumerate(data):
        if isinstance(item, Located):
            plays.append(RawPlay(path, str(item.get("service", "")), item))
        else:
            found.append(Diagnostic("bad-playbook", "this is no play", data.span(index), _SHAPE))
    return tuple(plays), tuple(found)


def _top(source: Source) -> Span:
    for number, line in enumerate(source.lines):
        if line.strip() and not line.lstrip().startswith("#"):
            return source.span(number, 0)
    return Span(source.file)


def evaluate(
    play: RawPlay, inventory: Inventory, variables: PlayVariables, bad: frozenset[Span]
) -> Evaluated:
    """The play with its templates evaluated and everything checked. ``bad`` are places where
    the file itself was wrong: nothing more is said about them."""
    work = _Evaluation(play, inventory, variables, bad)
    spec = work.spec()
    diagnostics = work.notes.all
    if serious(diagnostics):
        spec = None
    undefined = work.undefined and spec is None
    wanted, places = tuple(work.wanted), work.places
    return Evaluated(play, spec, diagnostics, undefined, wanted, places)


class _Evaluation:
    def __init__(
        self, play: RawPlay, inventory: Inventory, variables: PlayVariables, bad: frozenset[Span]
    ) -> None:
        self.play = play
        self.inventory = inventory
        self.variables = variables
        self.notes = Notes()
        self.bad = set(bad)
        self.undefined = True
        self.wanted: list[Wanted] = []
        self.places: Mapping[RouteKey, Span] = {}

    def note(self, diagnostic: Diagnostic, *, undefined: bool = False) -> None:
        if diagnostic.span in self.bad:
            return
        self.undefined &= undefined or diagnostic.warning
        self.notes.add(diagnostic)

    def spec(self) -> ServiceSpec | None:
        data = self.play.data
        own = data.get("vars") or {}
        if not isinstance(own, Mapping) or not all(isinstance(key, str) for key in own):
            message = "vars: a mapping of names to values is expected"
            self.note(Diagnostic("bad-value", message, place(data, ("vars",))))
            own = {}
        hosts = self.hosts(own)
        rendered = {
            key: own if key == "vars" else self.render(self.variables.of(hosts, own), value, (key,))
            for key, value in data.items()
        }
        stripped, later = without_later_keys(data, rendered)
        for diagnostic in later:
            self.note(diagnostic)
        try:
            play = Play.model_validate(stripped)
        except ValidationError as error:
            for diagnostic in diagnose(data, error):
                self.note(diagnostic)
            return None
        work = Lowering(play, data, self.inventory.root)
        spec = lower(work)
        self.wanted, self.places = work.wanted, work.places
        for diagnostic in work.notes:
            self.note(diagnostic)
        return spec

    def hosts(self, own: Mapping[str, Any]) -> tuple[str, ...]:
        """The hosts that the play's pattern matches; notes when there are none."""
        pattern = self.play.data.get("hosts", "all")
        pattern = self.render(self.variables.of((), own), pattern, ("hosts",))
        span = place(self.play.data, ("hosts",))
        if not isinstance(pattern, str) or span in self.bad:
            return ()
        try:
            for found in self.inventory.unmatched(pattern):
                self.note(replace(found, span=span))
            return self.inventory.match(pattern)
        except InvalidFiles as error:
            for found in error.diagnostics:
                self.note(replace(found, span=span))
            return ()

    def render(self, variables: Variables, value: Any, path: tuple[Any, ...]) -> Any:
        """``value`` with its templates evaluated; one that fails is noted, and replaced by
        text that no check is asked about again."""
        if isinstance(value, Mapping):
            return {k: self.render(variables, item, (*path, k)) for k, item in value.items()}
        if isinstance(value, list):
            return [self.render(variables, item, (*path, i)) for i, item in enumerate(value)]
        try:
            return variables.render(value)
        except TemplateError as error:
            id = "undefined-variable" if error.undefined else "bad-template"
            span = place(self.play.data, path)
            found = Diagnostic(id, error.message, span, error.hint)
            self.note(found, undefined=error.undefined)
            if span is not None:
                self.bad.add(span)
            return Rendered("")
