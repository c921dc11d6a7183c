"""Events as JSON, one per line, the schema first."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from fleetctl.errors import Diagnostic, FleetError, InvalidFiles
from fleetctl.model.codec import encode
from fleetctl.model.events import EVENT_TYPES, Event, Failed, PlanMade, RunFinished
from fleetctl.model.plan import Plan
from fleetctl.ui.output import Output

SCHEMA = "fleetctl.events/1"


class JsonLines:
    """The line with the schema is written at once, ``run_finished`` by ``finish`` alone. A
    plan has the form of ``plan --json``."""

    def __init__(self, out: Output, document: Callable[[Plan], dict[str, Any]]) -> None:
        self._out = out
        self._document = document
        self._lock = threading.Lock()
        self._over = False
        out.json({"type": "version", "schema": SCHEMA})

    def __call__(self, event: Event) -> None:
        if not isinstance(event, RunFinished):
            self._write(event)

    def fail(self, error: FleetError, service: str) -> None:
        if not isinstance(error, InvalidFiles):
            self._write(Failed(service, error.id, _placed(error), error.hint, error.host))
            return
        for one in error.diagnostics:
            if not one.warning:
                self._write(Failed(service, one.id, _placed(one), one.hint))

    def pause(self) -> None:
        """Nothing is drawn."""

    def finish(self, finished: RunFinished) -> None:
        self._write(finished, last=True)

    def _write(self, event: Event, *, last: bool = False) -> None:
        """Nothing follows the last: a signal's note may come late."""
        line: dict[str, Any] = {"type": EVENT_TYPES[type(event)]}
        if isinstance(event, PlanMade):
            plan = event.plan
            line |= {"service": plan.service, "reason": event.reason}
            line |= {"plan": self._document(plan)}
        else:
            line |= encode(event)
        with self._lock:
            if not self._over:
                self._out.json(line)
            self._over = self._over or last


def _placed(wrong: FleetError | Diagnostic) -> str:
    return f"{wrong.span}: {wrong.message}" if wrong.span else wrong.message
