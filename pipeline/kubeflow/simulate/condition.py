"""Trigger condition of a task, evaluated on its input parameters.

KFP evaluates CEL (backend/src/v2/expression/expression.go). Here its smallest part is understood: comparisons of an
input parameter with a literal, joined by `&&`.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Final

from components.errors import BadInput

COMPARISON: Final = re.compile(
    r"\s*inputs\.parameter_values\[(?P<quote>['\"])(?P<name>[^'\"]+)(?P=quote)\]\s*(?P<operator>==|!=)\s*"
    r"(?P<literal>'[^'\\]*'|\"[^\"\\]*\"|-?\d+(?:\.\d+)?|true|false)\s*"
)
AND: Final = "&&"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """One comparison.

    Attributes:
      parameter: name of the input parameter.
      equal: whether it has to be equal, or has to differ.
      literal: what it is compared with.
    """

    parameter: str
    equal: bool
    literal: str | float | bool

    def holds(self, parameters: Mapping[str, Any]) -> bool:
        """Whether it holds; in CEL values of different types are never equal.

        Raises:
          KeyError: if there is no such parameter.
        """
        value = parameters[self.parameter]
        return (type(value) is type(self.literal) and value == self.literal) == self.equal


def parse(text: str) -> tuple[Comparison, ...]:
    """Read a condition.

    Raises:
      BadInput: if it is more than what is understood here.
    """
    result: list[Comparison] = []
    rest = text
    while (match := COMPARISON.match(rest)) is not None:
        result.append(
            Comparison(parameter=match["name"], equal=match["operator"] == "==", literal=_literal(match["literal"]))
        )
        rest = rest[match.end() :]
        if not rest:
            return tuple(result)
        if not rest.startswith(AND):
            break
        rest = rest.removeprefix(AND)
    raise BadInput(
        "a condition that is not understood",
        wanted="inputs.parameter_values['NAME'] == 'VALUE', or !=, joined by &&",
        got=text,
    )


def holds(text: str, parameters: Mapping[str, Any]) -> bool:
    """Whether a condition holds.

    Raises:
      BadInput: if it is not understood.
      KeyError: if a parameter of it is not there.
    """
    return all(comparison.holds(parameters) for comparison in parse(text))


def _literal(text: str) -> str | float | bool:
    if text in ("true", "false"):
        return text == "true"
    return text[1:-1] if text[0] in "'\"" else float(text)
