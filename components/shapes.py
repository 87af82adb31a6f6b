"""Validation of plain JSON values that somebody else wrote: a checked dataclass or TypedDict, or one error of ours.

The annotation is the shape. Types are exact (`true` is no 1, and "1" no number), whole numbers fit 64 bits, and numbers
are finite. A dataclass allows no other keys than its own; a TypedDict names those that are read, and leaves the rest.
pydantic's core does the work alone: pydantic itself takes longer to import than an audit has.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final, Generic, Literal, TypeVar, Union

from pydantic_core import CoreSchema, SchemaValidator, ValidationError, core_schema
from typing_extensions import NotRequired, Required, is_typeddict

from components.errors import BadInput, MnistTfxError
from components.untrusted import LARGEST_INTEGER
from components.wording import ReadAs, in_one_line, problems

T = TypeVar("T")

_JSON: Final = "json"
"""Refers to the schema of any JSON value, whose numbers are bounded as all others."""

_SCALARS: Final[Mapping[Any, Callable[[], CoreSchema]]] = {
    str: lambda: core_schema.str_schema(strict=True),
    int: lambda: core_schema.int_schema(strict=True, ge=-LARGEST_INTEGER - 1, le=LARGEST_INTEGER),
    float: lambda: core_schema.float_schema(strict=True, allow_inf_nan=False),
    bool: lambda: core_schema.bool_schema(strict=True),
    type(None): core_schema.none_schema,
    None: core_schema.none_schema,
    Any: lambda: core_schema.definition_reference_schema(_JSON),
}


class Shape(Generic[T]):
    """A shape, made into a check when it is first asked for.

    Attributes:
      form: the annotation.
    """

    def __init__(self, form: type[T]) -> None:
        self.form = form

    def read(self, values: Any, *, what: str, where: object, error: type[MnistTfxError] = BadInput) -> T:
        """Return `values` as a value of the shape.

        Args:
          values: as a parser gives them.
          what: what is said where they are something else, such as `not a row proof`.
          where: the file.
          error: class of the error that is raised.

        Raises:
          MnistTfxError: of class `error`, naming what is wrong key by key, or as a dataclass's own check raises it.
        """
        try:
            found: T = self._validator.validate_python(values)
        except ValidationError as err:
            told = in_one_line(problems(self.form, values, err.errors(include_url=False)))
            raise error(what, where=where, got=told) from err
        return found

    @functools.cached_property
    def _validator(self) -> SchemaValidator:
        return SchemaValidator(core_schema.definitions_schema(_schema(self.form), [_json()]))


def _schema(form: Any) -> CoreSchema:
    if form in _SCALARS:
        return _SCALARS[form]()
    if dataclasses.is_dataclass(form):
        return _dataclass(form)
    if is_typeddict(form):
        return _typed_dict(form)
    origin = typing.get_origin(form)
    if origin in _GENERIC:
        return _GENERIC[origin](typing.get_args(form))
    raise TypeError(f"no shape for {form}")


def _json() -> CoreSchema:
    scalars = [_SCALARS[form]() for form in (str, int, bool, None)]
    # A float alone also takes whole numbers, of any size.
    scalars.append(core_schema.chain_schema([core_schema.is_instance_schema(float), _SCALARS[float]()]))
    value = core_schema.definition_reference_schema(_JSON)
    nested = [
        core_schema.list_schema(value, strict=True),
        core_schema.dict_schema(_SCALARS[str](), value, strict=True),
        core_schema.tuple_variable_schema(value, strict=True),  # of a record that was not read but made
    ]
    return core_schema.union_schema([*scalars, *nested], mode="left_to_right", ref=_JSON)


def _annotated(arguments: tuple[Any, ...]) -> CoreSchema:
    return _schema(next((one.form for one in arguments[1:] if isinstance(one, ReadAs)), arguments[0]))


def _union(arguments: tuple[Any, ...]) -> CoreSchema:
    return core_schema.union_schema([_schema(member) for member in arguments])


def _mapping(arguments: tuple[Any, ...]) -> CoreSchema:
    return core_schema.dict_schema(_schema(arguments[0]), _schema(arguments[1]), strict=True)


def _list(arguments: tuple[Any, ...]) -> CoreSchema:
    return core_schema.list_schema(_schema(arguments[0]), strict=True)


def _tuple(arguments: tuple[Any, ...]) -> CoreSchema:
    if arguments[1:] != (Ellipsis,):
        raise TypeError("no shape for a tuple of a certain length")
    return core_schema.tuple_variable_schema(_schema(arguments[0]))  # not strict: JSON has lists


_GENERIC: Final[Mapping[Any, Callable[[tuple[Any, ...]], CoreSchema]]] = {
    Annotated: _annotated,
    Required: _annotated,
    NotRequired: _annotated,
    Union: _union,
    types.UnionType: _union,
    dict: _mapping,
    Mapping: _mapping,
    list: _list,
    tuple: _tuple,
    Literal: lambda arguments: core_schema.literal_schema(list(arguments)),
}


def _dataclass(form: Any) -> CoreSchema:
    hints = typing.get_type_hints(form, include_extras=True)
    fields = [field for field in dataclasses.fields(form) if field.init]
    arguments = [
        core_schema.dataclass_field(field.name, _with_default(field, hints[field.name]), kw_only=True)
        for field in fields
    ]
    return core_schema.dataclass_schema(
        form,
        core_schema.dataclass_args_schema(form.__name__, arguments, extra_behavior="forbid"),
        [field.name for field in fields],
        post_init=hasattr(form, "__post_init__"),
    )


def _with_default(field: dataclasses.Field[Any], form: Any) -> CoreSchema:
    schema = _schema(form)
    if field.default is not dataclasses.MISSING:
        return core_schema.with_default_schema(schema, default=field.default)
    if field.default_factory is not dataclasses.MISSING:
        return core_schema.with_default_schema(schema, default_factory=field.default_factory)
    return schema


def _typed_dict(form: Any) -> CoreSchema:
    hints = typing.get_type_hints(form, include_extras=True)
    # Annotations are texts where a module says so, and then `__required_keys__` does not see what is `NotRequired`.
    required = {name for name in form.__required_keys__ if typing.get_origin(hints[name]) is not NotRequired}
    fields = {
        name: core_schema.typed_dict_field(_schema(hint), required=name in required) for name, hint in hints.items()
    }
    others = core_schema.definition_reference_schema(_JSON)
    return core_schema.typed_dict_schema(fields, strict=True, extra_behavior="allow", extras_schema=others)
