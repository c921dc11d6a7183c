"""The record as the engine reads it: documents decoded into nouns, with their generations."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fleetctl.errors import RecordLost
from fleetctl.model.balancing import Section
from fleetctl.model.codec import decode
from fleetctl.model.record import (
    BALANCERS_KEY,
    FLEET_KEY,
    BalancersRecord,
    Document,
    FleetRecord,
    Reservation,
    ServiceRecord,
    section_key,
    service_key,
)
from fleetctl.model.routing import Pairs


@dataclass(frozen=True, slots=True)
class View:
    """One reading of the record. ``lineage`` is empty while the fleet has none, ``templates``
    while balancers' files are made with those of this version."""

    lineage: str
    services: dict[str, ServiceRecord]
    sections: dict[str, Section]
    documents: Mapping[str, Document]
    templates: Pairs = ()

    def service(self, name: str) -> ServiceRecord:
        return self.services.get(name) or ServiceRecord(name)

    def generation(self, key: str) -> int:
        document = self.documents.get(key)
        return document.generation if document else 0

    def with_document(self, document: Document) -> View:
        """This reading with ``document`` in the place of the one of its key."""
        return view_of({**self.documents, document.key: document})

    def reserved(self, service: str) -> tuple[Reservation, ...]:
        """What the open deploys of other services have chosen, and every address that a
        balancer may send requests to: whatever comes to listen there would get them."""
        chosen = [
            reservation
            for name, record in sorted(self.services.items())
            if name != service and record.open is not None
            for reservation in record.open.reservations
        ]
        served = [
            Reservation(server.host, server.container_slot, (server.port,), 0.0, 0)
            for _, section in sorted(self.sections.items())
            for backend in section.backends
            for server in backend.servers
        ]
        return (*chosen, *served)

    def service_generations(self) -> dict[str, int]:
        return {name: self.generation(service_key(name)) for name in self.services}


def view_of(documents: Mapping[str, Document]) -> View:
    """Raises RecordLost when a document isn't what its key says."""
    lineage = ""
    templates: Pairs = ()
    services: dict[str, ServiceRecord] = {}
    sections: dict[str, Section] = {}
    for key, document in sorted(documents.items()):
        if document.body is None:
            continue
        try:
            if key == BALANCERS_KEY:
                templates = decode(BalancersRecord, document.body).templates
            elif key == FLEET_KEY:
                lineage = decode(FleetRecord, document.body).lineage
            elif key.startswith(service_key("")):
                services[key.removeprefix(service_key(""))] = decode(ServiceRecord, document.body)
            elif key.startswith(section_key("")):
                sections[key.removeprefix(section_key(""))] = decode(Section, document.body)
        except ValueError as error:
            raise RecordLost(
                f"the record's document {key} can't be read: {error}",
                hint="it was written by a newer fleetctl, or damaged: "
                "use that version, or `fleetctl adopt`",
            ) from None
    return View(lineage, services, sections, documents, templates)
