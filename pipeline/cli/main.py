"""Command line `mnist-tfx`: the table of commands, and what a command ends with.

Commands live in modules of their own and are imported when they are called: `--help` needs none of them.
"""

from __future__ import annotations

import errno
import importlib
import os
import sys
from typing import Any, Final, NoReturn

import click
from click.shell_completion import CompletionItem

from components import disk
from components.errors import BadInput, EnvironmentProblem, ExitCode, MnistTfxError
from pipeline.cli import on_failure
from pipeline.cli.again import PROGRAM
from pipeline.cli.output import LAST_ERROR, Answer, print_answer, print_error
from pipeline.cli.parsing import Group, set_command
from pipeline.process import standard_streams
from pipeline.process.signals import PROCESS, Interrupted

DEBUG: Final = "MNIST_TFX_DEBUG"

_CLOSED: Final = (errno.EACCES, errno.EPERM, errno.EROFS)


class LazyGroup(Group):
    """A group whose commands are `module:attribute` paths with a line of help each."""

    def __init__(self, *args: Any, lazy: dict[str, tuple[str, str]] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._lazy = lazy or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order in which they are declared."""
        del ctx
        return list(self._lazy)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the module of a command and return the command."""
        if cmd_name not in self._lazy:
            return None
        set_command(f"{ctx.command_path} {cmd_name}")
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
        """Write the list of commands from the declaration, without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in self._lazy.items()])


COMMANDS: Final = {
    "run": ("pipeline.cli.run:run", "Run the pipeline: data files in, a served model out."),
    "runs": ("pipeline.cli.runs:runs", "List the runs of a root, show one, or end one at work."),
    "root": ("pipeline.cli.root:root", "Copy a root consistently, while runs go on, and put a copy back."),
    "data": (
        "pipeline.cli.data:data",
        "Fetch data, import pictures and arrays, look at what you have, write it without some rows.",
    ),
    "recipe": ("pipeline.cli.recipe:recipe", "List, show, check and write recipes."),
    "schema": ("pipeline.cli.schema:schema", "Propose, compare and approve schemas for new geometries."),
    "lineage": ("pipeline.cli.lineage:lineage", "Prove what a served model was made from."),
    "keys": ("pipeline.cli.keys:keys", "The keys that approvals are signed with: list, add, rotate, revoke."),
    "serving": ("pipeline.cli.serving:serving", "List the versions, put a staged one into service, go back, remove."),
    "serve": ("pipeline.cli.serve:serve", "Answer requests as TensorFlow Serving does, with verified versions only."),
    "beam-pool": ("pipeline.cli.beam_pool:beam_pool", "Start workers for a Flink or Spark cluster, as a sidecar."),
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
    exit_code = run()
    PROCESS.close()
    if not exit_code and (stopped := PROCESS.arrived) is not None:
        # A library has swallowed it, or it was held back until the work was recorded.
        exit_code = _fail(stopped)
    exit_code = _checked(exit_code)
    on_failure.run(exit_code, LAST_ERROR.get())
    sys.exit(exit_code)


def run() -> int:
    """Run the command that the arguments name, and return its exit code; whatever stops it is printed in one line."""
    try:
        exit_code = cli.main(prog_name=PROGRAM, standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as err:
        click.echo(err.format_message())
        return ExitCode.OK
    except Exception as err:
        if os.environ.get(DEBUG) and not isinstance(err, (click.ClickException, MnistTfxError, Interrupted)):
            raise
        return _fail(PROCESS.arrived or _known(err))  # a signal explains whatever else it led to
    return exit_code if isinstance(exit_code, int) else ExitCode.OK


def _known(err: Exception) -> MnistTfxError | Interrupted:
    if isinstance(err, (MnistTfxError, Interrupted)):
        return err
    if isinstance(err, click.ClickException):
        return BadInput(" ".join(err.format_message().split()))
    if isinstance(err, click.Abort):
        return BadInput("a question got no answer: standard input has ended")
    if disk.is_full(err):
        return disk.of_error(err)
    if isinstance(err, OSError) and err.errno in _CLOSED and err.filename is not None:
        return EnvironmentProblem("cannot be read or written", where=err.filename, got=err.strerror)
    what = " ".join(str(err).split())[:500]
    return EnvironmentProblem(f"{type(err).__name__}: {what}: not foreseen", hint=f"{DEBUG}=1 shows where")


def _checked(exit_code: int) -> int:
    """Return the exit code, which is another one where the work is done and what was printed about it is lost."""
    lost = standard_streams.loss_of_output()
    if lost is None:
        return exit_code
    done = "the work is done, its output is lost" if exit_code == ExitCode.OK else "output is lost"
    print_error(f"standard output: {lost}: {done}")
    return exit_code or ExitCode.OUTPUT_LOST


def _fail(error: MnistTfxError | Interrupted) -> int:
    """Print what stopped a command, as an answer too if `--json` was given and none has come; return the exit code."""
    answer = Answer(error=error)
    standard_streams.flush()
    if "--json" in sys.argv and not standard_streams.OUTPUT.written:
        print_answer(answer)
    print_error(error)
    return answer.exit_code


def leave(error: Interrupted) -> NoReturn:
    """End the process at once, in the middle of an import: nothing is open any more, or yet."""
    exit_code = _fail(error)
    standard_streams.flush()
    on_failure.run(exit_code, LAST_ERROR.get())
    os._exit(exit_code)
