"""Dry runs: what a run would execute and why; nothing is written below the root."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from components.errors import EnvironmentProblem
from components.features import SPLITS
from components.ingest.artifact import DATA, write_artifact
from components.untrusted import read_json
from pipeline.config.pipeline_config import PipelineConfig, Reuse
from pipeline.provenance import record_store
from pipeline.provenance.ledger import read_ledger
from pipeline.root.identity import check_identity
from pipeline.runner.compiled import compile_pipeline
from pipeline.runner.planner import CompletedNode, NodePlan, Planner


@dataclasses.dataclass(frozen=True, kw_only=True)
class DryRun:
    """What would happen.

    Attributes:
      settings: the recipe as resolved, JSON values.
      nodes: {node id: what would happen with it}, in order.
      rows: {split: rows that it would have}; None where the data are not read again.
    """

    settings: dict[str, Any]
    nodes: dict[str, NodePlan]
    rows: dict[str, int] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return the data of the answer of `run --dry-run`."""
        nodes = [
            {"id": node, "state": "cached" if planned.reuse else "execute", "why": planned.forecast}
            for node, planned in self.nodes.items()
        ]
        return {"settings": self.settings, "nodes": nodes, "rows": self.rows}


def dry_run(config: PipelineConfig, reuse: Reuse, staging: Path) -> DryRun:
    """Plan every node as a run would.

    Args:
      config: what is asked for.
      reuse: what may be reused.
      staging: a folder for the copies of data and schema that a run would keep in the root.

    Raises:
      BadInput: as a run, for unusable data or another pipeline's root.
    """
    check_identity(config.paths, config.identity)
    compiled = compile_pipeline(config, "dry-run")
    done: dict[str, CompletedNode] = {}
    nodes: dict[str, NodePlan] = {}
    known = read_ledger(config.paths.ledger)
    planner = Planner(
        paths=config.paths,
        records=record_store.scan(config.paths.records),
        order=known.order,
        collected=known.collected(),
        unfinished=known.unfinished(),
        resumes=reuse.trainings,
        forced=reuse.forced([node.id for node in compiled.nodes]),
        staging=staging,
    )
    for node in compiled.nodes:
        planned = nodes[node.id] = planner.plan(node, done)
        if planned.reuse is not None:
            done[node.id] = planned.reuse
    return DryRun(settings=config.settings.model_dump(mode="json"), nodes=nodes)


def ingested_rows(planned: NodePlan, staging: Path) -> dict[str, int] | None:
    """Read the data as a run would, into `staging`, and return {split: rows}; None where a run would not read them.

    What a run refuses while it reads is refused here, by the same code: a plan that ends after seconds in "not all
    rows are here" is none.

    Raises:
      BadInput: as ingest, for unusable data.
    """
    if planned.reuse is not None:
        return None
    folder = staging / "examples"
    folder.mkdir()
    write_artifact(folder, planned.parameters, staging)
    read = read_json(folder / DATA, error=EnvironmentProblem)
    return {split: read["splits"][split]["rows"] for split in SPLITS}
