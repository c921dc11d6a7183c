"""YAML as people mean it: every surprise is an error with its place."""

from __future__ import annotations

import tracemalloc

import pytest

from fleetctl.config.positions import place
from fleetctl.config.source import Source, Unusable
from fleetctl.config.strict_yaml import load_strict
from fleetctl.errors import Diagnostic


def wrong(text: str) -> list[Diagnostic]:
    try:
        return list(load_strict(Source.of("f.yml", text))[1])
    except Unusable as error:
        return [error.diagnostic]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("8080", 8080),
        ("-3", -3),
        ("0", 0),
        ("0.5", 0.5),
        ("1.2.3", "1.2.3"),
        ("2023-1", "2023-1"),
        ("no thanks", "no thanks"),
        ("n", "n"),
        ("'NO'", "NO"),
        ('"010"', "010"),
        ("a:b", "a:b"),
        ("1000:1000", "1000:1000"),
        ("sha256:12", "sha256:12"),
        (".", "."),
        ("e1", "e1"),
        ("|\n  x\n", "x\n"),
    ],
)
def test_values_are_what_they_look_like(text: str, value: object) -> None:
    data, diagnostics = load_strict(Source.of("f.yml", f"a: {text}"))
    assert diagnostics == ()
    assert data == {"a": value}
    assert type(data["a"]) is type(value)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("NO", 'in quotes: "NO", or write false'),
        ("on", "or write true"),
        ("Yes", "or write true"),
        ("010", 'in quotes: "010"'),
        ("0x50", "in quotes"),
        ("0o17", "in quotes"),
        ("1_000", "in quotes"),
        ("1e3", "in quotes"),
        ("12:30", 'in quotes: "12:30"'),
        ("22:22", "in quotes"),
        ("1.10", 'in quotes: "1.10", or write 1.1'),
        ("0.50", "or write 0.5"),
        ("2023-01-01", "in quotes"),
        (".inf", "in quotes"),
    ],
)
def test_surprises_of_yaml_1_1_are_errors(text: str, hint: str) -> None:
    (found,) = wrong(f"ok: 1\nkey: [a, {text}]\n")
    assert found.id == "ambiguous-value"
    assert text in found.message
    assert hint in found.hint
    assert found.span
    assert (found.span.file, found.span.line, found.span.column) == ("f.yml", 2, 10)
    assert found.span.text == f"key: [a, {text}]"


def test_a_duplicate_key_names_both_lines() -> None:
    (found,) = wrong("a: 1\nb: 2\na: 3\n")
    assert found.id == "duplicate-key"
    assert "first on line 1" in found.message
    assert found.span
    assert found.span.line == 3


@pytest.mark.parametrize(
    ("text", "id", "words", "line", "column"),
    [
        ("a:\n\t- b\n", "bad-yaml", "tab", 2, 1),
        ("a: 1\nb: c: d\n", "bad-yaml", "not valid YAML", 2, 5),
        ("a: 1\n---\nb: 2\n", "bad-yaml", "second document", 2, 1),
        ("a: !vault x", "bad-tag", "!vault", 1, 4),
        ("a: !!python/object/apply:os.system [id]", "bad-tag", "python", 1, 4),
        ("a: {{ version }}", "bad-key", "a key", 1, 5),
        ("? [1]\n: 2", "bad-key", "a key", 1, 3),
        ("a: *nothing", "bad-yaml", "alias", 1, 4),
        ("a: &x 1\nb: {<<: *x}", "bad-merge", "<<", 2, 5),
    ],
)
def test_mistakes_have_their_place(text: str, id: str, words: str, line: int, column: int) -> None:
    found = wrong(text)[0]
    assert (found.id, words in found.message) == (id, True), found
    assert found.span
    assert (found.span.line, found.span.column) == (line, column)


def test_nothing_of_a_tag_is_made(tmp_path: object) -> None:
    data, _ = load_strict(Source.of("f.yml", "a: !!python/name:os.system x"))
    assert data == {"a": None}


def test_merge_keys_are_followed_and_own_keys_win() -> None:
    text = "base: &b {a: 1, c: 3}\nall: {<<: [*b, {c: 4, d: 5}], a: 2}"
    data, diagnostics = load_strict(Source.of("f.yml", text))
    assert diagnostics == ()
    assert data["all"] == {"a": 2, "c": 3, "d": 5}


BOMBS = {
    "aliases": "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    + "".join(f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 12)),
    "merges": "a0: &a0 {k0: 1}\n"
    + "".join(f"a{i}: &a{i} {{<<: [*a{i - 1}, *a{i - 1}], k{i}: 1}}\n" for i in range(1, 30)),
    "itself": "a: &a [*a]",
    "depth": "[" * 1_000 + "]" * 1_000,
    "more depth": "[" * 200_000,
    "blocks": "".join(f"{' ' * i}- \n" for i in range(900)),
}


@pytest.mark.parametrize("name", BOMBS)
def test_bombs_end_at_a_limit(name: str) -> None:
    tracemalloc.start()
    try:
        (found,) = wrong(BOMBS[name])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert found.id in ("too-big", "too-deep")
    assert peak < 100 << 20


def test_places_follow_the_data_as_far_as_it_goes() -> None:
    data, _ = load_strict(Source.of("f.yml", "a:\n  - b: 1\n    c: {d: 2}\n"))
    for path, of_key, line, column in [
        (("a", 0, "c", "d"), False, 3, 12),
        (("a", 0, "c", "d"), True, 3, 9),
        (("a", 0, "missing", "x"), False, 2, 5),
        (("a", 7), False, 2, 3),
        ((), False, 1, 1),
    ]:
        span = place(data, path, of_key=of_key)
        assert span
        assert (span.line, span.column) == (line, column), path
