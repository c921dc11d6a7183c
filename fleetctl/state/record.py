"""The record, kept on the record hosts: the first one decides, the others follow.

A write goes to the first record host, which compares and replaces under flock; only what
it took goes to the others, side by side. So one generation has one body, and a write that
reached some hosts only is the highest generation at the next reading: it counts, and the
next write of that key, or ``level``, completes it. The locks lie on the same first host,
so a run that can write can reach it anyway.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from fleetctl.errors import CommandFailed, DeadlinePassed, FleetError, HostError, StaleWrite
from fleetctl.model.evidence import RecordRemains
from fleetctl.model.record import Document, Fence
from fleetctl.ssh.fence import STATE_DIR
from fleetctl.state.copies import Copies, RecordHost
from fleetctl.state.documents import Copy
from fleetctl.state.newest import Newest, left, newest

if TYPE_CHECKING:
    from fleetctl.ssh.connections import Connections

T = TypeVar("T")


class HostRecord:
    """The record on ``hosts``, the first of which decides. Thread-safe."""

    def __init__(
        self, connections: Connections, hosts: Sequence[str], *, root: str = STATE_DIR
    ) -> None:
        if not hosts:
            raise ValueError("a record needs a host")
        self._hosts = tuple(RecordHost(connections, name, root) for name in hosts)
        self._guard = threading.Lock()
        self._behind: dict[str, str] = {}

    @property
    def behind(self) -> Mapping[str, str]:
        """Record hosts that the last calls found silent, older, damaged or full, and why:
        worth a warning, and put right by ``level`` or the next write."""
        with self._guard:
            return dict(self._behind)

    def read(self) -> dict[str, Document]:
        """All documents, deleted ones with the body None, each at the highest generation
        among the record hosts that answer. Raises HostError when none does, RecordLost when
        what they hold is damaged or gone, ForeignLineage, Refused for a newer schema."""
        return {key: copy.document for key, copy in self._newest().copies.items()}

    def remains(self) -> RecordRemains:
        """All that is left of the record, whole or not. Raises HostError, CommandFailed or
        DeadlinePassed unless every record host answers, Refused for a newer schema."""
        answers: dict[str, Copies] = {}
        for host, outcome in self._each(self._hosts, RecordHost.read):
            if isinstance(outcome, FleetError):
                raise outcome
            answers[host.name] = outcome
        return left(answers)

    def write(self, key: str, body: dict[str, Any] | None, expected: int, fence: Fence) -> Document:
        """Replaces a document whole (None: deletes it). Raises StaleWrite when its
        generation is above ``expected``, StaleFence, and HostError, DeadlinePassed or CommandFailed
        when the first record host does not take it. Another one that does not is ``behind``,
        unless it knows better."""
        document = Document(key, expected + 1, body)
        copy = Copy(document, fence.number)
        first, *others = self._hosts
        first.replace(copy, fence)
        self._push(others, lambda host: host.replace(copy, fence))
        return document

    def level(self, fence: Fence) -> tuple[str, ...]:
        """Brings record hosts that are behind level, and returns those that now are."""
        found = self._newest()
        late = [host for host in self._hosts if host.name in found.behind]

        def catch_up(host: RecordHost) -> None:
            for key in found.behind[host.name]:
                try:
                    host.replace(found.copies[key], fence)
                except StaleWrite:
                    continue  # a writer was quicker: the host has it, or a later one

        return self._push(late, catch_up)

    def _newest(self) -> Newest:
        answers: dict[str, Copies] = {}
        silent: dict[str, FleetError] = {}
        for host, outcome in self._each(self._hosts, RecordHost.read):
            if isinstance(outcome, Copies):
                answers[host.name] = outcome
            else:
                silent[host.name] = outcome
        found = newest(answers, silent)
        with self._guard:
            self._behind = {name: str(error) for name, error in silent.items()}
            for name, troubles in found.behind.items():
                self._behind[name] = "; ".join(f"{k}: {why}" for k, why in troubles.items())
        return found

    def _push(
        self, hosts: Sequence[RecordHost], push: Callable[[RecordHost], None]
    ) -> tuple[str, ...]:
        """``push`` to each of ``hosts``; those that took it. One that can't be reached, or
        can't write, is behind; one that knows better stops the writer."""
        done = []
        for host, outcome in self._each(hosts, push):
            if isinstance(outcome, FleetError):
                with self._guard:
                    self._behind[host.name] = str(outcome)
            else:
                with self._guard:
                    self._behind.pop(host.name, None)
                done.append(host.name)
        return tuple(done)

    def _each(
        self, hosts: Sequence[RecordHost], act: Callable[[RecordHost], T]
    ) -> list[tuple[RecordHost, T | FleetError]]:
        """What ``act`` came to on each host, side by side."""

        def attempt(host: RecordHost) -> T | FleetError:
            try:
                return act(host)
            except (HostError, CommandFailed, DeadlinePassed) as error:
                return error

        if len(hosts) < 2:
            return [(host, attempt(host)) for host in hosts]
        with ThreadPoolExecutor(len(hosts)) as pool:
            return list(zip(hosts, pool.map(attempt, hosts), strict=True))
