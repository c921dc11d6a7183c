"""What plays take from the project besides their specs: certificates, users, templates."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeVar

from fleetctl.errors import Diagnostic, InvalidFiles
from fleetctl.model.material import Material
from fleetctl.model.routing import Certificate, Pairs
from fleetctl.model.secret import Secret
from fleetctl.model.spec import ServiceSpec

if TYPE_CHECKING:
    from fleetctl.config.lowering import Wanted
    from fleetctl.config.playbook import Evaluated
    from fleetctl.model.reference import Reference
    from fleetctl.secrets.certificates import Loaded
    from fleetctl.secrets.values import Values

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A service as it can be deployed."""

    spec: ServiceSpec
    material: Material


@dataclass(slots=True)
class Materials:
    """``templates`` and ``names``, of services inside, go into every service's material;
    ``now`` is the time in seconds since the epoch. What is wrong or doubtful is in ``found``."""

    values: Values
    templates: Pairs
    names: tuple[str, ...]
    now: float
    found: list[Diagnostic] = field(default_factory=list)
    _loaded: dict[object, Loaded | None] = field(default_factory=dict)

    def of(self, plays: Iterable[Evaluated]) -> tuple[Prepared, ...]:
        """The services of plays that are right so far."""
        from fleetctl.cli.trial import try_service, try_templates

        found = []
        plays = tuple(plays)
        inside = {play.spec.name for play in plays if play.spec and play.spec.internal}
        self.names = tuple(sorted({*self.names, *inside}))
        bad_templates = try_templates(self.templates)
        self._note(*filter(None, [bad_templates]))
        for play in plays:
            if play.spec is None:
                continue
            found.append(self._one(play, play.spec))
            if not bad_templates and play.spec.balanced:
                self._note(*filter(None, [try_service(play, play.spec, self.templates)]))
        return tuple(found)

    def _one(self, play: Evaluated, spec: ServiceSpec) -> Prepared:
        certificates: dict[str, Certificate] = {}
        pems: dict[str, Secret] = {}
        for wanted in play.wanted:
            if not wanted.certificate:
                spec = self._with_users(spec, wanted)
            elif found := self._certificate(wanted):
                certificates[found.certificate.name] = found.certificate
                pems[found.certificate.digest] = found.pem
        in_order = tuple(certificates[name] for name in sorted(certificates))
        return Prepared(spec, Material(self.templates, in_order, pems, self.names))

    def _with_users(self, spec: ServiceSpec, wanted: Wanted) -> ServiceSpec:
        from fleetctl.secrets.users import users_of
        from fleetctl.secrets.values import described

        value = self._value(wanted.reference)
        if value is None:
            return spec
        users, problems = users_of(value, described(wanted.reference), wanted.reference.span)
        self._note(*problems)
        if not users:
            return spec
        routes = (replace(r, users=users) if r.key == wanted.route else r for r in spec.routes)
        return replace(spec, routes=tuple(routes))

    def _certificate(self, wanted: Wanted) -> Loaded | None:
        """The certificate of a route; one that several routes name is read once."""
        from fleetctl.secrets.certificates import covers

        key = (wanted.certificate, wanted.reference, wanted.key)
        if key not in self._loaded:
            self._loaded[key] = self._load(wanted)
        loaded = self._loaded[key]
        if loaded is not None and not covers(loaded.certificate, wanted.host):
            names = ", ".join(loaded.certificate.names[:5]) or "no name"
            message = f"{wanted.certificate}: it is for {names}, not for {wanted.host}"
            span, hint = wanted.reference.span, "name another certificate"
            self._note(Diagnostic("bad-certificate", message, span, hint))
        return loaded

    def _load(self, wanted: Wanted) -> Loaded | None:
        from fleetctl.secrets.certificates import load
        from fleetctl.secrets.values import described

        where, span = described(wanted.reference), wanted.reference.span
        chain, key = self._value(wanted.reference), self._value(wanted.key)
        if chain is None or (wanted.key and key is None):
            return None
        loaded = self._noting(lambda: load(wanted.certificate, chain, key, where, span, self.now))
        if loaded is not None:
            self._note(*loaded.warnings)
        return loaded

    def _value(self, reference: Reference | None) -> Secret | None:
        return None if reference is None else self._noting(lambda: self.values.of(reference))

    def _noting(self, read: Callable[[], T | None]) -> T | None:
        """What ``read`` gives; None when it finds something wrong, which is then noted."""
        try:
            return read()
        except InvalidFiles as error:
            self._note(*error.diagnostics)
            return None

    def _note(self, *diagnostics: Diagnostic) -> None:
        self.found += (one for one in diagnostics if one not in self.found)
