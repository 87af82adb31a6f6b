"""Names of outputs in a compiled spec: none of a task's begins with another.

An output's URI ends in its name, and KFP's launcher up to 2.16.1 fetches whatever begins with an input's URI.
"""

from __future__ import annotations

from typing import Any

from pipeline.kubeflow.names import output_on_kfp


def put(spec: dict[str, Any]) -> None:
    """Give the outputs of `spec`, which are called as the nodes call them, the names that they have on KFP."""
    for component in spec["components"].values():
        outputs = component.get("outputDefinitions", {}).get("artifacts", {})
        renamed = {output_on_kfp(channel): definition for channel, definition in outputs.items()}
        outputs.clear()
        outputs.update(renamed)
    for task in spec["root"]["dag"]["tasks"].values():
        for given in task.get("inputs", {}).get("artifacts", {}).values():
            source = given["taskOutputArtifact"]
            source["outputArtifactKey"] = output_on_kfp(source["outputArtifactKey"])
