"""Settings in recorded execution properties: as sections of the recipe, and by dotted keys.

A stage gets its section as JSON text, a TFX component carries it as JSON text inside the JSON text `custom_config`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from typing_extensions import TypedDict

from components.errors import BadInput, EnvironmentProblem
from components.shapes import Shape
from components.untrusted import parse_json
from pipeline.provenance.artifacts import checked_path
from pipeline.provenance.records import ExecutionRecord, Scalar, has_autoencoder
from pipeline.stages import SECTIONS


class Part(TypedDict):
    """Files that belong together: of which part of the data, and their paths below the root."""

    split: str
    files: list[str]


class _Parts(TypedDict):
    parts: list[Part]


_PARTS: Final = Shape(_Parts)

DATA: Final = "data"
_SETTINGS, _CUSTOM = "settings", "custom_config"
_CODE_DIGEST: Final = "code_digest"
"""As in `components.declaration`, which imports TFX; the files behind it are in the record themselves."""


def unpack(record: ExecutionRecord) -> dict[str, Any]:
    """Return a node's properties, JSON texts as values, what `custom_config` holds beside the others, no code digest."""
    return unpack_parameters(record.parameters)


def unpack_parameters(given: Mapping[str, Scalar]) -> dict[str, Any]:
    """Return properties as `unpack` does, of an execution that has no record yet."""
    properties = {name: _value(text) for name, text in given.items()}
    custom = properties.pop(_CUSTOM, None)
    if isinstance(custom, dict):
        properties |= {name: _value(text) for name, text in custom.items()}
    properties.pop(_CODE_DIGEST, None)
    return properties


def recipe_of(executions: Mapping[str, ExecutionRecord]) -> dict[str, Any]:
    """Return the recipe that nodes were given, as a recipe file holds it; a section that no node carries is left out.

    Behind a Classifier there either is an Autoencoder, or the recipe says that there is none.
    It comes from execution properties, which the hash of a record covers and an unfinished run has as well.
    """
    names = {record.pipeline for record in executions.values()}
    sections = {
        SECTIONS[node]: unpack(record)[_SETTINGS]
        for node, record in executions.items()
        if node in SECTIONS and _SETTINGS in unpack(record)
    }
    without = {"autoencoder": None} if has_autoencoder(executions) is False else {}
    return {"version": 1, "name": min(names), **without, **sections}


def flatten(record: ExecutionRecord) -> dict[str, Any]:
    """Return {key: value}: settings by their name in the recipe, such as `classifier.seed`, others by node."""
    result: dict[str, Any] = {}
    for name, value in unpack(record).items():
        section = {DATA: DATA, _SETTINGS: SECTIONS.get(record.node, record.node)}.get(name)
        result |= dict(_flat(section or f"{record.node}.{name}", value))
    return result


def parts(text: object, *, where: object) -> list[Part]:
    """Return the parts of a data set, as ExampleGen's property `source` tells them.

    Raises:
      EnvironmentProblem: if the text tells none, or a file that lies outside the root.
    """
    what = "not the parts of a data set"
    value = parse_json(str(text), where=where, error=EnvironmentProblem)
    all_parts = _PARTS.read({"parts": value}, what=what, where=where, error=EnvironmentProblem)["parts"]
    for part in all_parts:
        if not part["files"]:
            raise EnvironmentProblem(what, where=where, wanted="files in each part", got="none")
    try:
        for file in (file for part in all_parts for file in part["files"]):
            checked_path(file)
    except BadInput as err:
        raise EnvironmentProblem(what, where=where, wanted="paths below the root", got=err.got) from err
    return all_parts


def flatten_keys(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested mappings as one, keys joined by dots; lists stay whole."""
    return {key: value for name, inner in values.items() for key, value in _flat(name, inner)}


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _flat(f"{key}.{name}", inner)
    else:
        yield key, value


def _value(text: Any) -> Any:
    """Return what a JSON object or list holds; any other text stays text, even where it would be a JSON number."""
    if not isinstance(text, str) or not text.lstrip().startswith(("{", "[")):
        return text
    try:
        return parse_json(text, where=_SETTINGS)
    except BadInput:
        return text
