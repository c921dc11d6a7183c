"""What an engine tells of itself, of all containers on its host, and of fleetctl's images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from docker import APIClient
from docker.errors import APIError

from fleetctl.containers import facts, labels
from fleetctl.containers.images import own_repository
from fleetctl.containers.pipeline import ask_all
from fleetctl.model.fleet import Host
from fleetctl.model.instance import Container


@dataclass(frozen=True, slots=True)
class Survey:
    """``info`` is the engine's own, ``own`` are one lineage's containers, ``foreign`` the ports
    that all others have published, ``tags`` (service, number) of fleetctl's tags of images."""

    info: Mapping[str, Any]
    own: tuple[Container, ...]
    foreign: frozenset[int]
    tags: frozenset[tuple[str, int]]


def survey(client: APIClient, lineage: str, host: Host) -> Survey:
    """Three round trips. Raises Refused for containers made by a newer fleetctl, and what
    ``client`` raises."""
    info, entries = ask_all(client, ["/info", "/containers/json?all=1"])
    ours = [
        entry["Id"]
        for entry in entries
        if lineage and (entry.get("Labels") or {}).get(labels.LINEAGE) == lineage
    ]
    # The list tells neither exit codes nor when a container was started, or how often.
    documents = ask_all(client, [f"/containers/{quote(id, safe='')}/json" for id in ours])
    read = [labels.read(d, host.name, host.address) for d in documents if d is not None]
    own = {c.id: c for found_lineage, c in filter(None, read) if found_lineage == lineage}
    foreign = {
        int(port["PublicPort"])
        for entry in entries
        if entry["Id"] not in own
        for port in entry.get("Ports") or ()
        if port.get("PublicPort")
    }
    return Survey(info, tuple(own.values()), frozenset(foreign), _tags(client))


def _tags(client: APIClient) -> frozenset[tuple[str, int]]:
    """None where the engine can't list its images: one that is damaged is reason enough for
    that, and no reason to leave the host alone."""
    own = own_repository("")
    try:
        images = client.images(filters={"reference": own + "*"})
    except APIError:
        return frozenset()
    tags = [tag for image in images for tag in image.get("RepoTags") or ()]
    names = (tag.removeprefix(own) for tag in tags if tag.startswith(own))
    return frozenset(facts.revisions(names, ":"))
