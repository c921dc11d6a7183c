"""deploy, rollback and reconcile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from fleetctl.cli import options as o

if TYPE_CHECKING:
    from fleetctl.cli.context import Context
    from fleetctl.cli.material import Prepared
    from fleetctl.cli.planning import Previews
    from fleetctl.cli.run import Part
    from fleetctl.engine.options import RunOptions
    from fleetctl.engine.ports import Emit, World
    from fleetctl.engine.preview import Preview
    from fleetctl.model.events import PlanMade, RunFinished


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
        rich_help_panel=o.CHANGE,
        epilog=o.examples("rollback web", "rollback web --to 41 --dry-run"),
    )(rollback)
    app.command(
        rich_help_panel=o.CHANGE,
        epilog=o.examples("reconcile", "reconcile web -i production", "reconcile --dry-run"),
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
    from fleetctl.cli.run import Run
    from fleetctl.cli.wishes import Wishes
    from fleetctl.errors import Usage

    wishes = Wishes(
        inventory=inventory, limit=limit, extra_vars=tuple(extra_vars or ()), json=json,
        quiet=quiet, verbose=verbose, color=color.value, yes=yes, no_input=no_input,
        wait=wait, parallel=parallel,
    )  # fmt: skip
    if dry_run:
        from fleetctl.cli.planning import deploys, show_plan

        return show_plan("deploy", wishes, deploys(services or [], everything), again)

    def prepare(context: Context) -> list[Part]:
        if not services and not everything:
            raise Usage("name a service, a playbook, or --all", hint="fleetctl deploy --help")
        names = sorted(context.project.services()) if everything else services or []
        return [_deploy_part(context, one) for one in context.prepared(names)]

    return Run("deploy", wishes, again=again).carry_out(prepare)


def _deploy_part(context: Context, prepared: Prepared) -> Part:
    from fleetctl.cli.run import Part
    from fleetctl.engine.deploy import deploy

    spec, material = prepared.spec, prepared.material
    hosts = context.match(spec.hosts)

    def do(world: World, options: RunOptions, emit: Emit) -> RunFinished:
        return deploy(world, context.fleet, spec, hosts, options, emit, material)

    return Part(spec.name, do, consent=True)


def rollback(
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="The service.", callback=o.named)
    ],
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
    dry_run: o.DryRun = False,
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
        inventory=inventory, limit=limit, json=json, quiet=quiet, verbose=verbose,
        color=color.value, yes=yes, no_input=no_input, wait=wait, parallel=parallel,
    )  # fmt: skip
    if dry_run:
        from fleetctl.cli.planning import show_plan

        return show_plan("rollback", wishes, _rollback_preview(service, to))

    def prepare(context: Context) -> list[Part]:
        from fleetctl.engine.rollback import rollback

        def do(world: World, options: RunOptions, emit: Emit) -> RunFinished:
            return rollback(world, context.fleet, service, context.match, to, options, emit)

        return [Part(service, do, consent=True)]

    return Run("rollback", wishes).carry_out(prepare)


def _rollback_preview(service: str, to: int | None) -> Previews:
    def read(context: Context) -> Callable[[Preview], Sequence[PlanMade]]:
        from fleetctl.engine.rollback import preview

        return lambda look: [preview(look, service, context.match, to)]

    return read


def reconcile(
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="SERVICE", help="Default: all services.", callback=o.named),
    ] = None,
    inventory: o.Inventory = None,
    limit: o.Limit = None,
    dry_run: o.DryRun = False,
    wait: o.Wait = 0.0,
    parallel: o.Parallel = 32,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    color: o.Colored = o.Color.AUTO,
    unasked: o.Unasked = False,
) -> int:
    """Bring the fleet back to what it is committed to be.

    Follows the fleet's own record and needs no playbook. A deploy that was left unfinished
    is finished or undone first.
    """
    from fleetctl.cli.run import Part, Run
    from fleetctl.cli.wishes import Wishes

    wishes = Wishes(
        inventory=inventory, limit=limit, json=json, quiet=quiet, verbose=verbose,
        color=color.value, wait=wait, parallel=parallel,
    )  # fmt: skip
    if dry_run:
        from fleetctl.cli.planning import show_plan

        return show_plan("reconcile", wishes, _reconcile_preview(tuple(services or ())))

    def prepare(context: Context) -> list[Part]:
        from fleetctl.engine.reconcile import reconcile

        names = tuple(services or ())

        def do(world: World, options: RunOptions, emit: Emit) -> RunFinished:
            return reconcile(world, context.fleet, context.match, names, options, emit)

        return [Part("", do)]

    return Run("reconcile", wishes).carry_out(prepare)


def _reconcile_preview(names: tuple[str, ...]) -> Previews:
    def read(context: Context) -> Callable[[Preview], Sequence[PlanMade]]:
        from fleetctl.engine.reconcile import preview

        return lambda look: preview(look, names, context.match)

    return read
