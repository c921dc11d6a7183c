"""One command that changes something: its events, its signals, its end.

Whatever happens, the last event is ``run_finished`` with the exit code that the process
has.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from fleetctl.cli.consent import ask_consent
from fleetctl.cli.context import Context
from fleetctl.cli.failures import as_bug
from fleetctl.cli.signals import stop_on_signals
from fleetctl.cli.wishes import Wishes
from fleetctl.engine.options import RunOptions, StopSignal
from fleetctl.engine.ports import Emit, World
from fleetctl.engine.report import result_of
from fleetctl.errors import FleetError, Interrupted
from fleetctl.model.events import Event, Note, PlanMade, Result, RunFinished
from fleetctl.ui.sink import Sink

UseCase = Callable[[World, RunOptions, Emit], RunFinished]


@dataclass(frozen=True, slots=True)
class Part:
    """One use case of a command. ``service`` is who it is about, for its errors."""

    service: str
    do: UseCase
    consent: bool = False


@dataclass(slots=True)
class Run:
    """``prepare`` reads the files and says what is to be done, in order. The parts run one
    after the other; the first that fails is the last."""

    command: str
    wishes: Wishes
    again: bool = False
    stop: StopSignal = field(default_factory=StopSignal)
    ends: list[RunFinished] = field(default_factory=list)
    service: str = ""

    def carry_out(self, prepare: Callable[[Context], list[Part]]) -> int:
        """Returns the exit code; raises nothing."""
        began = time.monotonic()
        sink = self.wishes.run_sink()
        try:
            with stop_on_signals(self.stop, lambda words: sink(Note(words, level="warning"))):
                self._work(prepare, sink)
            outcome, code = self._outcome()
        except Exception as error:
            known = _known(error, self.wishes.verbose)
            sink.fail(known, self.service)
            outcome, code = result_of(known)
        services = tuple(service for end in self.ends for service in end.services)
        seconds = time.monotonic() - began
        sink.finish(RunFinished(self.command, outcome, code, services, seconds))
        return code

    def _work(self, prepare: Callable[[Context], list[Part]], sink: Sink) -> None:
        context = Context(self.wishes, self.command)
        parts = prepare(context)
        context.tell_warnings(sink)
        options = context.options(again=self.again, stop=self.stop)
        with context.world() as world:
            for part in parts:
                self.service = part.service
                if self.stop.asked:
                    raise Interrupted(
                        f"stopped before {part.service or self.command}",
                        signal_number=self.stop.number,
                        hint="the same command again goes on from here",
                    )
                self.ends.append(part.do(world, options, self._emit(sink, part)))
                if self.ends[-1].exit_code:
                    return

    def _emit(self, sink: Sink, part: Part) -> Emit:
        """The sink, with a question after the first plan of a part that needs consent."""
        asked = not part.consent

        def emit(event: Event) -> None:
            nonlocal asked
            sink(event)
            if isinstance(event, PlanMade) and not asked:
                asked = True
                ask_consent(event.plan, self.wishes, sink, self.stop)

        return emit

    def _outcome(self) -> tuple[Result, int]:
        """The last part's end; nothing to do only when no part had anything to do."""
        if not self.ends:
            return "nothing_to_do", 0
        last = self.ends[-1]
        if last.exit_code or all(end.result == last.result for end in self.ends):
            return last.result, last.exit_code
        return next(end.result for end in self.ends if end.result != "nothing_to_do"), 0


def _known(error: Exception, verbose: bool) -> FleetError:
    return error if isinstance(error, FleetError) else as_bug(error, verbose=verbose)
