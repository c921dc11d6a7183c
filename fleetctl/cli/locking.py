"""lock and unlock: a person keeps every run away from a service."""

from __future__ import annotations

from typing import Annotated

import typer

from fleetctl.cli import options as o

Service = Annotated[str, typer.Argument(metavar="SERVICE", help="The service.", callback=o.named)]


def register(app: typer.Typer) -> None:
    """Puts the commands on ``app``."""
    app.command(
        rich_help_panel=o.CHANGE, epilog=o.examples('lock web -m "incident 4711, ask Ana"')
    )(lock)
    app.command(rich_help_panel=o.CHANGE, epilog=o.examples("unlock web"))(unlock)


def lock(
    service: Service,
    message: Annotated[
        str,
        typer.Option("--message", "-m", metavar="REASON", help="Why; shown to all who wait."),
    ],
    inventory: o.Inventory = None,
    json: o.Json = False,
    color: o.Colored = o.Color.AUTO,
    unasked: o.Unasked = False,
) -> int:
    """Keep every run away from a service until it is unlocked."""
    from fleetctl.cli.context import Context
    from fleetctl.cli.wishes import Wishes
    from fleetctl.engine.hands import lock

    wishes = Wishes(inventory=inventory, json=json, color=color.value)
    context = Context(wishes, "lock")
    with context.world() as world:
        lock(world, context.fleet, service, message)
    if json:
        wishes.out().json(_document(service, True, context.by, message), indent=2)
    else:
        wishes.out().line(f"{service}: locked; free it with: fleetctl unlock {service}")
    return 0


def unlock(
    service: Service,
    inventory: o.Inventory = None,
    json: o.Json = False,
    color: o.Colored = o.Color.AUTO,
    unasked: o.Unasked = False,
) -> int:
    """Free a service that a person locked. The lock of a run is left alone."""
    from fleetctl.cli.context import Context
    from fleetctl.cli.wishes import Wishes
    from fleetctl.engine.hands import unlock
    from fleetctl.ui.text import clean

    wishes = Wishes(inventory=inventory, json=json, color=color.value)
    context = Context(wishes, "unlock")
    with context.world() as world:
        holder = unlock(world, context.fleet, service)
    if json:
        who = f"{holder.who}@{holder.host}" if holder else ""
        reason = holder.reason if holder else ""
        wishes.out().json(_document(service, False, who, reason), indent=2)
    elif holder is None:
        wishes.out().line(f"{service}: was not locked")
    else:
        wishes.out().line(
            clean(f"{service}: unlocked; {holder.who}@{holder.host} had it: {holder.reason}")
        )
    return 0


def _document(service: str, locked: bool, who: str, reason: str) -> dict[str, object]:
    schema = "fleetctl.lock/1"
    return {"schema": schema, "service": service, "locked": locked, "who": who, "reason": reason}
