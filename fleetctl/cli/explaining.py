"""explain: what an error id means, and what to do."""

from __future__ import annotations

from typing import Annotated

import typer

from fleetctl.cli import options as o


def register(app: typer.Typer) -> None:
    """Puts the command on ``app``."""
    app.command(
        rich_help_panel=o.HELP,
        epilog=o.examples("explain not-healthy", "explain exit-codes", "explain"),
    )(explain)


def explain(
    id: Annotated[
        str | None,
        typer.Argument(metavar="ID", help="An error's id, or exit-codes. Default: list them."),
    ] = None,
) -> int:
    """Explain an error: what happened, why it matters, what to do.

    The id stands in brackets: error[not-healthy].
    """
    from difflib import get_close_matches

    from fleetctl.cli.explanations import PAGES
    from fleetctl.cli.explanations_files import FILE_PAGES
    from fleetctl.errors import Usage
    from fleetctl.ui.output import stdout

    pages = PAGES | FILE_PAGES
    if id is None:
        for name in sorted(pages):
            stdout().line(name)
        return 0
    page = pages.get(id)
    if page is None:
        near = get_close_matches(id, pages, n=1)
        hint = f"did you mean {near[0]}?" if near else "all ids: fleetctl explain"
        raise Usage(f"there is no error {id!r}", hint=hint)
    stdout().line(page)
    return 0
