"""One sink takes all events of a command, in order, from any thread."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from fleetctl.errors import FleetError
from fleetctl.model.events import Event, RunFinished
from fleetctl.model.plan import Plan
from fleetctl.ui.output import Output


class Sink(Protocol):
    """Takes events one at a time; a command of several services has several RunFinished."""

    def __call__(self, event: Event) -> None: ...

    def fail(self, error: FleetError, service: str) -> None:
        """What kept a service's run from starting, or ended it."""

    def pause(self) -> None:
        """Takes what is drawn away, for a question; the next event draws it again."""

    def finish(self, finished: RunFinished) -> None:
        """The whole command's end. The sink takes no event after it."""


def sink_for(
    out: Output,
    err: Output,
    *,
    json: bool,
    quiet: bool,
    verbose: bool,
    document: Callable[[Plan], dict[str, Any]],
) -> Sink:
    """JSON lines on ``out``; or else words on ``err`` and the result on ``out``, with a
    progress view below the words where ``err`` is a terminal. ``document`` turns a plan into
    the JSON of the contract."""
    if json:
        from fleetctl.ui.json_lines import JsonLines

        return JsonLines(out, document)
    from fleetctl.ui.plain import Plain

    plain = Plain(out, err, quiet=quiet, verbose=verbose)
    if quiet or verbose or not err.animated:
        return plain
    from fleetctl.ui.live import Live

    return Live(plain, err)
