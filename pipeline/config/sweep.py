"""Sweeps: values for keys of the recipe, and one request for each combination of them."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from components.errors import BadInput, Problems
from components.untrusted import parse_yaml
from pipeline.config.request import Request, check

MOST: Final = 100
"""Combinations that are tried without being asked for by number: a slip of a bracket should not cost a weekend."""

OUTSIDE: Final = ("name", "version", "data", "gates", "evaluation")
"""Sections that no sweep may vary: all candidates share one root, its data and what is asked of a model."""

OPTIONS: Final = ("seed", "strategy")
"""Keys that a request has fields for, since they are those of both trainings."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Point:
    """One combination.

    Attributes:
      values: {key of the recipe: value}, in the order in which the keys were given.
      request: of the run with these values.
    """

    values: Mapping[str, Any]
    request: Request

    def __str__(self) -> str:
        return " ".join(f"{key}={_text(value)}" for key, value in self.values.items())


def parse(text: str) -> tuple[str, tuple[Any, ...]]:
    """Return the key and the values of a text such as `seed=[0,1,2]`.

    Raises:
      BadInput: if it is none, or the key is none that may vary.
    """
    key, equals, values = text.partition("=")
    wanted = "KEY=[VALUE,...], such as seed=[0,1,2]"
    if not equals or not key:
        raise BadInput("not a sweep", where="--sweep", wanted=wanted, got=text)
    found = parse_yaml(values, where=f"--sweep {key}")
    if not isinstance(found, list) or not found:
        raise BadInput("not a list of values", where=f"--sweep {key}", wanted=wanted, got=values)
    if key.partition(".")[0] in OUTSIDE:
        what = f"candidates differ in how they are trained, not in {key.partition('.')[0]}"
        raise BadInput(what, where=f"--sweep {key}", hint="start a run of its own for it, in another --root")
    if twice := [value for number, value in enumerate(found) if value in found[:number]]:
        raise BadInput("has a value twice", where=f"--sweep {key}", got=_text(twice[0]))
    return key, tuple(found)


def points(request: Request, sweeps: Sequence[str], limit: int = MOST) -> list[Point]:
    """Return the product of all values, the last key varying fastest.

    Args:
      request: what they have in common.
      sweeps: texts as `parse` reads them.
      limit: the most combinations.

    Raises:
      BadInput: for a text that is no sweep, a key that is fixed as well, or too many combinations.
    """
    axes = dict(map(parse, sweeps))
    fixed = {override.partition("=")[0] for override in request.overrides}
    fixed |= {key for key in OPTIONS if getattr(request, key) is not None}
    for key in axes:
        if key in fixed:
            given = f"--{key}" if key in OPTIONS else f"--set {key}"
            raise BadInput("is given one value as well", where=f"--sweep {key}", hint=f"leave out {given}")
    count = math.prod(map(len, axes.values()))
    if count > limit:
        raise BadInput(
            "too many combinations",
            where="--sweep",
            wanted=f"at most {limit}",
            got=count,
            hint=f"--sweep-limit {count}",
        )
    return [_point(request, dict(zip(axes, values, strict=True))) for values in itertools.product(*axes.values())]


def check_points(found: Sequence[Point], force: Sequence[str] = ()) -> None:
    """Refuse whatever is wrong with any of the requests, before the first is run.

    Raises:
      BadInput: naming it all, each fault once.
    """
    problems = Problems()
    for point in found:
        with problems.noted():
            check(point.request, force)
    problems.raise_any()


def _point(request: Request, values: Mapping[str, Any]) -> Point:
    fields = {key: values[key] for key in OPTIONS if key in values}
    # JSON is YAML, and strict validation tells 1 from "1" as it does in a recipe.
    overrides = tuple(f"{key}={json.dumps(value)}" for key, value in values.items() if key not in OPTIONS)
    changed = dataclasses.replace(request, overrides=(*request.overrides, *overrides), **fields)
    return Point(values=values, request=changed)


def _text(value: Any) -> str:
    return json.dumps(value, separators=(",", ":")) if not isinstance(value, str) else value
