"""Errors to words, JSON and exit codes. Nothing leaves here as a bare traceback."""

from __future__ import annotations

import os
import tempfile
import time
import traceback
from pathlib import Path
from typing import Any

from fleetctl.errors import Diagnostic, ExitCode, FleetError, InvalidFiles, Span
from fleetctl.ui.errors_text import error_lines
from fleetctl.ui.output import Output

SCHEMA = "fleetctl.error/1"


class Bug(FleetError):
    """Something fleetctl did not expect."""

    id, exit_code = "bug", ExitCode.BUG


def show_error(error: FleetError, err: Output) -> None:
    for line in error_lines(error):
        err.line(line, "red")


def error_document(error: FleetError) -> dict[str, Any]:
    """What a query writes with ``--json`` in the place of its answer."""
    found = error.diagnostics if isinstance(error, InvalidFiles) else ()
    return {
        "schema": SCHEMA,
        "id": error.id,
        "message": error.message,
        "hint": error.hint,
        "host": error.host,
        **_place(error.span),
        "exit_code": int(error.exit_code),
        "diagnostics": [_diagnostic(one) for one in found],
    }


def _diagnostic(one: Diagnostic) -> dict[str, Any]:
    kind = "warning" if one.warning else "error"
    words = {"id": one.id, "severity": kind, "message": one.message, "hint": one.hint}
    return words | _place(one.span)


def _place(span: Span | None) -> dict[str, Any]:
    if span is None:
        return {"file": None, "line": None, "column": None}
    return {"file": span.file, "line": span.line or None, "column": span.column or None}


def as_bug(error: BaseException, *, verbose: bool) -> Bug:
    """One line for people; the traceback lies in a file, or follows with ``verbose``."""
    what = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else 'no message'}"
    text = "".join(traceback.format_exception(error))
    if verbose:
        return Bug(f"fleetctl has a bug: {what}\n{text}")
    path = _keep(text)
    hint = f"the traceback is in {path}" if path else "run it again with -v for the traceback"
    return Bug(f"fleetctl has a bug: {what}", hint=hint)


def _keep(text: str) -> Path | None:
    name = f"bug-{time.strftime('%Y%m%d-%H%M%S')}-{os.getpid()}.txt"
    for folder in (Path(".fleetctl"), Path(tempfile.gettempdir())):
        try:
            folder.mkdir(exist_ok=True)
            path = folder / name
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
                file.write(text)
        except OSError:
            continue
        return path
    return None
