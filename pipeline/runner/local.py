"""Local runs, with everything that can be done beside the heavy imports done beside them."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn

from components.beam_arguments import works_alone
from components.errors import BadInput, MnistTfxError
from components.ingest import beginnings, import_record, source
from components.progress import listening
from components.serving import SIGNATURE
from components.training.cluster import Cluster
from pipeline.config.beam_engines import ENGINES, PORTABLE
from pipeline.config.pipeline_config import Reuse
from pipeline.config.request import Request, chosen_device, chosen_engine, configure, settings_and_paths
from pipeline.metadata import preflight
from pipeline.metadata.address import SqliteFile, parse_address, recorded_address
from pipeline.metadata.reader import StoreReader
from pipeline.process import lean_imports, scratch, trace
from pipeline.process.forkserver_client import StageProcesses
from pipeline.process.output import log_output, redirect_output
from pipeline.process.signals import PROCESS, Interrupted, Leave
from pipeline.provenance import record_store
from pipeline.provenance.ended_keys import require_not_ended
from pipeline.provenance.ledger import read_ledger
from pipeline.provenance.records import ExecutionRecord
from pipeline.provenance.runs import new_run_id
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.root.paths import RunPaths
from pipeline.root.writable import PLACES_OF_A_RUN, check_places, check_store, check_writable
from pipeline.runner import devices, up_to_date
from pipeline.runner.answers_ahead import AnswersAhead
from pipeline.runner.beam.job_service import JobService
from pipeline.runner.observers import observed
from pipeline.runner.progress import RunView
from pipeline.stages import CLASSIFIER, INGEST

if TYPE_CHECKING:
    from components.ingest.data_files import DataFiles
    from components.settings import Settings
    from pipeline.config.pipeline_config import PipelineConfig
    from pipeline.provenance.keys import PrivateKey
    from pipeline.runner.dry_run import DryRun
    from pipeline.runner.part import Part
    from pipeline.runner.run import Outcome, Run
    from pipeline.runner.side_by_side import Lane


IGNORED: Final = 10
"""Files beside the data that are named."""

IMPORTING: Final = "importing TensorFlow and TFX"

EXPORTS: Final = "exports/"
"""Where a Trainer's model_run has the trained model in other forms."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finished:
    """A run that came to an end of some kind.

    Attributes:
      outcome: how it ended.
      root: absolute path of the root.
      import_s: seconds spent on importing TFX.
      total_s: seconds since the process started.
      nothing_to_do: why nothing was run at all; None where something was.
      report: the page about it; None where there is none.
      log: what the run and the libraries said; None where nothing was run.
    """

    outcome: Outcome
    root: Path
    import_s: float
    total_s: float
    nothing_to_do: str | None = None
    report: Path | None = None
    log: Path | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the data of the answer of `run`."""
        record = self.outcome.record.to_dict()
        metrics = record["metrics"] or {}
        return {
            "nothing_to_do": self.nothing_to_do,
            "run_id": record["run_id"] or None,
            "recipe": record["recipe"],
            "payload_digests": {source["name"]: source["payload_digest"] for source in record["sources"]},
            "rows_digest": record["rows_digest"],
            "nodes": [{key: node[key] for key in ("id", "state", "seconds", "why")} for node in record["nodes"]],
            "metrics": {key: metrics.get(key) for key in ("accuracy", "loss", "reconstruction_mse", "per_class")},
            "blessed": record["blessed"],
            "baseline": record["baseline"],
            "version": record["version"],
            "serving_path": None if record["serving_path"] is None else str(self.root / record["serving_path"]),
            "exports": self.exports(),
            "report": None if self.report is None else str(self.report),
            "log": None if self.log is None else str(self.log),
            "import_s": round(self.import_s, 3),
            "train_s": round(self.outcome.train_s, 3),
            "total_s": round(self.total_s, 3),
        }

    def exports(self) -> list[str]:
        """Return the files that `--export` asked for, as absolute paths."""
        trained = {node.id: node.record for node in self.outcome.record.nodes}.get(CLASSIFIER)
        if trained is None:
            return []
        record = record_store.read(RunPaths(self.root).records, trained)
        runs = record.outputs.get("model_run", ()) if isinstance(record, ExecutionRecord) else ()
        return [
            str(self.root / run.path / name) for run in runs for name in sorted(run.files) if name.startswith(EXPORTS)
        ]


def run(  # noqa: PLR0913  # one argument to each side of a run
    request: Request,
    reuse: Reuse,
    view: RunView,
    *,
    sign_key: PrivateKey | None = None,
    verbose: bool = False,
    leave: Leave | None = None,
) -> Finished:
    """Run the pipeline, and sign what it serves where there is a key.

    Args:
      request: what to run.
      reuse: what to take from earlier runs.
      view: shows how it goes.
      sign_key: to sign what is served with.
      verbose: whether to say where the log is.
      leave: ends the process when a signal arrives while TFX is imported; the import is waited for by default.

    Raises:
      MnistTfxError: if it could not be started; what stops a started run is in the outcome.
    """
    with trace.span("recipe and data files"):
        require_device(request)
        settings, paths, files = settings_and_paths(request)
        require_workers(request, settings)
    require_serviceable(paths, sign_key, view.say)
    if files is not None and files.spans:
        if len(files.spans) < request.spans:
            view.say(f"{request.spans} spans asked for, {len(files.spans)} there: taking those")
        if reuse == Reuse() and (idle := _served_already(request, settings, paths, files, sign_key, leave)) is not None:
            return idle
    if files is not None:
        # Decompressing and hashing leave the interpreter to the imports meanwhile.
        source.digest_ahead(files.parts, form=files.form, data=settings.data)
    run_id = new_run_id()
    log = paths.log(run_id)
    if verbose:
        view.say(f"log: {log}")
    with trace.span("checks before the run"):
        prepare(request, paths, files, view)
    outcome: Outcome | None = None
    report: Path | None = None
    try:
        with engine(request, paths, run_id, view, settings.name, leave=leave, at_once=reuse.none) as ready:
            with trace.span("configuration: schema and code digests"):
                config = configure(request, settings, paths, files)
            outcome = ready.run(config, run_id, reuse=reuse, view=view, sign_key=sign_key)
            report = ready.report(paths, outcome, view)
    except Interrupted:
        # All is recorded by then: a signal while the page is drawn, or processes are ended, takes nothing from the answer.
        if outcome is None:
            raise
    return Finished(
        outcome=outcome, root=paths.root, import_s=ready.import_s, total_s=process_age(), report=report, log=log
    )


def require_serviceable(paths: RunPaths, sign_key: PrivateKey | None, say: Callable[[str], None]) -> None:
    """Refuse a run whose version could not be served or signed in the end, before it does any work.

    Raises:
      Refused: if something else is in the serving directory, or the key was rotated or revoked.
      EnvironmentProblem: if the ledger cannot be read.
    """
    directory = ServingDirectory.of(paths)
    directory.require_ours(say)
    if sign_key is not None:
        require_not_ended(directory.ledger, sign_key.public)


@dataclasses.dataclass(kw_only=True)
class Engine:
    """What the runs of one command share: TFX, and the processes that have the engines.

    Attributes:
      processes: for executors that need the engines.
      beam_service: of Beam's `portable` engine, where it is asked for.
      reader: asks the metadata store for the reports' audits.
      ahead: asks models for the report.
      before_training: waits for a GPU that was asked for by name to be looked at, and raises where there is none.
      opened: what is open as long as it is.
      leave: ends the process when a signal arrives while TFX is imported.
      beam: whether nodes of this process start Beam pipelines.
      import_s: seconds spent on importing TFX.
    """

    processes: StageProcesses
    beam_service: JobService
    reader: StoreReader
    ahead: AnswersAhead
    before_training: Callable[[], None]
    opened: contextlib.ExitStack
    leave: Leave | None
    beam: bool
    import_s: float = 0.0
    _runner: type[Run] | None = None

    def run(  # noqa: PLR0913  # one argument to each side of a run
        self,
        config: PipelineConfig,
        run_id: str,
        *,
        reuse: Reuse,
        view: RunView,
        sign_key: PrivateKey | None = None,
        part: Part | None = None,
        lane: Lane | None = None,
    ) -> Outcome:
        """Run a pipeline; known errors, refusals and interruptions end up in the outcome.

        Args:
          config: of the run.
          run_id: its id.
          reuse: what to take from earlier runs.
          view: shows how it goes.
          sign_key: to sign what is served with.
          part: that it has in a sweep.
          lane: what it has to itself, where it is not alone; the root is held by then.
        """
        return self.runner(view)(
            dataclasses.replace(config, beam_args=(*config.beam_args, *self.beam_service.arguments())),
            run_id,
            reuse=reuse,
            view=view,
            processes=self.processes if lane is None else lane.processes,
            interruptions=PROCESS if lane is None else lane.interruptions,
            before_training=self.before_training,
            # The candidates of a sweep share the cores already, and only one report is written.
            before_check=self._ask_ahead(config) if lane is None else lambda _: None,
            sign_key=sign_key,
            part=part,
            held=None if lane is None else lane.held,
        ).run()

    def runner(self, view: RunView) -> type[Run]:
        """Return the class that runs a pipeline, which brings TFX along."""
        if self._runner is None:
            with view.phase(IMPORTING):
                self._runner, self.import_s = _import_runner(self.opened, self.leave, beam=self.beam)
        return self._runner

    def report(self, paths: RunPaths, outcome: Outcome, view: RunView) -> Path | None:
        """Write the page about a run, whatever became of it, and return its path."""
        with view.phase("writing the report"):
            return _report(paths, outcome, self.ahead, self.reader, view)

    def _ask_ahead(self, config: PipelineConfig) -> Callable[[Mapping[str, ExecutionRecord]], None]:
        return lambda executions: self.ahead.begin(config.paths, executions, config.settings.data)


@contextlib.contextmanager
def engine(  # noqa: PLR0913  # what `run` knows
    request: Request,
    paths: RunPaths,
    run_id: str,
    view: RunView,
    recipe: str,
    *,
    leave: Leave | None,
    at_once: bool,
) -> Iterator[Engine]:
    """Open what runs need, and close it in every outcome.

    Args:
      request: names Beam's engine.
      paths: of the root.
      run_id: of the run, or of all of them; the log goes by it.
      view: shows how it goes.
      recipe: its name.
      leave: as for `run`.
      at_once: whether something will execute for certain.
    """
    log = paths.log(run_id)
    with PROCESS.watched(), contextlib.ExitStack() as opened:
        opened.enter_context(scratch.temporary_folder())
        opened.enter_context(log_output(log))
        opened.enter_context(observed(view, paths, run_id, recipe))
        processes = opened.enter_context(StageProcesses(log, inherits=True))
        beam_service = opened.enter_context(JobService(log, inherits=True))
        reader = opened.enter_context(StoreReader())
        if at_once or not read_ledger(paths.ledger).order:
            processes.start()
        else:
            # The engines are imported when the first node needs them, and most likely none does: the report is near then.
            reader.start()
        if request.beam == PORTABLE:
            beam_service.start()
        before_training = opened.enter_context(devices.required(chosen_device(request)))
        yield Engine(
            processes=processes,
            beam_service=beam_service,
            reader=reader,
            ahead=AnswersAhead(processes),
            before_training=before_training,
            opened=opened,
            leave=leave,
            beam=_shares_work_out(request),
        )


def prepare(request: Request, paths: RunPaths, files: DataFiles | None, view: RunView) -> None:
    """Say what is doubtful or left out, and check all that the run will write, before anything is written."""
    _say_of_data(files, view.say)
    _check_store(request, paths, *PLACES_OF_A_RUN)
    check_writable(paths, _store_elsewhere(request, paths))
    if ENGINES[request.beam].google:
        os.environ[lean_imports.FULL_IMPORTS] = "1"


def _say_of_data(files: DataFiles | None, say: Callable[[str], None]) -> None:
    """Say what is doubtful about data files, what was recognised in them, and what lies beside them."""
    _doubt(files, say)
    for sentence in () if files is None else files.says:
        say(f"data: {sentence}")
    for ignored in _ignored(files):
        say(f"ignored: {ignored}")


def _shares_work_out(request: Request) -> bool:
    """Return whether Beam's engine is more than this process, which does without Beam on its own."""
    return not works_alone(chosen_engine(request).arguments)


def _import_runner(opened: contextlib.ExitStack, leave: Leave | None, *, beam: bool) -> tuple[type[Run], float]:
    """Return the class that runs the pipeline, which brings TFX along, and the seconds that its import took."""
    before = time.monotonic()
    with _leaving(opened, leave), lean_imports.orchestrating(beam=beam):
        from pipeline.runner.run import Run

    return Run, time.monotonic() - before


@contextlib.contextmanager
def _leaving(opened: contextlib.ExitStack, leave: Leave | None) -> Iterator[None]:
    """Surround an import of TFX: a signal closes what is open and ends the process, if there is a way to end it."""
    if leave is None:
        yield
        return

    def end(error: Interrupted) -> NoReturn:
        opened.close()
        leave(error)

    with PROCESS.leaving(end):
        yield


def _doubt(files: DataFiles | None, say: Callable[[str], None]) -> None:
    if files is not None and (doubt := beginnings.doubt(files.parts, form=files.form)) is not None:
        say(f"warning: {doubt}")
    if files is not None and (doubt := import_record.doubt([file for part in files.parts for file in part.files])):
        say(f"warning: {doubt}")


def _ignored(files: DataFiles | None) -> list[str]:
    """Return what lay beside the data, the first few by name: there are folders of 100,000 pictures."""
    found = [] if files is None else [str(path) for path in files.ignored if path not in files.why]
    more = [f"{len(found) - IGNORED} more files"] if len(found) > IGNORED else []
    return found[:IGNORED] + more


def _report(paths: RunPaths, outcome: Outcome, ahead: AnswersAhead, reader: StoreReader, view: RunView) -> Path | None:
    """Write the page about the run, whatever became of it; what the models answer comes from a warm process."""
    try:
        reader.start()  # first, as it takes a quarter of a second
        with trace.span("import the report", trace.IMPORT):
            from pipeline.report import write  # jinja2 and more: for nothing else

        return write.after_run(paths.root, outcome.record.run_id, view.say, ahead, reader)
    except Interrupted:  # the run is on record by now: the command ends by the signal, after it has told about the run
        return None


def require_device(request: Request) -> None:
    """See to a device that was asked for by name before any data is read; other runs never ask for it."""
    devices.require_driver(chosen_device(request))


def require_workers(request: Request, settings: Settings) -> None:
    """See to it that a multiworker training has workers before any data is ingested."""
    if request.workers is None and settings.multiworker:
        Cluster.from_environment().require_workers()


def _check_store(request: Request, paths: RunPaths, *places: str | Path) -> None:
    """See to the metadata store before anything is written: what is on this machine first, a server at the end.

    Args:
      request: what is asked for.
      paths: of the root.
      places: what of the root has to be writable before a server is asked.
    """
    check_places(paths, *places)
    address = None if request.metadata is None else parse_address(request.metadata)
    if address is not None or paths.root.is_dir():  # the store in a new root is yet to be made
        store = address or SqliteFile(path=paths.metadata)
        if isinstance(store, SqliteFile):
            check_store(store.path)
        preflight.check_file(store, paths, read_ledger(paths.ledger))
    if address is not None:
        preflight.check_server(address)


def _store_elsewhere(request: Request, paths: RunPaths) -> Path | None:
    """Return the file of the metadata store where that is a file and not the root's own."""
    given = request.metadata or recorded_address(paths)
    try:
        address = None if given is None else parse_address(given)
    except BadInput:
        return None  # what root.json says is not an address; connecting says so
    return address.path if isinstance(address, SqliteFile) else None


def _served_already(  # noqa: PLR0913  # what `run` knows
    request: Request,
    settings: Settings,
    paths: RunPaths,
    files: DataFiles,
    sign_key: PrivateKey | None,
    leave: Leave | None,
) -> Finished | None:
    """Return the end of a run that has nothing to do, for a request for spans; None where there is anything."""
    before = time.monotonic()
    try:
        inputs = source.named_inputs(files.parts, form=files.form, data=settings.data)
        digests = {one.name: one.digest.payload for one in inputs}
        version = up_to_date.newest_version_made_from(paths.serving, digests)
        if version is None or (sign_key is not None and not (paths.serving / str(version) / SIGNATURE).is_file()):
            return None
        # Not a line from TFX: the answer is one, and the only one that a schedule should mail.
        with contextlib.ExitStack() as opened:
            opened.enter_context(redirect_output(Path(os.devnull)))
            with _leaving(opened, leave), lean_imports.orchestrating(beam=_shares_work_out(request)):
                from pipeline.runner import dry_run, run  # noqa: F401  # TFX: some seconds

            import_s = time.monotonic() - before
            found = up_to_date.served_already(configure(request, settings, paths, files), files.spans)
    except MnistTfxError:
        return None  # for the run to say, and to record
    if found is None:
        return None
    return Finished(
        outcome=found.outcome,
        root=paths.root,
        import_s=import_s,
        total_s=process_age(),
        nothing_to_do=found.why,
    )


def plan(
    request: Request,
    reuse: Reuse,
    say: Callable[[str], None],
    show: Callable[[str, int, int], None] = lambda *_: None,
    *,
    leave: Leave | None = None,
) -> DryRun:
    """Say what a run would execute, and why, without writing anything below the root.

    Args:
      request: what is asked for.
      reuse: what may be reused.
      say: is told of what a run would warn of before it starts.
      show: called with the progress: what is being done, how much of it is done, and how much there is.
      leave: as for `run`.

    Raises:
      MnistTfxError: if it could not even be started.
    """
    settings, paths, files = settings_and_paths(request)
    ServingDirectory.of(paths).require_ours(say)
    _say_of_data(files, say)
    _check_store(request, paths, paths.metadata)
    # What TFX says of itself is nothing to a reader; a run has a log for it.
    with redirect_output(Path(os.devnull)):
        show(IMPORTING, 0, 0)
        with _leaving(contextlib.ExitStack(), leave), lean_imports.orchestrating():
            from pipeline.runner import dry_run  # TFX: some seconds

        with scratch.folder() as staging:
            found = dry_run.dry_run(configure(request, settings, paths, files, staging=staging), reuse, staging)
            with listening(lambda line: show(line["stage"], line["done"], line["total"])):
                return dataclasses.replace(found, rows=dry_run.ingested_rows(found.nodes[INGEST], staging))


def process_age() -> float:
    """Return the seconds since this process started, the interpreter's own start included."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of proc(5), counted after the command's name
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started
