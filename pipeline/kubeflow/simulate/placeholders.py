"""Placeholders in a container's command, replaced by their values.

Follows `resolveContainerArgs` in backend/src/v2/driver/util.go, then `compileCmdAndArgs` and `getPlaceholders` in
component/launcher_v2.go. A pod that is a process has no `/` of its own, so a placeholder for a path gives the path below
the folder that stands for it. `{{$}}` is what KFP would send, to the letter, for a container that knows of that folder; for one that
does not, such as TFX's own, the files that it is to write are named where they lie here.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from components.errors import EnvironmentProblem
from pipeline.kubeflow import names
from pipeline.kubeflow.places import POD_ROOT
from pipeline.kubeflow.simulate.buckets import in_pod
from pipeline.kubeflow.simulate.values import Json, as_value, to_json, to_text

EXECUTOR_INPUT: Final = "{{$}}"
INPUT_PARAMETER: Final = re.compile(r"\{\{\$\.inputs\.parameters\['(.+?)']}}")
IF_PRESENT: Final = '{"IfPresent":'


def compiled(command: Sequence[str], executor_input: Json, prefix: str) -> list[str]:
    """Return a command with everything filled in; `prefix` is what a path of the pod begins with here.

    Raises:
      EnvironmentProblem: if it names a parameter that is not there, or has an argument on a condition.
    """
    sent = executor_input if _knows_pod_root(command) else _with_files_here(executor_input, prefix)
    replacements = {EXECUTOR_INPUT: to_json(sent), **_placeholders(executor_input, prefix)}
    return [_replaced(_resolved(word, executor_input), replacements) for word in command]


def with_defaults(executor_input: Json, component: Any) -> Json:
    """Return the ExecutorInput with defaults for the optional parameters that got no value."""
    declared = component.get("inputDefinitions", {}).get("parameters", {})
    defaults = {name: as_value(spec["defaultValue"]) for name, spec in declared.items() if "defaultValue" in spec}
    inputs = executor_input["inputs"]
    given = {**defaults, **inputs.get("parameterValues", {})}
    filled = {**inputs, "parameterValues": dict(sorted(given.items()))} if given else inputs
    return {**executor_input, "inputs": filled}


def _knows_pod_root(command: Sequence[str]) -> bool:
    return any(word == names.ENTRYPOINT or POD_ROOT in word for word in command)


def _with_files_here(executor_input: Json, prefix: str) -> Json:
    outputs = executor_input["outputs"]
    parameters = {
        name: {**spec, "outputFile": prefix + spec["outputFile"]}
        for name, spec in outputs.get("parameters", {}).items()
    }
    result = {**outputs, **({"parameters": parameters} if parameters else {})}
    return {**executor_input, "outputs": {**result, "outputFile": prefix + outputs["outputFile"]}}


def _resolved(word: str, executor_input: Json) -> str:
    """Return a word as the driver leaves it: input parameters filled in, unless it names an output as well."""
    if word.strip().startswith(IF_PRESENT):
        raise EnvironmentProblem("an argument on a condition is not imitated", got=word)
    if "$.outputs" in word:
        return word
    given = executor_input["inputs"].get("parameterValues", {})
    for name in INPUT_PARAMETER.findall(word):
        if name not in given:
            raise EnvironmentProblem("the driver would fail", got=f"parameter {name!r} not found in executor input")
    return INPUT_PARAMETER.sub(lambda match: to_text(given[match[1]]), word)


def _replaced(word: str, replacements: dict[str, str]) -> str:
    for placeholder, text in replacements.items():
        word = word.replace(placeholder, text)
    return word


def _placeholders(executor_input: Json, prefix: str) -> dict[str, str]:
    result: dict[str, str] = {}
    for side in ("inputs", "outputs"):
        for name, artifacts in executor_input[side].get("artifacts", {}).items():
            uri = artifacts["artifacts"][0]["uri"]
            result[f"{{{{$.{side}.artifacts['{name}'].uri}}}}"] = uri
            result[f"{{{{$.{side}.artifacts['{name}'].path}}}}"] = prefix + in_pod(uri)
    for name, value in executor_input["inputs"].get("parameterValues", {}).items():
        result[f"{{{{$.inputs.parameters['{name}']}}}}"] = to_text(value)
    for name, spec in executor_input["outputs"].get("parameters", {}).items():
        result[f"{{{{$.outputs.parameters['{name}'].output_file}}}}"] = prefix + spec["outputFile"]
    return result
