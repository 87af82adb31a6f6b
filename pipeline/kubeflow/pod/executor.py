"""TFX's own Kubeflow executor, run on the folders of one invocation.

`kubeflow_v2_run_executor` is what the stock containers run. It gets parameters that a driver has resolved, inputs with
their types filled in, and plain folders for outputs; none of it is patched.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.kubeflow.pod.invocation import INTEGER, Artifact, unwrapped
from pipeline.provenance.records import Scalar

OUTPUT_FILE = "executor_output.json"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Call:
    """What an executor is called with.

    Attributes:
      executor: import path of its class.
      parameters: execution properties, resolved.
      inputs: {channel: artifact and where it lies}.
      outputs: {channel: artifact and the folder it is to be written to, which is made}.
      folder: of this call; the executor finds its temporary folder there, see `temporary_folder`.
      beam_args: for a Beam executor.
    """

    executor: str
    parameters: Mapping[str, Scalar]
    inputs: Mapping[str, tuple[Artifact, Path]]
    outputs: Mapping[str, tuple[Artifact, Path]]
    folder: Path
    beam_args: tuple[str, ...] = ()


def execute(call: Call) -> dict[str, dict[str, Any]]:
    """Run an executor and returns {output channel: properties that it set}."""
    from tfx.orchestration.kubeflow.v2.container import kubeflow_v2_run_executor

    for _, folder in call.outputs.values():
        folder.mkdir(parents=True)
    call.folder.mkdir(parents=True, exist_ok=True)
    output_file = call.folder / OUTPUT_FILE
    invocation = {
        "inputs": {"parameterValues": dict(call.parameters), "artifacts": _artifact_lists(call.inputs)},
        "outputs": {"artifacts": _artifact_lists(call.outputs), "outputFile": str(output_file)},
    }
    arguments = argparse.Namespace(
        executor_class_path=call.executor,
        json_serialized_invocation_args=json.dumps(invocation),
        json_serialized_inputs_spec_args=json.dumps({"parameters": _definitions(call.parameters)}),
    )
    kubeflow_v2_run_executor._run_executor(arguments, list(call.beam_args))  # noqa: SLF001  # no public name for it
    written = json.loads(output_file.read_text())["artifacts"]
    return {channel: _properties(output["artifacts"][0]) for channel, output in written.items()}


def temporary_folder(folder: Path) -> Path:
    """Return the folder that an executor calls its temporary one."""
    return folder / ".temp" / folder.name


def _artifact_lists(artifacts: Mapping[str, tuple[Artifact, Path]]) -> dict[str, Any]:
    return {name: {"artifacts": [artifact.to_json(str(folder))]} for name, (artifact, folder) in artifacts.items()}


def _definitions(parameters: Mapping[str, Scalar]) -> dict[str, Any]:
    """Say which numbers are integers: in JSON they are not, and drivers add some that the component did not declare."""
    return {name: {"parameterType": INTEGER} for name, value in parameters.items() if isinstance(value, int)}


def _properties(artifact: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was set; KFP refuses a null, so what was not is left out."""
    return {name: unwrapped(value) for name, value in artifact.get("metadata", {}).items() if value is not None}
