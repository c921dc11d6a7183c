"""This fleet's containers on one host: made, changed and looked at."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from docker import APIClient
from docker.errors import APIError

from fleetctl.containers import labels
from fleetctl.containers.definition import definition
from fleetctl.containers.failures import plain
from fleetctl.containers.lanes import Lanes
from fleetctl.errors import EngineFailed, Refused
from fleetctl.model.fleet import Host
from fleetctl.model.instance import Container, Instance
from fleetctl.model.record import Fence
from fleetctl.model.routing import Pairs
from fleetctl.model.spec import ServiceSpec

LOG_LINE = 1000


class OwnContainers:
    """All methods raise FleetErrors only; changes go behind their fence, and are refused
    (Refused) for a container without the labels of ``lineage``."""

    def __init__(self, lanes: Lanes, host: Host) -> None:
        self.lineage = ""
        self._lanes = lanes
        self._host = host
        self._names: dict[str, str] = {}

    def know(self, containers: Iterable[Container]) -> None:
        """Takes in how they are called before people."""
        self._names.update({c.id: c.name for c in containers})

    def create(
        self,
        instance: Instance,
        spec: ServiceSpec,
        lineage: str,
        generation: int,
        fence: Fence,
        names: Pairs = (),
    ) -> str:
        body = definition(instance, spec, lineage, generation, fence, names)
        answer = self._lanes.change(
            f"creating {instance.name}",
            fence,
            lambda client: client.create_container_from_config(body, name=instance.name),
        )
        self.lineage = lineage
        self._names[answer["Id"]] = instance.name
        return str(answer["Id"])

    def start(self, container: str, fence: Fence) -> None:
        def act(client: APIClient) -> None:
            self._need(client, container)
            client.start(container)

        self._lanes.change(f"starting {self._called(container)}", fence, act, timeout=120.0)

    def set_restart(self, container: str, policy: str, fence: Fence) -> None:
        """One that is gone never starts again, as ``no`` has it."""

        def act(client: APIClient) -> None:
            if policy == "no":
                if not self._is_there(client, container):
                    return
            else:
                self._need(client, container)
            client.update_container(container, restart_policy={"Name": policy})

        self._lanes.change(f"setting the restart policy of {self._called(container)}", fence, act)

    def stop(self, container: str, grace: float, fence: Fence) -> None:
        """One that is stopped or gone already is left so."""

        def act(client: APIClient) -> None:
            if self._is_there(client, container):
                client.stop(container, timeout=math.ceil(grace))

        self._lanes.change(f"stopping {self._called(container)}", fence, act)

    def remove(self, container: str, fence: Fence) -> None:
        """With its anonymous volumes. One that is gone already is fine, one that runs is not."""

        def act(client: APIClient) -> None:
            if not self._is_there(client, container):
                return
            try:
                client.remove_container(container, v=True)
            except APIError as error:
                under_way = "already in progress" in str(error.explanation)
                if not (error.status_code == 404 or under_way):
                    raise

        self._lanes.change(f"removing {self._called(container)}", fence, act)

    def inspect(self, container: str) -> Container | None:
        return self._lanes.read(
            f"looking at {self._called(container)}", lambda client: self._look(client, container)
        )

    def find(self, lineage: str, name: str) -> Container | None:
        """By its labels where it isn't the container of that name: somebody renamed it."""

        def ask(client: APIClient) -> Container | None:
            found = self._look(client, name, lineage)
            if found is not None and found.name == name:
                return found
            ours = client.containers(all=True, filters={"label": f"{labels.LINEAGE}={lineage}"})
            ids = [e["Id"] for e in ours if labels.called(e.get("Labels") or {}) == name]
            return self._look(client, ids[0], lineage) if ids else None

        return self._lanes.read(f"looking for {name}", ask)

    def logs(self, container: str, lines: int) -> tuple[str, ...]:
        """Its last lines, those of stdout and stderr as they came; none if they can't be read."""

        def ask(client: APIClient) -> bytes:
            try:
                return bytes(client.logs(container, tail=lines))
            except APIError as error:
                if error.status_code in (404, 409, 501) or "logging driver" in str(error):
                    return b""
                raise

        text = self._lanes.read(f"reading the log of {self._called(container)}", ask)
        found = text.decode(errors="replace").splitlines()[-lines:]
        return tuple(plain(line[:LOG_LINE]) for line in found)

    def _inspected(self, client: APIClient, name: str) -> Mapping[str, Any] | None:
        try:
            document: Mapping[str, Any] = client.inspect_container(name)
            return document
        except APIError as error:
            if error.status_code == 404:
                return None
            raise

    def _look(self, client: APIClient, name: str, lineage: str = "") -> Container | None:
        """A container of fleetctl's, of ``lineage`` where one is given."""
        document = self._inspected(client, name)
        found = document and labels.read(document, self._host.name, self._host.address)
        if not found or lineage not in ("", found[0]):
            return None
        self.know([found[1]])
        return found[1]

    def _is_there(self, client: APIClient, container: str) -> bool:
        """False when it is gone. Raises Refused when it isn't this fleet's."""
        document = self._inspected(client, container)
        if document is None:
            return False
        found = labels.read(document, self._host.name, self._host.address)
        if found is None or found[0] != self.lineage:
            raise Refused(
                f"{self._called(container)} on {self._host.name} doesn't carry this fleet's labels:"
                " it is not touched",
                hint="it was changed or made by hand; look at it with docker inspect",
                host=self._host.name,
            )
        return True

    def _need(self, client: APIClient, container: str) -> None:
        if not self._is_there(client, container):
            raise EngineFailed(
                f"{self._called(container)} is gone from {self._host.name}",
                hint="run the command again: it looks at the host first",
                host=self._host.name,
            )

    def _called(self, container: str) -> str:
        """What to call it before people."""
        return self._names.get(container, container[:12])
