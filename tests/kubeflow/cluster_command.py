"""A command of `mnist-tfx kubeflow`, run in this process and without the environment's own server."""

import click
from command_line import Answer, in_process

from pipeline.kubeflow.client.transport import RetryPolicy

QUICK = RetryPolicy(timeout=5, attempts=3, first_pause=0.01, search=0.05)
NO_SERVER = {"KF_PIPELINES_ENDPOINT": None, "MNIST_TFX_KFP_TOKEN": None}


def invoke(command: click.Command, *arguments: object, env: dict[str, str] | None = None) -> Answer:
    """Runs a command, and returns its answer."""
    return in_process("kubeflow", command.name, *arguments, env={**NO_SERVER, **(env or {})})
