"""From arguments to an exit code. No exception and no traceback gets past this."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fleetctl.errors import FleetError

RUNS = frozenset({"deploy", "rollback", "reconcile", "lb drain", "lb maint", "lb ready"})
"""Commands whose ``--json`` is a stream of events."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs ``argv`` (the process's own by default) and returns its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    from fleetctl.cli.signals import second_interrupt_ends

    try:
        with second_interrupt_ends():
            code = _invoke(args)
    except KeyboardInterrupt:
        code = 130
    _flush()
    return code


def _open_closed_streams() -> None:
    """A standard stream that was closed before the start leads to /dev/null: Python has None
    for it, and its number would go to the next file or socket that is opened."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest free number: this one
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if sys.stderr is None:
        sys.stderr = os.fdopen(2, "w", closefd=False)


def _invoke(args: list[str]) -> int:
    import typer

    from fleetctl.cli.app import app
    from fleetctl.cli.helping import readable
    from fleetctl.errors import FleetError

    command = readable(typer.main.get_command(app))
    try:
        code = command.main(args or ["--help"], prog_name="fleetctl", standalone_mode=False)
    except FleetError as error:
        return _failed(error, args)
    except SystemExit:  # rich and Typer leave so when the reader of a help page went away
        return 0
    except typer.Abort:
        return 130
    except Exception as error:
        if hasattr(error, "format_message"):
            return _misused(error, args)
        from fleetctl.cli.failures import as_bug

        return _failed(as_bug(error, verbose="-v" in args or "--verbose" in args), args)
    return int(code or 0)


def _misused(error: Exception, args: list[str]) -> int:
    """Typer's own complaint, in one line, with exit code 64 in the place of its 2."""
    from fleetctl.errors import Usage

    context = getattr(error, "ctx", None)
    path = context.command_path if context else "fleetctl"
    if type(error).__name__ == "NoArgsIsHelpError":  # it has shown the help page
        return 0
    message = " ".join(error.format_message().split())  # type: ignore[attr-defined]
    early = path == "fleetctl" and args[:1] and args[0].startswith("-")
    hint = "options stand after the command: fleetctl status -i NAME" if early else f"{path} --help"
    return _failed(Usage(message.rstrip("."), hint=hint), args)


def _failed(error: FleetError, args: list[str]) -> int:
    """Words on stderr; with ``--json`` also what a script reads on stdout."""
    from fleetctl.cli import failures
    from fleetctl.cli.wishes import Wishes
    from fleetctl.errors import Usage

    wishes = Wishes(json="--json" in args, color=_color(args))
    words = [arg for arg in args if not arg.startswith("-")]
    command = " ".join(words[: 2 if words[:1] == ["lb"] else 1])
    code = int(error.exit_code)
    if wishes.json and command in RUNS and isinstance(error, Usage):
        from fleetctl.model.events import RunFinished

        sink = wishes.run_sink()
        sink.fail(error, "")
        sink.finish(RunFinished(command, "failed", code, (), 0.0))
    elif wishes.json:
        wishes.out().json(failures.error_document(error), indent=2)
    failures.show_error(error, wishes.err())
    return code


def _color(args: list[str]) -> str:
    """The ``--color`` of arguments that could not be read whole."""
    for one, following in zip(args, [*args[1:], ""], strict=True):
        if one == "--color":
            return following
        if one.startswith("--color="):
            return one.partition("=")[2]
    return "auto"


def _flush() -> None:
    """A reader that went away is no error of ours."""
    from fleetctl.ui.output import silence

    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            silence(stream)
