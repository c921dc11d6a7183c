"""deploy, rollback and reconcile."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fleetctl.cli import options as o

if TYPE_CHECKING:
    from fleetctl.cli.context import Context


def register(app: typer.Typer) -> None:
    """Puts the commands on ``app``."""
    app.command(
        rich_help_panel=o.CHANGE,
        epilog=o.examples(
            "deploy web",
            "deploy web -e version=1.5.0",
            "deploy db api web --wait 60 --json",
            "deploy playbooks/shop.yml --dry-run",
        ),
    )(deploy)
    app.command(
        rich_help_panel=o.CHANGE, epilog=o.examples("rollback web", "rollback web --to 41")
    )(rollback)
    app.command(
        rich_help_panel=o.CHANGE, epilog=o.examples("reconcile", "reconcile web -i production")
    )(reconcile)


def deploy(
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="SERVICE", help="Services, or playbooks with their plays."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All services, by name.", rich_help_panel=o.TARGET)
    ] = False,
    inventory: o.Inventory = None,
    limit: o.Limit = None,
    extra_vars: o.ExtraVars = None,
    dry_run: o.DryRun = False,
    again: o.Again = False,
    wait: o.Wait = 0.0,
    parallel: o.Parallel = 32,
    yes: o.Yes = False,
    no_input: o.NoInput = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    color: o.Colored = o.Color.AUTO,
) -> int:
    """Bring services to what their plays declare.

    Instances are replaced in batches: the new one is healthy and served by every balancer
    before the old one goes. A revision that fails is undone.
    """
    from fleetctl.cli.run import Part, Run
    from fleetctl.cli.wishes import Wishes
    from fleetctl.errors import Usage

    wishes = Wishes(
        inventory, limit, tuple(extra_vars or ()), json, quiet, verbose, color.value,
        yes, no_input, wait, parallel,
    )  # fmt: skip
    if dry_run:
        from fleetctl.cli.planning import show_plan

        return show_plan("deploy --dry-run", services or [], everything, wishes)

    def prepare(context: Context) -> list[Part]:
        from fleetctl.engine.deploy import deploy

        if not services and not everything:
            raise Usage("name a service, a playbook, or --all", hint="fleetctl deploy --help")
        names = sorted(context.project.services()) if everything else services
        return [
            Part(
                spec.name,
                lambda world, options, emit, spec=spec: deploy(
                    world, context.fleet, spec, context.match(spec.hosts), options, emit
                ),
                consent=True,
            )
            for spec in context.specs(names)
        ]

    return Run("deploy", wishes, again=again).carry_out(prepare)


def rollback(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="The service.")],
    to: Annotated[
        int | None,
        typer.Option(
            "--to",
            metavar="N",
            min=1,
            help="The revision to go back to. Default: the last good one before this.",
            rich_help_panel=o.TARGET,
            show_default=False,
        ),
    ] = None,
    inventory: o.Inventory = None,
    limit: o.Limit = None,
    wait: o.Wait = 0.0,
    parallel: o.Parallel = 32,
    yes: o.Yes = False,
    no_input: o.NoInput = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    color: o.Colored = o.Color.AUTO,
) -> int:
    """Bring a service back to an earlier revision, the same careful way as a deploy."""
    from fleetctl.cli.run import Part, Run
    from fleetctl.cli.wishes import Wishes

    wishes = Wishes(
        inventory, limit, (), json, quiet, verbose, color.value, yes, no_input, wait, parallel
    )

    def prepare(context: Context) -> list[Part]:
        from fleetctl.engine.rollback import rollback

        return [
            Part(
                service,
                lambda world, options, emit: rollback(
                    world, context.fleet, service, context.match, to, options, emit
                ),
                consent=True,
            )
        ]

    return Run("rollback", wishes).carry_out(prepare)


def reconcile(
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="SERVICE", help="Default: all services."),
    ] = None,
    inventory: o.Inventory = None,
    limit: o.Limit = None,
    wait: o.Wait = 0.0,
    parallel: o.Parallel = 32,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    color: o.Colored = o.Color.AUTO,
) -> int:
    """Bring the fleet back to what it is committed to be.

    Follows the fleet's own record and needs no playbook. A deploy that was left unfinished
    is finished or undone first.
    """
    from fleetctl.cli.run import Part, Run
    from fleetctl.cli.wishes import Wishes

    wishes = Wishes(
        inventory, limit, (), json, quiet, verbose, color.value, wait=wait, parallel=parallel
    )

    def prepare(context: Context) -> list[Part]:
        from fleetctl.engine.reconcile import reconcile

        return [
            Part(
                "",
                lambda world, options, emit: reconcile(
                    world, context.fleet, context.match, tuple(services or ()), options, emit
                ),
            )
        ]

    return Run("reconcile", wishes).carry_out(prepare)
