"""The records behind a version, even where its directory or its artifacts are gone.

The ledger says which push made it; without a recorded push, the provenance that is served with it does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.errors import BadInput
from components.serving import FORMAT_SERVING, PROVENANCE, SAVED_MODEL, versions
from pipeline.provenance.ancestry import closure, reachable
from pipeline.provenance.artifacts import ArtifactEntry
from pipeline.provenance.choice import Choice, of_run
from pipeline.provenance.ledger import Chain, read_ledger
from pipeline.provenance.record_store import Records, scan
from pipeline.provenance.records import ExecutionRecord
from pipeline.provenance.runs import run_record
from pipeline.provenance.statement import digest_of, heads_of, read_provenance
from pipeline.root.paths import RunPaths
from pipeline.root.writable import require_folder
from pipeline.stages import CLASSIFIER


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordedVersion:
    """What is recorded about a served version.

    Attributes:
      root: of its pipeline.
      version: its number; 0 of a model that was not served.
      sha256: the model's tree digest, as ledger or provenance tell it; nothing is hashed here.
      run_id: the run that pushed it, or, if no push is recorded, the one that trained it.
      executions: {node id: its execution}, all that lie behind it.
      metrics: as its run recorded them; None if that run left no record of them.
      choice: among the candidates of a sweep, that it came out of; None if its run was one of its own.
    """

    root: Path
    version: int
    sha256: str
    run_id: str
    executions: Mapping[str, ExecutionRecord]
    metrics: Mapping[str, Any] | None
    choice: Choice | None = None

    @property
    def name(self) -> str:
        """How it is called in messages."""
        return f"version {self.version}" if self.version else "the new model"

    @property
    def model_nodes(self) -> frozenset[str]:
        """The nodes that the model was made by or from; what the others do decides whether it is served."""
        made_by = {entry.path: node for node, entries in self._outputs() for entry in entries}

        def makers(node: str) -> list[str]:
            inputs = self.executions[node].inputs if node in self.executions else {}
            return [made_by[ref.path] for refs in inputs.values() for ref in refs if ref.path in made_by]

        return frozenset(reachable([CLASSIFIER], makers))

    @property
    def model_folder(self) -> Path | None:
        """Where its SavedModel lies: as it is served, else as it was trained; None if both are gone."""
        entries = [entry for _, node_entries in self._outputs() for entry in node_entries if entry.type == "Model"]
        trained = [self.root / entry.path / FORMAT_SERVING for entry in entries if entry.sha256 == self.sha256]
        places = [RunPaths(self.root).version(self.version), *trained]
        return next((place for place in places if (place / SAVED_MODEL).is_file()), None)

    def _outputs(self) -> Iterator[tuple[str, tuple[ArtifactEntry, ...]]]:
        for node, record in self.executions.items():
            yield from ((node, entries) for entries in record.outputs.values())


def recorded(root: Path, version: int) -> RecordedVersion:
    """Return what is recorded about a version.

    Raises:
      BadInput: if neither ledger nor serving directory knows it.
      RecordMissing: if a record behind it is gone.
      EnvironmentProblem: if provenance, a record or the ledger cannot be read, or the serving directory is a link.
    """
    paths = RunPaths(root)
    require_folder(paths)
    return recorded_in(root, version, read_ledger(paths.ledger), scan(paths.records))


def recorded_in(root: Path, version: int, ledger: Chain, records: Records) -> RecordedVersion:
    """Return what is recorded about a version, by a ledger and records that are read already; raises as `recorded`."""
    push = ledger.origin(version)
    if push is not None and push.record is not None:
        heads: tuple[str, ...] = (push.record,)
        sha256, run_id = push.sha256, push.run_id
    else:
        provenance = _provenance(root, version, ledger)
        heads, sha256 = heads_of(provenance), digest_of(provenance)
        run_id = provenance["predicate"]["runDetails"]["metadata"]["invocationId"]
    run = run_record(ledger, records, run_id)
    return RecordedVersion(
        root=root,
        version=version,
        sha256=sha256,
        run_id=run_id,
        # A record comes after those it was made from, so of several executions of one node the nearest stays.
        executions={record.node: record for record in closure(records, heads).values()},
        metrics=None if run is None else run.metrics,
        choice=of_run(run),
    )


def trained(root: Path, metrics: Mapping[str, Any] | None) -> RecordedVersion | None:
    """Return what is recorded about the model that was trained last, served or not; None if there is none.

    Args:
      root: of its pipeline.
      metrics: that were reported of it.
    """
    ledger, records = read_ledger(RunPaths(root).ledger), scan(RunPaths(root).records)
    done = [record for record in map(records.get, ledger.order) if isinstance(record, ExecutionRecord)]
    executions = {record.node: record for record in done}
    if CLASSIFIER not in executions:
        return None
    model = executions[CLASSIFIER]
    return RecordedVersion(
        root=root,
        version=0,
        sha256=model.outputs["model"][0].sha256,
        run_id=model.run_id,
        executions=executions,
        metrics=metrics,
    )


def _provenance(root: Path, version: int, ledger: Chain) -> dict[str, Any]:
    paths = RunPaths(root)
    if not (paths.version(version) / PROVENANCE).is_file():
        numbers = sorted({*ledger.versions, *ledger.staged, *(one.version for one in versions(paths.serving))})
        if version not in numbers:
            wanted = f"one of {', '.join(map(str, numbers))}" if numbers else None
            hint = None if numbers else "no version was ever served here: mnist-tfx run makes one"
            raise BadInput("no such version", where=root, wanted=wanted, got=version, hint=hint)
    return read_provenance(root, version)
