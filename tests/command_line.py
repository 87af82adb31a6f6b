"""The command line as the tests run it: a process of its own, and what it answered."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import CliRunner
from jsonschema import Draft202012Validator

from components.errors import MnistTfxError
from pipeline.cli.again import PROGRAM
from pipeline.cli.main import cli

PROJECT = Path(__file__).resolve().parents[1]
SHARED = PROJECT.parent / "shared" / "data"

_FLOORS = ("accuracy=0", "class_accuracy=0", "loss=null", "reconstruction_mse=null")
QUICK = tuple(
    text
    for setting in ("autoencoder.epochs=1", "classifier.epochs=1", *(f"evaluation.{floor}" for floor in _FLOORS))
    for text in ("--set", setting)
)
"""Options of a run whose model has to be served, and not to be good."""


SCHEMA = json.loads((PROJECT / "pipeline" / "cli" / "answers.schema.json").read_bytes())


def validator(name: str | None = None) -> Draft202012Validator:
    """Returns the validator of answers, or that of one model among them."""
    return Draft202012Validator(SCHEMA if name is None else {"$ref": f"#/$defs/{name}", "$defs": SCHEMA["$defs"]})


def checked(envelope: dict[str, Any]) -> dict[str, Any]:
    """Returns an answer that fits the committed schema."""
    assert [error.message for error in validator().iter_errors(envelope)] == []
    return envelope


def error_text(envelope: dict[str, Any]) -> str | None:
    """Returns the error of an answer as one line."""
    if envelope["error"] is None:
        return None
    parts = ("what", "where", "wanted", "got", "hint")
    return str(MnistTfxError(**{part: envelope["error"][part] for part in parts}))


@dataclass(frozen=True)
class Answer:
    """What a command printed and how it ended."""

    code: int
    out: str
    err: str

    @property
    def envelope(self) -> dict[str, Any]:
        """The whole answer of `--json`, which fits the committed schema."""
        return checked(json.loads(self.out))

    @property
    def json(self) -> Any:
        """The data of the answer."""
        return self.envelope["data"]

    @property
    def status(self) -> str:
        return self.envelope["status"]

    @property
    def error(self) -> str | None:
        """The answer's error as one line."""
        return error_text(self.envelope)

    def states(self) -> dict[str, str]:
        return {node["id"]: node["state"] for node in self.json["nodes"]}

    def why(self) -> dict[str, str]:
        return {node["id"]: node["why"] for node in self.json["nodes"]}


def mnist_tfx(
    *arguments: object, env: dict[str, str] | None = None, cwd: Path | None = None, timeout: float = 500
) -> Answer:
    """Runs the command line in a process of its own, as a user does."""
    command = [sys.executable, "-m", "pipeline", *map(str, arguments)]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
        cwd=cwd or PROJECT,
        env={**os.environ, **(env or {})},
    )
    return Answer(done.returncode, done.stdout, done.stderr)


def in_process(*arguments: object, env: dict[str, str | None] | None = None) -> Answer:
    """Runs the command line in this process; a known error comes as its exit code and its line."""
    result = CliRunner(env=env).invoke(cli, [*map(str, arguments)], standalone_mode=False, prog_name=PROGRAM)
    if isinstance(result.exception, MnistTfxError):
        return Answer(result.exception.exit_code, result.stdout, str(result.exception))
    if result.exception is not None:
        raise result.exception
    return Answer(result.return_value or 0, result.stdout, result.stderr)
