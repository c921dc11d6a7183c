"""What a deploy takes from the working tree besides the spec. Reconcile has none of it: the
fleet holds all that it needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleetctl.model.routing import Certificate, Pairs
from fleetctl.model.secret import Secret


@dataclass(frozen=True, slots=True)
class Material:
    """``templates`` are all that balancers' files are made with, none: as recorded.
    ``certificates`` are those that the service's routes name, ``pems`` their texts with chain
    and key, by digest. ``names`` are the services that plays give a name inside the fleet."""

    templates: Pairs = ()
    certificates: tuple[Certificate, ...] = ()
    pems: Mapping[str, Secret] = field(default_factory=dict)
    names: tuple[str, ...] = ()


NOTHING_NEW = Material()
"""What a run brings that has nothing but the fleet."""
