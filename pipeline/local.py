"""A request -> a finished local run, with everything that can be done beside the heavy imports done beside them."""

from __future__ import annotations

import dataclasses
import datetime
import os
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from components.errors import MnistTfxError
from pipeline import lean_imports
from pipeline.config import Reuse
from pipeline.configure import Request, configure, settings_and_paths
from pipeline.interruption import Interrupted, Interruptions
from pipeline.isolation import StageProcesses
from pipeline.lineage import chain
from pipeline.quiet import output_to
from pipeline.root import check_writable
from pipeline.view import RunView

if TYPE_CHECKING:
    from pipeline.dry_run import DryRun
    from pipeline.lineage.keys import PrivateKey
    from pipeline.runner import Outcome


@dataclasses.dataclass(frozen=True, kw_only=True)
class Finished:
    """A run that came to an end of some kind.

    Attributes:
      outcome: how it ended.
      root: absolute path of the root.
      import_s: seconds spent on importing TFX.
      total_s: seconds since the process started.
    """

    outcome: Outcome
    root: Path
    import_s: float
    total_s: float

    def to_dict(self) -> dict[str, Any]:
        """Returns the answer of `run --json`, without its schema version."""
        record = self.outcome.record.to_dict()
        metrics = record["metrics"] or {}
        error = self.outcome.error
        return {
            "status": record["status"],
            "error": None if error is None else str(error),
            "run_id": record["run_id"],
            "recipe": record["recipe"],
            "payload_digests": {source["name"]: source["payload_digest"] for source in record["sources"]},
            "rows_digest": record["rows_digest"],
            "nodes": [{key: node[key] for key in ("id", "state", "seconds", "why")} for node in record["nodes"]],
            "metrics": {key: metrics.get(key) for key in ("accuracy", "loss", "reconstruction_mse", "per_class")},
            "blessed": record["blessed"],
            "baseline": record["baseline"],
            "version": record["version"],
            "serving_path": None if record["serving_path"] is None else str(self.root / record["serving_path"]),
            "import_s": round(self.import_s, 3),
            "train_s": round(self.outcome.train_s, 3),
            "total_s": round(self.total_s, 3),
        }


def not_run(error: MnistTfxError | Interrupted) -> dict[str, Any]:
    """Returns the answer of `run --json` where nothing could be started: every field, and why."""
    return {
        "status": "interrupted" if isinstance(error, Interrupted) else "failed",
        "error": str(error),
        "run_id": None,
        "recipe": None,
        "payload_digests": {},
        "rows_digest": None,
        "nodes": [],
        "metrics": dict.fromkeys(("accuracy", "loss", "reconstruction_mse", "per_class")),
        "blessed": None,
        "baseline": None,
        "version": None,
        "serving_path": None,
        "import_s": 0.0,
        "train_s": 0.0,
        "total_s": round(process_age(), 3),
    }


def run(
    request: Request, reuse: Reuse, view: RunView, *, sign_key: PrivateKey | None = None, verbose: bool = False
) -> Finished:
    """Runs the pipeline, and signs what it serves where there is a key.

    Raises:
      MnistTfxError: if it could not be started; what stops a started run is in the outcome.
    """
    settings, paths, files = settings_and_paths(request)
    run_id = datetime.datetime.now(tz=datetime.timezone.utc).strftime("%Y%m%dT%H%M%S.%fZ")
    if verbose:
        view.say(f"log: {paths.log(run_id)}")
    for ignored in files.ignored if files is not None else ():
        view.say(f"ignored: {ignored}")
    check_writable(paths)
    interruptions = Interruptions()
    with interruptions.watched(), output_to(paths.log(run_id)), StageProcesses(paths.log(run_id)) as processes:
        if reuse.none or not chain.read(paths.ledger).order:
            # Something will execute for certain; otherwise the engines are imported when the first node needs them.
            processes.start()
        config = configure(request, settings, paths, files)
        before = time.monotonic()
        with lean_imports.orchestrating():
            from pipeline import runner  # TFX: some seconds

        import_s = time.monotonic() - before
        outcome = runner.Run(
            config,
            run_id,
            reuse=reuse,
            view=view,
            processes=processes,
            interruptions=interruptions,
            sign_key=sign_key,
        ).run()
    return Finished(outcome=outcome, root=paths.root, import_s=import_s, total_s=process_age())


def plan(request: Request, reuse: Reuse) -> DryRun:
    """Says what a run would execute, and why, without writing anything below the root.

    Raises:
      MnistTfxError: if it could not even be started.
    """
    with lean_imports.orchestrating():
        from pipeline import dry_run  # TFX: some seconds

    settings, paths, files = settings_and_paths(request)
    with tempfile.TemporaryDirectory(prefix="mnist-tfx-") as staging:
        config = configure(request, settings, paths, files, staging=Path(staging))
        return dry_run.dry_run(config, reuse, Path(staging))


def process_age() -> float:
    """Returns the seconds since this process started, the interpreter's own start included."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    started = int(fields[19]) / os.sysconf("SC_CLK_TCK")  # field 22 of proc(5), counted after the command's name
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started
