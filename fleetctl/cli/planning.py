"""plan and drift, and every --dry-run: what would change, and nothing changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from fleetctl.cli import options as o

if TYPE_CHECKING:
    from fleetctl.cli.context import Context
    from fleetctl.cli.wishes import Wishes
    from fleetctl.engine.preview import Preview
    from fleetctl.model.events import PlanMade

Previews: TypeAlias = "Callable[[Context], Callable[[Preview], Sequence[PlanMade]]]"
"""Reads the files, and returns what then looks at the fleet."""


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
    unasked: o.Unasked = False,
) -> int:
    """Show what a deploy would do now, and why, step by step."""
    from fleetctl.cli.wishes import Wishes

    wishes = Wishes(
        inventory=inventory, limit=limit, extra_vars=tuple(extra_vars or ()), json=json,
        quiet=quiet, color=color.value, parallel=parallel,
    )  # fmt: skip
    return show_plan(
        "plan", wishes, deploys(services or [], not services), again, detailed_exitcode
    )


def show_plan(
    command: str,
    wishes: Wishes,
    previews: Previews,
    again: bool = False,
    detailed_exitcode: bool = False,
) -> int:
    """Plans as data on stdout. Returns 9 when something has no place, as a run would."""
    from fleetctl.cli.wishes import plan_document
    from fleetctl.errors import ExitCode
    from fleetctl.ui.plan_view import plans_document, show_plans

    found = looked(command, wishes, previews, again)
    if wishes.json:
        wishes.out().json(plans_document([one.plan for one in found], plan_document), indent=2)
    else:
        show_plans(wishes.out(), found, brief=wishes.quiet)
    if any(one.plan.unplaced for one in found):
        return ExitCode.REFUSED
    return _pending(any(not one.plan.nothing for one in found), detailed_exitcode)


def _pending(changes: bool, detailed_exitcode: bool) -> int:
    from fleetctl.errors import ExitCode

    return ExitCode.CHANGES_PENDING if changes and detailed_exitcode else ExitCode.DONE


def looked(
    command: str, wishes: Wishes, previews: Previews, again: bool = False
) -> Sequence[PlanMade]:
    """What runs would do now; nothing is changed. Raises FleetError."""
    from fleetctl.cli.context import Context
    from fleetctl.engine.preview import Preview

    context = Context(wishes, command)
    prepared = previews(context)
    options = context.options(again=again)
    sink = wishes.word_sink()
    context.tell_warnings(sink)
    try:
        with context.world() as world:
            return prepared(Preview(world, context.fleet, options, sink))
    finally:
        sink.pause()


def deploys(services: list[str], everything: bool) -> Previews:
    """A deploy of each of ``services``, or of all that are declared."""

    def read(context: Context) -> Callable[[Preview], Sequence[PlanMade]]:
        from fleetctl.engine.deploy import preview
        from fleetctl.errors import Usage

        if not services and not everything:
            raise Usage("name a service, a playbook, or --all", hint="fleetctl deploy --help")
        names = sorted(context.project.services()) if everything else services
        found = context.prepared(names)
        return lambda look: [
            preview(look, one.spec, context.match(one.spec.hosts), one.material) for one in found
        ]

    return read


def drift(
    services: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SERVICE",
            help="Default: all that are deployed or declared.",
            callback=o.named,
        ),
    ] = None,
    inventory: o.Inventory = None,
    limit: o.Limit = None,
    extra_vars: o.ExtraVars = None,
    parallel: o.Parallel = 32,
    detailed_exitcode: o.DetailedExitcode = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    color: o.Colored = o.Color.AUTO,
    unasked: o.Unasked = False,
) -> int:
    """Show where the fleet differs from its record, and the record from the plays."""
    from fleetctl.cli.context import Context
    from fleetctl.cli.wishes import Wishes, plan_document
    from fleetctl.engine.drift import drift
    from fleetctl.ui.drift_view import drift_document, show_drift

    wishes = Wishes(
        inventory=inventory, limit=limit, extra_vars=tuple(extra_vars or ()), json=json,
        quiet=quiet, color=color.value, parallel=parallel,
    )  # fmt: skip
    context = Context(wishes, "drift")
    declared = list(context.project.services())
    plays = {spec.name: spec for spec in context.specs(declared)}
    prepared = context.prepared([name for name in declared if not services or name in services])
    plays |= {one.spec.name: one.spec for one in prepared}
    material = {one.spec.name: one.material for one in prepared}
    sink = wishes.word_sink()
    context.tell_warnings(sink)
    names = tuple(services or ())
    try:
        with context.world() as world:
            options = context.options()
            found = drift(
                world, context.fleet, context.match, plays, names, options, sink, material
            )
    finally:
        sink.pause()
    if json:
        wishes.out().json(drift_document(found, plan_document), indent=2)
    else:
        show_drift(wishes.out(), found, brief=quiet)
    return _pending(any(not one.nothing for one in found), detailed_exitcode)
