"""Tables: drawn by rich on a terminal, aligned plain text for everything else."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from fleetctl.ui.output import Output
from fleetctl.ui.text import clean


@dataclass(frozen=True, slots=True)
class Cell:
    """``style`` is rich's, and only paints: the text alone has to say it."""

    text: str
    style: str = ""


Row = Sequence["str | Cell"]


def show_table(out: Output, heads: Sequence[str], rows: Iterable[Row]) -> None:
    """All text is made harmless here. Nothing is written for no rows."""
    table = [[_cell(value) for value in row] for row in rows]
    if not table:
        return
    if out.terminal:
        _draw(out, heads, table)
        return
    for line in aligned([[head.upper() for head in heads], *[[c.text for c in r] for r in table]]):
        out.line(line)


def aligned(rows: Sequence[Sequence[str]], *, widest: int = 1000) -> list[str]:
    """Columns as wide as their widest cell, at most ``widest``, two spaces apart."""
    widths = [
        max((len(cell) for cell in column if len(cell) <= widest), default=0)
        for column in zip(*rows, strict=True)
    ]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def _cell(value: str | Cell) -> Cell:
    return Cell(clean(value)) if isinstance(value, str) else Cell(clean(value.text), value.style)


def _draw(out: Output, heads: Sequence[str], rows: list[list[Cell]]) -> None:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for head in heads:
        table.add_column(head.upper(), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell.text, style=cell.style) for cell in row))
    out.show(table)
