"""lb install: a HAProxy on every balancer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fleetctl.cli import options as o

if TYPE_CHECKING:
    from fleetctl.engine.lb_install import Setups


def register(lb: typer.Typer) -> None:
    """Puts the command below ``lb``."""
    lb.command(epilog=o.examples("lb install --dry-run", "lb install", "lb install lb2 --yes"))(
        install
    )


def install(
    balancers: Annotated[
        list[str] | None,
        typer.Argument(metavar="BALANCER", help="Balancers. Default: all."),
    ] = None,
    inventory: o.Inventory = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Show the steps and change nothing.", rich_help_panel=o.SAFETY
        ),
    ] = False,
    wait: o.Wait = 0.0,
    parallel: o.Parallel = 32,
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Consent to the steps.", rich_help_panel=o.SAFETY),
    ] = False,
    no_input: o.NoInput = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    color: o.Colored = o.Color.AUTO,
) -> int:
    """Set up HAProxy on the balancers: package, user, folders, a first file, a master process.

    The steps are shown first; nothing is done twice. A HAProxy that runs and can be reloaded
    through its master's socket is taken as it is, without a restart.
    """
    from fleetctl.cli.consent import ask
    from fleetctl.cli.context import Context
    from fleetctl.cli.lb import named_balancers
    from fleetctl.cli.signals import stop_on_signals
    from fleetctl.cli.wishes import Wishes
    from fleetctl.engine.lb_install import install, plan
    from fleetctl.engine.options import StopSignal
    from fleetctl.ui.lb_install_view import install_document, show_plans, show_results

    wishes = Wishes(
        inventory=inventory, json=json, quiet=quiet, color=color.value, yes=yes,
        no_input=no_input, wait=wait, parallel=parallel,
    )  # fmt: skip
    context = Context(wishes, "lb install")
    fleet = named_balancers(context, balancers)
    stop = StopSignal()
    sink = wishes.word_sink()

    def consent(proposed: Setups) -> None:
        if not (json or quiet):
            show_plans(wishes.out(), proposed)
        names = ", ".join(setup.name for setup in proposed if setup.steps)
        ask(f"lb install: changes {names}", wishes, stop, before=sink.pause)

    with (
        stop_on_signals(stop, lambda words: wishes.err().line(words)),
        context.world() as world,
    ):
        if dry_run:
            found = plan(world, fleet, parallel)
        else:
            found = install(world, fleet, context.options(stop=stop), sink, consent)
    sink.pause()
    if json:
        wishes.out().json(install_document(found, carried_out=not dry_run), indent=2)
    elif dry_run:
        show_plans(wishes.out(), found)
    else:
        show_results(wishes.out(), found)
    return max(found, key=lambda setup: setup.exit_code).exit_code
