"""Programs of this machine, run to their end."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

from fleetctl.errors import CommandFailed

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def call(argv: Sequence[str], *, input: str = "", timeout: float = 60.0) -> str:
    """Run a program; its standard output. Raises CommandFailed for any code but 0."""
    done = attempt(argv, input=input, timeout=timeout)
    if done.returncode:
        words = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
        raise CommandFailed(
            f"`{' '.join(argv)}` ended with {done.returncode}: {words[-1]}", code=done.returncode
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


def start_apart(argv: Sequence[str], log: Path) -> int:
    """Start a program in a session of its own, as no child of this process; its process id.

    It gets nothing of the caller's but the name of its log: no input, no environment, no files.
    """
    shell = 'log=$1; shift; "$@" </dev/null >"$log" 2>&1 & echo $!'
    apart = ["setsid", "env", "-i", "-C", "/", f"PATH={SYSTEM_PATH}"]
    return int(call(["sh", "-c", shell, "sh", str(log), *apart, *argv]))
