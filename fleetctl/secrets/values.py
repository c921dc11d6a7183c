"""From where a secret value is said to be to the value itself. No error shows one."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import NoReturn

from fleetctl.errors import Diagnostic, InvalidFiles
from fleetctl.model.reference import Reference
from fleetctl.model.secret import Secret

MAX_BYTES = 1 << 20
COMMAND_SECONDS = 30.0
_SHOWN = 300


class Values:
    """Reads each reference once. ``root`` is the project's folder, where paths begin and
    commands run; ``defined`` are the names of secrets.yml. With ``files_only`` no variable is
    read and no command run."""

    def __init__(
        self, root: Path, defined: Mapping[str, Reference], *, files_only: bool = False
    ) -> None:
        self._root = root
        self._defined = defined
        self._files_only = files_only
        self._read: dict[Reference, Secret] = {}

    def of(self, reference: Reference) -> Secret | None:
        """The value; None where only files are looked at. Raises InvalidFiles."""
        found = reference
        if reference.kind == "secret":
            if reference.words[0] not in self._defined:
                _refuse(reference, f"secrets.yml has no {reference.words[0]}")
            found = self._defined[reference.words[0]]
        if self._files_only and found.kind != "file":
            return None
        if found not in self._read:
            value = self._value(found, reference)
            if not value.strip():
                _refuse(reference, f"{described(found)} is empty")
            self._read[found] = Secret(value)
        return self._read[found]

    def _value(self, found: Reference, asked: Reference) -> bytes:
        if found.kind == "file":
            return self._file(found, asked)
        if found.kind == "env":
            value = os.environb.get(found.words[0].encode())
            if value is None:
                _refuse(asked, f"{described(found)} is not set", f"export {found.words[0]}=…")
            return value
        return self._command(found, asked)

    def _file(self, found: Reference, asked: Reference) -> bytes:
        try:
            path = self._root / Path(found.words[0]).expanduser()
            status = path.stat()
            if not stat.S_ISREG(status.st_mode):
                _refuse(asked, f"{described(found)} is not a regular file")
            if status.st_size > MAX_BYTES:
                _refuse(asked, f"{described(found)} has over {MAX_BYTES >> 20} MiB")
            return path.read_bytes()
        except FileNotFoundError:
            hint = "paths begin in the project's folder"
            _refuse(asked, f"{described(found)} does not exist", hint)
        except (OSError, RuntimeError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "no usable path"
            _refuse(asked, f"{described(found)} can't be read: {reason}")

    def _command(self, found: Reference, asked: Reference) -> bytes:
        what = described(found)
        try:
            process = subprocess.Popen(
                found.words,
                cwd=self._root,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or "no usable words"
            _refuse(asked, f"{what} can't be run: {reason}")
        with process:
            try:
                out, err = process.communicate(timeout=COMMAND_SECONDS)
            except BaseException as error:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    _refuse(asked, f"{what} took over {COMMAND_SECONDS:g} s")
                raise
        if process.returncode:
            said = _without(err, out)
            said = f": {said}" if said else ""
            _refuse(asked, f"{what} ended with code {process.returncode}{said}")
        if len(out) > MAX_BYTES:
            _refuse(asked, f"{what} printed over {MAX_BYTES >> 20} MiB")
        return out


def described(reference: Reference) -> str:
    """Where it is, for people. Of a command only the program: its words may be secret too."""
    names = {"file": "file", "env": "variable", "command": "command", "secret": "secret"}
    return f"{names[reference.kind]} {_plain(reference.words[0])}"


def _refuse(asked: Reference, message: str, hint: str = "") -> NoReturn:
    raise InvalidFiles((Diagnostic("secret-missing", message, asked.span, hint),))


def _without(text: bytes, value: bytes) -> str:
    """The end of what a command said, without anything that it printed as a value."""
    for part in sorted(value.split(), key=len, reverse=True):
        text = text.replace(part, b"...")
    return _plain(text.decode("utf-8", "replace").strip())[-_SHOWN:]


def _plain(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text)
