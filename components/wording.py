"""Faults that a validator found in what somebody wrote, in the product's words: key, wanted, got, and what was meant.

A form is an annotation: a pydantic model, a dataclass, a TypedDict or what they are made of. The validator's own message
is never shown: what would have been right is read off the form, so that every field of every file is described alike.
"""

from __future__ import annotations

import dataclasses
import json
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, TypeVar, Union

from pydantic_core import ValidationError
from typing_extensions import NotRequired, Required, is_typeddict

from components.errors import BadInput, EnvironmentProblem, MnistTfxError, SeveralProblems, shortened
from components.suggestions import closest, did_you_mean

M = TypeVar("M")

MOST_PROBLEMS: Final = 10
"""Lines of one message; whoever has more to mend begins with these."""

LONGEST_VALUE: Final = 120
"""Characters of a value that was wrong."""

_UNKNOWN: Final = ("extra_forbidden", "unexpected_keyword_argument")
_MISSING: Final = ("missing", "missing_argument", "missing_keyword_only_argument")
_SCALARS: Final[Mapping[Any, str]] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    bytes: "bytes",
    type(None): "null",
    Any: "any value",
}


class Wanted(ValueError):
    """Raised by a check of one value; its message says in words what would have been right."""


@dataclasses.dataclass(frozen=True)
class ReadAs:
    """In an `Annotated`: the closer form that a value must have in a file, whatever the code calls it.

    Attributes:
      form: the annotation.
    """

    form: Any


@dataclasses.dataclass(frozen=True)
class _Place:
    """A place in the values, and what was to stand there.

    Attributes:
      key: such as `classifier.convolutions[1].kernel`.
      form: the annotation there; None where no such key is known.
      value: what stands there; `_NOTHING` if nothing does.
      section: the form that the key stands in.
    """

    key: str
    form: Any
    value: Any
    section: Any


_NOTHING: Final = object()


def problems(
    form: Any, values: Any, errors: Iterable[Mapping[str, Any]], *, where: object = None, beside: Sequence[str] = ()
) -> list[BadInput]:
    """Return what is wrong, a problem to a key, in the order of the form.

    Args:
      form: what the values were to be.
      values: as they were written.
      errors: `ValidationError.errors()` of pydantic or of its core.
      where: the file.
      beside: keys of the whole that are read elsewhere.
    """
    found: dict[str, BadInput] = {}
    implied: dict[str, BadInput] = {}
    for error in errors:
        place = _find(form, values, error["loc"], unknown=error["type"] in _UNKNOWN)
        if isinstance(place.value, Mapping) and _is_scalar_or_section(place) and "ctx" not in error:
            continue  # what is wrong inside the section is an error of its own
        # A value that was spread over several sections is wrong where it was written.
        written = place.value is not _NOTHING or error["type"] in _MISSING
        (found if written else implied).setdefault(place.key, _problem(place, error, beside))
    told = list((found or implied).values())
    for problem in told:
        problem.where = where
    return told


def refusal(
    form: Any, values: Any, errors: Iterable[Mapping[str, Any]], *, where: object, beside: Sequence[str] = ()
) -> BadInput:
    """Return the error that names all problems, of at most `MOST_PROBLEMS` lines.

    Args:
      form: what the values were to be.
      values: as they were written.
      errors: as for `problems`.
      where: the file, for each line.
      beside: as for `problems`.
    """
    return joined(problems(form, values, errors, where=where, beside=beside), where=where)


def validated(form: type[M], values: Any, *, where: object) -> M:
    """Return recorded settings as a pydantic model of this release.

    Args:
      form: the model.
      values: as they were recorded.
      where: they stand.

    Raises:
      EnvironmentProblem: naming what this release does not know.
    """
    try:
        found: M = form.model_validate(values)  # type: ignore[attr-defined]  # a BaseModel, which is not imported here
    except ValidationError as err:
        told = in_one_line(problems(form, values, err.errors()))
        raise EnvironmentProblem("settings of another release", where=where, got=told) from err
    return found


def joined(found: Sequence[BadInput], *, where: object) -> BadInput:
    """Return one error for several problems, of at most `MOST_PROBLEMS` lines."""
    if len(found) == 1:
        return found[0]
    left = len(found) - MOST_PROBLEMS
    more = [BadInput(f"and {left} more", where=where)] if left > 0 else []
    return SeveralProblems([*found[:MOST_PROBLEMS], *more])


def in_one_line(found: Sequence[MnistTfxError]) -> str:
    """Return several problems as one line, for an error of another class."""
    return "; ".join(str(problem) for problem in found[:MOST_PROBLEMS])


def described(form: Any) -> str:
    """Return in words what a form takes, such as `a whole number from 1 to 255, or null`."""
    if told := _description(form):
        return f"{told}, {described(typing.get_args(form)[0])}" if _is_list(_bare(form)) else told
    if typing.get_origin(form) is Annotated:
        return _bounded(described(_bare(form)), list(_constraints(typing.get_args(form)[1:])))
    if (members := _members(form)) != [form]:
        # A word first: it is what most people write where a section may stand as well.
        wanted = [
            described(one) for one in sorted(members, key=lambda one: bool(_fields(one))) if one is not type(None)
        ]
        return " or ".join(wanted) + (", or null" if len(wanted) < len(members) else "")
    return _described_plain(form)


def as_written(value: Any) -> str:
    """Return a value as a file has it, cut to a readable length."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return shortened(repr(list(value) if isinstance(value, tuple) else value), LONGEST_VALUE)


def keys(form: Any) -> list[str]:
    """Return the keys that a section may have, sorted."""
    return sorted({name for member in _members(_bare(form)) for name in _fields(member)})


def _problem(place: _Place, error: Mapping[str, Any], beside: Sequence[str]) -> BadInput:
    if error["type"] in _UNKNOWN:
        known = keys(place.section)
        known = known if "." in place.key else sorted([*known, *beside])
        name = place.key.rpartition(".")[2]
        return BadInput(
            f"unknown key {place.key}", wanted=f"one of {', '.join(known)}", hint=did_you_mean(closest(name, known))
        )
    wanted = described(place.form)
    if error["type"] in _MISSING:
        return BadInput(f"{place.key} is missing", wanted=wanted)
    told = error.get("ctx", {}).get("error")
    if isinstance(told, Wanted):
        wanted = str(told)
    elif told is not None:  # a rule between several keys, which says it all
        return BadInput(f"{place.key}: {told}" if place.key else str(told))
    hint = did_you_mean(closest(place.value, _choices(place.form))) if isinstance(place.value, str) else None
    return BadInput(place.key or "the whole", wanted=wanted, got=as_written(place.value), hint=hint)


def _is_scalar_or_section(place: _Place) -> bool:
    """Return whether a mapping may stand at a place that something else may stand at as well."""
    members = _members(_bare(place.form))
    return len([member for member in members if member is not type(None)]) > 1 and any(map(_fields, members))


def _find(form: Any, values: Any, steps: Sequence[str | int], *, unknown: bool) -> _Place:
    """Return the place of an error; steps that only say which member of a union was tried lead nowhere."""
    place = _Place("", form, values, form)
    for number, step in enumerate(steps):
        following = _step(place, step)
        if following is None and unknown and number == len(steps) - 1:
            return _Place(_joined(place.key, str(step)), None, _item(place.value, step), place.form)
        place = following or place
    return place


def _step(place: _Place, step: str | int) -> _Place | None:
    for member in _members(_bare(place.form)):
        inner = _fields(member).get(str(step), _NOTHING)
        if inner is _NOTHING and isinstance(step, int) and _is_list(member):
            inner = _element(member, step)
            # A list of plain values is described, and shown, as a whole.
            if not any(_fields(one) for one in _members(_bare(inner))):
                return None
        elif inner is _NOTHING and _is_mapping(member) and isinstance(place.value, Mapping) and step in place.value:
            inner = (*typing.get_args(member), Any, Any)[1]
        elif inner is _NOTHING and is_typeddict(member) and isinstance(place.value, Mapping) and step in place.value:
            inner = Any  # a key that goes along unread
        if inner is not _NOTHING:
            return _Place(_joined(place.key, step), inner, _item(place.value, step), place.form)
    return None


def _item(value: Any, step: str | int) -> Any:
    if isinstance(value, Mapping):
        return value.get(step, _NOTHING)
    if isinstance(value, list | tuple) and isinstance(step, int) and step < len(value):
        return value[step]
    return _NOTHING


def _joined(key: str, step: str | int) -> str:
    if isinstance(step, int):
        return f"{key}[{step}]"
    return f"{key}.{step}" if key else step


def _fields(form: Any) -> dict[str, Any]:
    """Return {key: form} of a section, and nothing of anything else."""
    if hasattr(form, "model_fields"):
        return {field.alias or name: Annotated[field.annotation, field] for name, field in form.model_fields.items()}
    if dataclasses.is_dataclass(form) or is_typeddict(form):
        hints = typing.get_type_hints(form, include_extras=True)
        named = {field.name for field in dataclasses.fields(form)} if dataclasses.is_dataclass(form) else set(hints)
        return {name: hint for name, hint in hints.items() if name in named}
    return {}


def _members(form: Any) -> list[Any]:
    """Return the members of a union, those of unions in it among them; of anything else itself."""
    if typing.get_origin(form) in (Required, NotRequired):
        return _members(typing.get_args(form)[0])
    if typing.get_origin(form) in (Union, types.UnionType):
        return [inner for member in typing.get_args(form) for inner in _members(member)]
    return [form]


def _bare(form: Any) -> Any:
    """Return a form without what `Annotated` says of it."""
    while typing.get_origin(form) in (Annotated, Required, NotRequired):
        form, *metadata = typing.get_args(form)
        form = next((one.form for one in metadata if isinstance(one, ReadAs)), form)
    return form


def _is_list(form: Any) -> bool:
    return typing.get_origin(form) in (tuple, list, Sequence)


def _is_mapping(form: Any) -> bool:
    return typing.get_origin(form) in (dict, Mapping)


def _element(form: Any, place: int) -> Any:
    arguments = [argument for argument in typing.get_args(form) if argument is not Ellipsis] or [Any]
    return arguments[min(place, len(arguments) - 1)]


def _description(form: Any) -> str | None:
    if typing.get_origin(form) is not Annotated:
        return None
    told = (getattr(one, "description", None) for one in _constraints(typing.get_args(form)[1:]))
    return next((text for text in told if isinstance(text, str)), None)


def _constraints(metadata: Iterable[Any]) -> Iterator[Any]:
    for one in metadata:
        yield one
        yield from _constraints(getattr(one, "metadata", ()))


def _bounded(text: str, constraints: Sequence[Any]) -> str:
    bounds = {
        name: value
        for name in ("ge", "gt", "le", "lt")
        for one in constraints
        if (value := getattr(one, name, None)) is not None
    }
    pattern = next((one.pattern for one in constraints if getattr(one, "pattern", None)), None)
    if pattern is not None:
        return f"{text} that matches {pattern}"
    low = (
        f"from {_number(bounds['ge'])}"
        if "ge" in bounds
        else f"above {_number(bounds['gt'])}"
        if "gt" in bounds
        else ""
    )
    high = (
        f"to {_number(bounds['le'])}" if "le" in bounds else f"below {_number(bounds['lt'])}" if "lt" in bounds else ""
    )
    if low and high:
        return f"{text} {low} {high if 'ge' in bounds and 'le' in bounds else f'and {high}'}".replace("and to", "to")
    if "ge" in bounds:
        return f"{text} of at least {_number(bounds['ge'])}"
    return " ".join(filter(None, (text, low or high)))


def _number(value: float) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _described_plain(form: Any) -> str:
    origin, arguments = typing.get_origin(form), typing.get_args(form)
    if origin is Literal:
        return " or ".join(filter(None, (", ".join(map(_choice, arguments[:-1])), _choice(arguments[-1]))))
    if _is_list(form):
        if Ellipsis in arguments or origin is not tuple:
            return f"a list, each of it {described(_element(form, 0))}"
        return f"a list of {len(arguments)}, each {described(arguments[0])}"
    if _is_mapping(form):
        return f"a mapping, each value {described(arguments[1])}"
    if names := list(_fields(form)):
        return f"a mapping with {', '.join(names)}"
    return _SCALARS.get(form, "a mapping" if form in (dict, Mapping) else "another value")


def _choice(value: Any) -> str:
    return '""' if value == "" else str(value)


def _choices(form: Any) -> list[str]:
    members = _members(_bare(form))
    literal = [member for member in members if typing.get_origin(member) is Literal]
    literal += [inner for member in members if _is_list(member) for inner in [_element(member, 0)]]
    return [str(value) for member in literal for value in typing.get_args(member)]
