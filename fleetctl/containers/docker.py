"""The container engine of one host, asked over its API through the SSH connection."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fleetctl.containers import facts, probing
from fleetctl.containers.diagnosis import diagnose
from fleetctl.containers.failures import shorten
from fleetctl.containers.images import Images
from fleetctl.containers.lanes import Lanes
from fleetctl.containers.own import OwnContainers
from fleetctl.containers.specs import Specs
from fleetctl.containers.survey import survey
from fleetctl.errors import ConnectionLost, FleetError, ForeignLineage, Refused
from fleetctl.model.evidence import HostEvidence, StoredSpec
from fleetctl.model.fleet import Host
from fleetctl.model.instance import Container, Instance
from fleetctl.model.observed import ObservedHost, Probe
from fleetctl.model.record import Fence
from fleetctl.model.routing import Pairs
from fleetctl.model.spec import Healthcheck, ServiceSpec
from fleetctl.ssh.connection import Connection
from fleetctl.ssh.connections import Connections

DIAL = ("docker", "system", "dial-stdio")


class DockerEngine:
    """EnginePort over Docker's API, version 1.41 (Docker 20.10) or later.

    Every method raises FleetErrors only. A change is refused (Refused) for a container
    without the labels of the lineage that this engine was last observed or claimed for.
    """

    def __init__(self, connections: Connections, host: Host) -> None:
        self._connections = connections
        self._host = host
        self._lanes = Lanes(
            host.name,
            lambda fence: self._connection().open(DIAL, fence),
            lambda: diagnose(self._connection()),
        )
        self._own = OwnContainers(self._lanes, host)
        self._images = Images(self._lanes, host.name)
        self._specs = Specs(self._connection)

    def observe(self, lineage: str) -> ObservedHost:
        """Raises Refused for containers made by a newer fleetctl, and nothing else."""
        self._own.lineage = lineage or self._own.lineage
        try:
            found = self._facts()
            seen = self._lanes.read(
                "listing containers", lambda client: survey(client, lineage, self._host)
            )
        except Refused:
            raise
        except FleetError as error:
            return ObservedHost(self._host.name, state="unknown", error=error.message)
        self._own.know(seen.own)
        ours = bool(lineage) and found.lineage == lineage
        own_ports = {b.host for c in seen.own if c.running for b in c.bindings}
        return ObservedHost(
            self._host.name,
            boot_id=found.boot_id,
            lineage=found.lineage,
            engine=str(seen.info.get("ServerVersion", "")),
            arch=str(seen.info.get("Architecture", "")),
            cpus=float(seen.info.get("NCPU") or 0),
            memory=int(seen.info.get("MemTotal") or 0),
            containers=tuple(sorted(seen.own, key=lambda c: (c.service, c.slot, c.revision, c.id))),
            ports=tuple(sorted((found.listening - own_ports) | seen.foreign)),
            fences=found.fences,
            kept=tuple(sorted(found.specs | seen.tags)) if ours else (),
        )

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
        self._own.lineage = lineage

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
        self,
        instance: Instance,
        spec: ServiceSpec,
        lineage: str,
        generation: int,
        fence: Fence,
        names: Pairs = (),
    ) -> str:
        return self._own.create(instance, spec, lineage, generation, fence, names)

    def start(self, container: str, fence: Fence) -> None:
        self._own.start(container, fence)

    def set_restart(self, container: str, policy: str, fence: Fence) -> None:
        self._own.set_restart(container, policy, fence)

    def stop(self, container: str, grace: float, fence: Fence) -> None:
        self._own.stop(container, grace, fence)

    def remove(self, container: str, fence: Fence) -> None:
        self._own.remove(container, fence)

    def inspect(self, container: str) -> Container | None:
        return self._own.inspect(container)

    def find(self, lineage: str, name: str) -> Container | None:
        return self._own.find(lineage, name)

    def logs(self, container: str, lines: int) -> tuple[str, ...]:
        return self._own.logs(container, lines)

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
