"""adopt: the record that was lost, rebuilt from what runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from fleetctl.cli import options as o

if TYPE_CHECKING:
    from fleetctl.cli.wishes import Wishes
    from fleetctl.engine.examine import Adopted, Adoption


def register(app: typer.Typer) -> None:
    """Puts the command on ``app``."""
    app.command(
        rich_help_panel=o.CHANGE,
        epilog=o.examples("adopt --dry-run", "adopt", "adopt --yes --json"),
    )(adopt)


def adopt(
    inventory: o.Inventory = None,
    dry_run: o.DryRun = False,
    record_moved: Annotated[
        bool,
        typer.Option(
            "--record-moved",
            help="The machines that the record lay on are gone for good.",
            rich_help_panel=o.SAFETY,
        ),
    ] = False,
    wait: o.Wait = 0.0,
    parallel: o.Parallel = 32,
    yes: Annotated[
        bool,
        typer.Option("--yes", "-y", help="Consent to write the record.", rich_help_panel=o.SAFETY),
    ] = False,
    no_input: o.NoInput = False,
    json: o.Json = False,
    quiet: o.Quiet = False,
    color: o.Colored = o.Color.AUTO,
) -> int:
    """Rebuild a lost record from the containers, their specs and the balancers.

    Every host has to answer. Nothing that runs is touched: what is written is the record
    alone, and it is shown first.
    """
    from fleetctl.cli.consent import ask
    from fleetctl.cli.context import Context
    from fleetctl.cli.signals import stop_on_signals
    from fleetctl.cli.wishes import Wishes
    from fleetctl.engine.adopt import adopt
    from fleetctl.engine.examine import examine
    from fleetctl.engine.options import StopSignal

    wishes = Wishes(
        inventory=inventory, json=json, quiet=quiet, color=color.value, yes=yes,
        no_input=no_input, wait=wait, parallel=parallel,
    )  # fmt: skip
    context = Context(wishes, "adopt")
    templates = context.templates
    stop = StopSignal()

    def consent(adoption: Adoption) -> None:
        if not (json or quiet):
            _show(wishes, adoption)
        ask("adopt: writes this as the fleet's record", wishes, stop)

    with (
        stop_on_signals(stop, lambda words: wishes.err().line(words)),
        context.world() as world,
    ):
        options = context.options(stop=stop)
        if dry_run:
            found = examine(world, context.fleet, options, record_moved, templates)
        else:
            found = adopt(world, context.fleet, options, consent, record_moved, templates)
    if json:
        wishes.out().json(_document(found, written=not dry_run), indent=2)
    elif dry_run:
        _show(wishes, found)
        wishes.out().line("nothing was written")
    else:
        wishes.out().line("the record is written; see `fleetctl status`, then `fleetctl reconcile`")
    return 0


def _show(wishes: Wishes, adoption: Adoption) -> None:
    from fleetctl.ui.tables import show_table
    from fleetctl.ui.text import clean

    out = wishes.out()
    for words in adoption.lost:
        out.line(clean(f"lost: {words}"))
    rows = [
        [row["name"], str(row["revision"]), str(row["instances"]), str(row["servers"]),
         " ".join(map(str, row["revisions"])), row["state"]]
        for row in map(_row, adoption.services)
    ]  # fmt: skip
    heads = ("service", "revision", "instances", "servers", "revisions", "state")
    show_table(out, heads, rows)


def _document(adoption: Adoption, *, written: bool) -> dict[str, Any]:
    return {
        "schema": "fleetctl.adopt/1",
        "written": written,
        "lineage": adoption.lineage,
        "lost": list(adoption.lost),
        "services": [_row(one) for one in adoption.services],
    }


def _row(one: Adopted) -> dict[str, Any]:
    record = one.record
    state = "committed" if record.current else "nothing committed"
    if record.open is not None:
        back = record.open.failed
        state = f"goes back from revision {back}" if back else "a deploy is open"
    if one.kept:
        state = "kept as recorded"
    return {
        "name": record.name,
        "revision": record.current,
        "instances": one.instances,
        "servers": one.servers,
        "revisions": [revision.number for revision in record.revisions],
        "state": state,
    }
