"""status and history."""

from __future__ import annotations

from typing import Annotated

import typer

from fleetctl.cli import options as o


def register(app: typer.Typer) -> None:
    """Puts the commands on ``app``."""
    app.command(rich_help_panel=o.LOOK, epilog=o.examples("status", "status web --json"))(status)
    app.command(
        rich_help_panel=o.LOOK, epilog=o.examples("history web", "history web --last 5 --json")
    )(history)


def status(
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="SERVICE", help="Default: all services."),
    ] = None,
    inventory: o.Inventory = None,
    parallel: o.Parallel = 32,
    json: o.Json = False,
    color: o.Colored = o.Color.AUTO,
) -> int:
    """Show services, instances, hosts and balancers as they are now."""
    import time

    from fleetctl.cli.context import Context
    from fleetctl.cli.wishes import Wishes
    from fleetctl.engine.status import status
    from fleetctl.ui.status_view import show_status, status_document

    wishes = Wishes(inventory=inventory, json=json, color=color.value, parallel=parallel)
    context = Context(wishes, "status")
    with context.world() as world:
        found = status(world, context.fleet, tuple(services or ()))
    if json:
        wishes.out().json(status_document(found), indent=2)
    else:
        show_status(wishes.out(), found, time.time())
    return 0


def history(
    service: Annotated[str, typer.Argument(metavar="SERVICE", help="The service.")],
    inventory: o.Inventory = None,
    last: Annotated[
        int,
        typer.Option(
            "--last", metavar="N", min=1, help="Newest runs shown.", rich_help_panel=o.OUTPUT
        ),
    ] = 20,
    json: o.Json = False,
    color: o.Colored = o.Color.AUTO,
) -> int:
    """Show the runs of a service that were started from here."""
    from fleetctl.cli.context import Context
    from fleetctl.cli.wishes import Wishes
    from fleetctl.ui.history_view import history_document, show_history

    wishes = Wishes(inventory=inventory, json=json, color=color.value)
    context = Context(wishes, "history")
    with context.world() as world:
        entries = world.journal.history(service, last)
    if json:
        wishes.out().json(history_document(entries), indent=2)
    else:
        show_history(wishes.out(), service, entries)
    return 0
