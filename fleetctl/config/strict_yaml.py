"""YAML as people mean it: what YAML 1.1 would turn into something else is an error.

Plain ``true``, ``false``, ``null``, decimal numbers and text are all there is; duplicate
keys, tags, several documents and bombs of aliases or nesting are refused, each with its
place and what to write instead.
"""

from __future__ import annotations

import re
from typing import Any

import yaml
from yaml.constructor import SafeConstructor
from yaml.resolver import BaseResolver

from fleetctl.config.positions import Located, LocatedList, Mark
from fleetctl.config.source import Source, Unusable, escaped
from fleetctl.errors import Diagnostic

MAX_DEPTH = 64
MAX_NODES = 100_000
_Parser: Any = getattr(yaml, "CParser", None)

_BOOLEANS = {"true": True, "True": True, "TRUE": True}
_BOOLEANS |= {"false": False, "False": False, "FALSE": False}
_NULLS = {"", "~", "null", "Null", "NULL"}
_INTEGER = re.compile(r"[-+]?(0|[1-9][0-9]*)")
_DECIMAL = re.compile(r"[-+]?(0|[1-9][0-9]*)\.[0-9]+")
_SWITCH = re.compile(r"(?i:yes|no|on|off)")
_BASE_60 = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}([Tt ].*)?")
_ODD_NUMBER = re.compile(
    r"(?i:[-+]?(0[0-9_]+|0x[0-9a-f_]+|0o[0-7_]+|0b[01_]+|[0-9][0-9_]*_[0-9_]*"
    r"|[0-9][0-9_]*\.?[0-9_]*e[-+]?[0-9]+|[0-9]+\.|\.[0-9]+|\.inf|\.nan))"
)


if _Parser is not None:

    class _Nodes(_Parser, SafeConstructor, BaseResolver):  # type: ignore[misc]
        """Composes nodes and resolves no tag: every plain scalar stays text."""

        def __init__(self, text: str) -> None:
            _Parser.__init__(self, text)
            BaseResolver.__init__(self)

else:

    class _Nodes(yaml.BaseLoader):  # type: ignore[no-redef]
        pass


def load_strict(source: Source) -> tuple[Any, tuple[Diagnostic, ...]]:
    """The only document of ``source`` as located data (None when it is empty), and what is
    wrong in it. Raises Unusable when it can't be read to its end."""
    reader = _Reader(source)
    _check_depth(source)
    root = compose(source, _Nodes)
    data = None if root is None else reader.value(root, 0)
    return data, tuple(reader.diagnostics)


def compose(source: Source, loader: Any) -> yaml.Node | None:
    """The node tree of the only document. Raises Unusable with the place of a mistake."""
    try:
        node: yaml.Node | None = loader(source.text).get_single_node()
    except yaml.MarkedYAMLError as error:
        raise Unusable(_mistake(source, error)) from None
    except yaml.YAMLError as error:
        message = escaped(" ".join(str(error).split()))
        raise Unusable(Diagnostic("bad-yaml", message, source.span(0, 0))) from None
    except RecursionError:
        raise Unusable(_too_deep(source, (0, 0))) from None
    return node


def _check_depth(source: Source) -> None:
    """Composing recurses, so how deep it goes is known before. Raises Unusable."""
    depth = 0
    try:
        for event in yaml.parse(source.text, Loader=_Nodes):
            depth += isinstance(event, yaml.CollectionStartEvent)
            depth -= isinstance(event, yaml.CollectionEndEvent)
            if depth > MAX_DEPTH:
                raise Unusable(_too_deep(source, _at(event)))
    except yaml.YAMLError:
        return  # composing meets it again and tells it


def _mistake(source: Source, error: yaml.MarkedYAMLError) -> Diagnostic:
    mark = error.problem_mark or error.context_mark
    line, column = (mark.line, mark.column) if mark else (0, 0)
    problem = " ".join(filter(None, (error.context, error.problem)))
    text = source.lines[line] if line < len(source.lines) else ""
    indent = text[: len(text) - len(text.lstrip())]
    if "\t" in indent:
        hint = "YAML is indented by spaces; replace the tabs"
        return Diagnostic("bad-yaml", "tab in the indentation", source.span(line, 0), hint)
    if "expected a single document" in problem:
        hint = "keep one list of plays, without ---, in each file"
        return Diagnostic("bad-yaml", "a second document", source.span(line, column), hint)
    if "nest" in problem and "depth" in problem:
        return _too_deep(source, (line, column))
    hint = ""
    if "mapping values" in problem:
        hint = "put text that has a colon in it in quotes"
    elif any(words in problem for words in ("cannot start", "but got")) or "{{" in text:
        hint = "put the whole value in quotes"
    return Diagnostic("bad-yaml", f"not valid YAML: {problem}", source.span(line, column), hint)


def _too_deep(source: Source, at: Mark) -> Diagnostic:
    return Diagnostic(
        "too-deep", f"nested deeper than {MAX_DEPTH} levels", source.span(*at), "flatten it"
    )


def _at(node: yaml.Node | yaml.Event) -> Mark:
    assert node.start_mark is not None
    return (node.start_mark.line, node.start_mark.column)


class _Reader:
    """Turns nodes into data, and notes what is wrong instead of stopping at it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.diagnostics: list[Diagnostic] = []
        self.count = 0

    def note(self, id: str, message: str, at: Mark, hint: str = "") -> None:
        self.diagnostics.append(Diagnostic(id, message, self.source.span(*at), hint))

    def line(self, node: yaml.Node) -> str:
        return self.source.span(*_at(node)).text

    def value(self, node: yaml.Node, depth: int) -> Any:
        self.count += 1
        if self.count > MAX_NODES:
            message = f"more than {MAX_NODES} values after its aliases are followed"
            raise Unusable(Diagnostic("too-big", message, self.source.span(*_at(node))))
        if depth > MAX_DEPTH:
            raise Unusable(_too_deep(self.source, _at(node)))
        if not node.tag.startswith("tag:yaml.org,2002:") or node.tag[18:] not in _KINDS:
            hint = "write plain values; tags such as !vault or !!python are not read"
            self.note("bad-tag", f"tag {escaped(node.tag)!r}", _at(node), hint)
            return None
        if isinstance(node, yaml.MappingNode):
            return self.mapping(node, depth)
        if isinstance(node, yaml.SequenceNode):
            items = LocatedList(self.source, _at(node))
            for item in node.value:
                items.put(self.value(item, depth + 1), _at(item))
            return items
        assert isinstance(node, yaml.ScalarNode)
        return self.scalar(node) if node.style is None else node.value

    def mapping(self, node: yaml.MappingNode, depth: int) -> Located:
        found = Located(self.source, _at(node))
        merged: list[Located] = []
        for key_node, value_node in node.value:
            if _is_merge(key_node):
                merged += self.merge(value_node, depth, _at(key_node))
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                hint = (
                    "put a value that starts with {{ in quotes" if "{{" in self.line(node) else ""
                )
                self.note("bad-key", "a key that is a list or a mapping", _at(key_node), hint)
                continue
            key = self.value(key_node, depth + 1)
            if key in found.marks:
                first = self.source.span(*found.marks[key][0])
                message = f'duplicate key "{escaped(str(key))}", first on line {first.line}'
                self.note("duplicate-key", message, _at(key_node), "keep one of the two")
                continue
            found.put(key, self.value(value_node, depth + 1), _at(key_node), _at(value_node))
        for other in merged:
            for key, (key_at, value_at) in other.marks.items():
                self.count += 1
                if key not in found.marks:
                    found.put(key, other[key], key_at, value_at)
        return found

    def merge(self, node: yaml.Node, depth: int, at: Mark) -> list[Located]:
        """What ``<<:`` brings in, the first to win first."""
        nodes = node.value if isinstance(node, yaml.SequenceNode) else [node]
        found = [self.value(item, depth + 1) for item in nodes]
        if not all(isinstance(item, Located) for item in found):
            self.note("bad-merge", "<< takes a mapping, or a list of mappings", at)
        return [item for item in found if isinstance(item, Located)]

    def scalar(self, node: yaml.ScalarNode) -> Any:
        text: str = node.value
        if text in _BOOLEANS:
            return _BOOLEANS[text]
        if text in _NULLS:
            return None
        if surprise := _surprise(text):
            self.note("ambiguous-value", surprise[0], _at(node), surprise[1])
            return text
        if _INTEGER.fullmatch(text):
            return int(text) if len(text) < 20 else text
        if _DECIMAL.fullmatch(text):
            return float(text)
        return text


_KINDS = ("str", "seq", "map")


def _is_merge(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and node.style is None and node.value == "<<"


def _surprise(text: str) -> tuple[str, str] | None:
    """Why plain ``text`` means something else to YAML 1.1, and what to write; None if not."""
    quoted = f'put it in quotes: "{text}"'
    if _SWITCH.fullmatch(text):
        word = "true" if text.lower() in ("yes", "on") else "false"
        return f"{text} is read as {word} by YAML 1.1", f"{quoted}, or write {word}"
    if _BASE_60.fullmatch(text):
        return f"{text} is a number to base 60 in YAML 1.1", quoted
    if _DATE.fullmatch(text):
        return f"{text} is a date in YAML 1.1", quoted
    if _ODD_NUMBER.fullmatch(text) and text != ".":
        return f"{text} is no plain decimal number", f"{quoted}, or write it as a decimal"
    if _DECIMAL.fullmatch(text) and str(float(text)) != text.removeprefix("+"):
        number = str(float(text))
        return f"{text} is read as the number {number}", f"{quoted}, or write {number}"
    return None
