"""``lb render``: files as text, as a diff, and as a document."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fleetctl.model.lb import BalancerFiles
from fleetctl.ui.output import Output
from fleetctl.ui.text import clean

SCHEMA = "fleetctl.lb-render/1"
STYLES = {"+": "green", "-": "red", "@": "cyan"}


def files_document(found: Sequence[BalancerFiles], *, compared: bool) -> dict[str, Any]:
    """``diff`` of a file is None unless it was compared."""
    balancers = [
        {
            "name": one.name,
            "config_id": one.config_id,
            "files_id": one.files_id,
            "differs": one.differs if compared else None,
            "files": [
                {"path": f.path, "text": f.text, "diff": f.diff if compared else None}
                for f in one.files
            ],
        }
        for one in found
    ]
    return {"schema": SCHEMA, "balancers": balancers}


def show_files(out: Output, found: Sequence[BalancerFiles]) -> None:
    """Each balancer's main file; a line before it names whose it is where there are several."""
    for one in found:
        if len(found) > 1:
            out.line(f"# ----- {one.name} -----")
        text = one.files[0].text.rstrip("\n")
        out.line(clean(text, lines=True) if out.terminal else text)


def show_diff(out: Output, err: Output, found: Sequence[BalancerFiles]) -> None:
    """The diffs on ``out``, and on ``err`` which balancers have none."""
    for one in found:
        if not one.differs:
            err.line(f"{one.name}: its files are as the record has them")
        elif len(found) > 1:
            out.line(f"# ----- {one.name} -----")
        for file in one.files:
            for line in file.diff.splitlines():
                out.line(clean(line), STYLES.get(line[:1], ""))
