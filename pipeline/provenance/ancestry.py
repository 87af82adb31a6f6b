"""The graph of executions and data behind a version, and the two walks over what was made from what.

`reachable` goes outwards, nearest first; `makers_first` orders records so that each comes after those it was made from.
Neither recurses and neither has a limit: a chain of thousands of generations is answered whole.
"""

from __future__ import annotations

import dataclasses
import functools
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from components.errors import EnvironmentProblem
from pipeline.provenance.record_store import RecordMissing
from pipeline.provenance.records import ExecutionRecord, Record

SERVED, EXECUTION, DATA = "served", "execution", "data"
DATA_CHANNEL: Final = "data"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Node:
    """A served version, an execution or a data file.

    Attributes:
      id: a record's hash for an execution, `data:<payload digest>` for a file, `version:<number>` for a served one.
      kind: `served`, `execution` or `data`.
      name: node id, or the names a file was given, or the served directory.
      sha256: record hash, payload digest, or the served model's tree digest.
      run_id: the run that executed it.
      time: when it started, UTC.
      properties: of its outputs, such as `blessed` or `baseline`.
    """

    id: str
    kind: str
    name: str
    sha256: str
    run_id: str | None = None
    time: str | None = None
    properties: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Edge:
    """`target` read what `source` made.

    Attributes:
      source: id of the node upstream.
      target: id of the node downstream.
      channel: input channel of the target, such as `base_model`.
      sha256: digest of the artifact that went over it.
    """

    source: str
    target: str
    channel: str
    sha256: str


@dataclasses.dataclass(frozen=True)
class Graph:
    """Nodes by id, and the edges between them, in the order of channels."""

    nodes: Mapping[str, Node]
    edges: tuple[Edge, ...]

    @functools.cached_property
    def incoming(self) -> Mapping[str, Sequence[Edge]]:
        """{node id: edges from upstream}."""
        return _by(self.edges, "target")

    @functools.cached_property
    def outgoing(self) -> Mapping[str, Sequence[Edge]]:
        """{node id: edges to downstream}."""
        return _by(self.edges, "source")

    def to_dict(self) -> dict[str, Any]:
        """Return nodes and edges as JSON values."""
        return {
            "nodes": [dataclasses.asdict(node) for node in self.nodes.values()],
            "edges": [dataclasses.asdict(edge) for edge in self.edges],
        }


def reachable(starts: Iterable[str], neighbours: Callable[[str], Iterable[str]]) -> dict[str, int]:
    """Return {node: steps from the nearest of `starts`} of all that can be reached, nearest first; `starts` are at 0."""
    distance = dict.fromkeys(starts, 0)
    waiting = list(distance)
    for node in waiting:  # grows while it is walked
        new = [other for other in dict.fromkeys(neighbours(node)) if other not in distance]
        distance |= dict.fromkeys(new, distance[node] + 1)
        waiting += new
    return distance


def makers_first(
    heads: Iterable[str], read: Callable[[str, str | None], ExecutionRecord | None]
) -> dict[str, ExecutionRecord]:
    """Return the records `heads` and all those behind them by hash, each after the ones it was made from.

    Args:
      heads: hashes.
      read: given a hash and the node that read what that record made, None for a head: the record, or None, which ends
        this branch and nothing else.
    """
    opened: dict[str, ExecutionRecord | None] = {}
    finished: dict[str, ExecutionRecord] = {}
    stack: list[tuple[str, str | None]] = [(hash_, None) for hash_ in reversed(tuple(heads))]
    while stack:
        hash_, reader = stack[-1]
        if hash_ not in opened:
            opened[hash_] = record = read(hash_, reader)
            makers = () if record is None else record.input_records
            stack += [(maker, record.node if record else None) for maker in reversed(makers) if maker not in opened]
            continue
        if (done := opened[hash_]) is not None:
            finished.setdefault(hash_, done)
        stack.pop()
    return finished


def closure(records: Mapping[str, Record], heads: Iterable[str]) -> dict[str, ExecutionRecord]:
    """Return the records `heads` and all those behind them by hash, each after the ones it was made from.

    Raises:
      RecordMissing: naming the hash and the node that read what it made.
      EnvironmentProblem: if a hash goes to the record of a run.
    """
    return makers_first(heads, lambda hash_, reader: _execution(records, hash_, reader or "served version"))


def build_graph(records: Mapping[str, Record], heads: Iterable[str]) -> Graph:
    """Return the graph of the records `heads`, of all behind them, and of the data files these read.

    Raises:
      RecordMissing: as `closure`.
    """
    executions = closure(records, heads)
    nodes = {hash_: _node(hash_, record) for hash_, record in executions.items()}
    edges = []
    for hash_, record in executions.items():
        for source in record.sources:
            data = Node(id=f"data:{source.payload_digest}", kind=DATA, name=source.name, sha256=source.payload_digest)
            nodes.setdefault(data.id, data)
            edges.append(Edge(source=data.id, target=hash_, channel=DATA_CHANNEL, sha256=data.sha256))
        for channel, refs in sorted(record.inputs.items()):
            recorded = [ref for ref in refs if ref.record is not None]
            edges += [
                Edge(source=str(ref.record), target=hash_, channel=channel, sha256=ref.sha256) for ref in recorded
            ]
    return Graph(nodes, tuple(edges))


def _node(hash_: str, record: ExecutionRecord) -> Node:
    properties = {name: value for _, entry in record.outputs_by_channel for name, value in entry.properties.items()}
    return Node(
        id=hash_,
        kind=EXECUTION,
        name=record.node,
        sha256=hash_,
        run_id=record.run_id,
        time=record.started,
        properties=properties,
    )


def _execution(records: Mapping[str, Record], hash_: str, reader: str) -> ExecutionRecord:
    try:
        record = records[hash_]
    except KeyError as err:
        raise RecordMissing("a record behind it is missing", where=reader, wanted=f"{hash_}.json") from err
    if not isinstance(record, ExecutionRecord):
        raise EnvironmentProblem("not the record of an execution", where=hash_, got=record.kind)
    return record


def _by(edges: Iterable[Edge], end: str) -> dict[str, list[Edge]]:
    result: dict[str, list[Edge]] = defaultdict(list)
    for edge in edges:
        result[getattr(edge, end)].append(edge)
    return dict(result)
