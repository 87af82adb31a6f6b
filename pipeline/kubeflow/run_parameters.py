"""Runtime parameters of a run: `NAME=VALUE` of the command line, each read as the type that the file declares."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from components.errors import BadInput
from components.suggestions import closest, did_you_mean
from components.untrusted import parse_json
from pipeline.kubeflow import names
from pipeline.kubeflow.document import Document

RUN_MACROS: Final = ("RunUUID", "CurrentTime")
"""What the server fills in for any run, as `[[RunUUID]]`, or `[[CurrentTime.FORMAT]]` with Go's layout of a time."""

SCHEDULE_MACROS: Final = (*RUN_MACROS, "ScheduledTime", "Index")
"""What it fills in for the runs of a schedule."""

_MACRO = re.compile(r"\[\[(.*?)\]\]")


def values(document: Document, given: Iterable[str], macros: tuple[str, ...]) -> dict[str, Any]:
    """Return {parameter: value} of those that are given.

    Args:
      document: the compiled pipeline.
      given: `NAME=VALUE` each.
      macros: the names that may stand in `[[...]]`; empty where no server fills them in.

    Raises:
      BadInput: if one is unknown, given twice or of another type, or if one without a default is missing.
    """
    result: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals:
            raise BadInput("no parameter", where="--param", wanted="NAME=VALUE", got=text)
        if name in result:
            raise BadInput("given twice", where=f"--param {name}")
        result[name] = _typed(name, value, _declared(document, name), macros)
    if names.SOURCE in result:
        _check_source(document, result[names.SOURCE])
    if missing := sorted(set(document.parameters) - set(document.values) - set(result)):
        raise BadInput(
            "without a value", where=document.name, wanted=", ".join(f"--param {name}=..." for name in missing)
        )
    return result


def _check_source(document: Document, source: str) -> None:
    """Raise BadInput unless the launcher of the compiled file would fetch data from there."""
    where, hint = f"--param {names.SOURCE}", "compile the file again with --data"
    task = document.tasks.get(names.DATA_IMPORTER)
    if ("://" in source) != (task is not None):
        wanted = "a path in the pod" if task is None else "a bucket's URI"
        raise BadInput(
            "another kind of source than the file is compiled for", where=where, wanted=wanted, got=source, hint=hint
        )
    folder = "" if task is None or task.importer is None else task.importer.get("artifactUri", {}).get("constant", "")
    if not source.startswith(folder):
        raise BadInput("the file is compiled for one folder", where=where, wanted=f"{folder}...", got=source, hint=hint)


def _declared(document: Document, name: str) -> str:
    if name not in document.parameters:
        choices = ", ".join(sorted(document.parameters)) or "no parameter at all"
        hint = did_you_mean(closest(name, document.parameters))
        raise BadInput("unknown parameter", where=document.name, wanted=f"one of {choices}", got=name, hint=hint)
    return str(document.parameters[name].get("parameterType", "STRING"))


def _typed(name: str, text: str, kind: str, macros: tuple[str, ...]) -> Any:
    if kind == "STRING":
        return _with_macros(name, text, macros)
    read, wanted = _TYPES.get(kind, (_any, "a JSON value"))
    try:
        return read(text)
    except ValueError as err:
        raise BadInput("not of its type", where=f"--param {name}", wanted=wanted, got=text) from err


def _with_macros(name: str, text: str, macros: tuple[str, ...]) -> str:
    for macro in _MACRO.findall(text):
        is_known = macro.partition(".")[0] in SCHEDULE_MACROS
        parts: dict[str, Any] = {"where": f"--param {name}", "got": f"[[{macro}]]"}
        if is_known and not macros:
            raise BadInput("a server fills it in, a simulation does not", **parts)
        if macros and macro.partition(".")[0] not in macros:
            parts["wanted"] = ", ".join(f"[[{one}]]" for one in macros)
            hint = "a schedule fills it in, a single run does not" if is_known else None
            raise BadInput("nothing that the server fills in", hint=hint, **parts)
    return text


def _boolean(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()] if text.lower() in {"true", "false"} else _no(text)


def _any(text: str) -> Any:
    try:
        return parse_json(text, where="--param")
    except BadInput as err:
        raise ValueError(err.got) from err


def _json_of(kind: type) -> Callable[[str], Any]:
    def read(text: str) -> Any:
        value = _any(text)
        return value if isinstance(value, kind) else _no(text)

    return read


def _no(text: str) -> Any:
    raise ValueError(text)


_TYPES: Final[Mapping[str, tuple[Callable[[str], Any], str]]] = {
    "NUMBER_INTEGER": (int, "a whole number"),
    "NUMBER_DOUBLE": (float, "a number"),
    "BOOLEAN": (_boolean, "true or false"),
    "LIST": (_json_of(list), "a JSON array"),
    "STRUCT": (_json_of(dict), "a JSON object"),
}
