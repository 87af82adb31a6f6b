"""The executions of a root as ledger and records tell them, in the order of their numbers.

MLMD numbers executions itself, and TFX names output folders by that number. So what is not on record leaves a failed
execution in its place, and the next number is one that no folder bears.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

from pipeline.provenance.ledger import Chain, Event, Line
from pipeline.provenance.record_store import Records
from pipeline.provenance.records import ExecutionRecord, RunRecord

UNNUMBERED: Final = 1 << 20
"""No execution has such a number; a folder with a longer name is none of TFX's."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class RecordedExecution:
    """An execution that records and ledger tell of.

    Attributes:
      node: node id; None where nothing is known.
      run_id: of its run.
      pipeline: name of the pipeline.
      state: MLMD's name of it.
      hash: of its record, or of the one whose outputs it reused.
      record: the record itself.
    """

    node: str | None
    run_id: str
    pipeline: str
    state: str
    hash: str | None = None
    record: ExecutionRecord | None = None


def recorded_executions(ledger: Chain, records: Records) -> list[RecordedExecution]:
    """Return the executions of the ledger: committed, given up, and those that reused another's outputs.

    Raises:
      EnvironmentProblem: if a record is missing or changed.
    """
    intents = {line.sequence: line for line in ledger.lines if line.event == Event.INTENT}
    names = {record.run_id: record.recipe for record in _runs(ledger, records)}
    result = []
    for line in ledger.lines:
        record = records[line.record] if line.record is not None else None
        if line.event == Event.COMMIT and isinstance(record, ExecutionRecord):
            result.append(_completed(line, record))
        elif line.event == Event.LOST and line.details.get("intent") in intents:
            name = names.get(line.run_id) or next(iter(names.values()), "")
            result.append(RecordedExecution(node=line.node, run_id=line.run_id, pipeline=name, state="FAILED"))
        elif line.event == Event.RUN and isinstance(record, RunRecord):
            result += _cached(record, records)
    return result


def _completed(line: Line, record: ExecutionRecord) -> RecordedExecution:
    return RecordedExecution(
        node=line.node,
        run_id=line.run_id,
        pipeline=record.pipeline,
        state="COMPLETE",
        hash=line.record,
        record=record,
    )


def _runs(ledger: Chain, records: Records) -> Iterator[RunRecord]:
    for line in ledger.lines:
        record = records[line.record] if line.event == Event.RUN and line.record is not None else None
        if isinstance(record, RunRecord):
            yield record


def _cached(run: RunRecord, records: Records) -> Iterator[RecordedExecution]:
    for node in run.nodes:
        record = records[node.record] if node.state == "cached" and node.record is not None else None
        if isinstance(record, ExecutionRecord):
            yield RecordedExecution(
                node=node.id, run_id=run.run_id, pipeline=run.recipe, state="CACHED", hash=node.record, record=record
            )


def in_order_of_numbers(executions: Iterable[RecordedExecution], highest: int) -> list[RecordedExecution]:
    """Return the executions so that each stands where its output folders' number says, the first one at 1.

    Args:
      executions: in the ledger's order.
      highest: number that the list must reach at least.
    """
    numbered: dict[int, RecordedExecution] = {}
    others = []
    for one in executions:
        number = _number(one)
        if number is None or number in numbered:
            others.append(one)
        else:
            numbered[number] = one
    waiting = iter(others)
    nothing = RecordedExecution(node=None, run_id="", pipeline="", state="FAILED")
    reached = max([highest, *numbered])
    placed = [numbered.get(number) or next(waiting, nothing) for number in range(1, reached + 1)]
    return placed + list(waiting)


def _number(one: RecordedExecution) -> int | None:
    outputs = one.record.outputs if one.record is not None and one.state == "COMPLETE" else {}
    names = [entry.path.rsplit("/", 1)[-1] for entries in outputs.values() for entry in entries]
    return next((int(name) for name in names if name.isdecimal() and 0 < int(name) < UNNUMBERED), None)


def highest_number(artifacts: Path) -> int:
    """Return the highest number that an output folder bears, 0 if there is none."""
    names = [path.name for path in artifacts.glob("*/*/*") if path.parent.name != ".system"]
    return max((int(name) for name in names if name.isdecimal() and int(name) < UNNUMBERED), default=0)
