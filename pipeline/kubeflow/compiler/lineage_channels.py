"""Channels for records in a compiled spec: what a task leaves, each task that reads from it can see.

Pods share no ledger, so the records behind an artifact travel beside it, along the arrows that are there anyway.
"""

from __future__ import annotations

from typing import Any

from pipeline.kubeflow import names
from pipeline.kubeflow.compiler.data_tasks import ARTIFACT


def add(spec: dict[str, Any]) -> None:
    """Give every container task of `spec` an output of records, and an input for each task that it reads from."""
    tasks = spec["root"]["dag"]["tasks"]
    writers = [name for name in tasks if "container" in spec["deploymentSpec"]["executors"][f"{name}_executor"]]
    for name in writers:
        component = spec["components"][name]
        outputs = component.setdefault("outputDefinitions", {}).setdefault("artifacts", {})
        read = tasks[name].get("inputs", {}).get("artifacts", {})
        producers = {channel["taskOutputArtifact"]["producerTask"] for channel in read.values()}
        for producer in sorted(producers.intersection(writers)):
            channel = names.lineage_of(producer)
            component["inputDefinitions"]["artifacts"][channel] = ARTIFACT
            read[channel] = {"taskOutputArtifact": {"producerTask": producer, "outputArtifactKey": names.LINEAGE}}
        outputs[names.LINEAGE] = ARTIFACT
