"""The container engine of one host, asked over its API through the SSH connection."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from docker import APIClient
from docker.errors import APIError

from fleetctl.containers import facts, labels, probing
from fleetctl.containers.definition import definition
from fleetctl.containers.diagnosis import diagnose
from fleetctl.containers.failures import plain, shorten
from fleetctl.containers.images import Images
from fleetctl.containers.lanes import Lanes
from fleetctl.containers.specs import Specs
from fleetctl.errors import ConnectionLost, EngineFailed, FleetError, ForeignLineage, Refused
from fleetctl.model.evidence import HostEvidence, StoredSpec
from fleetctl.model.fleet import Host
from fleetctl.model.instance import Container, Instance
from fleetctl.model.observed import ObservedHost, Probe
from fleetctl.model.record import Fence
from fleetctl.model.spec import Healthcheck, ServiceSpec
from fleetctl.ssh.connection import Connection
from fleetctl.ssh.connections import Connections

DIAL = ("docker", "system", "dial-stdio")
LOG_LINE = 1000


class DockerEngine:
    """EnginePort over Docker's API, version 1.41 (Docker 20.10) or later.

    Every method raises FleetErrors only. A change is refused (Refused) for a container
    without the labels of the lineage that this engine was last observed or claimed for.
    """

    def __init__(self, connections: Connections, host: Host) -> None:
        self._connections = connections
        self._host = host
        self._lineage = ""
        self._names: dict[str, str] = {}
        self._lanes = Lanes(
            host.name,
            lambda fence: self._connection().open(DIAL, fence),
            lambda: diagnose(self._connection()),
        )
        self._images = Images(self._lanes, host.name)
        self._specs = Specs(self._connection)

    def observe(self, lineage: str) -> ObservedHost:
        """Raises Refused for containers made by a newer fleetctl, and nothing else."""
        self._lineage = lineage or self._lineage
        try:
            found = self._facts()
            info, own, foreign = self._lanes.read(
                "listing containers", lambda client: self._survey(client, lineage)
            )
        except Refused:
            raise
        except FleetError as error:
            return ObservedHost(self._host.name, state="unknown", error=error.message)
        own_ports = {b.host for c in own if c.running for b in c.bindings}
        return ObservedHost(
            self._host.name,
            boot_id=found.boot_id,
            lineage=found.lineage,
            engine=str(info.get("ServerVersion", "")),
            arch=str(info.get("Architecture", "")),
            cpus=float(info.get("NCPU") or 0),
            memory=int(info.get("MemTotal") or 0),
            containers=tuple(sorted(own, key=lambda c: (c.service, c.slot, c.revision, c.id))),
            ports=tuple(sorted((found.listening - own_ports) | foreign)),
            fences=found.fences,
        )

    def _survey(
        self, client: APIClient, lineage: str
    ) -> tuple[Mapping[str, Any], list[Container], set[int]]:
        """What the engine is, this lineage's containers, and the ports of all others."""
        own, foreign = [], set()
        for entry in client.containers(all=True):
            container = None
            if lineage and (entry.get("Labels") or {}).get(labels.LINEAGE) == lineage:
                container = self._look(client, entry["Id"], lineage)
            if container is not None:
                own.append(container)
            else:
                ports = entry.get("Ports") or ()
                foreign |= {int(p["PublicPort"]) for p in ports if p.get("PublicPort")}
        return client.info(), own, foreign

    def claim(self, lineage: str, fence: Fence) -> None:
        answer = self._connection().run(facts.CLAIM, lineage, fence=fence)
        answer.check(f"marking {self._host.name} as this fleet's")
        found = shorten(answer.out.decode(errors="replace"))
        if found != lineage:
            raise ForeignLineage(
                f"{self._host.name} belongs to another fleet (lineage {found!r}, this one is"
                f" {lineage!r})",
                hint="take the host out of this inventory, or out of the other fleet first",
                host=self._host.name,
            )
        self._lineage = lineage

    def resolve(self, reference: str) -> str:
        return self._images.resolve(reference)

    def has_image(self, image: str) -> bool:
        return self._images.has(image)

    def pull(self, image: str, fence: Fence, progress: Callable[[str], None]) -> None:
        self._images.pull(image, fence, progress)

    def tag(self, image: str, service: str, revision: int, fence: Fence) -> None:
        self._images.tag(image, service, revision, fence)

    def untag(self, service: str, revisions: Sequence[int], fence: Fence) -> None:
        self._images.untag(service, revisions, fence)

    def keep_spec(self, stored: StoredSpec, fence: Fence) -> bool:
        return self._specs.keep(stored, fence)

    def drop_specs(self, service: str, revisions: Sequence[int], fence: Fence) -> None:
        self._specs.drop(service, revisions, fence)

    def evidence(self) -> HostEvidence:
        found = self._facts()
        specs, damaged = self._specs.read()
        return HostEvidence(self._host.name, found.lineage, found.fences, specs, damaged)

    def create(
        self, instance: Instance, spec: ServiceSpec, lineage: str, generation: int, fence: Fence
    ) -> str:
        body = definition(instance, spec, lineage, generation, fence)
        answer = self._lanes.change(
            f"creating {instance.name}",
            fence,
            lambda client: client.create_container_from_config(body, name=instance.name),
        )
        self._lineage = lineage
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
        found = self._lanes.read(
            f"looking for {name}", lambda client: self._look(client, name, lineage)
        )
        return found if found is not None and found.name == name else None

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

    def probe(self, address: str, port: int, check: Healthcheck) -> Probe:
        return probing.probe(self._connection(), address, port, check)

    def _connection(self) -> Connection:
        return self._connections.host(self._host.name)

    def _facts(self) -> facts.Facts:
        try:
            answer = self._connection().shell().run(facts.SCRIPT)
        except ConnectionLost:
            answer = self._connection().shell().run(facts.SCRIPT)
        return facts.parse(answer.check(f"looking at {self._host.name}").out)

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
        self._names[found[1].id] = found[1].name
        return found[1]

    def _is_there(self, client: APIClient, container: str) -> bool:
        """False when it is gone. Raises Refused when it isn't this fleet's."""
        document = self._inspected(client, container)
        if document is None:
            return False
        found = labels.read(document, self._host.name, self._host.address)
        if found is None or found[0] != self._lineage:
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
