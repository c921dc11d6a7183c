"""The command line. Only Typer is imported here: commands import what they need when run."""

from __future__ import annotations

from typing import Annotated

import typer

from fleetctl.cli import adopting, asking, deploying, explaining, files, lb, locking, planning
from fleetctl.cli import options as o

HELP_NAMES = {"help_option_names": ["-h", "--help"]}

app = typer.Typer(
    name="fleetctl",
    help="Deploy containers to machines you can SSH into, behind HAProxy, without an agent.",
    epilog=o.examples(
        "plan web         what would change, and why",
        "deploy web       bring web to what its play declares",
        "status           what runs where",
        "rollback web     back to the last good revision",
    ),
    no_args_is_help=True,
    context_settings=HELP_NAMES,
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        from fleetctl import __version__

        typer.echo(f"fleetctl {__version__}")
        raise typer.Exit()


@app.callback()
def root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_version, is_eager=True
        ),
    ] = False,
) -> None:
    """What all commands have in common."""


deploying.register(app)
locking.register(app)
adopting.register(app)
planning.register(app)
asking.register(app)
lb.register(app)
files.register(app)


@app.command(
    rich_help_panel="Try it",
    context_settings={
        "allow_extra_args": True,
        "ignore_unknown_options": True,
        "help_option_names": [],
    },
)
def lab(context: typer.Context) -> int:
    """A throw-away fleet of real hosts on this machine: up, down, status."""
    from fleetctl.cli.helping import readable
    from fleetctl.cli.lab import app as lab_app

    outer = typer.Typer(add_completion=False, context_settings=HELP_NAMES)
    outer.add_typer(lab_app, name="lab")
    command = readable(typer.main.get_command(outer))
    code = command.main(["lab", *context.args], prog_name="fleetctl", standalone_mode=False)
    return int(code or 0)


explaining.register(app)
