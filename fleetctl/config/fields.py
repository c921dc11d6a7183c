"""Types of a play's fields: what may be written for each, for people and as JSON Schema."""

from __future__ import annotations

from typing import Annotated, Any, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema

from fleetctl.config import reading, sources, units


def _schema(**schema: Any) -> WithJsonSchema:
    return WithJsonSchema(schema)


_TEXTS = {"type": "array", "items": {"type": "string"}}
_LINE_OR_LIST = _schema(type=["array", "string"], items={"type": "string"})
_MAP = {"type": "object", "additionalProperties": {"type": ["string", "number"]}}

Text: TypeAlias = Annotated[str, BeforeValidator(reading.text)]
Truth: TypeAlias = Annotated[bool, BeforeValidator(reading.truth), _schema(type="boolean")]
Cpus: TypeAlias = Annotated[float, BeforeValidator(reading.cpus), _schema(type="number", minimum=0)]
Seconds: TypeAlias = Annotated[
    float,
    BeforeValidator(reading.with_unit(units.duration, "a duration", "500ms, 5s, 2m")),
    _schema(type="string", examples=["500ms", "5s", "2m"]),
]
Bytes: TypeAlias = Annotated[
    int,
    BeforeValidator(reading.with_unit(units.size, "a size", "256M, 1G")),
    _schema(type="string", examples=["256M", "1G"]),
]
Share: TypeAlias = Annotated[
    str, BeforeValidator(reading.share), _schema(type=["integer", "string"], examples=[1, "25%"])
]
Batches: TypeAlias = Annotated[
    list[str],
    BeforeValidator(reading.one_or_more(reading.batch)),
    _schema(
        type=["integer", "string", "array"],
        items={"type": ["integer", "string"]},
        examples=[[1, "30%", "100%"]],
    ),
]
Words: TypeAlias = Annotated[
    list[str],
    BeforeValidator(reading.words),
    _LINE_OR_LIST,
]
Test: TypeAlias = Annotated[
    list[str],
    BeforeValidator(reading.test_command),
    _LINE_OR_LIST,
]
Texts: TypeAlias = Annotated[
    list[str],
    BeforeValidator(reading.one_or_more(reading.text)),
    _LINE_OR_LIST,
]
Settings: TypeAlias = Annotated[
    dict[str, str], BeforeValidator(reading.pairs()), _schema(anyOf=[_MAP, _TEXTS])
]
Addresses: TypeAlias = Annotated[
    dict[str, str], BeforeValidator(reading.pairs("=:")), _schema(anyOf=[_MAP, _TEXTS])
]
Networks: TypeAlias = Annotated[
    list[str],
    BeforeValidator(reading.one_or_more(reading.network)),
    _schema(
        type=["array", "string"], items={"type": "string"}, examples=[["10.0.0.0/8", "2001:db8::1"]]
    ),
]
Sticky: TypeAlias = Annotated[
    str,
    BeforeValidator(reading.sticky),
    _schema(type=["boolean", "string"], description="true, or the name of a cookie"),
]


def source_of(*, key: bool = False) -> Any:
    """The annotation of a place where a secret value is; ``key``: of a certificate."""
    return Annotated[
        sources.WrittenSource,
        BeforeValidator(sources.source(key=key)),
        WithJsonSchema(_source_schema(key)),
    ]


def _source_schema(key: bool) -> dict[str, Any]:
    texts = {name: {"type": "string"} for name in sources.KINDS if name != "command"}
    found: dict[str, Any] = {**texts, "command": _TEXTS}
    if key:
        found["key"] = _source_schema(False)
    kinds = [{"required": [name]} for name in sources.KINDS]
    mapping = {"type": "object", "properties": found, "additionalProperties": False, "oneOf": kinds}
    return {"anyOf": [{"type": "string", "description": "a path in the project"}, mapping]}


def whole_number(low: int, high: int) -> Any:
    """The annotation of a whole number between ``low`` and ``high``."""
    schema = _schema(type="integer", minimum=low, maximum=high)
    return Annotated[int, BeforeValidator(reading.whole(low, high)), schema]


def text_like(pattern: str, what: str, hint: str = "") -> Any:
    """The annotation of text that has to match ``pattern``; ``what`` names it."""
    schema = _schema(type="string", description=what)
    return Annotated[str, BeforeValidator(reading.matching(pattern, what, hint)), schema]


def choice(*choices: str, later: tuple[str, ...] = ()) -> Any:
    """The annotation of one word of ``choices``; ``later`` are of a version to come."""
    schema = _schema(enum=list(choices))
    return Annotated[str, BeforeValidator(reading.one_of(*choices, later=later)), schema]
