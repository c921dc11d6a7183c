"""What the engine needs of the world. Adapters have these shapes; so does the model in tests.

Every method that changes something takes the ``Fence`` it writes under: the far side
refuses it with StaleFence once a later writer of that scope has been seen. Every method
ends in bounded time. After ConnectionLost the outcome is unknown: observe, never repeat.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from fleetctl.haproxy.rendered import Applied, How, Rendered
from fleetctl.haproxy.survey import Running, Survey
from fleetctl.model.events import Event
from fleetctl.model.evidence import HostEvidence, RecordRemains, StoredSpec
from fleetctl.model.instance import Container, Instance
from fleetctl.model.lb import BalancerSetup, SetupStep
from fleetctl.model.observed import ObservedBalancer, ObservedHost, Probe
from fleetctl.model.plan import Plan
from fleetctl.model.record import Document, Fence, Holder
from fleetctl.model.routing import Pairs
from fleetctl.model.secret import Secret
from fleetctl.model.spec import Healthcheck, ServiceSpec
from fleetctl.model.status import HistoryEntry


class EnginePort(Protocol):
    """The container engine of one host."""

    def observe(self, lineage: str) -> ObservedHost:
        """All of this lineage's containers and the host's facts. Never raises HostError:
        a host that can't be asked is ``unknown`` with its error."""

    def claim(self, lineage: str, fence: Fence) -> None:
        """Marks the host as of this fleet. Raises ForeignLineage if it is another's."""

    def resolve(self, reference: str) -> str:
        """``reference`` as NAME@sha256:DIGEST by the registry, or as an image id that is on
        the host. Raises ImageMissing."""

    def has_image(self, image: str) -> bool: ...

    def pull(self, image: str, fence: Fence, progress: Callable[[str], None]) -> None: ...

    def tag(self, image: str, service: str, revision: int, fence: Fence) -> None:
        """fleetctl/SERVICE:REVISION, so that pruning by others doesn't take the image."""

    def create(
        self,
        instance: Instance,
        spec: ServiceSpec,
        lineage: str,
        generation: int,
        fence: Fence,
        names: Pairs = (),
    ) -> str:
        """s3, with restart policy ``no`` and all labels. ``names`` are (name, address) that the
        container knows besides the spec's own. Returns the container's id."""

    def start(self, container: str, fence: Fence) -> None: ...

    def set_restart(self, container: str, policy: str, fence: Fence) -> None: ...

    def stop(self, container: str, grace: float, fence: Fence) -> None: ...

    def remove(self, container: str, fence: Fence) -> None: ...

    def untag(self, service: str, revisions: Sequence[int], fence: Fence) -> None:
        """Takes fleetctl's own tags of these revisions off, and the images that nothing
        else names or uses."""

    def keep_spec(self, stored: StoredSpec, fence: Fence) -> bool:
        """Has the whole revision lie on the host, beside its containers. Tells whether it
        wrote: the same spec that was committed as late is left."""

    def drop_specs(self, service: str, revisions: Sequence[int], fence: Fence) -> None:
        """Takes these revisions' specs away."""

    def evidence(self) -> HostEvidence:
        """What the host knows of its fleet; it need not have an engine. Raises HostError."""

    def inspect(self, container: str) -> Container | None:
        """None when it is gone."""

    def find(self, lineage: str, name: str) -> Container | None:
        """This lineage's container of that name."""

    def logs(self, container: str, lines: int) -> tuple[str, ...]: ...

    def probe(self, address: str, port: int, check: Healthcheck) -> Probe:
        """One ``http`` or ``tcp`` question from the host's side of the SSH connection."""


class BalancerPort(Protocol):
    """One HAProxy."""

    name: str

    def observe(self) -> ObservedBalancer:
        """Never raises HostError: a balancer that can't be asked is ``unknown``."""

    def prepare(
        self, rendered: Rendered, fence: Fence, pems: Mapping[str, Secret] | None = None
    ) -> How:
        """Uploads and checks with the host's own binary; nothing serves differently yet.
        ``pems`` are texts of certificates by digest; the host keeps those it has been given.
        Returns what ``apply`` would take now, as far as it can be told.
        Raises BalancerFailed."""

    def lacking(self, rendered: Rendered) -> tuple[str, ...]:
        """Digests of certificates that the host was never given. Raises HostError."""

    def apply(self, rendered: Rendered, fence: Fence) -> Applied:
        """File, then runtime or reload, then read back. Raises BalancerFailed."""

    def end_sessions(self, servers: Sequence[tuple[str, str]], fence: Fence) -> None:
        """Cuts all connections to these (backend, server)."""

    def certificate(self, digest: str) -> Secret | None:
        """The PEM text of that digest, if the host has it. Raises HostError."""

    def text(self) -> str:
        """The file on the disk, empty if there is none. Raises HostError."""


class MachinePort(Protocol):
    """The machine of one balancer: HAProxy as a program there. All raise HostError and
    CommandFailed."""

    def survey(self) -> Survey: ...

    def running(self) -> Running:
        """Whether what runs there can be changed: its master's socket answers."""

    def taken(self, rendered: Rendered) -> tuple[str, ...]:
        """Who else than HAProxy listens where it is to, a sentence each."""

    def refusal(self, rendered: Rendered) -> str:
        """What the machine's own HAProxy has against the file, empty for nothing."""

    def side_files(self) -> Mapping[str, str]:
        """What HAProxy reads besides its file: path below ``live`` to text; of a certificate
        the SHA-256."""

    def plan(self, rendered: Rendered, fresh: bool = False) -> BalancerSetup:
        """What there is to set up, with ``rendered`` as a first file where there is none of
        ours; ``fresh``: its package has just been installed. Raises Refused for what can't be."""

    def carry_out(self, step: SetupStep, rendered: Rendered, fence: Fence) -> None:
        """Raises BalancerFailed, StaleFence."""


class Lease(Protocol):
    """A lock that is held. It renews itself until released. ``over``: it was taken from a
    holder that fell silent, and may not have fallen dead."""

    fence: Fence

    @property
    def over(self) -> bool: ...

    def check(self) -> None:
        """Raises LockLost once it has not been renewed for two thirds of its time."""

    def raise_to(self, number: int) -> None:
        """Makes the fence's number at least ``number``: a host had seen a later one."""

    def release(self) -> None: ...


class LocksPort(Protocol):
    def acquire(self, scope: str, wait: float, check: Callable[[], None] | None = None) -> Lease:
        """Raises LockHeld, naming the holder, when it isn't free within ``wait`` seconds, and
        what ``check`` raises, which is asked again and again until then."""

    def hold(self, scope: str, reason: str) -> None:
        """A lock of a person: it doesn't expire. Raises LockHeld."""

    def free(self, scope: str) -> Holder | None:
        """Takes a person's lock away and returns who held it, None when nobody did. Raises
        LockHeld when it is a run's."""

    def holder(self, scope: str) -> Holder | None: ...


class RecordPort(Protocol):
    @property
    def behind(self) -> Mapping[str, str]:
        """Record hosts that lack what was read or written last, and why."""

    def level(self, fence: Fence) -> tuple[str, ...]:
        """Brings record hosts that are behind level with the others. Returns their names."""

    def read(self) -> Mapping[str, Document]:
        """All documents, each at the highest generation among the record hosts that answer.
        Raises HostError when none does, RecordLost when what they hold is damaged."""

    def remains(self) -> RecordRemains:
        """All that is left, whole or not. Raises HostError unless every record host answers:
        a silent one may hold what the others lost."""

    def write(self, key: str, body: dict[str, Any] | None, expected: int, fence: Fence) -> Document:
        """Replaces a document whole on all record hosts (None: deletes it). Raises
        StaleWrite when its generation is above ``expected``."""


class JournalPort(Protocol):
    """This controller's own memory. Losing it loses no fleet."""

    @property
    def warnings(self) -> Sequence[str]:
        """What was wrong with the file when it was opened."""

    def begin(self, entry: HistoryEntry) -> None: ...

    def planned(self, run: str, plan: Plan) -> None:
        """What the run that ``begin`` told of is going to do. Its first plan stays."""

    def intent(self, run: str, step: str, action: str, instance: str, hosts: Iterable[str]) -> None:
        """On the disk before the step has any effect. ``hosts`` are those that it touches."""

    def outcome(self, run: str, step: str, outcome: str, detail: str) -> None: ...

    def end(self, run: str, result: str, ended: float, detail: str) -> None: ...

    def history(self, service: str, limit: int, run: str = "") -> tuple[HistoryEntry, ...]:
        """The newest runs of a service; ``run`` leaves those whose id begins so."""


class Clock(Protocol):
    def now(self) -> float:
        """Seconds since the epoch."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


class World(Protocol):
    """Everything at once; each adapter is opened when it is first asked for."""

    @property
    def record(self) -> RecordPort: ...

    @property
    def locks(self) -> LocksPort: ...

    @property
    def journal(self) -> JournalPort: ...

    @property
    def clock(self) -> Clock: ...

    def engine(self, host: str) -> EnginePort: ...

    def balancer(self, name: str) -> BalancerPort: ...

    def machine(self, name: str) -> MachinePort:
        """That of the balancer of this name."""

    def connect(self, hosts: Iterable[str]) -> None:
        """Opens connections side by side; failures show when the host is asked."""

    def new_id(self) -> str:
        """Eight random hexadecimal digits."""

    def close(self) -> None: ...


Emit = Callable[[Event], None]
