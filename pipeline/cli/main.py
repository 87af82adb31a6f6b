"""The command line `mnist-tfx`: finds the command, turns known errors into one line and an exit code.

Commands live in modules of their own and are imported when they are called: `--help` needs none of them.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from typing import Any, Final, NoReturn

import click
from click.shell_completion import CompletionItem

from components.errors import ExitCode, MnistTfxError
from pipeline.cli.parsing import Group
from pipeline.process import standard_streams
from pipeline.process.signals import PROCESS, Interrupted

PROGRAM: Final = "mnist-tfx"
DEBUG: Final = "MNIST_TFX_DEBUG"


class LazyGroup(Group):
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
        with PROCESS.leaving(leave):
            command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Return the commands that begin so, from the declaration, and the group's own options."""
        named = [
            CompletionItem(name, help=text) for name, (_, text) in self._lazy.items() if name.startswith(incomplete)
        ]
        # Not click.Group's, which imports every command for its line of help: four seconds instead of a third of one.
        return named + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the list of commands from the declaration, without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._lazy.items()])


COMMANDS: Final = {
    "run": ("pipeline.cli.run:run", "Run the pipeline: data files in, a served model out."),
    "runs": ("pipeline.cli.runs:runs", "List the runs of a root, or show one."),
    "data": ("pipeline.cli.data:data", "Fetch the UCI digits or MNIST."),
    "schema": ("pipeline.cli.schema:schema", "Propose, compare and approve schemas for new geometries."),
    "lineage": ("pipeline.cli.lineage:lineage", "Prove what a served model was made from."),
    "serving": ("pipeline.cli.serving:serving", "List the served versions, go back to one, remove old ones."),
    "predict": ("pipeline.cli.predict:predict", "Read handwritten digits from image files."),
    "kubeflow": ("pipeline.cli.kubeflow:kubeflow", "Compile for Kubeflow, try the file here, run it there."),
    "report": ("pipeline.cli.report:report", "Write a page about a run, or about two side by side."),
    "doctor": ("pipeline.cli.doctor:doctor", "Check interpreter, packages, devices and disk."),
    "completion": ("pipeline.cli.completion:completion", "Print the script that completes commands in a shell."),
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

    \b
    Exit codes: 0 done, 1 an audit found something, 2 bad input, 3 refused, 4 the
    machine is at fault, 5 cannot tell, 6 done but its output was lost, 130 and
    143 ended by a signal; docs/reference/exit-codes.md has an example of each.
    """


def main() -> NoReturn:
    """Run the command line and exit; `components.errors.ExitCode` is the table of exit codes.

    Signals and the standard streams are seen to before anything that takes time is imported (`pipeline.__main__`).
    """
    PROCESS.install()
    standard_streams.install()
    status = _status()
    PROCESS.close()
    if not status and (stopped := PROCESS.arrived) is not None:
        # A library has swallowed it, or it was held back until the work was recorded.
        status = _told(stopped)
    sys.exit(_checked(status))


def _status() -> int:
    """Call the command that was asked for and return its exit code; whatever stops it is told in one line."""
    try:
        status = cli.main(prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as err:
        click.echo(err.format_message())
        return ExitCode.OK
    except Exception as err:
        if os.environ.get(DEBUG) and not isinstance(err, (click.ClickException, MnistTfxError, Interrupted)):
            raise
        return _told(err)
    return status if isinstance(status, int) else ExitCode.OK


def _told(err: Exception) -> int:
    """Print what stopped a command and return the exit code; a signal explains whatever else it led to."""
    stopped = PROCESS.arrived or err
    if isinstance(stopped, Interrupted):
        return fail(str(stopped), stopped.exit_code, "interrupted")
    if isinstance(err, MnistTfxError):
        return fail(str(err), err.exit_code)
    if isinstance(err, click.ClickException):
        return fail(" ".join(err.format_message().split()), err.exit_code)
    if isinstance(err, click.Abort):
        return fail("a question got no answer: standard input has ended", ExitCode.BAD_INPUT)
    what = " ".join(str(err).split())[:500]
    return fail(f"{type(err).__name__}: {what}: not foreseen; {DEBUG}=1 shows where", ExitCode.ENVIRONMENT)


def _checked(status: int) -> int:
    """Return the exit code, which is another one where the work is done and what was printed about it is lost."""
    lost = standard_streams.loss_of_output()
    if lost is None:
        return status
    done = "the work is done, its output is lost" if status == ExitCode.OK else "output is lost"
    click.echo(f"{PROGRAM}: standard output: {lost}: {done}", err=True)
    return status or ExitCode.OUTPUT_LOST


def fail(message: str, exit_code: int, status: str = "error") -> int:
    """Print an error as one line, and as an object where `--json` was asked for and has not come; return the exit code."""
    if "--json" in sys.argv and not _has_answered():
        print(json.dumps({"schema_version": 1, "status": status, "error": message}))  # noqa: T201  # the answer itself
    click.echo(f"{PROGRAM}: {message}", err=True)
    return exit_code


def _has_answered() -> bool:
    standard_streams.flush()
    return standard_streams.OUTPUT.written


def leave(error: Interrupted) -> NoReturn:
    """End the process at once, in the middle of a command's import: nothing is open yet."""
    fail(str(error), error.exit_code, "interrupted")
    standard_streams.flush()
    os._exit(error.exit_code)
