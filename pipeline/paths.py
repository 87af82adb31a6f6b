"""A root folder -> every path a run can create: the one place that joins path names."""

from __future__ import annotations

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class RunPaths:
    """The files of one pipeline.

    Attributes:
      root: absolute path of the root folder.
    """

    root: Path

    @property
    def identity(self) -> Path:
        """Which pipeline lives here: recipe name and input signature."""
        return self.root / "root.json"

    @property
    def metadata(self) -> Path:
        """ML Metadata's SQLite file."""
        return self.root / "metadata.db"

    @property
    def records(self) -> Path:
        """Immutable records of executions and runs, named by their own SHA-256."""
        return self.root / "records"

    @property
    def ledger(self) -> Path:
        """The hash-chained sequence of record hashes."""
        return self.root / "ledger.jsonl"

    @property
    def lock(self) -> Path:
        """Held by the one run that may write here."""
        return self.root / ".lock"

    @property
    def inputs(self) -> Path:
        """Copies of data and schema files, in folders named by digest."""
        return self.root / "inputs"

    @property
    def artifacts(self) -> Path:
        """TFX's pipeline root: <node>/<channel>/<execution id>/."""
        return self.root / "artifacts"

    @property
    def checkpoints(self) -> Path:
        """Unfinished trainings, in folders named by node key."""
        return self.root / "checkpoints"

    @property
    def serving(self) -> Path:
        """The directory that TF Serving reads."""
        return self.root / "serving"

    def log(self, run_id: str) -> Path:
        """What the stack printed during a run."""
        return self.root / "logs" / f"{run_id}.log"

    def gate_report(self, run_id: str) -> Path:
        """Every check of the schema gate in a run that it refused; otherwise they are in its artifact."""
        return self.root / "logs" / f"{run_id}.gate.json"

    def report(self, run_id: str) -> Path:
        """The page about a run, for people."""
        return self.root / "reports" / f"{run_id}.html"

    def report_answers(self, key: str) -> Path:
        """What a run's models answered, kept for the next report on the same models; may be removed at any time."""
        return self.root / "reports" / ".answers" / f"{key}.npz"

    def relative(self, path: str | Path) -> str:
        """Returns a path below the root as the records hold it: relative, with forward slashes.

        Raises:
          ValueError: if it lies elsewhere.
        """
        return Path(path).relative_to(self.root).as_posix()
