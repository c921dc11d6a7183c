"""YAML as Ansible reads it, for inventories and their variables: YAML 1.1, last key wins."""

from __future__ import annotations

import datetime
import json
from typing import Any

import yaml

from fleetctl.config.positions import Located
from fleetctl.config.source import Source, Unusable, escaped
from fleetctl.config.strict_yaml import compose
from fleetctl.errors import Diagnostic, Span

MAX_MERGED = 100_000
_Base: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class WrittenInt(int):
    """A number whose text says more than its value: ``010`` is 8."""

    text: str


class WrittenFloat(float):
    """A number whose text says more than its value: ``1.10`` is 1.1."""

    text: str


class Unsafe(str):
    """Text under ``!unsafe``: never a template."""

    __slots__ = ()


class _Loader(_Base):  # type: ignore[misc]
    source: Source
    warnings: list[Diagnostic]
    merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        self.merged += len(node.value)
        if self.merged > MAX_MERGED:
            raise yaml.constructor.ConstructorError(
                None, None, f"more than {MAX_MERGED} keys after <<", node.start_mark
            )


def _mapping(loader: _Loader, node: yaml.MappingNode) -> Any:
    source = loader.source
    found = Located(source, (node.start_mark.line, node.start_mark.column))
    yield found
    written = len(node.value)
    own = {id(key) for key, _ in node.value}
    loader.flatten_mapping(node)
    for key_node, value_node in node.value:
        key = loader.construct_object(key_node, deep=True)
        key_at = (key_node.start_mark.line, key_node.start_mark.column)
        try:
            again = key in found.marks and id(key_node) in own and written == len(node.value)
        except TypeError:
            raise yaml.constructor.ConstructorError(
                None, None, "a key that is a list or a mapping", key_node.start_mark
            ) from None
        if again:
            message = f'duplicate key "{escaped(str(key))}": the last one counts'
            span = source.span(*key_at)
            loader.warnings.append(Diagnostic("duplicate-key", message, span, warning=True))
        value = loader.construct_object(value_node, deep=False)
        found.put(key, value, key_at, (value_node.start_mark.line, value_node.start_mark.column))


def _int(loader: _Loader, node: yaml.ScalarNode) -> int:
    value = WrittenInt(loader.construct_yaml_int(node))
    if str(int(value)) == node.value:
        return int(value)
    value.text = node.value
    return value


def _float(loader: _Loader, node: yaml.ScalarNode) -> float:
    value = WrittenFloat(loader.construct_yaml_float(node))
    if str(float(value)) == node.value:
        return float(value)
    value.text = node.value
    return value


def _timestamp(loader: _Loader, node: yaml.ScalarNode) -> Any:
    value = loader.construct_yaml_timestamp(node)
    return value.isoformat() if isinstance(value, datetime.date) else value


def _vault(loader: _Loader, node: yaml.ScalarNode) -> Any:
    return {"__ansible_vault": loader.construct_scalar(node)}


def _unsafe(loader: _Loader, node: yaml.Node) -> Any:
    if isinstance(node, yaml.ScalarNode):
        return Unsafe(loader.construct_scalar(node))
    if isinstance(node, yaml.SequenceNode):
        return _all_unsafe(loader.construct_sequence(node, deep=True))
    return _all_unsafe(loader.construct_mapping(node, deep=True))


def _all_unsafe(value: Any) -> Any:
    if isinstance(value, str):
        return Unsafe(value)
    if isinstance(value, dict):
        return {key: _all_unsafe(item) for key, item in value.items()}
    return [_all_unsafe(item) for item in value] if isinstance(value, list) else value


for _tag, _construct in {
    "tag:yaml.org,2002:map": _mapping,
    "tag:yaml.org,2002:int": _int,
    "tag:yaml.org,2002:float": _float,
    "tag:yaml.org,2002:timestamp": _timestamp,
    "!vault": _vault,
    "!vault-encrypted": _vault,
    "!unsafe": _unsafe,
}.items():
    _Loader.add_constructor(_tag, _construct)


def load_ordinary(source: Source, *, as_json: bool = False) -> tuple[Any, tuple[Diagnostic, ...]]:
    """The document and its warnings. Raises Unusable when it isn't YAML (or JSON)."""
    if as_json:
        try:
            return json.loads(source.text), ()
        except ValueError:
            pass
    warnings: list[Diagnostic] = []

    made: list[_Loader] = []

    def loader(text: str) -> _Loader:
        made.append(_Loader(text))
        made[0].source, made[0].warnings = source, warnings
        return made[0]

    node = compose(source, loader)
    if node is None:
        return None, ()
    try:
        data = made[0].construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        span = source.span(mark.line, mark.column) if mark else Span(source.file)
        message = escaped(error.problem or "can't be read")
        raise Unusable(Diagnostic("bad-yaml", message, span)) from None
    except (RecursionError, ValueError) as error:
        reason = "nested too deep" if isinstance(error, RecursionError) else escaped(str(error))
        raise Unusable(Diagnostic("bad-yaml", reason, Span(source.file))) from None
    return data, tuple(warnings)
