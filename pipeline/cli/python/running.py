"""A run from Python: the command `mnist-tfx run` in a process of its own, and its answer as a value.

In the caller's process it would redirect standard output, handle signals and import a lean TFX, none of which a notebook
or a server can stand. In its own it is exactly the run of the command line: refusals, records and recovery are the same.
"""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

from components.errors import LISTS, PARTS, BadInput, CannotTell, EnvironmentProblem, MnistTfxError, Refused
from components.untrusted import parse_object
from pipeline.process import child
from pipeline.process.signals import Interrupted

COMMAND: Final = "mnist-tfx"
PROCESS: Final = "pipeline.cli.python.run_process"

FLAGS: Final = {"overrides": "--set", "beam_options": "--beam-option"}
"""{parameter: its flag}, where that is not the parameter's name."""

JOINED: Final = frozenset({"export", "ignore_columns"})
"""Parameters of several values that the command takes in one word, with commas between them."""

Paths = str | os.PathLike[str] | Sequence[str | os.PathLike[str]]
Say = Callable[[str], object]


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunResult:
    """What a run left.

    Attributes:
      version: that was pushed, or that serves these bytes already; None if nothing is served.
      metrics: of the test split: `accuracy`, `loss` and, with an autoencoder, `reconstruction_mse`.
      nodes: {node: `executed`, `cached`, `skipped` or `failed`}, in the order of the flow.
      run_id: of the run; None if there was nothing to do.
      nothing_to_do: why nothing was executed; None where something was.
      root: of the pipeline; None if nothing is served.
      serving_path: folder of the version.
      report: the page about the run.
      exports: files that `export` asked for.
      answer: all that `mnist-tfx run --json` answers, as docs/reference/json.md describes it.
    """

    version: int | None
    metrics: Mapping[str, float | None]
    nodes: Mapping[str, str]
    run_id: str | None
    nothing_to_do: str | None
    root: Path | None
    serving_path: Path | None
    report: Path | None
    exports: tuple[Path, ...]
    answer: Mapping[str, Any] = dataclasses.field(repr=False)


def run(  # noqa: PLR0913  # one parameter to each option of the command
    *,
    data: Paths = (),
    spans: int | None = None,
    recipe: str | os.PathLike[str] | None = None,
    profile: str | None = None,
    form: str | None = None,
    label: str | None = None,
    label_offset: int | None = None,
    transpose: bool = False,
    ignore_columns: Sequence[str] = (),
    class_names: str | os.PathLike[str] | None = None,
    exclude: str | os.PathLike[str] | None = None,
    schema: str | os.PathLike[str] | None = None,
    root: str | os.PathLike[str] | None = None,
    metadata: str | None = None,
    overrides: Mapping[str, object] | None = None,
    export: Sequence[str] = (),
    sweep: Mapping[str, Sequence[object]] | None = None,
    sweep_limit: int | None = None,
    jobs: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    strategy: str | None = None,
    workers: int | None = None,
    beam: str | None = None,
    beam_options: Mapping[str, object] | None = None,
    resume: bool = True,
    no_cache: bool = False,
    force: Sequence[str] = (),
    sign_key: str | os.PathLike[str] | None = None,
    stage: bool = False,
    by: str | None = None,
    trace: str | os.PathLike[str] | None = None,
    say: Say | None = None,
) -> RunResult:
    """Run the whole pipeline: ingest, check, train, evaluate and push.

    The parameters are the options of `mnist-tfx run`, which `docs/reference/commands.md` describes; what is not given is
    as it is there. It blocks until the run has ended, in any thread, also while an event loop is running. A
    `KeyboardInterrupt` stops the run, which settles what it left open, and is raised then. If this process ends, so does the
    run.

    Args:
      data: folders or files with images, or one pattern of spans; the embedded UCI digits by default.
      spans: take the newest N spans as one data set.
      recipe: name of a recipe, or a YAML file.
      profile: overlay of the recipe.
      form: `idx`, `csv`, `parquet` or `pairs`, where a folder has several.
      label: label column of a CSV: `first`, `last`, or its name in the header.
      label_offset: the lowest label in the files.
      transpose: the files have rows and columns of the images swapped, as EMNIST has.
      ignore_columns: columns of a CSV that are neither pixel nor label, by their names in the header.
      class_names: file with the names of the classes in order, a name to a line.
      exclude: file with the digests of rows to leave out.
      schema: folder with reviewed schemas.
      root: folder for everything the run leaves; `runs/<recipe>` by default.
      metadata: URL or file of the metadata store.
      overrides: {key of the recipe: value}, such as `{"classifier.epochs": 3}`.
      export: forms in which to write the trained model besides: `keras`, `h5`, `frozen`.
      sweep: {key of the recipe: values to try}; runs the product, pushes the best by validation, and returns its run,
        with all candidates in `answer`.
      sweep_limit: the most combinations of a sweep.
      jobs: candidates of a sweep to train at a time; as many as memory and cores allow by default.
      seed: of both trainings.
      device: `auto`, `cpu`, `gpu` or `gpu:N`.
      strategy: on what the Trainers train together.
      workers: processes of a multiworker training on this machine.
      beam: engine of the Beam nodes.
      beam_options: {option of the engine: value}.
      resume: go on from the checkpoint of an interrupted training.
      no_cache: execute every node.
      force: nodes to execute whatever is recorded.
      sign_key: file of the private key to sign with; its passphrase comes from the environment.
      stage: push to `staged/`, where no server looks; `mnist-tfx serving promote` puts it into service.
      by: who starts the run, to be kept on record; `@git` takes Git's user.name.
      trace: file to write what each process did when to, for ui.perfetto.dev.
      say: called with each line about the progress; by default they are printed on standard error.

    Returns:
      What the run left. A run that ends otherwise raises.

    Raises:
      BadInput: for unusable data, settings or paths.
      Refused: if a gate, a check or the evaluation refused; nothing that is served has changed.
      EnvironmentProblem: if the machine, the disk or the metadata store is at fault.
      CannotTell: if something has to be known that cannot be told from what there is.
      Interrupted: if a signal was sent to the process of the run.
    """
    given = {name: value for name, value in locals().items() if name != "say"}
    envelope = _answer(["run", "--json", *arguments(given)], say or _print)
    if envelope["error"] is not None:
        raise _error(envelope)
    found = envelope["data"]
    # Of a sweep, the run of the candidate that was chosen.
    return _result(found.get("run") or found, found)


def arguments(given: Mapping[str, Any]) -> Iterator[str]:
    """Yield the command line's arguments for parameters that have a value."""
    for name, value in given.items():
        flag = FLAGS.get(name, f"--{name.replace('_', '-')}")
        if name == "resume":
            yield from () if value else ("--rebuild",)
        elif name in JOINED:
            yield from (f"{flag}={','.join(value)}",) if value else ()
        elif isinstance(value, bool):
            yield from (flag,) if value else ()
        elif value is not None:
            # One word to an option: a value may begin with a dash.
            yield from (f"{flag}={one}" for one in _texts(value))


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        for name, one in value.items():
            yield f"{name}={one if isinstance(one, str) else json.dumps(one)}"
    elif isinstance(value, (str, os.PathLike)) or not isinstance(value, Sequence):
        yield str(value)
    else:
        yield from map(str, value)


def _answer(words: Sequence[str], say: Say) -> dict[str, Any]:
    """Return the answer of a command of ours that runs in a process of its own, which prints it as JSON."""
    # A pipe would fill up while standard error is read, and the command would wait for ever.
    with tempfile.TemporaryFile() as printed:
        process = child.start(PROCESS, env={}, stdin=subprocess.PIPE, stdout=printed, stderr=subprocess.PIPE, text=True)
        with process:
            last = _follow(process, {"folder": os.getcwd(), "arguments": list(words)}, say)
        printed.seek(0)
        text = printed.read()
    if not text:
        how = f"signal {-process.returncode}" if process.returncode < 0 else f"exit code {process.returncode}"
        raise EnvironmentProblem("the run ended without an answer", got=f"{how}: {last}", hint="run it again")
    return parse_object(text, where="the answer of the run")


def _print(line: str) -> None:
    """Print a line of progress on standard error, where a notebook shows it below the cell."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def _follow(process: subprocess.Popen[str], told: Mapping[str, Any], say: Say) -> str:
    """Hand over what to do, pass on what is said, and return the last line; an interruption reaches the process first."""
    assert process.stdin is not None  # noqa: S101  # both are pipes
    assert process.stderr is not None  # noqa: S101
    try:
        with process.stdin as stdin:
            json.dump(told, stdin)
        return _pass_on(process.stderr, say)
    except BaseException:
        # Whatever it is, what `say` raised among it: nobody will wait for this run any more.
        process.send_signal(signal.SIGINT)
        _pass_on(process.stderr, lambda _: None)
        raise


def _pass_on(lines: IO[str], say: Say) -> str:
    line, ended = "", False
    for line in lines:
        # What ended the command is the last that it prints, in one line or several, and the answer has it too.
        ended = ended or line.startswith(f"{COMMAND}: ")
        if not ended:
            say(line.rstrip("\n"))
    return line.strip()


def _error(envelope: Mapping[str, Any]) -> MnistTfxError | Interrupted:
    fields = envelope["error"]
    if fields["signal"] is not None:
        return Interrupted(signal.Signals[fields["signal"]])
    kinds = {kind.exit_code.status: kind for kind in (BadInput, Refused, EnvironmentProblem, CannotTell)}
    kind = kinds[envelope["status"]]
    error = kind(**{part: fields[part] for part in (*PARTS, *LISTS)}, report=envelope["data"])
    error.problems = tuple(kind(**{part: one[part] for part in PARTS}) for one in fields["problems"])
    error.page = fields["page"]
    return error


def _result(data: Mapping[str, Any], answer: Mapping[str, Any]) -> RunResult:
    path = None if data["serving_path"] is None else Path(data["serving_path"])
    return RunResult(
        version=data["version"],
        metrics={name: value for name, value in data["metrics"].items() if name != "per_class"},
        nodes={node["id"]: node["state"] for node in data["nodes"]},
        run_id=data["run_id"],
        nothing_to_do=data["nothing_to_do"],
        root=None if path is None else path.parents[1],
        serving_path=path,
        report=None if data["report"] is None else Path(data["report"]),
        exports=tuple(map(Path, data["exports"])),
        answer=answer,
    )
