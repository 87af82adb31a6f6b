"""The lineage of a served version: the statement beside its bytes, the records it names, the data files they read."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final

from components import serving
from components.errors import BadInput
from pipeline.provenance.ancestry import DATA_CHANNEL, EXECUTION, SERVED, Edge, Graph, Node, build_graph, closure
from pipeline.provenance.approvals import Approval, read_approvals
from pipeline.provenance.choice import Choice, of_run
from pipeline.provenance.ledger import Chain, Line, read_ledger
from pipeline.provenance.record_store import Records, scan
from pipeline.provenance.records import ExecutionRecord
from pipeline.provenance.removed_version import rebuilt_statement, removal, removed_folder, removed_versions
from pipeline.provenance.runs import run_record
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.provenance.staged_directory import StagedDirectory
from pipeline.provenance.statement import digest_of, heads_of, parse_statement, read_provenance, statement_bytes
from pipeline.root.paths import RunPaths

UNKNOWN: Final = "unknown"
SCHEMA_DIGEST: Final = "schema_sha256"
"""Parameter of the execution that read a reviewed schema."""

IMPORTED: Final = "imported_from"
"""Property of a data file in the graph."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServedLineage:
    """What a served version was made from.

    Attributes:
      version: its number.
      path: of its directory, relative to the root.
      sha256: the model's tree digest, as its manifest tells it; nothing is hashed here.
      run_id: the run that pushed it, or, if no push is recorded, the one that trained it.
      recorded: whether the push itself has a record.
      baseline: what it was compared with, such as `version 2` or `none`.
      graph: from the data files to the version.
      approvals: of the version's bytes and of the schemas behind it, oldest first.
      choice: among the candidates of a sweep, that it came out of; None if its run was one of its own.
      removed: UTC time at which it was pruned; None of what is there.
    """

    version: int
    path: str
    sha256: str
    run_id: str
    recorded: bool
    baseline: str
    graph: Graph
    approvals: tuple[Approval, ...] = ()
    choice: Choice | None = None
    removed: str | None = None

    @property
    def id(self) -> str:
        """The version's node in `graph`."""
        return f"version:{self.version}"

    def state(self, node: Node) -> str:
        """Return whether the run that pushed it `executed` a node or had it `cached`."""
        return "executed" if node.run_id == self.run_id else "cached"

    def to_dict(self) -> dict[str, Any]:
        """Return the lineage as JSON values."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name not in ("graph", "choice")}
        fields["choice"] = None if self.choice is None else self.choice.to_dict()
        drawn = self.graph.to_dict()
        states = {node.id: self.state(node) for node in self.graph.nodes.values() if node.kind == EXECUTION}
        nodes = [{**node, "state": states.get(node["id"])} for node in drawn["nodes"]]
        fields["approvals"] = [dataclasses.asdict(approval) for approval in self.approvals]
        return {**fields, "nodes": nodes, "edges": drawn["edges"]}


def show(root: Path, version: int | None = None) -> ServedLineage:
    """Return the lineage of a served version, by default the newest that was pushed; of a pruned one by its records.

    Raises:
      BadInput: if it is not there, and was not pruned.
      RecordMissing: if a record behind it is gone.
      EnvironmentProblem: if its manifest, a record or the ledger cannot be read.
    """
    number = _choose_version(root, version)
    provenance = parse_statement(statement_of(root, number))
    records = scan(RunPaths(root).records)
    ledger = read_ledger(RunPaths(root).ledger)
    removed = _removal(root, ledger, number)
    push = _push(number, ledger, records)
    heads = heads_of(provenance) if push is None else (push[0],)
    graph = _with_imports(root, _under_given_names(build_graph(records, heads), ledger, records), records)
    run_id = provenance["predicate"]["runDetails"]["metadata"]["invocationId"] if push is None else push[1].run_id
    compared = [
        node.properties[serving.BASELINE_PROPERTY]
        for node in graph.nodes.values()
        if serving.BASELINE_PROPERTY in node.properties
    ]
    served = Node(
        id=f"version:{number}",
        kind=SERVED,
        name=_folder(root, ledger, number).relative_to(root).as_posix(),
        sha256=digest_of(provenance),
        run_id=run_id,
        time=None if push is None else push[1].finished,
    )
    edges = [Edge(source=head, target=served.id, channel="pushed_model", sha256=served.sha256) for head in heads]
    return ServedLineage(
        version=number,
        path=served.name,
        sha256=served.sha256,
        run_id=run_id,
        recorded=push is not None,
        baseline=str(compared[-1]) if compared else UNKNOWN,
        graph=Graph({served.id: served, **graph.nodes}, (*edges, *graph.edges)),
        approvals=_approvals(ledger, [served.sha256, *schemas_of(closure(records, heads).values())]),
        choice=of_run(run_record(ledger, records, run_id)),
        removed=None if removed is None else removed.time,
    )


def _removal(root: Path, ledger: Chain, version: int) -> Line | None:
    """Return the line with which a version was pruned that is not there any more; None of any other."""
    return None if os.path.lexists(RunPaths(root).version(version)) else removal(ledger, version)


def _folder(root: Path, ledger: Chain, version: int) -> Path:
    paths = RunPaths(root)
    if _removal(root, ledger, version) is not None:
        return removed_folder(paths, ledger, version)
    return paths.version(version)


def statement_of(root: Path, version: int) -> bytes:
    """Return the statement that is served with a version; of one that was pruned, as the records give it again.

    Raises:
      EnvironmentProblem: if there is none, it is no statement, or the records do not give it.
    """
    ledger = read_ledger(RunPaths(root).ledger)
    push = ledger.origin(version)
    if push is None or _removal(root, ledger, version) is None:
        return statement_bytes(read_provenance(root, version))
    return rebuilt_statement(scan(RunPaths(root).records), push)


def _choose_version(root: Path, version: int | None) -> int:
    directory = ServingDirectory.of(RunPaths(root))
    if version is None:
        if directory.newest is None:
            raise directory.nothing_served()
        return directory.newest.version
    staged = (one.version for one in StagedDirectory.of(RunPaths(root)).recorded)
    there = (one.version for one in serving.versions(RunPaths(root).serving))
    versions = sorted({*staged, *there, *removed_versions(directory.ledger)})
    if version not in versions:
        raise BadInput("no such version", where=root, wanted=f"one of {', '.join(map(str, versions))}", got=version)
    return version


def _push(version: int, ledger: Chain, records: Records) -> tuple[str, ExecutionRecord] | None:
    """Return hash and record of the push that made this version."""
    push = ledger.origin(version)
    record = records.get(push.record) if push is not None and push.record is not None else None
    return (push.record, record) if push and push.record and isinstance(record, ExecutionRecord) else None


def schemas_of(executions: Iterable[ExecutionRecord]) -> tuple[str, ...]:
    """Return the digests of the reviewed schemas that some executions read, each once."""
    given = (record.parameters.get(SCHEMA_DIGEST) for record in executions)
    return tuple(dict.fromkeys(str(digest) for digest in given if digest is not None))


def _approvals(ledger: Chain, digests: Iterable[str | None]) -> tuple[Approval, ...]:
    known, wanted = read_approvals(ledger), dict.fromkeys(digests)
    found = {approval.line: approval for digest in wanted for approval in known.of(digest or "")}
    return tuple(found[line] for line in sorted(found))


def _under_given_names(graph: Graph, ledger: Chain, records: Records) -> Graph:
    """Return the graph with data files under the names by which the run that ingested them was given them."""
    ingests = {graph.nodes[edge.target].run_id for edge in graph.edges if edge.channel == DATA_CHANNEL}
    runs = [run_record(ledger, records, run_id) for run_id in ingests if run_id is not None]
    names = {f"data:{source.payload_digest}": source.name for run in runs if run is not None for source in run.sources}
    renamed = {id_: dataclasses.replace(node, name=names.get(id_, node.name)) for id_, node in graph.nodes.items()}
    return Graph(renamed, graph.edges)


def _with_imports(root: Path, behind: Graph, records: Records) -> Graph:
    """Return the graph whose data files say what they were imported from."""
    from pipeline.lineage import imports  # NumPy

    nodes = dict(behind.nodes)
    for edge in behind.edges:
        record = records.get(edge.target) if edge.channel == DATA_CHANNEL else None
        told = imports.said(root, record.parameters) if isinstance(record, ExecutionRecord) else None
        if told is not None:
            node = nodes[edge.source]
            nodes[edge.source] = dataclasses.replace(node, properties={**node.properties, IMPORTED: told})
    return Graph(nodes, behind.edges)
