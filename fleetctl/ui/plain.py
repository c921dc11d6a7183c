"""One line per step when it ends: for logs, pipes and small terminals."""

from __future__ import annotations

import threading
from collections.abc import Callable

from fleetctl.errors import FleetError
from fleetctl.model import events as e
from fleetctl.ui.errors_text import error_lines, failure_lines
from fleetctl.ui.output import Output
from fleetctl.ui.plan_text import plan_lines, verdict
from fleetctl.ui.result_text import GOOD, result_lines
from fleetctl.ui.text import clean, duration, some

Write = Callable[[str, str], None]
"""Writes a line of words in a style."""


class Plain:
    """Words go to ``err``, the result to ``out``. ``write`` may be set to put lines above a
    live view."""

    def __init__(self, out: Output, err: Output, *, quiet: bool, verbose: bool) -> None:
        self._out = out
        self._quiet = quiet
        self._verbose = verbose
        self._lock = threading.Lock()
        self._done = 0
        self._steps: frozenset[str] = frozenset()
        self.write: Write = err.line

    def __call__(self, event: e.Event) -> None:
        with self._lock:
            self._take(event)

    def fail(self, error: FleetError, service: str) -> None:
        with self._lock:
            for line in error_lines(error):
                self.write(line, "red")

    def pause(self) -> None:
        """Nothing is drawn."""

    def finish(self, finished: e.RunFinished) -> None:
        """Each service's result has been written when it was known."""

    def _take(self, event: e.Event) -> None:
        match event:
            case e.RunFinished():
                style = "green" if event.result in GOOD else "bold red"
                for line in result_lines(event):
                    self._out.line(line, style)
            case e.Failed():
                for line in failure_lines(event.error_id, _about(event), event.hint, event.then):
                    self.write(line, "red")
            case _ if self._quiet:
                return
            case e.RunStarted():
                self.write(" ".join([event.command, *event.services, "on", event.fleet]), "")
            case e.Note():
                self._note(event)
            case e.PlanMade():
                self._plan(event)
            case e.StepStarted() if self._verbose:
                words = _words(event.action, event.host, event.instance)
                self.write(f"  start {words}: {clean(event.cause)}", "dim")
            case e.StepProgress() if self._verbose:
                self.write(f"  {event.step} {clean(event.text)}", "dim")
            case e.StepFinished():
                self._finished(event)

    def _note(self, note: e.Note) -> None:
        where = [part for part in (note.service, note.host) if part and part not in note.text]
        words = ": ".join([*where, clean(note.text)])
        if note.level == "warning":
            self.write(f"warning: {words}", "yellow")
        else:
            self.write(words, "dim")

    def _plan(self, event: e.PlanMade) -> None:
        self._done, self._steps = 0, frozenset(step.id for step in event.plan.steps)
        if event.plan.nothing and not event.plan.unplaced:
            return
        if self._verbose:
            for line in plan_lines(event.plan, event.reason):
                self.write(line, "")
            return
        self.write(verdict(event.plan, event.reason), "bold")

    def _finished(self, event: e.StepFinished) -> None:
        planned = event.step in self._steps
        self._done += planned
        if event.outcome == "skipped" and not self._verbose:
            return
        count = len(self._steps)
        line = f"  [{self._done:>{len(str(count))}}/{count}] " if planned else "  "
        line += _words(event.action, event.host, event.instance)
        if event.outcome == "ok":
            line += f"  {duration(event.seconds)}"
        else:
            line += f"  {event.outcome} after {duration(event.seconds)}"
        if event.detail:
            line += f"  {clean(event.detail)}"
        self.write(line, "red" if event.outcome == "failed" else "")


def _words(action: str, host: str, instance: str) -> str:
    """An admit or a drain names its instances with spaces between."""
    parts = [f"{clean(action):<7}", clean(host), clean(some(instance.split()))]
    return " ".join(part for part in parts if part).rstrip()


def _about(event: e.Failed) -> str:
    """The message, after service and host where it doesn't name them itself."""
    first = event.message.partition("\n")[0]
    where = [part for part in (event.service, event.host) if part and part not in first]
    return ": ".join([*where, event.message])
