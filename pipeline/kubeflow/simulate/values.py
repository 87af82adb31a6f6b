"""Parameters and properties in protobuf's `Value`, in JSON, in text, and in the types that a pipeline declares.

In a `Value` every number is a double: an integer beyond 2**53 is not what it was, and only the declared type tells
3 from 3.0. Follows backend/src/v2/metadata/converter.go and Go's protojson.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any, Final

Json = dict[str, Any]

STRING: Final = "STRING"
STRUCT: Final = "STRUCT"
INTEGER: Final = "NUMBER_INTEGER"

EXPONENT_FROM: Final = 1e21
"""Go writes larger numbers with an exponent, as JavaScript does."""

KINDS: Final[Mapping[str, Callable[[Any], bool]]] = {
    STRING: lambda value: isinstance(value, str),
    INTEGER: lambda value: isinstance(value, float),
    "NUMBER_DOUBLE": lambda value: isinstance(value, float),
    "BOOLEAN": lambda value: isinstance(value, bool),
    "LIST": lambda value: isinstance(value, list),
    STRUCT: lambda value: isinstance(value, dict),
}
"""{parameter type: whether a value is of it}."""


def as_value(value: Any) -> Any:
    """Return JSON as a `Value` holds it: numbers as doubles.

    Raises:
      ValueError: for a number that JSON does not have.
    """
    if isinstance(value, Mapping):
        return {str(key): as_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [as_value(inner) for inner in value]
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value
    if not math.isfinite(value):
        raise ValueError(f"{value} is no number in JSON")
    return float(value)


def to_json(value: Any) -> str:
    """Return what Go's protojson writes: doubles without a fraction look like integers."""
    return json.dumps(_go(value), separators=(",", ":"), ensure_ascii=False)


def to_text(value: Any) -> str:
    """Return a `Value` as the text that stands for it in arguments and in parameters declared as strings."""
    if value is None:
        return ""
    return value if isinstance(value, str) else to_json(value)


def from_text(text: str, kind: str) -> Any:
    """Return the value that an output parameter's file says.

    Raises:
      ValueError: if the text does not say a value of that type.
    """
    if kind == STRING:
        return text
    if kind == INTEGER:
        return float(int(text.strip()))
    if kind not in KINDS:
        raise ValueError(f"unknown type {kind}")
    value = as_value(_parsed(text, kind))
    if not KINDS[kind](value):
        raise ValueError(f"{text.strip()!r} is no {kind}")
    return value


def _parsed(text: str, kind: str) -> Any:
    words = {"1": True, "t": True, "T": True, "TRUE": True, "True": True, "true": True}
    words |= {"0": False, "f": False, "F": False, "FALSE": False, "False": False, "false": False}
    if kind == "BOOLEAN":
        return words.get(text.strip())
    return float(text.strip()) if kind == "NUMBER_DOUBLE" else json.loads(text)


def _go(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _go(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_go(inner) for inner in value]
    if isinstance(value, float) and value.is_integer() and abs(value) < EXPONENT_FROM:
        return int(Decimal(repr(value)))  # the shortest digits that mean this double, as Go finds them
    return value
