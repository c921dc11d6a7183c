"""plan and drift: what would change, and nothing changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fleetctl.cli import options as o

if TYPE_CHECKING:
    from fleetctl.cli.wishes import Wishes
    from fleetctl.model.plan import Plan


def register(app: typer.Typer) -> None:
    """Puts the commands on ``app``."""
    app.command(
        rich_help_panel=o.LOOK,
        epilog=o.examples(
            "plan web", "plan web -e version=1.5.0 --json", "plan web --detailed-exitcode"
        ),
    )(plan)
    app.command(
        rich_help_panel=o.LOOK, epilog=o.examples("drift", "drift web --detailed-exitcode")
    )(drift)


Services = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="SERVICE",
        help="Services, or playbooks with their plays. Default: all.",
    ),
]


def plan(
    services: Services = None,
    inventory: o.Inventory = None,
    limit: o.Limit = None,
    extra_vars: o.ExtraVars = None,
    again: o.Again = False,
    parallel: o.Parallel = 32,
    detailed_exitcode: o.DetailedExitcode = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    color: o.Colored = o.Color.AUTO,
) -> int:
    """Show what a deploy would do now, and why, step by step."""
    from fleetctl.cli.wishes import Wishes

    wishes = Wishes(
        inventory=inventory, limit=limit, extra_vars=tuple(extra_vars or ()), json=json,
        quiet=quiet, color=color.value, parallel=parallel,
    )  # fmt: skip
    return show_plan("plan", services or [], not services, wishes, again, detailed_exitcode)


def show_plan(
    command: str,
    services: list[str],
    everything: bool,
    wishes: Wishes,
    again: bool = False,
    detailed_exitcode: bool = False,
) -> int:
    """Plans as data on stdout. Returns 9 when something has no place, as a deploy would."""
    from fleetctl.cli.wishes import plan_document
    from fleetctl.errors import ExitCode
    from fleetctl.ui.plan_view import plans_document, show_plans

    plans = previews(command, services, everything, wishes, again)
    if wishes.json:
        wishes.out().json(plans_document(plans, plan_document), indent=2)
    else:
        show_plans(wishes.out(), plans, brief=wishes.quiet)
    if any(one.unplaced for one in plans):
        return ExitCode.REFUSED
    return _pending(plans, detailed_exitcode)


def _pending(plans: list[Plan], detailed_exitcode: bool) -> int:
    from fleetctl.errors import ExitCode

    pending = detailed_exitcode and any(not plan.nothing for plan in plans)
    return ExitCode.CHANGES_PENDING if pending else ExitCode.DONE


def previews(
    command: str, services: list[str], everything: bool, wishes: Wishes, again: bool = False
) -> list[Plan]:
    """What a deploy of each service would do. Raises FleetError."""
    from fleetctl.cli.context import Context
    from fleetctl.engine.deploy import preview
    from fleetctl.errors import Usage

    context = Context(wishes, command)
    if not services and not everything:
        raise Usage("name a service, a playbook, or --all", hint="fleetctl deploy --help")
    names = sorted(context.project.services()) if everything else services
    specs = context.specs(names)
    options = context.options(again=again)
    sink = wishes.word_sink()
    context.tell_warnings(sink)
    try:
        with context.world() as world:
            return [
                preview(world, context.fleet, spec, context.match(spec.hosts), options, sink)
                for spec in specs
            ]
    finally:
        sink.pause()


def drift(
    services: Services = None,
    inventory: o.Inventory = None,
    limit: o.Limit = None,
    extra_vars: o.ExtraVars = None,
    parallel: o.Parallel = 32,
    detailed_exitcode: o.DetailedExitcode = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    color: o.Colored = o.Color.AUTO,
) -> int:
    """Show where the fleet differs from what the plays declare."""
    from fleetctl.cli.wishes import Wishes, plan_document
    from fleetctl.ui.plan_view import plans_document, show_drift

    wishes = Wishes(
        inventory=inventory, limit=limit, extra_vars=tuple(extra_vars or ()), json=json,
        quiet=quiet, color=color.value, parallel=parallel,
    )  # fmt: skip
    plans = previews("drift", services or [], not services, wishes)
    if json:
        wishes.out().json(plans_document(plans, plan_document), indent=2)
    else:
        show_drift(wishes.out(), plans)
    return _pending(plans, detailed_exitcode)
