"""Options that several commands share, each defined once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar, get_args

import click

from components.settings import MOST_SEED, Strategy
from components.training.device import AUTO, Device
from pipeline.cli.on_failure import WANTED
from pipeline.cli.output import say
from pipeline.cli.parameters import (
    AnyRoot,
    Checked,
    InputFile,
    Integer,
    NamedText,
    OneOf,
    Pair,
    PipelineRoot,
    Text,
    require_pipeline,
)
from pipeline.cli.parsing import command as command  # noqa: PLC0414  # with its options, in one place
from pipeline.config.beam import HELP, describe
from pipeline.config.beam_engines import DIRECT, ENGINES
from pipeline.provenance import default_root
from pipeline.stages import FORMS

Command = TypeVar("Command", bound=Callable[..., Any])

_CHOSEN: Final = f"{__name__}.root"


def root(command: Command) -> Command:
    """Add `--root` to a command that only reads, with `--dry-run` at least; see `default_root` for its default."""
    return _root(PipelineRoot(), default_root.RULE, _chosen_for_reading)(command)


def changed_root(command: Command) -> Command:
    """Add `--root` to a command that changes something there, unless it has a `--dry-run` that was given."""
    return _root(PipelineRoot(), default_root.RULE_OF_CHANGES, _chosen_for_changes)(command)


def optional_root(*, changes: bool = False) -> Callable[[Command], Command]:
    """Add `--root` to a command that can do without: it may be None, and `chosen_root` chooses where one is needed."""
    return _root(AnyRoot(), default_root.RULE_OF_CHANGES if changes else default_root.RULE)


def chosen_root(root: Path | None, *, changes: bool = False) -> Path:
    """Return the root that was named, or else the one that the rule chooses, and say so where there are several.

    Raises:
      BadInput: if no pipeline has run there, or none can be chosen.
    """
    if root is not None:
        require_pipeline(root, root, "--root")
        return root.absolute()
    choice = default_root.choose(changes=changes)
    if choice.others:
        say(str(choice))
    return PipelineRoot().read(str(choice.root), "--root")


def require_root(given: Mapping[str, Any], *, changes: bool = False) -> None:
    """Refuse a command that needs a root and has none, before it begins.

    Raises:
      BadInput: as `chosen_root`.
    """
    if given["root"] is None:
        default_root.choose(changes=changes)
    else:
        require_pipeline(given["root"], given["root"], "--root")


def _root(
    kind: click.ParamType[Any], rule: str, callback: Callable[[click.Context, click.Parameter, Any], Any] | None = None
) -> Callable[[Command], Command]:
    return click.option(
        "--root",
        type=kind,
        metavar="FOLDER",
        callback=callback,
        help=f"Folder that holds the pipeline's records, artifacts and served versions.  [default: {rule}]",
    )


def _chosen_for_reading(context: click.Context, _: click.Parameter, root: Path | None) -> Path | None:
    return _chosen(context, root, changes=False)


def _chosen_for_changes(context: click.Context, _: click.Parameter, root: Path | None) -> Path | None:
    return _chosen(context, root, changes=not context.params.get("dry_run"))


def _chosen(context: click.Context, root: Path | None, *, changes: bool) -> Path | None:
    """Choose once for a command, whose parameters are checked and then parsed."""
    if root is not None or context.resilient_parsing:
        return root
    if _CHOSEN not in context.meta:
        context.meta[_CHOSEN] = chosen_root(None, changes=changes)
    chosen: Path = context.meta[_CHOSEN]
    return chosen


def form_and_label(command: Command) -> Command:
    """Add `--form` and `--label`: which files of a folder are read, and where their labels are."""
    form = click.option("--form", type=OneOf(FORMS), help="Which files to take where a folder has several kinds.")
    label = click.option(
        "--label", type=Text(), metavar="COLUMN", help="Label column of a CSV: first, last, or its name in the header."
    )
    return form(label(command))


def reading(command: Command) -> Command:
    """Add the options that say how data is to be read, which arrive as `pipeline.config.request.READING` names them."""
    given = (
        click.option("--label-offset", type=Integer(0, 60_000), metavar="N", help="The lowest label in the files."),
        click.option(
            "--transpose",
            is_flag=True,
            default=None,
            help="The files have rows and columns of the images swapped, as EMNIST has.",
        ),
        click.option(
            "--ignore-columns",
            type=Text("columns", longest=4096),
            metavar="A,B",
            help="Columns of a CSV that are neither pixel nor label, by their names in the header.",
        ),
        click.option(
            "--class-names", type=InputFile(), metavar="FILE", help="Names of the classes in order, a name to a line."
        ),
    )
    return functools.reduce(lambda wrapped, option: option(wrapped), reversed(given), command)


def exclude(command: Command) -> Command:
    """Add `--exclude`."""
    return click.option(
        "--exclude",
        type=InputFile(),
        metavar="FILE",
        help="Leave out the rows with these digests, one to a line, as lineage erase-request writes them.",
    )(command)


def beam(command: Command) -> Command:
    """Add `--beam` and `--beam-option`, which arrive as `beam` and `beam_options`."""
    engine = click.option(
        "--beam",
        type=Checked(describe, name="engine", as_given=True, usual=ENGINES),
        metavar="ENGINE",
        default=DIRECT,
        show_default=True,
        is_eager=True,
        help=f"What ingest, statistics, transform and evaluation run on: {', '.join(ENGINES)}.",
    )
    given = click.option(
        "--beam-option",
        "beam_options",
        multiple=True,
        type=NamedText("NAME=VALUE", longest=4096),
        metavar="NAME=VALUE",
        callback=_beam_help,
        help="An option of the engine, by Beam's name; `help` lists them. May be repeated.",
    )
    return engine(given(command))


def profile(command: Command) -> Command:
    """Add `--profile`."""
    return click.option(
        "--profile", type=Text(), metavar="NAME", help="Overlay of the recipe.  [default: fast, where there is one]"
    )(command)


def overrides(command: Command) -> Command:
    """Add `--set`, which arrives as `overrides`."""
    return click.option(
        "--set",
        "overrides",
        multiple=True,
        type=Pair("KEY=VALUE"),
        metavar="KEY=VALUE",
        help="Override one value of the recipe.",
    )(command)


def seed(command: Command) -> Command:
    """Add `--seed`."""
    return click.option("--seed", type=Integer(0, MOST_SEED), metavar="N", help="Seed of both trainings.")(command)


def device(command: Command) -> Command:
    """Add `--device`, `--strategy` and `--workers`: what the Trainers run on."""
    seen = click.option(
        "--device",
        type=Checked(Device.parse, name="device", as_given=True, usual=("auto", "cpu", "gpu")),
        metavar="auto|cpu|gpu|gpu:N",
        default=AUTO,
        show_default=True,
        help="What the Trainers see. With gpu, the run ends before it reads any data if there is none.",
    )
    strategy = click.option(
        "--strategy",
        type=OneOf(get_args(Strategy)),
        help="Train on one device, on all of this machine, or in several processes.  [default: the recipe's]",
    )
    workers = click.option(
        "--workers",
        type=Integer(1, 64),
        metavar="N",
        help="Try --strategy multiworker with N processes on this machine's CPU; elsewhere TF_CONFIG names them.",
    )
    return seen(strategy(workers(command)))


def _beam_help(context: click.Context, _: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    if HELP in given and not context.resilient_parsing:
        said = context.get_parameter_source("beam") is not click.core.ParameterSource.DEFAULT
        click.echo(describe(context.params["beam"] if said else None))
        context.exit()
    return given


def on_failure(command: Command) -> Command:
    """Add `--on-failure`, which is no argument of the command."""

    def remember(context: click.Context, _: click.Parameter, given: str | None) -> None:
        if not context.resilient_parsing:
            WANTED.set(given)

    return click.option(
        "--on-failure",
        type=Text("command", longest=4096),
        metavar="COMMAND",
        # Read before all others, so that a folder of data that is not there is told of as well.
        is_eager=True,
        expose_value=False,
        callback=remember,
        help="Shell command to run when the exit code is not 0; MNIST_TFX_EXIT_CODE, MNIST_TFX_STATUS and MNIST_TFX_ERROR "
        "say why.",
    )(command)


def is_given(name: str) -> bool:
    """Whether a parameter of the command being parsed stands on the command line, even with a value that was refused."""
    return click.get_current_context().get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE


def as_json(command: Command) -> Command:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")(command)


def dry_run(command: Command) -> Command:
    """Add `--dry-run`."""
    # Eager: with it a command changes nothing, and the rule for its root is another one.
    return click.option("--dry-run", is_flag=True, is_eager=True, help="Say what would be done, and do nothing.")(
        command
    )


def warn_of_foreign(root: Path) -> None:
    """Tell of what TensorFlow Serving may load instead of the newest version that was pushed."""
    from pipeline.provenance.serving_directory import ServingDirectory
    from pipeline.root.paths import RunPaths

    directory = ServingDirectory.of(RunPaths(root.absolute()))
    for line in directory.warnings([entry for entry in directory.foreign if entry.preferred]):
        say(line)
