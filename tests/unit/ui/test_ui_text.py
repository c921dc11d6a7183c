"""Words, numbers, and text from hosts that must do no harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetctl.ui.text import clean, duration, image_name, moment, plural, size, some


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain [bold]text[/]", "plain [bold]text[/]"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("a\rb\nc", "a\\rb\\nc"),
        ("bell\a nul\0 csi\x9b", "bell\\x07 nul\\x00 csi\\x9b"),
        ("abc\u202edef\u2066", "abc\\u202edef\\u2066"),
        ("\udcff", "\\udcff"),
        ("grün 日本", "grün 日本"),
    ],
)
def test_clean(text: str, shown: str) -> None:
    assert clean(text) == shown


def test_clean_keeps_lines_where_asked() -> None:
    assert clean("a\nb\tc\r", lines=True) == "a\nb    c\\r"


@given(st.text())
def test_clean_text_is_printable(text: str) -> None:
    shown = clean(text)
    assert all(ord(c) >= 0x20 and not 0x7F <= ord(c) < 0xA0 for c in shown)
    assert shown.encode().decode() == shown
    assert clean(shown) == shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-1, "0.0s"), (0.04, "0.0s"), (9.94, "9.9s"), (9.96, "10s"), (59.4, "59s"), (60, "1m00s"),
        (3599, "59m59s"), (3600, "1h00m"), (86400 * 4, "4d"),
    ],
)  # fmt: skip
def test_duration(seconds: float, words: str) -> None:
    assert duration(seconds) == words


def test_other_words() -> None:
    assert moment(0) == ""
    assert moment(1e9) == "2001-09-09 01:46:40Z"
    assert [size(n) for n in (0, 512 << 20, 7 << 30, 1536)] == ["0", "512M", "7G", "1.5K"]
    assert (plural(1, "host"), plural(2, "host")) == ("1 host", "2 hosts")
    assert some(["a", "b", "c", "d"]) == "a, b, c, d"
    assert some(["a", "b", "c", "d", "e"]) == "a, b, c and 2 more"
    assert image_name("r:5000/app@sha256:" + "ab" * 32) == "r:5000/app@abababababab"
    assert image_name("r:5000/app:1") == "r:5000/app:1"
