"""Frozen dataclasses to plain JSON values and back, by their annotations.

The record, specs beside containers and ``--json`` documents go through here. Keys
that a reader doesn't know are ignored and keys that a writer didn't know take their
defaults, so that an older record is read by a newer fleetctl.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import json
import types
import typing
from typing import Any, TypeVar

T = TypeVar("T")


def encode(value: Any) -> Any:
    """``value`` as dicts, lists, strings, numbers, booleans and None."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    if isinstance(value, dict):
        return {str(key): encode(item) for key, item in value.items()}
    return value


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def decode(kind: Any, data: Any) -> Any:
    """``data`` as a ``kind``. Raises ValueError, with the key, when it doesn't fit."""
    origin = typing.get_origin(kind)
    if kind is Any:
        return data
    if origin in (typing.Union, types.UnionType):
        if data is None:
            return None
        choices = [k for k in typing.get_args(kind) if k is not type(None)]
        return decode(choices[0], data)
    if origin is typing.Literal:
        if data not in typing.get_args(kind):
            raise ValueError(f"{data!r} is none of {typing.get_args(kind)}")
        return data
    if origin is tuple:
        return _decode_tuple(typing.get_args(kind), data)
    if origin is dict:
        _, value = typing.get_args(kind)
        return {str(k): decode(value, v) for k, v in _expect(dict, data).items()}
    if isinstance(kind, type) and issubclass(kind, enum.Enum):
        return kind(data)
    if dataclasses.is_dataclass(kind):
        return _decode_dataclass(typing.cast(type, kind), data)
    if kind is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    return _expect(kind, data)


def _expect(kind: Any, data: Any) -> Any:
    if not isinstance(data, kind) or (kind is int and isinstance(data, bool)):
        raise ValueError(f"expected {kind.__name__}, found {type(data).__name__}")
    return data


def _decode_tuple(items: tuple[Any, ...], data: Any) -> tuple[Any, ...]:
    values = (
        _expect((list, tuple), data) if isinstance(data, (list, tuple)) else _expect(list, data)
    )
    if len(items) == 2 and items[1] is Ellipsis:
        return tuple(decode(items[0], value) for value in values)
    if len(items) != len(values):
        raise ValueError(f"expected {len(items)} values, found {len(values)}")
    return tuple(decode(k, value) for k, value in zip(items, values, strict=True))


def _decode_dataclass(cls: type, data: Any) -> Any:
    _expect(dict, data)
    hints = _hints(cls)
    found = {}
    for field in dataclasses.fields(cls):
        if field.name not in data:
            continue
        try:
            found[field.name] = decode(hints[field.name], data[field.name])
        except ValueError as error:
            raise ValueError(f"{field.name}: {error}") from None
    try:
        return cls(**found)
    except TypeError as error:
        raise ValueError(f"{cls.__name__}: {error}") from None


def canonical(value: Any) -> str:
    """One text per value: sorted keys, no spaces. What hashes and checksums are taken of."""
    return json.dumps(encode(value), sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def digest(value: Any, length: int = 16) -> str:
    """The first ``length`` hex digits of the SHA-256 of ``canonical(value)``."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()[:length]
