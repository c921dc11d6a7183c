"""What the shared options of one command came to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from fleetctl.model.plan import Plan
from fleetctl.ui.output import Output, stderr, stdout
from fleetctl.ui.sink import Sink, sink_for


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Options as given; a command that lacks one leaves its default."""

    inventory: str | None = None
    limit: str | None = None
    extra_vars: tuple[str, ...] = ()
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    color: str = "auto"
    yes: bool = False
    no_input: bool = False
    wait: float = 0.0
    parallel: int = 32

    def out(self) -> Output:
        return stdout(self.color)

    def err(self) -> Output:
        return stderr(self.color)

    def run_sink(self) -> Sink:
        """For commands that change something: events as JSON lines, or words."""
        return sink_for(
            self.out(),
            self.err(),
            json=self.json,
            quiet=self.quiet,
            verbose=self.verbose,
            document=plan_document,
        )

    def word_sink(self) -> Sink:
        """For queries: words about progress on stderr, with ``json`` too."""
        return sink_for(
            self.out(),
            self.err(),
            json=False,
            quiet=self.quiet,
            verbose=False,
            document=plan_document,
        )


def plan_document(plan: Plan) -> dict[str, Any]:
    """The planner's own JSON, imported when a plan is written."""
    from fleetctl.planner import document

    return document.plan_document(plan)
