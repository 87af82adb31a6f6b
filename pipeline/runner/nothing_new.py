"""A configuration for spans of data -> why there is nothing to do, or None.

A schedule asks again and again, so the answer leaves no trace: no run, no record, no line in the ledger and no log,
which would all grow with every minute in which nothing happens. What is said is in the records already.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Sequence

from components.ingest.spans import Span
from pipeline.config.pipeline_config import PipelineConfig, Reuse
from pipeline.provenance import results
from pipeline.provenance.records import NodeOutcome
from pipeline.runner.dry_run import dry_run
from pipeline.runner.planner import Done
from pipeline.runner.run import Outcome
from pipeline.runner.run_record import run_record
from pipeline.stages import INGEST, PUSHER


@dataclasses.dataclass(frozen=True, kw_only=True)
class NothingNew:
    """Everything that was asked for is there.

    Attributes:
      outcome: as of a run that found every node cached; its record has no run id, and is not written.
      why: what says so, in a line.
    """

    outcome: Outcome
    why: str


def nothing_new(config: PipelineConfig, spans: Sequence[Span]) -> NothingNew | None:
    """Asks the planner whether a run would execute anything: data, schema, settings, code, artifacts, served version.

    Raises:
      MnistTfxError: as a run, for unusable data or another pipeline's root.
    """
    # The root is where the copies are already: nothing is written unless there is something to do.
    plan = dry_run(config, Reuse(), config.paths.root)
    done = {node: planned.reuse for node, planned in plan.nodes.items() if planned.reuse is not None}
    if len(done) < len(plan.nodes):
        return None
    served = results.pushed(config.paths.root, done[PUSHER].record)
    if served is None:
        return None
    nodes = [
        NodeOutcome(id=node, state="cached", seconds=0.0, why=planned.why, record=done[node].hash)
        for node, planned in plan.nodes.items()
    ]
    outcome = Outcome(record=run_record(config, "", nodes, done, None, time.time()), error=None, train_s=0.0)
    return NothingNew(outcome=outcome, why=_why(served.version, done[INGEST], spans))


def _why(version: int, ingest: Done, spans: Sequence[Span]) -> str:
    *others, last = [str(span.number) for span in spans]
    numbers = f"spans {', '.join(others)} and {last}" if others else f"span {last}"
    made_from = numbers if ingest.record.parameters["span"] == spans[-1].number else f"the same data as {numbers}"
    return f"no new span: version {version} was made from {made_from}; nothing to do"
