"""The same lines as the plain sink, with a view of what is under way below them."""

from __future__ import annotations

import threading
import time

from rich.console import Group
from rich.live import Live as RichLive
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from fleetctl.errors import FleetError
from fleetctl.model import events as e
from fleetctl.ui.output import Output
from fleetctl.ui.plain import Plain
from fleetctl.ui.text import clean, duration, image_name

ROWS = 12
"""At most this many running steps are shown; a longer list would scroll."""


class Live:
    """Only for a terminal. Draws on ``err`` between the first event and the last."""

    def __init__(self, plain: Plain, err: Output) -> None:
        self._plain = plain
        self._lock = threading.Lock()
        self._running: dict[tuple[str, str], tuple[e.StepStarted, float, str]] = {}
        self._over = False
        self._title, self._done = "", 0
        self._steps: frozenset[str] = frozenset()
        self._live = RichLive(
            console=err.console,
            get_renderable=self._view,
            transient=True,
            refresh_per_second=8,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        plain.write = self._write

    def __call__(self, event: e.Event) -> None:
        if isinstance(event, e.RunFinished):
            self.pause()
        elif not (self._over or self._live.is_started):
            self._live.start()
        with self._lock:
            self._note(event)
        self._plain(event)

    def fail(self, error: FleetError, service: str) -> None:
        self.pause()
        self._plain.fail(error, service)

    def finish(self, finished: e.RunFinished) -> None:
        self._over = True
        self.pause()
        self._plain.finish(finished)

    def pause(self) -> None:
        if self._live.is_started:
            self._live.stop()

    def _write(self, line: str, style: str) -> None:
        self._live.console.print(Text(line, style=style))

    def _note(self, event: e.Event) -> None:
        match event:
            case e.RunStarted():
                self._title = f"{event.command} {' '.join(event.services)}"
            case e.PlanMade():
                self._done, self._steps = 0, frozenset(s.id for s in event.plan.steps)
                self._running.clear()
            case e.StepStarted():
                key = (event.service, event.step)
                self._running[key] = (event, time.monotonic(), "")
            case e.StepProgress():
                key = (event.service, event.step)
                if key in self._running:
                    step, since, _ = self._running[key]
                    self._running[key] = (step, since, event.text)
            case e.StepFinished():
                self._done += event.step in self._steps
                self._running.pop((event.service, event.step), None)

    def _view(self) -> Group:
        with self._lock:
            running = list(self._running.values())
            title, done, steps = self._title, self._done, len(self._steps)
        now = time.monotonic()
        rows = Table.grid(padding=(0, 2))
        for step, since, text in running[:ROWS]:
            rows.add_row(
                Text(f"  {step.action}", style="cyan"),
                Text(clean(step.host)),
                Text(clean(image_name(step.instance))),
                Text(duration(now - since), style="dim"),
                Text(clean(text), style="dim", overflow="ellipsis", no_wrap=True),
            )
        if len(running) > ROWS:
            rows.add_row(Text(f"  and {len(running) - ROWS} more", style="dim"))
        if not steps:
            return Group(rows)
        head = Table.grid(padding=(0, 2))
        head.add_row(
            Text(title, style="bold"),
            ProgressBar(total=steps, completed=min(done, steps), width=30),
            Text(f"{done}/{steps} steps"),
        )
        return Group(head, rows)
