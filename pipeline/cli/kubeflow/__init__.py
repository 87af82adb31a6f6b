"""`mnist-tfx kubeflow`: one module per verb."""

from __future__ import annotations

from typing import Final

import click

from pipeline.cli.main import LazyGroup

VERBS: Final = {
    "init": "Write a cluster file: image, bucket, volumes and secrets of the tasks.",
    "doctor": "Ask a cluster whether it has what a run will ask for.",
    "compile": "Write the pipeline as a file for Kubeflow Pipelines or Vertex AI.",
    "lint": "Check a compiled file for what a cluster would refuse.",
    "simulate": "Execute a compiled file here, step by step, as a cluster would.",
    "submit": "Start a run of a compiled file on a cluster.",
    "schedule": "Have a cluster run a compiled file again and again.",
    "runs": "List the runs on a cluster.",
    "watch": "Show the tasks of a run on a cluster until it is over.",
    "audit": "Audit what a finished run pushed.",
}


@click.group(cls=LazyGroup, lazy={verb: (f"pipeline.cli.kubeflow.{verb}:{verb}", text) for verb, text in VERBS.items()})
def kubeflow() -> None:
    """Compile the pipeline for Kubeflow, try the compiled file without a cluster, run and audit it on one.

    \b
    Example:
      mnist-tfx kubeflow init
      mnist-tfx kubeflow compile --cluster cluster.yaml -o p.yaml
      mnist-tfx kubeflow lint p.yaml
      mnist-tfx kubeflow simulate p.yaml --root runs/simulated
      mnist-tfx kubeflow submit p.yaml --host https://kubeflow.example
    """
