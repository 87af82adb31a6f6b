"""The figures of a lineage that only the records hold: parameters, outputs, rows, metrics."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.lineage.show import ServedLineage
from pipeline.provenance.ancestry import EXECUTION
from pipeline.provenance.ledger import read_ledger
from pipeline.provenance.record_store import Records, scan
from pipeline.provenance.records import DATA, ExecutionRecord
from pipeline.provenance.runs import run_record
from pipeline.root.paths import RunPaths

METRICS: Final = ("accuracy", "loss", "reconstruction_mse", "rows")
"""Of the evaluation as a whole, in the order in which they are shown."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Metric:
    """One figure of a version and of the baseline it was compared with; None where it has none."""

    name: str
    value: Any
    baseline: Any = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Details:
    """What the records know.

    Attributes:
      records: of the executions in the lineage, by hash.
      metrics: of the evaluation in the run that pushed the version; empty if that run has no record.
    """

    records: Mapping[str, ExecutionRecord] = dataclasses.field(default_factory=dict)
    metrics: tuple[Metric, ...] = ()

    @property
    def files(self) -> dict[str, Mapping[str, Any]]:
        """{payload digest: `bytes` and `rows` of a data file}."""
        entries = [file for record in self.records.values() for file in record.extra.get(DATA, {}).get("files", ())]
        return {file["payload_digest"]: file for file in entries}

    @property
    def splits(self) -> dict[str, Mapping[str, Any]]:
        """{split: its `rows` and `rows_digest`}."""
        sections = [record.extra.get(DATA, {}).get("splits", {}) for record in self.records.values()]
        return {name: split for splits in sections for name, split in splits.items()}


def gather(root: Path, lineage: ServedLineage) -> Details:
    """Return what the records of `root` know about a lineage; a record that is missing there is left out.

    Raises:
      EnvironmentProblem: if a record or the ledger cannot be read.
    """
    records = scan(RunPaths(root).records)
    ids = [node.id for node in lineage.graph.nodes.values() if node.kind == EXECUTION]
    executions = {id_: record for id_ in ids if isinstance(record := records.get(id_), ExecutionRecord)}
    return Details(records=executions, metrics=_metrics(root, lineage.run_id, records))


def _metrics(root: Path, run_id: str, records: Records) -> tuple[Metric, ...]:
    record = run_record(read_ledger(RunPaths(root).ledger), records, run_id)
    if record is None or record.metrics is None:
        return ()
    compared = record.metrics.get("baseline")
    baseline = compared if isinstance(compared, Mapping) else {}
    return tuple(
        Metric(name=name, value=record.metrics.get(name), baseline=baseline.get(name))
        for name in METRICS
        # Without an autoencoder there is no error of reconstructions; what was served has all other figures.
        if record.metrics.get(name) is not None or baseline.get(name) is not None
    )
