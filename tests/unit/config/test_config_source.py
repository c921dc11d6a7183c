"""Files that can't be read as they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fleetctl.config.source import MAX_BYTES, Unusable, read
from fleetctl.errors import Diagnostic


def refused(path: Path) -> Diagnostic:
    with pytest.raises(Unusable) as caught:
        read(path)
    return caught.value.diagnostic


@pytest.mark.parametrize(
    ("raw", "words", "line", "column"),
    [
        (b"a: 1\nb: \xe9\n", "0xe9", 2, 4),
        ("a: 1\n".encode("utf-16"), "UTF-16", 0, 0),
        (b"a: 1\nb: x\x00y\n", "U+0000", 2, 5),
        (b"a: \x1b[31m\n", "U+001B", 1, 4),
        ("ä: ".encode() + b"\xff", "0xff", 1, 4),
    ],
)
def test_bytes_that_are_no_text(
    tmp_path: Path, raw: bytes, words: str, line: int, column: int
) -> None:
    path = tmp_path / "f.yml"
    path.write_bytes(raw)
    found = refused(path)
    assert words in found.message
    assert found.span
    assert (found.span.line, found.span.column) == (line, column)


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    (tmp_path / "f.yml").write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    source = read(tmp_path / "f.yml")
    assert source.text.startswith("a: 1")
    assert source.span(1, 3).text == "b: 2"


def test_what_is_no_file_to_be_trusted(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "open.yml").write_text("a: 1")
    (tmp_path / "open.yml").chmod(0o666)
    (tmp_path / "big.yml").write_bytes(b"#" * (MAX_BYTES + 1))
    assert "no regular file" in refused(tmp_path / "fifo").message.replace("not a", "no")
    assert "no regular file" in refused(tmp_path).message.replace("not a", "no")
    assert "written by everybody" in refused(tmp_path / "open.yml").message
    assert "at most" in refused(tmp_path / "big.yml").message
    assert "No such file" in refused(tmp_path / "none.yml").message
