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
    from fleetctl.secrets.values import Values

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Prepared:
    """A service as it can be deployed."""

    spec: ServiceSpec
    material: Material


@dataclass(slots=True)
class Materials:
    """``names`` and ``templates`` go into every service's material; ``now`` is the time in
    seconds since the epoch. What is wrong or doubtful is in ``found``."""

    values: Values
    templates: Pairs
    names: tuple[str, ...]
    now: float
    found: list[Diagnostic] = field(default_factory=list)

    def of(self, plays: Iterable[Evaluated]) -> tuple[Prepared, ...]:
        return tuple(self._one(play, play.spec) for play in plays if play.spec is not None)

    def _one(self, play: Evaluated, spec: ServiceSpec) -> Prepared:
        certificates: dict[str, Certificate] = {}
        pems: dict[str, Secret] = {}
        for wanted in play.wanted:
            if not wanted.certificate:
                spec = self._with_users(spec, wanted)
            elif found := self._certificate(wanted):
                certificates[found[0].name] = found[0]
                pems[found[0].digest] = found[1]
        in_order = tuple(certificates[name] for name in sorted(certificates))
        return Prepared(spec, Material(self.templates, in_order, pems, self.names))

    def _with_users(self, spec: ServiceSpec, wanted: Wanted) -> ServiceSpec:
        from fleetctl.secrets.users import users_of
        from fleetctl.secrets.values import described

        value = self._noting(lambda: self.values.of(wanted.reference))
        if value is None:
            return spec
        users, problems = users_of(value, described(wanted.reference), wanted.reference.span)
        self._note(*problems)
        if not users:
            return spec
        routes = (replace(r, users=users) if r.key == wanted.route else r for r in spec.routes)
        return replace(spec, routes=tuple(routes))

    def _certificate(self, wanted: Wanted) -> tuple[Certificate, Secret] | None:
        from fleetctl.secrets.certificates import covers, load
        from fleetctl.secrets.values import described

        where, span = described(wanted.reference), wanted.reference.span
        chain = self._noting(lambda: self.values.of(wanted.reference))
        key = wanted.key and self._noting(lambda: self.values.of(wanted.key))
        if chain is None or (wanted.key and key is None):
            return None
        loaded = self._noting(lambda: load(wanted.certificate, chain, key, where, span, self.now))
        if loaded is None:
            return None
        self._note(*loaded.warnings)
        if not covers(loaded.certificate, wanted.host):
            names = ", ".join(loaded.certificate.names[:5]) or "no name"
            message = f"{where}: it is for {names}, not for {wanted.host}"
            self._note(Diagnostic("bad-certificate", message, span, "name another certificate"))
        return loaded.certificate, loaded.pem

    def _noting(self, read: Callable[[], T | None]) -> T | None:
        """What ``read`` gives; None when it finds something wrong, which is then noted."""
        try:
            return read()
        except InvalidFiles as error:
            self._note(*error.diagnostics)
            return None

    def _note(self, *diagnostics: Diagnostic) -> None:
        self.found += (one for one in diagnostics if one not in self.found)
