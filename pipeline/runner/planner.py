"""The planner: whether a node's outputs can be reused, and why.

The node key decides: the executor, the execution properties (settings, code digest, data digests) and the records of
the inputs. A match counts only if every byte of the recorded outputs is still there; stock TFX asks whether the URI
exists. One decider serves `run` and `--dry-run` alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.declaration import CODE_DIGEST
from pipeline.provenance import records
from pipeline.provenance.artifacts import ArtifactRef, difference
from pipeline.provenance.parameters import flatten_keys, unpack_parameters
from pipeline.provenance.records import ExecutionRecord, Scalar
from pipeline.provenance.results import still_served
from pipeline.root.paths import RunPaths
from pipeline.runner import resumption
from pipeline.runner.compiled import Node
from pipeline.stages import PUSHER


@dataclasses.dataclass(frozen=True, kw_only=True)
class CompletedNode:
    """A node whose outputs are there: by whose record, under which hash."""

    hash: str
    record: ExecutionRecord

    def refs(self, channel: str) -> tuple[ArtifactRef, ...]:
        """Return its outputs as their readers name them."""
        return tuple(entry.ref(self.hash) for entry in self.record.outputs.get(channel, ()))


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodePlan:
    """What is to happen with a node.

    Attributes:
      key: its node key; None while an input is not there yet.
      parameters: execution properties as resolved.
      inputs: {channel: artifacts}.
      reuse: the execution whose outputs are reused; None if it has to execute.
      why: what decided that, in words.
      damaged: whether outputs that would have been reused were changed on disk.
      resumes: number of epochs that a checkpoint holds of this very training; None if it would begin.
    """

    key: str | None
    parameters: Mapping[str, Scalar]
    inputs: Mapping[str, tuple[ArtifactRef, ...]]
    reuse: CompletedNode | None
    why: str
    damaged: bool = False
    resumes: int | None = None

    @property
    def forecast(self) -> str:
        """Why it is to execute or not, and how far an interrupted training had come."""
        return self.why if self.resumes is None else f"{self.why}; would be resumed at epoch {self.resumes + 1}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class ReuseBlocker:
    """Why outputs cannot be reused, and whether somebody damaged them."""

    why: str
    is_damage: bool


@dataclasses.dataclass(frozen=True)
class Planner:
    """Decides node by node, upstream first.

    Attributes:
      paths: of the root.
      records: all records, by hash.
      order: hashes of execution records, oldest first.
      forced: nodes that execute whatever was recorded.
      fresh: keys of work that was done for this command, which is not forced a second time.
      collected: paths of artifacts that were removed on purpose.
      unfinished: {node key: id of the newest run that began this work and did not finish it}.
      resumes: whether a training goes on from its checkpoint.
      staging: where copies of data and schema go while properties are resolved; the root itself by default.
    """

    paths: RunPaths
    records: Mapping[str, records.Record]
    order: tuple[str, ...]
    forced: frozenset[str] = frozenset()
    fresh: frozenset[str] = frozenset()
    collected: frozenset[str] = frozenset()
    unfinished: Mapping[str, str] = dataclasses.field(default_factory=dict)
    resumes: bool = True
    staging: Path | None = None

    def plan(self, node: Node, done: Mapping[str, CompletedNode]) -> NodePlan:
        """Decide about one node, `done` being the nodes upstream that are there."""
        waiting = [producer for producer in node.producers if producer not in done]
        if waiting:
            why = f"{' and '.join(waiting)} executes"
            return NodePlan(key=None, parameters={}, inputs={}, reuse=None, why=why)
        inputs = {channel: done[producer].refs(output) for channel, (producer, output) in node.inputs.items()}
        parameters = node.resolve(self.paths.root, self.staging or self.paths.root, inputs)
        recorded = records.without_root(parameters, str(self.paths.root))
        key = records.node_key(node.id, node.executor, recorded, inputs)
        resumes = self._epochs_kept(node, key)
        asked = NodePlan(key=key, parameters=parameters, inputs=inputs, reuse=None, why="", resumes=resumes)
        if node.id in self.forced and key not in self.fresh:
            return dataclasses.replace(asked, why="asked for")
        found = records.find(self.records, self.order, key)
        if found is None:
            begun = self._begun(key)
            return dataclasses.replace(asked, why=begun or self._what_changed(node, recorded, inputs))
        hash_, record = found
        if (fault := self._fault(node, record)) is not None:
            return dataclasses.replace(asked, why=fault.why, damaged=fault.is_damage)
        done_before = CompletedNode(hash=hash_, record=record)
        # What was read under one name is reused under that name, in the metadata store as well.
        named = {name: record.parameters[name] for name in records.NAMES_ONLY if name in record.parameters}
        asked = dataclasses.replace(asked, parameters={**parameters, **named}, resumes=None)
        return dataclasses.replace(asked, reuse=done_before, why=f"unchanged since run {record.run_id}")

    def _epochs_kept(self, node: Node, key: str) -> int | None:
        if not node.stage.trains or not self.resumes:
            return None
        return resumption.epochs_kept(self.paths.checkpoints / key)

    def _begun(self, key: str) -> str | None:
        return f"run {self.unfinished[key]} began it and did not finish" if key in self.unfinished else None

    def _fault(self, node: Node, record: ExecutionRecord) -> ReuseBlocker | None:
        """Return why the outputs of an earlier execution cannot be reused, or None: every byte is read."""
        for entry in (entry for entries in record.outputs.values() for entry in entries):
            if entry.path in self.collected:
                return ReuseBlocker(why=f"{entry.path} was collected by `lineage gc`", is_damage=False)
            if changes := difference(self.paths.root, entry):
                return ReuseBlocker(why=f"{entry.path} was changed on disk ({changes})", is_damage=True)
        if node.id == PUSHER and not still_served(self.paths.root, record):
            return ReuseBlocker(why="what it pushed is not the newest served version", is_damage=False)
        return None

    def _what_changed(
        self, node: Node, parameters: Mapping[str, Scalar], inputs: Mapping[str, tuple[ArtifactRef, ...]]
    ) -> str:
        executions = (self.records[known] for known in reversed(self.order) if known in self.records)
        last = next((r for r in executions if isinstance(r, ExecutionRecord) and r.node == node.id), None)
        if last is None:
            return "never executed here"
        return "; ".join(_differences(node, last, parameters, inputs)) or "its executor changed"


def _differences(
    node: Node,
    last: ExecutionRecord,
    parameters: Mapping[str, Scalar],
    inputs: Mapping[str, tuple[ArtifactRef, ...]],
) -> Iterator[str]:
    before, now = dict(last.code.files), dict(node.code.files)
    changed = sorted(path for path in before.keys() | now.keys() if before.get(path) != now.get(path))
    if changed:
        yield f"code changed: {', '.join(changed)}"
    elif last.parameters.get(CODE_DIGEST) != parameters.get(CODE_DIGEST):
        yield "requirements.lock changed"
    old, new = _by_key(last.parameters), _by_key(parameters)
    for key in sorted(old.keys() | new.keys()):
        if old.get(key) != new.get(key):
            yield f"{key} changed: {_short(old.get(key))} -> {_short(new.get(key))}"
    others = [
        producer
        for channel, (producer, _) in node.inputs.items()
        if [ref.identity for ref in last.inputs.get(channel, ())] != [ref.identity for ref in inputs[channel]]
    ]
    if others:
        # Not "executed": they may be cached in this very run, from one that did not come this far.
        yield f"new input from {' and '.join(dict.fromkeys(others))}"


def _by_key(given: Mapping[str, Scalar]) -> dict[str, Any]:
    """Return parameters by the keys of the recipe, without the section that the node is about anyway."""
    flat = flatten_keys(unpack_parameters(given))
    return {key.removeprefix("settings.").removeprefix("data."): value for key, value in flat.items()}


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 40 else f"{text[:37]}..."
