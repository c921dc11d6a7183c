"""What an engine tells of itself and of all containers on its host."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from docker import APIClient
from docker.errors import APIError

from fleetctl.containers import labels
from fleetctl.model.fleet import Host
from fleetctl.model.instance import Container


@dataclass(frozen=True, slots=True)
class Survey:
    """``info`` is the engine's own, ``own`` are one lineage's containers, ``foreign`` the ports
    that all others have published."""

    info: Mapping[str, Any]
    own: tuple[Container, ...]
    foreign: frozenset[int]


def survey(client: APIClient, lineage: str, host: Host) -> Survey:
    """Raises Refused for containers made by a newer fleetctl, and what ``client`` raises."""
    own: list[Container] = []
    foreign: set[int] = set()
    for entry in client.containers(all=True):
        found = None
        if lineage and (entry.get("Labels") or {}).get(labels.LINEAGE) == lineage:
            found = _read(client, entry["Id"], host)
        if found is not None and found[0] == lineage:
            own.append(found[1])
        else:
            ports = entry.get("Ports") or ()
            foreign |= {int(p["PublicPort"]) for p in ports if p.get("PublicPort")}
    return Survey(client.info(), tuple(own), frozenset(foreign))


def _read(client: APIClient, id: str, host: Host) -> tuple[str, Container] | None:
    try:
        return labels.read(client.inspect_container(id), host.name, host.address)
    except APIError as error:
        if error.status_code == 404:
            return None
        raise
