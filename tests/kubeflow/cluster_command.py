"""A command of `mnist-tfx kubeflow`, run in this process, and its answer against the committed schema."""

import json
from typing import Any

import click
from click.testing import CliRunner
from command_line import PROJECT, Answer
from jsonschema import Draft202012Validator
from referencing import Registry, Resource

from components.errors import MnistTfxError
from pipeline.kubeflow.client.transport import Patience

FOLDER = PROJECT / "pipeline" / "cli" / "json_schemas"
QUICK = Patience(timeout=5, attempts=3, first_pause=0.01, search=0.05)


def invoke(command: click.Command, *arguments: object, env: dict[str, str] | None = None) -> Answer:
    """Runs a command as `pipeline.cli.main` does."""
    runner = CliRunner(env={"KF_PIPELINES_ENDPOINT": None, "MNIST_TFX_KFP_TOKEN": None, **(env or {})})
    result = runner.invoke(command, [*map(str, arguments)], standalone_mode=False)
    if isinstance(result.exception, MnistTfxError):
        return Answer(result.exception.exit_code, result.stdout, str(result.exception))
    if result.exception is not None:
        raise result.exception
    return Answer(result.return_value or 0, result.stdout, result.stderr)


def assert_fits(answer: dict[str, Any], name: str) -> None:
    """Fails unless an answer fits the committed schema."""
    schemas = {path.stem: json.loads(path.read_text()) for path in FOLDER.glob("*.json")}
    registry = Registry().with_resources((s["$id"], Resource.from_contents(s)) for s in schemas.values())
    errors = [error.message for error in Draft202012Validator(schemas[name], registry=registry).iter_errors(answer)]
    assert errors == []
