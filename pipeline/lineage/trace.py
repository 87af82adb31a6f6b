"""Everything upstream of a version: executions and data files, nearest first, complete however deep or wide."""

from __future__ import annotations

import dataclasses
from typing import Any

from components.errors import EnvironmentProblem
from pipeline.lineage import imports
from pipeline.lineage.index import IndexedVersion, LineageIndex
from pipeline.lineage.steps import ExecutionSummary
from pipeline.provenance.ancestry import reachable
from pipeline.provenance.record_store import RecordMissing
from pipeline.root.paths import RunPaths


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFile:
    """A data file.

    Attributes:
      name: by which it was given.
      payload_digest: of its content.
      rows: in it.
      reader: the execution that read it.
      imported_from: what it was imported from, in words; None if it was not.
    """

    name: str
    payload_digest: str
    rows: int | None
    reader: str
    imported_from: str | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Trace:
    """Everything upstream of a version.

    Attributes:
      push: the version.
      steps: (executions between it and the version, execution), nearest first.
      data: the files that were read.
      edges: artifacts that went from one execution to another.
    """

    push: IndexedVersion
    steps: tuple[tuple[int, ExecutionSummary], ...]
    data: tuple[DataFile, ...]
    edges: int

    @property
    def nodes_visited(self) -> int:
        """The version, the executions and the data files."""
        return 1 + len(self.steps) + len({file.payload_digest for file in self.data})

    @property
    def depth(self) -> int:
        """Executions between the version and the farthest one."""
        return self.steps[-1][0] if self.steps else 0

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        push = self.push._asdict()
        return {
            **{name: push[name] for name in ("version", "digest", "run_id", "recorded", "served")},
            "nodes_visited": self.nodes_visited,
            "edges": self.edges,
            "depth": self.depth,
            "executions": [_fields(depth, step) for depth, step in self.steps],
            "data": [dataclasses.asdict(file) for file in self.data],
        }


def trace(lineage: LineageIndex, version: int | None = None) -> Trace:
    """Return everything upstream of a version, by default the newest that is served.

    Raises:
      BadInput: if there is no such version.
      RecordMissing: if a record behind it is gone, naming it and its reader.
      EnvironmentProblem: if nothing is known about where the version came from.
    """
    push = lineage.push(version)
    if not push.heads:
        where = RunPaths(lineage.root).version(push.version)
        raise EnvironmentProblem("neither its push nor its provenance is on record", where=where)

    def makers(hash_: str) -> list[str]:
        if hash_ not in lineage.steps:
            where = f"version {push.version}"
            raise RecordMissing("a record behind it is missing", where=where, wanted=f"{hash_}.json")
        return [read.maker for read in lineage.steps[hash_].reads if read.maker is not None]

    steps = [(1 + distance, lineage.steps[hash_]) for hash_, distance in reachable(push.heads, makers).items()]
    edges = sum(len(step.reads) for _, step in steps)
    return Trace(push=push, steps=tuple(steps), data=tuple(_data(lineage, steps)), edges=edges)


def _data(lineage: LineageIndex, steps: list[tuple[int, ExecutionSummary]]) -> list[DataFile]:
    readers = [step for _, step in steps if step.data is not None]
    imported = {step.record: imports.said(lineage.root, step.parameters or {}) for step in readers}
    return [
        DataFile(
            name=lineage.names.get(file["payload_digest"], file["name"]),
            payload_digest=file["payload_digest"],
            rows=file.get("rows"),
            reader=step.record,
            imported_from=imported[step.record],
        )
        for step in readers
        for file in (step.data or {})["files"]
    ]


def _fields(depth: int, step: ExecutionSummary) -> dict[str, Any]:
    return {
        "record": step.record,
        "node": step.node,
        "run_id": step.run_id,
        "started": step.started,
        "depth": depth,
        "code": step.code,
        "reads": [{"channel": r.channel, "type": r.type, "sha256": r.sha256, "maker": r.maker} for r in step.reads],
        "makes": [{"channel": m.channel, "type": m.type, "path": m.path, "sha256": m.sha256} for m in step.makes],
    }
