"""lb show, render and check: the load balancers as they are, beside the record."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from fleetctl.cli import lb_holding, lb_installing
from fleetctl.cli import options as o

if TYPE_CHECKING:
    from fleetctl.cli.context import Context
    from fleetctl.model.fleet import Fleet

Balancers = Annotated[
    list[str] | None,
    typer.Argument(metavar="BALANCER", help="Balancers. Default: all."),
]


def register(app: typer.Typer) -> None:
    """Puts the commands on ``app``, below ``lb``."""
    lb = typer.Typer(help="The load balancers.", no_args_is_help=True)
    lb.command(epilog=o.examples("lb show", "lb show web", "lb show --json"))(show)
    lb_holding.register(lb)
    lb.command(
        epilog=o.examples("lb render lb1 > haproxy.cfg", "lb render --diff", "lb render --json")
    )(render)
    lb.command(epilog=o.examples("lb check", "lb check lb1", "lb check --json"))(check)
    lb_installing.register(lb)
    app.add_typer(lb, name="lb", rich_help_panel=o.CHANGE)


def named_balancers(context: Context, names: list[str] | None) -> Fleet:
    """The fleet with these balancers alone, all for none. Raises Usage for an unknown one."""
    from dataclasses import replace
    from difflib import get_close_matches

    from fleetctl.errors import Usage

    fleet = context.fleet
    known = [balancer.name for balancer in fleet.balancers]
    for name in names or ():
        if name in known:
            continue
        near = get_close_matches(name, known, 1)
        hint = f"did you mean {near[0]}?" if near else f"balancers: {', '.join(known) or 'none'}"
        raise Usage(f"{name!r} is no balancer of this inventory", hint=hint)
    if not known:
        raise Usage(
            "the inventory names no balancer",
            hint="put hosts into the group loadbalancers, or the one of fleetctl_balancers",
        )
    return replace(fleet, balancers=tuple(b for b in fleet.balancers if b.name in (names or known)))


def show(
    services: Annotated[
        list[str] | None,
        typer.Argument(metavar="SERVICE", help="Default: all services.", callback=o.named),
    ] = None,
    inventory: o.Inventory = None,
    parallel: o.Parallel = 32,
    json: o.Json = False,
    quiet: o.Quiet = False,
    color: o.Colored = o.Color.AUTO,
    unasked: o.Unasked = False,
) -> int:
    """Show what each balancer serves now: servers, sessions, errors, and what differs.

    With -q, one line a balancer.
    """
    import time

    from fleetctl.cli.context import Context
    from fleetctl.cli.wishes import Wishes
    from fleetctl.engine.lb_show import show
    from fleetctl.ui.lb_view import lb_document, show_lb

    wishes = Wishes(
        inventory=inventory, json=json, quiet=quiet, color=color.value, parallel=parallel
    )
    context = Context(wishes, "lb show")
    with context.world() as world:
        found = show(world, context.fleet, tuple(services or ()), parallel)
    if json:
        wishes.out().json(lb_document(found), indent=2)
    else:
        show_lb(wishes.out(), found, time.time(), brief=quiet)
    return 0


def render(
    balancers: Balancers = None,
    inventory: o.Inventory = None,
    diff: Annotated[
        bool,
        typer.Option(
            "--diff",
            help="What its own files would have to change for it.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = False,
    parallel: o.Parallel = 32,
    detailed_exitcode: o.DetailedExitcode = False,
    json: o.Json = False,
    color: o.Colored = o.Color.AUTO,
    unasked: o.Unasked = False,
) -> int:
    """Write the file that the record gives a balancer, or how the balancer's own differs.

    Nothing is changed. Hashes of passwords are replaced by a mark that differs when they do.
    """
    from fleetctl.cli.context import Context
    from fleetctl.cli.wishes import Wishes
    from fleetctl.engine.lb_render import rendered
    from fleetctl.errors import ExitCode
    from fleetctl.ui.lb_files_view import files_document, show_diff, show_files

    wishes = Wishes(inventory=inventory, json=json, color=color.value, parallel=parallel)
    context = Context(wishes, "lb render")
    fleet = named_balancers(context, balancers)
    compare = diff or detailed_exitcode
    with context.world() as world:
        found = rendered(world, fleet, compare=compare)
    if json:
        wishes.out().json(files_document(found, compared=compare), indent=2)
    elif diff:
        show_diff(wishes.out(), wishes.err(), found)
    else:
        show_files(wishes.out(), found)
    differs = any(one.differs for one in found)
    return int(ExitCode.CHANGES_PENDING if differs and detailed_exitcode else ExitCode.DONE)


def check(
    balancers: Balancers = None,
    inventory: o.Inventory = None,
    parallel: o.Parallel = 32,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: Annotated[
        bool,
        typer.Option("--verbose", "-v", help="What is in order too.", rich_help_panel=o.OUTPUT),
    ] = False,
    color: o.Colored = o.Color.AUTO,
    unasked: o.Unasked = False,
) -> int:
    """Look for all that could keep a balancer from serving what the record says.

    Program, sockets, file, running workers, ports, certificates, and whether its own HAProxy
    takes the file that the record gives. Changes nothing. Ends with 1 where something is wrong,
    with 4 where a balancer can't be asked.
    """
    from fleetctl.cli.context import Context
    from fleetctl.cli.wishes import Wishes
    from fleetctl.engine.lb_check import check
    from fleetctl.errors import ExitCode
    from fleetctl.ui.lb_check_view import check_document, show_checks

    wishes = Wishes(
        inventory=inventory, json=json, quiet=quiet, verbose=verbose, color=color.value,
        parallel=parallel,
    )  # fmt: skip
    context = Context(wishes, "lb check")
    fleet = named_balancers(context, balancers)
    with context.world() as world:
        found = check(world, fleet, parallel)
    if json:
        wishes.out().json(check_document(found), indent=2)
    else:
        show_checks(wishes.out(), found, brief=quiet, verbose=verbose)
    if any(not one.reached for one in found):
        return int(ExitCode.UNREACHABLE)
    return int(ExitCode.FAILED if any(one.failed for one in found) else ExitCode.DONE)
