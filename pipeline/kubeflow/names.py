"""What a compiled file calls things: tasks that no TFX node stands behind, channels of lineage, parameters, entrypoint.

Compiler, linter, simulator and entrypoint meet in these names. Task names become Argo's template names as they are, and
KFP puts `-driver` behind each of them, so no name may end in that.
"""

from __future__ import annotations

import re
from typing import Final

ENTRYPOINT: Final = "pipeline.kubeflow.entrypoint"
"""Run as `python -m`, in every container."""

DATA_IMPORTER: Final = "Data"
"""Importer task that has the launcher fetch data from a bucket; there only if the data lies in one."""

DATA_CHANNEL: Final = "data"
"""Its output, an input artifact of the two tasks that read data."""

DRIVER: Final = "ExampleGenDriver"
"""Task that digests the data before KFP's cache is asked: never cached, and its answers are parameters of ExampleGen."""

FINGERPRINT: Final = "input_fingerprint"
"""Output parameter of the driver, parameter of ExampleGen: what identifies the data and the record of their import."""

IS_NEW: Final = "is_new"
"""Output parameter of the driver, parameter of ExampleGen: `true`, or `false` if the newest version was made from it."""

TRIGGER: Final = f"inputs.parameter_values['{IS_NEW}'] == 'true'"
"""Condition of ExampleGen: without new data neither it nor anything downstream is executed."""

LINEAGE: Final = "lineage"
"""Output artifact of every container task: `records/`, all records up to the task's own, and, of readers, `inputs/`."""

RUN_FILE: Final = "run.json"
"""In the `lineage` of the driver: the resolved recipe, and the data files as they were given."""

SOURCE: Final = "source"
"""Runtime parameter of the pipeline, parameter of driver and ExampleGen: a bucket's URI, a path in the pod or `embedded`."""

SPANS: Final = "spans"
"""Parameter of driver and ExampleGen: how many of the newest spans are read."""

RECIPE: Final = "recipe"
"""Parameter of the driver: the resolved recipe as JSON."""

SCHEMA: Final = "schema"
"""Parameter of the driver: the `source` of ReviewedSchema."""

IMAGE_SCHEMA: Final = "image"
"""The `source` of ReviewedSchema that is the image's own folder of schemas; any other is a path in the pod."""

EMBEDDED: Final = "embedded"
"""The source that is the UCI digits which come with scikit-learn."""

CHECKPOINT_FOLDER: Final = "MNIST_TFX_CHECKPOINT_FOLDER"
"""Environment variable: a mounted volume's folder in which trainings are resumed, and refusals kept for a retry."""

TASK_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*")
"""What Argo takes as a template's name, and as a task's in `depends`."""

VOLUME_NAME: Final = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
"""A pod's volume: KFP calls it by the name of its claim or Secret, and Kubernetes takes a label of DNS."""


ON_KFP: Final = {"model_run": "training_run"}
"""{output: what a compiled file calls it}. KFP's launcher up to 2.16.1 fetches whatever begins with an artifact's URI, and
who reads a `model` would fetch the `model_run` beside it."""

_IN_POD: Final = {named: output for output, named in ON_KFP.items()}


def output_on_kfp(channel: str) -> str:
    """Return what a compiled file calls an output."""
    return ON_KFP.get(channel, channel)


def output_in_pod(name: str) -> str:
    """Return what a node and its record call an output of a compiled file; files of older releases say so themselves."""
    return _IN_POD.get(name, name)


def lineage_of(producer: str) -> str:
    """Return the input channel by which a task gets the records behind what it reads from `producer`."""
    return f"lineage_of_{producer}"


def is_lineage_input(channel: str) -> bool:
    """Whether an input channel carries records, and nothing for the executor."""
    return channel.startswith("lineage_of_")
