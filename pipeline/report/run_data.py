"""Data of a run: its record, the records of its nodes, and where their artifacts are."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from components.errors import BadInput
from components.settings import Settings
from components.untrusted import read_json
from components.wording import validated
from pipeline.audit.audit import audit_version
from pipeline.audit.findings import Audit
from pipeline.metadata.reader import StoreReader
from pipeline.provenance import record_store, runs
from pipeline.provenance.records import ExecutionRecord, RunRecord
from pipeline.root.paths import RunPaths


class NotThereError(Exception):
    """A part of the page has nothing to show; its text says why."""


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class RunData:
    """What is known of one run.

    Attributes:
      paths: of the root.
      run: the run's record.
      executions: {node: record of the execution whose outputs the run has}, of nodes that were executed or cached.
      reader: asks the metadata store for the audit; None has the audit begin one of its own.
    """

    paths: RunPaths
    run: RunRecord
    executions: Mapping[str, ExecutionRecord]
    reader: StoreReader | None = None

    @cached_property
    def settings(self) -> Settings:
        """The recipe as the run resolved it.

        Raises:
          EnvironmentProblem: if this release does not know such settings.
        """
        return validated(Settings, self.run.settings, where=self.run.run_id)

    @cached_property
    def audit(self) -> Audit | None:
        """The audit of the version that the run ended with, made once for all that show it; None without a version.

        Raises:
          BadInput: if the version is not there any more.
        """
        version = self.run.version
        return None if version is None else audit_version(self.paths.root, version, reader=self.reader)

    def artifact(self, node: str, channel: str) -> Path:
        """Return the folder of an artifact.

        Raises:
          NotThereError: if the run has none such.
        """
        record = self.executions.get(node)
        if record is None:
            raise NotThereError(f"{node} left nothing in this run: {self.outcome(node)}")
        entries = record.outputs.get(channel)
        folder = None if not entries else self.paths.root / entries[0].path
        if folder is None or not folder.is_dir():
            raise NotThereError(f"the artifact {channel} of {node} is not there any more")
        return folder

    def digest(self, node: str, channel: str) -> str | None:
        """Return the digest of an artifact, None where the run has none such."""
        entries = self.executions[node].outputs.get(channel) if node in self.executions else None
        return entries[0].sha256 if entries else None

    def outcome(self, node: str) -> str:
        """Return what became of a node, in words."""
        outcomes = [outcome for outcome in self.run.nodes if outcome.id == node]
        if not outcomes:
            return "this recipe has no such node"
        return outcomes[0].state if outcomes[0].state != "skipped" else "the run did not get that far"

    def read_json(self, node: str, channel: str, name: str) -> Any:
        """Return the content of a JSON file in an artifact.

        Raises:
          NotThereError: if it is not there, or is no JSON.
        """
        path = self.artifact(node, channel) / name
        try:
            return read_json(path)
        except BadInput as err:
            gone = not os.path.lexists(path)
            raise NotThereError(f"{node} left no {name}" if gone else f"{name} of {node}: {err.what}") from err


def gather(root: Path, run_id: str | None = None, reader: StoreReader | None = None) -> RunData:
    """Return what a run left, by default the newest.

    Raises:
      BadInput: if there is no such run.
      EnvironmentProblem: if a record cannot be read.
    """
    paths = RunPaths(root.absolute())
    return of_record(paths, runs.find(paths.root, run_id), reader)


def of_record(paths: RunPaths, run: RunRecord, reader: StoreReader | None = None) -> RunData:
    """Return what a run left, by its record.

    Raises:
      EnvironmentProblem: if a record cannot be read.
    """
    records = record_store.scan(paths.records)
    by_node = {
        node.id: records[node.record] for node in run.nodes if node.record is not None and node.record in records
    }
    executions = {node: record for node, record in by_node.items() if isinstance(record, ExecutionRecord)}
    return RunData(paths=paths, run=run, executions=executions, reader=reader)
