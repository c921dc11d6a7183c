"""status and history."""

from __future__ import annotations

from typing import Annotated

import typer

from fleetctl.cli import options as o


def register(app: typer.Typer) -> None:
    """Puts the commands on ``app``."""
    app.command(rich_help_panel=o.LOOK, epilog=o.examples("status", "status web --json"))(status)
    app.command(
        rich_help_panel=o.LOOK,
        epilog=o.examples("history web", "history web 1c7d02aa", "history web --last 5 --json"),
    )(history)


def status(
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="SERVICE", help="Default: all services.", callback=o.named),
    ] = None,
    inventory: o.Inventory = None,
    parallel: o.Parallel = 32,
    json: o.Json = False,
    color: o.Colored = o.Color.AUTO,
    unasked: o.Unasked = False,
) -> int:
    """Show services, instances, hosts and balancers as they are now."""
    import time

    from fleetctl.cli.context import Context
    from fleetctl.cli.wishes import Wishes
    from fleetctl.engine.status import status
    from fleetctl.ui.status_view import show_status, status_document

    wishes = Wishes(inventory=inventory, json=json, color=color.value, parallel=parallel)
    context = Context(wishes, "status")
    declared = context.declared
    with context.world() as world:
        found = status(world, context.fleet, tuple(services or ()), declared)
    if json:
        wishes.out().json(status_document(found), indent=2)
    else:
        show_status(wishes.out(), found, time.time())
        waiting = sorted(set(declared) - {service.name for service in found.services})
        if waiting and not services:
            wishes.out().line(f"declared and never deployed: {', '.join(waiting)}")
    return 0


def history(
    service: Annotated[
        str, typer.Argument(metavar="SERVICE", help="The service.", callback=o.named)
    ],
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN",
            help="A run's id, or how it begins: what it did, step by step, on each host.",
            show_default=False,
        ),
    ] = "",
    inventory: o.Inventory = None,
    last: Annotated[
        int,
        typer.Option(
            "--last", metavar="N", min=1, help="Newest runs shown.", rich_help_panel=o.OUTPUT
        ),
    ] = 20,
    json: o.Json = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="All steps too.", rich_help_panel=o.OUTPUT),
    ] = False,
    color: o.Colored = o.Color.AUTO,
    unasked: o.Unasked = False,
) -> int:
    """Show the runs of a service that were started from here: who, when, what, how it ended.

    It is this controller's own audit. What the fleet is committed to is in `status`.
    """
    from fleetctl.cli.context import Context
    from fleetctl.cli.wishes import Wishes
    from fleetctl.errors import Usage
    from fleetctl.ui.history_view import history_document, show_history, show_run

    wishes = Wishes(inventory=inventory, json=json, color=color.value)
    context = Context(wishes, "history")
    with context.world() as world:
        entries = world.journal.history(service, last, run)
        for words in world.journal.warnings:
            wishes.err().line(f"warning: {words}", "yellow")
    if run and not entries:
        raise Usage(f"{service} has no run {run} here", hint=f"fleetctl history {service}")
    if json:
        wishes.out().json(history_document(entries), indent=2)
    elif entries and (run or verbose):
        for entry in entries:
            show_run(wishes.out(), entry)
    else:
        show_history(wishes.out(), service, entries)
    return 0
