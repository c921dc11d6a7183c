"""The options that commands share, each declared once. All stand after the command."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Any

import typer

CHANGE = "Change the fleet"
LOOK = "Look"
FILES = "Files"
HELP = "Help"
"""Panels of commands."""

TARGET = "Target"
SAFETY = "Safety"
OUTPUT = "Output"
"""Panels of options."""


def examples(*commands: str) -> str:
    """The end of a command's help page."""
    lines = "\n".join(f"  fleetctl {command}" for command in commands)
    return f"Examples:\n{lines}\n\nExit codes: fleetctl explain exit-codes"


def named(given: Any) -> Any:
    """The callback of arguments that name services. Raises Usage for what can't be one: it
    goes into names of files on hosts."""
    import re

    from fleetctl.errors import Usage
    from fleetctl.model.spec import SERVICE_NAME, SERVICE_NAME_HINT

    for name in [given] if isinstance(given, str) else given or []:
        if not re.fullmatch(SERVICE_NAME, name):
            raise Usage(f"{name!r} is no service name", hint=SERVICE_NAME_HINT)
    return given


class Color(StrEnum):
    """When to colour. ``auto``: on a terminal, unless NO_COLOR is set."""

    AUTO = "auto"
    ALWAYS = "always"
    NEVER = "never"


Inventory = Annotated[
    str | None,
    typer.Option(
        "--inventory",
        "-i",
        metavar="NAME",
        help="Inventory: a name below inventories/, a folder or a file. "
        "Default: FLEETCTL_INVENTORY, or the only one.",
        rich_help_panel=TARGET,
        show_default=False,
    ),
]
Limit = Annotated[
    str | None,
    typer.Option(
        "--limit",
        "-l",
        metavar="PATTERN",
        help="Change only hosts that match this Ansible pattern.",
        rich_help_panel=TARGET,
        show_default=False,
    ),
]
ExtraVars = Annotated[
    list[str] | None,
    typer.Option(
        "--extra-vars",
        "-e",
        metavar="KEY=VALUE|@FILE",
        help="Set a variable, or read variables from a YAML file. May be repeated.",
        rich_help_panel=TARGET,
        show_default=False,
    ),
]
Json = Annotated[
    bool,
    typer.Option("--json", help="Write JSON to stdout.", rich_help_panel=OUTPUT),
]
Quiet = Annotated[
    bool,
    typer.Option("--quiet", "-q", help="Write only the result.", rich_help_panel=OUTPUT),
]
Verbose = Annotated[
    bool,
    typer.Option(
        "--verbose",
        "-v",
        help="Write the start and the cause of every step, and tracebacks of bugs.",
        rich_help_panel=OUTPUT,
    ),
]
Colored = Annotated[
    Color,
    typer.Option("--color", help="When to use colour.", rich_help_panel=OUTPUT),
]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes",
        "-y",
        help="Consent to a change that takes away all instances of a service.",
        rich_help_panel=SAFETY,
    ),
]
NoInput = Annotated[
    bool,
    typer.Option("--no-input", help="Never ask; fail instead.", rich_help_panel=SAFETY),
]
Unasked = Annotated[
    bool,
    typer.Option(
        "--yes",
        "-y",
        "--no-input",
        hidden=True,
        help="Nothing is asked here; a script may give all commands the same options.",
    ),
]
DryRun = Annotated[
    bool,
    typer.Option("--dry-run", help="Show the plan and change nothing.", rich_help_panel=SAFETY),
]
DetailedExitcode = Annotated[
    bool,
    typer.Option(
        "--detailed-exitcode",
        help="End with exit code 2 when there is something to change.",
        rich_help_panel=OUTPUT,
    ),
]
Wait = Annotated[
    float,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        min=0,
        help="Wait this long for a lock that another run holds.",
        rich_help_panel=SAFETY,
    ),
]
Parallel = Annotated[
    int,
    typer.Option(
        "--parallel",
        metavar="N",
        min=1,
        help="Work on at most this many hosts at once.",
        rich_help_panel=SAFETY,
    ),
]
Again = Annotated[
    bool,
    typer.Option(
        "--again",
        help="Deploy again what was rolled back from.",
        rich_help_panel=SAFETY,
    ),
]
