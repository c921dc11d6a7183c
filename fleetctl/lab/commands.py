"""Programs of this machine, run to their end."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from fleetctl.errors import CommandFailed


def call(argv: Sequence[str], *, input: str = "", timeout: float = 60.0) -> str:
    """Run a program; its standard output. Raises CommandFailed for any code but 0."""
    done = attempt(argv, input=input, timeout=timeout)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines()
        raise CommandFailed(
            f"`{' '.join(argv)}` ended with {done.returncode}: {words[-1] if words else 'no output'}",
            code=done.returncode,
        )
    return done.stdout


def attempt(
    argv: Sequence[str], *, input: str = "", timeout: float = 60.0
) -> subprocess.CompletedProcess[str]:
    """Run a program; its code and output. Raises CommandFailed if it can't run or doesn't end."""
    try:
        return subprocess.run(
            argv, input=input, capture_output=True, text=True, errors="replace", timeout=timeout
        )
    except FileNotFoundError as error:
        raise CommandFailed(f"`{argv[0]}` is not installed", code=127) from error
    except subprocess.TimeoutExpired as error:
        raise CommandFailed(f"`{' '.join(argv)}` did not end in {timeout:.0f} s") from error
