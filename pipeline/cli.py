"""The command line `mnist-tfx`: finds the command, turns known errors into one line and an exit code.

Commands live in `pipeline.commands` and are imported when they are called: `--help` needs none of them.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any, Final

import click

from components.errors import MnistTfxError

PROGRAM: Final = "mnist-tfx"
DEBUG: Final = "MNIST_TFX_DEBUG"


class LazyGroup(click.Group):
    """A group whose commands are `module:attribute` paths with a line of help each."""

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names in the order in which they are declared."""
        del ctx
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the module of a command and returns the command."""
        del ctx
        if cmd_name not in self._lazy:
            return None
        module, attribute = self._lazy[cmd_name][0].split(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands from the declaration, without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._lazy.items()])


COMMANDS: Final = {
    "run": ("pipeline.commands.run:run", "Run the pipeline: data files in, a served model out."),
    "runs": ("pipeline.commands.runs:runs", "List the runs of a root, or show one."),
    "data": ("pipeline.commands.data:data", "Fetch the UCI digits or MNIST."),
    "schema": ("pipeline.commands.schema:schema", "Propose, compare and approve schemas for new geometries."),
    "lineage": ("pipeline.commands.lineage:lineage", "Prove what a served model was made from."),
    "serving": ("pipeline.commands.serving:serving", "List the served versions, go back to one, remove old ones."),
    "predict": ("pipeline.commands.predict:predict", "Read handwritten digits from image files."),
    "kubeflow": ("pipeline.commands.kubeflow:kubeflow", "Compile for Kubeflow, try the file here, run it there."),
    "report": ("pipeline.commands.report:report", "Write a page about a run, or about two side by side."),
    "doctor": ("pipeline.commands.doctor:doctor", "Check interpreter, packages, devices and disk."),
}


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="mnist-tfx", prog_name=PROGRAM)
def cli() -> None:
    """Turn MNIST-format images into a served classifier, and prove afterwards what it was made from.

    \b
    Example:
      mnist-tfx run                              # the UCI digits that come with scikit-learn
      mnist-tfx run --data DIR --root runs/mine  # your own IDX or CSV files
      mnist-tfx lineage show --root runs/mine
    """


def main() -> None:
    """Runs the command line and exits: 0 ok, 1 audit finding, 2 bad input, 3 refused, 4 environment."""
    try:
        status = cli.main(prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as err:
        click.echo(err.format_message())
        sys.exit(0)
    except click.ClickException as err:
        fail(" ".join(err.format_message().split()), err.exit_code)
    except click.Abort:
        fail("interrupted", 130)
    except MnistTfxError as err:
        fail(str(err), err.exit_code)
    except Exception as err:
        if os.environ.get(DEBUG):
            raise
        what = " ".join(str(err).split())[:500]
        fail(f"{type(err).__name__}: {what}: not foreseen; {DEBUG}=1 shows where", 4)
    sys.exit(status if isinstance(status, int) else 0)


def fail(message: str, exit_code: int) -> None:
    """Prints an error as one line, and as an object where `--json` was asked for, and exits."""
    if "--json" in sys.argv:
        print(json.dumps({"schema_version": 1, "status": "error", "error": message}))  # noqa: T201  # the answer itself
    click.echo(f"{PROGRAM}: {message}", err=True)
    sys.exit(exit_code)
