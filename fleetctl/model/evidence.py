"""What hosts themselves know of a fleet: what a lost record is rebuilt from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fleetctl.model.record import Document, Revision


@dataclass(frozen=True, slots=True)
class StoredSpec:
    """A revision as it lies beside containers. ``committed`` is the generation of the service's
    record that last committed it, 0 for never; ``record_hosts`` are the addresses of the
    machines that the record lay on then."""

    revision: Revision
    committed: int = 0
    record_hosts: tuple[str, ...] = ()

    @property
    def service(self) -> str:
        return self.revision.spec.name


@dataclass(frozen=True, slots=True)
class HostEvidence:
    """One host's own words: whose it is, the highest fences that it has accepted, and the
    specs below its state folder. ``damaged`` are files that aren't what was written."""

    name: str
    lineage: str = ""
    fences: tuple[tuple[str, int], ...] = ()
    specs: tuple[StoredSpec, ...] = ()
    damaged: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class RecordRemains:
    """All that the record hosts still hold: whole documents, why others aren't (by key), and
    the lineages that these hosts are marked with (by host)."""

    documents: Mapping[str, Document] = field(default_factory=dict)
    damaged: Mapping[str, str] = field(default_factory=dict)
    lineages: Mapping[str, str] = field(default_factory=dict)
