"""Delivery of a pod's outputs to where KFP's launcher looks for them, and the ExecutorOutput that announces them."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from components.errors import EnvironmentProblem
from components.files import replacing
from pipeline.kubeflow import places
from pipeline.kubeflow.names import output_on_kfp
from pipeline.kubeflow.pod.invocation import Invocation


@dataclasses.dataclass(frozen=True, kw_only=True)
class Output:
    """One finished output.

    Attributes:
      folder: where it lies now.
      properties: what is to be known of it.
    """

    folder: Path
    properties: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def deliver(invocation: Invocation, outputs: Mapping[str, Output], parameters: Mapping[str, str] | None = None) -> None:
    """Move the outputs and, last of all, writes the file that makes them count.

    Args:
      invocation: what the task was given.
      outputs: {channel: output}.
      parameters: {output parameter: value}.

    Raises:
      EnvironmentProblem: if something cannot be written.
    """
    if missing := sorted(invocation.outputs.keys() - outputs.keys()):
        # Kubeflow Pipelines 3.0 fails the task for it; an older one registers what nobody can read.
        raise EnvironmentProblem("an output that was declared was not made", where=", ".join(missing))
    try:
        for channel, output in outputs.items():
            _put(output.folder, places.local(invocation.outputs[channel].uri))
        _announce(invocation, outputs, parameters or {})
    except OSError as err:
        raise EnvironmentProblem("an output cannot be written", where=err.filename, got=err.strerror) from err


def _put(folder: Path, target: Path) -> None:
    """Move a folder to `target`, where a mounted bucket may still hold what a killed attempt left."""
    if target.exists():
        # Nothing counts before the output file is written.
        shutil.rmtree(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, target)


def _announce(invocation: Invocation, outputs: Mapping[str, Output], parameters: Mapping[str, str]) -> None:
    artifacts = {
        output_on_kfp(channel): {
            "artifacts": [
                {
                    "name": invocation.outputs[channel].name,
                    "uri": invocation.outputs[channel].uri,
                    "metadata": dict(output.properties),
                }
            ]
        }
        for channel, output in outputs.items()
    }
    target = places.local(invocation.output_file)
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as file:
        file.write(json.dumps({"artifacts": artifacts, "parameterValues": dict(parameters)}).encode())
