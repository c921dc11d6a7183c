"""lb drain, maint and ready: a person keeps requests from servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from fleetctl.cli import options as o

if TYPE_CHECKING:
    from fleetctl.cli.context import Context
    from fleetctl.cli.run import Part, UseCase
    from fleetctl.cli.wishes import Wishes
    from fleetctl.engine.options import RunOptions
    from fleetctl.engine.ports import Emit, World
    from fleetctl.model.events import RunFinished


def register(lb: typer.Typer) -> None:
    """Puts the commands below ``lb``."""
    lb.command(
        epilog=o.examples("lb drain node1 --for 10m", "lb drain web-2-7-1c7d", "lb ready node1")
    )(drain)
    lb.command(epilog=o.examples("lb maint node1", "lb maint web-2-7-1c7d --for 1h"))(maint)
    lb.command(epilog=o.examples("lb ready node1", "lb ready node1 node2"))(ready)


def _seconds(text: Any) -> float:
    """The callback of ``--for``. Raises Usage."""
    from fleetctl.config.units import duration
    from fleetctl.errors import Usage

    if text is None:
        return 0.0
    try:
        seconds = duration(text)
    except ValueError as error:
        raise Usage(f"--for: {error}") from None
    if not seconds:
        raise Usage("--for: no time at all", hint="leave it out to hold until `lb ready`")
    return seconds


Targets = Annotated[
    list[str],
    typer.Argument(metavar="HOST|INSTANCE", help="Hosts with all their instances, or instances."),
]
For = Annotated[
    str | None,
    typer.Option(
        "--for",
        metavar="DURATION",
        callback=_seconds,
        help="How long (10m, 2h): the next reconcile after it ends the hold. "
        "Default: until `lb ready`.",
        rich_help_panel=o.SAFETY,
        show_default=False,
    ),
]
Yes = Annotated[
    bool,
    typer.Option(
        "--yes",
        "-y",
        help="Consent to fewer in service than the rollout's floor.",
        rich_help_panel=o.SAFETY,
    ),
]


def drain(
    targets: Targets,
    duration: For = None,
    inventory: o.Inventory = None,
    wait: o.Wait = 0.0,
    yes: Yes = False,
    no_input: o.NoInput = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    color: o.Colored = o.Color.AUTO,
) -> int:
    """Send no new requests to a host's instances, or to one, and wait until it has none.

    Clients that a cookie keeps at a server still reach it: `lb maint` keeps those away too.
    The hold is in the record, so deploys, reloads and reboots keep it.
    """
    wishes = _wishes(inventory, wait, yes, no_input, json, quiet, verbose, color)
    return _held("lb drain", wishes, targets, "drain", duration)


def maint(
    targets: Targets,
    duration: For = None,
    inventory: o.Inventory = None,
    wait: o.Wait = 0.0,
    yes: Yes = False,
    no_input: o.NoInput = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    color: o.Colored = o.Color.AUTO,
) -> int:
    """Take a host's instances, or one, out of service: no request at all, no health check."""
    wishes = _wishes(inventory, wait, yes, no_input, json, quiet, verbose, color)
    return _held("lb maint", wishes, targets, "maint", duration)


def ready(
    targets: Targets,
    inventory: o.Inventory = None,
    wait: o.Wait = 0.0,
    unasked: o.Unasked = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    verbose: o.Verbose = False,
    color: o.Colored = o.Color.AUTO,
) -> int:
    """End what `lb drain` or `lb maint` began; returns once all balancers serve them again."""

    def part(context: Context) -> UseCase:
        from fleetctl.engine.holding import release

        def do(world: World, options: RunOptions, emit: Emit) -> RunFinished:
            return release(world, context.fleet, targets, options, emit)

        return do

    wishes = _wishes(inventory, wait, False, False, json, quiet, verbose, color)
    return _carry_out("lb ready", wishes, part)


def _wishes(
    inventory: str | None,
    wait: float,
    yes: bool,
    no_input: bool,
    json: bool,
    quiet: bool,
    verbose: bool,
    color: o.Color,
) -> Wishes:
    from fleetctl.cli.wishes import Wishes

    return Wishes(
        inventory=inventory, wait=wait, yes=yes, no_input=no_input, json=json, quiet=quiet,
        verbose=verbose, color=color.value,
    )  # fmt: skip


def _held(
    command: str, wishes: Wishes, targets: list[str], state: Literal["drain", "maint"], seconds: Any
) -> int:
    """Where too few others would serve, a person may consent, if there is one."""

    def part(context: Context) -> UseCase:
        from fleetctl.cli.consent import ask, can_ask
        from fleetctl.engine.holding import hold
        from fleetctl.errors import TooFewServe

        def do(world: World, options: RunOptions, emit: Emit) -> RunFinished:
            given = world, context.fleet, targets, state, seconds, options, emit
            try:
                return hold(*given, force=wishes.yes)
            except TooFewServe as error:
                if not can_ask(wishes):
                    raise
                ask(f"{command}: {error.message}", wishes, options.stop)
                return hold(*given, force=True)

        return do

    return _carry_out(command, wishes, part)


def _carry_out(command: str, wishes: Wishes, part: Any) -> int:
    from fleetctl.cli.run import Part, Run

    def prepare(context: Context) -> list[Part]:
        return [Part("", part(context))]

    return Run(command, wishes).carry_out(prepare)
