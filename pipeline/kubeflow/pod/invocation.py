"""KFP's ExecutorInput as a launcher really sends it, typed; and the ExecutorOutput.

The messages are those of pipeline_spec.proto as JSON. Open-source KFP sends input artifacts with an empty
`instanceSchema`, names that are numbers, integers as doubles, and a list or struct wrapped in a struct of one field
(backend/src/v2/metadata/converter.go of kubeflow/pipelines). The component's own input definitions say what was meant.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, Final

from components.errors import BadInput
from components.untrusted import parse_object, parse_yaml
from pipeline.kubeflow.names import output_in_pod
from pipeline.provenance.records import Scalar

WRAPPERS: Final = ("struct", "list")
INTEGER: Final = "NUMBER_INTEGER"

EXECUTOR_LOGS: Final = "executor-logs"
"""Output that KFP's driver adds to every task since 2.5.0: the launcher writes it, and no component declares it."""

Json = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Artifact:
    """One artifact of an invocation.

    Attributes:
      name: what the metadata store calls it; a number on open-source KFP.
      uri: where it lies, or is to be written.
      schema: its `instanceSchema`, YAML with TFX's title and properties; empty for an artifact of no TFX type.
      metadata: its properties.
    """

    name: str
    uri: str
    schema: str
    metadata: Json

    @property
    def type_name(self) -> str:
        """TFX's type name, such as `Examples`."""
        schema = parse_yaml(self.schema, where=f"{self.name}: instanceSchema") if self.schema else None
        title = schema.get("title", "") if isinstance(schema, dict) else ""
        return str(title).removeprefix("tfx.")

    def to_json(self, uri: str) -> Json:
        """Return it as a RuntimeArtifact that lies elsewhere."""
        return {"name": self.name, "uri": uri, "type": {"instanceSchema": self.schema}, "metadata": self.metadata}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Invocation:
    """What one task is given.

    Attributes:
      parameters: execution properties and whatever else the compiled file gives the task.
      inputs: {channel: artifact}.
      outputs: {channel: artifact to be written}.
      output_parameters: {name: file that takes its value}.
      output_file: the file that takes the ExecutorOutput.
    """

    parameters: Mapping[str, Scalar]
    inputs: Mapping[str, Artifact]
    outputs: Mapping[str, Artifact]
    output_parameters: Mapping[str, str]
    output_file: str


def parse(text: str, inputs_spec: Json) -> Invocation:
    """Read an ExecutorInput.

    Args:
      text: its JSON.
      inputs_spec: the component's ComponentInputsSpec.

    Raises:
      BadInput: if it is none.
    """
    try:
        fields = parse_object(text, where="--json_serialized_invocation_args")
        inputs, outputs = fields.get("inputs", {}), fields["outputs"]
        return Invocation(
            parameters=_parameters(inputs.get("parameterValues", {}), inputs_spec.get("parameters", {})),
            inputs=_artifacts(inputs.get("artifacts", {}), inputs_spec.get("artifacts", {})),
            outputs=_artifacts(
                {output_in_pod(name): it for name, it in outputs.get("artifacts", {}).items() if name != EXECUTOR_LOGS},
                {},
            ),
            output_parameters={name: it["outputFile"] for name, it in outputs.get("parameters", {}).items()},
            output_file=outputs["outputFile"],
        )
    except (BadInput, ValueError, KeyError, TypeError, AttributeError, IndexError) as err:
        got = f"{err.what}: {err.got}" if isinstance(err, BadInput) else f"{type(err).__name__}: {err}"
        raise BadInput("not an ExecutorInput", where="--json_serialized_invocation_args", got=got) from err


def unwrapped(value: Any) -> Any:
    """Return a property as it was before KFP wrapped it; whole numbers as integers, which JSON numbers are not."""
    if isinstance(value, dict) and len(value) == 1 and next(iter(value)) in WRAPPERS:
        return unwrapped(next(iter(value.values())))
    if isinstance(value, dict):
        return {name: unwrapped(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [unwrapped(inner) for inner in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _parameters(values: Mapping[str, Any], definitions: Mapping[str, Json]) -> dict[str, Scalar]:
    whole = {name for name, definition in definitions.items() if definition.get("parameterType") == INTEGER}
    return {name: int(value) if name in whole else value for name, value in values.items()}


def _artifacts(channels: Mapping[str, Json], definitions: Mapping[str, Json]) -> dict[str, Artifact]:
    return {
        channel: _artifact(entry["artifacts"][0], definitions.get(channel, {}).get("artifactType", {}))
        for channel, entry in channels.items()
        if entry.get("artifacts")
    }


def _artifact(fields: Json, declared: Json) -> Artifact:
    schema = fields.get("type", {})
    return Artifact(
        name=fields.get("name", ""),
        uri=fields["uri"],
        schema=schema.get("instanceSchema") or declared.get("instanceSchema", ""),
        metadata={name: unwrapped(value) for name, value in fields.get("metadata", {}).items()},
    )
