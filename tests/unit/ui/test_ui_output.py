"""Colour, terminals, and readers that go away."""

from __future__ import annotations

import io
import os

import pytest

from fleetctl.ui.output import Output, wants_color


@pytest.mark.parametrize(
    ("wish", "terminal", "env", "color"),
    [
        ("auto", True, {}, True),
        ("auto", False, {}, False),
        ("auto", True, {"NO_COLOR": "1"}, False),
        ("auto", True, {"NO_COLOR": ""}, True),
        ("auto", True, {"TERM": "dumb"}, False),
        ("always", False, {"NO_COLOR": "1"}, True),
        ("never", True, {}, False),
    ],
)
def test_color(wish: str, terminal: bool, env: dict[str, str], color: bool) -> None:
    assert wants_color(wish, terminal, env) is color


def test_style_only_paints() -> None:
    plain, painted = io.StringIO(), io.StringIO()
    Output(plain).line("a [red]b[/red] :smile:", "red")
    Output(painted, color="always").line("a [red]b[/red] :smile:", "red")
    assert plain.getvalue() == "a [red]b[/red] :smile:\n"
    assert painted.getvalue() == "\x1b[31ma [red]b[/red] :smile:\x1b[0m\n"


def test_long_lines_are_not_folded() -> None:
    stream = io.StringIO()
    Output(stream, color="always").line("x" * 300, "bold")
    assert "x" * 300 in stream.getvalue()


@pytest.mark.parametrize("first", ["line", "json", "show", "painted"])
def test_a_reader_that_went_away_stops_nothing(first: str) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as stream:
        out = Output(stream, color="always" if first == "painted" else "never")
        {
            "line": lambda: out.line("one"),
            "json": lambda: out.json({"two": 2}),
            "show": lambda: out.show("three"),
            "painted": lambda: out.line("four", "red"),
        }[first]()
        out.line("and more")
