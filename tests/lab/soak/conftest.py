"""The table of the soak: one row per part, printed when it is known, and whole at the end."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

COLUMNS = (
    "part",
    "requests",
    "failed",
    "deploys",
    "kills",
    "crash points converged",
    "reconciles needed",
    "lock races",
    "stale writes accepted",
)


class Table:
    """Rows of what was measured. What a part doesn't measure stays a dash."""

    def __init__(self) -> None:
        self.rows: list[dict[str, str]] = []

    def row(self, part: str, **cells: object) -> None:
        """``cells`` are columns, with ``_`` for a space."""
        named = {name.replace("_", " "): str(value) for name, value in cells.items()}
        assert set(named) <= set(COLUMNS), named
        self.rows.append({"part": part, **named})
        print(f"\n{self}", flush=True)

    def __str__(self) -> str:
        lines = [COLUMNS, ("---",) * len(COLUMNS)]
        lines += [tuple(row.get(name, "-") for name in COLUMNS) for row in self.rows]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


@pytest.fixture(scope="session")
def table() -> Iterator[Table]:
    made = Table()
    yield made
    print(f"\n\n{made}", flush=True)


def amount(name: str, usual: int) -> int:
    """A size of the soak, from the environment: SOAK_DEPLOYS and so on."""
    return int(os.environ.get(f"SOAK_{name}", usual))


@pytest.fixture(scope="session", name="amount")
def _amount() -> object:
    return amount
