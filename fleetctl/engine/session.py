"""One run of one service: its lock, its fence, and its two documents of the record."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace

from fleetctl.engine.options import RunOptions
from fleetctl.engine.ports import Emit, Lease, World
from fleetctl.engine.view import View, view_of
from fleetctl.errors import StaleFence
from fleetctl.haproxy.templates import built_in
from fleetctl.model.balancing import Section
from fleetctl.model.codec import encode
from fleetctl.model.events import Note
from fleetctl.model.fleet import Fleet
from fleetctl.model.instance import Container
from fleetctl.model.material import NOTHING_NEW, Material
from fleetctl.model.plan import Admit, AnyStep, Drain, Plan, Start, Stop
from fleetctl.model.record import (
    BALANCERS_KEY,
    BalancersRecord,
    Document,
    Fence,
    ServiceRecord,
    section_key,
    service_key,
)
from fleetctl.model.routing import Pairs


@dataclass(slots=True)
class Session:
    """What every part of a run shares. ``view`` is the last reading of the record, with this
    run's own writes in it; only this run writes its service's documents. ``material`` is what
    it brings besides, ``former`` the templates that it has replaced, by ``written``.
    ``touched`` says that a step has begun which does more than fetch an image. ``leaving`` are
    the ids of containers whose stop has begun, ``looked`` the last look at what runs (when, for
    stops that need what, containers); both under ``looking``."""

    world: World
    fleet: Fleet
    service: str
    options: RunOptions
    emit: Emit
    lease: Lease
    view: View
    lineage: str
    material: Material = NOTHING_NEW
    former: Pairs = ()
    written: Pairs = ()
    started: int = 0
    stopped: int = 0
    balanced: int = 0
    touched: bool = False
    leaving: set[str] = field(default_factory=set)
    looked: tuple[float, tuple[str, ...], tuple[Container, ...]] = (0.0, (), ())
    looking: threading.Lock = field(default_factory=threading.Lock)
    _mutex: threading.RLock = field(default_factory=threading.RLock)

    @property
    def fence(self) -> Fence:
        return self.lease.fence

    @property
    def record(self) -> ServiceRecord:
        return self.view.service(self.service)

    @property
    def section(self) -> Section | None:
        return self.view.sections.get(self.service)

    @property
    def templates(self) -> Pairs:
        """What balancers' files are to be made with: as this run brings it, or as recorded."""
        return self.material.templates or self.view.templates or built_in()

    @property
    def new_certificates(self) -> tuple[str, ...]:
        """Names of the certificates that this run brings and the record has none of."""
        known = {c.name for c in self.section.certificates} if self.section else set()
        return tuple(c.name for c in self.material.certificates if c.name not in known)

    def check(self) -> None:
        """Raises Interrupted when a person asked to stop, LockLost when another took over."""
        self.lease.check()
        self.options.stop.check(f"before the next step of {self.service}", self.service)

    def note(self, text: str, *, host: str = "", warning: bool = False) -> None:
        self.emit(Note(text, self.service, host, "warning" if warning else "info"))

    def count(self, plan: Plan, step: AnyStep) -> None:
        """Takes a step that is done into the counts: instances started and stopped, and
        changes of balancers that go with neither."""
        with self._mutex:
            match step:
                case Start():
                    self.started += 1
                case Stop():
                    self.stopped += 1
                case Admit():
                    new = {s.instance.name for s in plan.steps if isinstance(s, Start)}
                    old = [i for i in step.instances if i.name not in new]
                    self.balanced += len(old) if step.instances else 1
                case Drain():
                    ended = {s.container.id for s in plan.steps if isinstance(s, Stop)}
                    self.balanced += len([c for c in step.containers if c.id not in ended])

    def refresh(self) -> View:
        """Reads the record again."""
        with self._mutex:
            self.view = view_of(self.world.record.read())
            return self.view

    def write_record(self, record: ServiceRecord) -> None:
        """Commits ``record``. Raises StaleWrite, StaleFence, HostError."""
        self._write(service_key(self.service), record)

    def edit_record(self, edit: Callable[[ServiceRecord], ServiceRecord]) -> None:
        with self._mutex:
            self.write_record(edit(self.record))

    def write_section(self, section: Section | None) -> None:
        self._write(section_key(self.service), section)

    def write_templates(self, templates: Pairs) -> None:
        """Records what balancers' files are made with, where it is another. From then on the
        record counts, so that two runs that bring different ones don't take turns."""
        self.material = replace(self.material, templates=())
        if templates == self.view.templates:
            return
        before = self.view.templates or built_in()
        if templates != before:
            self.former, self.written = before, templates
        self._write(BALANCERS_KEY, BalancersRecord(templates))

    def go_back(self) -> None:
        """Nothing that this run brought counts any more: what was recorded before it does, or
        what another has recorded since. Raises HostError, RecordLost."""
        undo = self.former and self.refresh().templates == self.written
        former = self.former if undo else ()
        self.material = replace(self.material, templates=former, certificates=())
        self.former = ()

    def _write(self, key: str, value: ServiceRecord | Section | BalancersRecord | None) -> None:
        with self._mutex:
            self.lease.check()
            body = None if value is None else encode(value)
            generation = self.view.generation(key)
            try:
                written = self.world.record.write(key, body, generation, self.fence)
            except StaleFence as stale:
                # A record host has seen a later fence than the lock host knows of. Another one
                # may have taken the document by then.
                self.lease.raise_to(stale.seen + 1)
                found = self.refresh().documents.get(key)
                if found == Document(key, generation + 1, body):
                    return
                written = self.world.record.write(key, body, generation, self.fence)
            self.view = self.view.with_document(written)
