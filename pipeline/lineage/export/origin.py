"""The items of a statement and the executions that join them, as all exports read them.

What is told is what the statement beside the model vouches for. The push came after it was written, so that no export
has the push itself.
"""

from __future__ import annotations

import dataclasses
import functools
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from pipeline.lineage import show
from pipeline.lineage.show import ServedLineage
from pipeline.provenance.ancestry import closure
from pipeline.provenance.ledger import read_ledger
from pipeline.provenance.record_store import Records, scan
from pipeline.provenance.records import DATA as RECORDED_DATA
from pipeline.provenance.records import EXCLUDED, ExecutionRecord
from pipeline.provenance.runs import run_record, stated_of
from pipeline.provenance.statement import (
    MERKLE,
    RECORDS,
    SHA256,
    TREE,
    digest_of,
    heads_of,
    parse_statement,
)
from pipeline.root.paths import RunPaths
from pipeline.stages import EVALUATOR, INGEST

SUBJECT, DEPENDENCY, BYPRODUCT = "subject", "dependency", "byproduct"
DIGESTS: Final = (SHA256, TREE, MERKLE)
CODE, LOCK, DATA, ROWS = "code/", "requirements.lock", "data/", "rows"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Item:
    """One thing that the statement names by digest.

    Attributes:
      name: as in the statement, such as `Transform/transform_graph`, `data/train-images` or `code/Classifier`.
      algorithm: `sha256` of one file's bytes, `treeSha256`, `merkleSha256` or `gitCommit`.
      digest: hex digits.
      role: `subject`, `dependency` or `byproduct`.
      annotations: what else the statement says of it.
    """

    name: str
    algorithm: str
    digest: str
    role: str
    annotations: Mapping[str, Any] = dataclasses.field(default_factory=dict, compare=False)

    @property
    def ref(self) -> str:
        """A name that no other item of the version has."""
        return f"{self.name}@{self.digest[:16]}"


@dataclasses.dataclass(frozen=True)
class Origin:
    """What is known of a served version.

    Attributes:
      root: absolute path of the root.
      lineage: the version and its graph.
      data: the bytes of its statement, as they are served.
      executions: {hash: record} of all behind it, each after the ones it was made from.
      metrics: of its evaluation, plain numbers alone.
      stated: what the recipe states of the data, `source` and `licence`; nobody checked it.
    """

    root: Path
    lineage: ServedLineage
    data: bytes
    executions: Mapping[str, ExecutionRecord]
    metrics: Mapping[str, float]
    stated: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @functools.cached_property
    def statement(self) -> dict[str, Any]:
        """The statement that is served with the model."""
        return parse_statement(self.data)

    @functools.cached_property
    def items(self) -> tuple[Item, ...]:
        """Everything that has a digest, each once, the model first."""
        return tuple(dict.fromkeys((*_list_items(self.statement), *self._read_besides)))

    @property
    def model(self) -> Item:
        """The model as a whole."""
        return next(item for item in self.items if item.role == SUBJECT and item.algorithm == TREE)

    @property
    def files(self) -> tuple[Item, ...]:
        """The files of the model."""
        return tuple(item for item in self.items if item.role == SUBJECT and item != self.model)

    @property
    def excluded(self) -> tuple[int, ...]:
        """Rows that were left out by digest, for each execution that was given such a list."""
        told = (record.extra.get(RECORDED_DATA, {}).get(EXCLUDED) for record in self.executions.values())
        return tuple(one["rows"] for one in told if one is not None)

    @property
    def recipe(self) -> str:
        """Name of the recipe."""
        return str(self.statement["predicate"]["buildDefinition"]["externalParameters"]["recipe"])

    @property
    def details(self) -> Mapping[str, Any]:
        """The statement's `runDetails`: builder, and metadata with run id and times."""
        run_details: Mapping[str, Any] = self.statement["predicate"]["runDetails"]
        return run_details

    @property
    def packages(self) -> Mapping[str, str]:
        """{distribution: version} of what the model was made with, python among them."""
        versions: Mapping[str, str] = self.details["builder"]["version"]
        return versions

    def inputs_of(self, record: ExecutionRecord) -> list[tuple[str, Item]]:
        """Return what an execution read, each with the channel it came by: artifacts, data files, code, lock."""
        refs = [(channel, ref) for channel, read in sorted(record.inputs.items()) for ref in read]
        artifacts = [
            (channel, self._item(*self._maker(ref.record, ref.path, channel), ref.sha256)) for channel, ref in refs
        ]
        files = [("data", self._find(f"{DATA}{source.name}", source.payload_digest)) for source in record.sources]
        built = [
            ("code", self._find(f"{CODE}{record.node}", record.code.digest)),
            ("lock", self._find(LOCK, record.lock_digest)),
        ]
        return artifacts + [(channel, item) for channel, item in files + built if item is not None]

    def outputs_of(self, hash_: str) -> list[tuple[str, Item]]:
        """Return what the execution with a record's hash made, each with its channel: artifacts, rows, its record."""
        record = self.executions[hash_]
        outputs = [(channel, entry.sha256) for channel, entry in record.outputs_by_channel]
        items = [(channel, self._output(record.node, channel, sha256)) for channel, sha256 in outputs]
        rows = [item for item in self.items if item.algorithm == MERKLE and record.node == INGEST]
        itself = self._find(f"{RECORDS}{hash_}.json", hash_)
        return [
            (channel, item)
            for channel, item in (*items, *((ROWS, item) for item in rows), ("record", itself))
            if item is not None
        ]

    def uuid(self, *words: str) -> uuid.UUID:
        """Return the identifier of `words`, the same every time."""
        return uuid.uuid5(uuid.NAMESPACE_URL, ":".join(("urn:mnist-tfx", *words)))

    @functools.cached_property
    def _index(self) -> dict[tuple[str, str], Item]:
        return {(item.name, item.digest): item for item in _list_items(self.statement)}

    @property
    def _read_besides(self) -> Iterator[Item]:
        """Yields what an execution read and the statement does not list."""
        for record in self.executions.values():
            yield from (item for _, item in self.inputs_of(record))

    def _find(self, name: str, digest: str) -> Item | None:
        return self._index.get((name, digest))

    def _output(self, node: str, channel: str, sha256: str) -> Item | None:
        if sha256 == digest_of(self.statement) and channel == "model":
            return self._find(".", sha256)
        return self._find(f"{node}/{channel}", sha256)

    def _item(self, node: str, channel: str, sha256: str) -> Item:
        output = self._output(node, channel, sha256)
        return output or Item(name=f"{node}/{channel}", algorithm=TREE, digest=sha256, role=DEPENDENCY)

    def _maker(self, hash_: str | None, path: str, channel: str) -> tuple[str, str]:
        """Return node and output channel of an artifact by its maker's record and its path."""
        record = self.executions.get(hash_ or "")
        outputs = record.outputs.items() if record is not None else ()
        for name, entries in outputs:
            if record is not None and any(entry.path == path for entry in entries):
                return record.node, name
        return "unrecorded", channel


def collect(root: Path, version: int | None) -> Origin:
    """Return what is known of a served version, by default the newest; raises as `export`."""
    lineage = show.show(root, version)
    data = show.statement_of(root, lineage.version)
    records = scan(RunPaths(root).records)
    executions = closure(records, heads_of(parse_statement(data)))
    stated = stated_of(run_record(read_ledger(RunPaths(root).ledger), records, lineage.run_id))
    return Origin(root, lineage, data, executions, _metrics(root, records, executions), stated)


def _list_items(statement: Mapping[str, Any]) -> Iterator[Item]:
    predicate = statement["predicate"]
    parts = (
        (SUBJECT, statement["subject"]),
        (DEPENDENCY, predicate["buildDefinition"]["resolvedDependencies"]),
        (BYPRODUCT, predicate["runDetails"]["byproducts"]),
    )
    for role, resources in parts:
        for resource in resources:
            for algorithm, digest in resource["digest"].items():
                annotations = resource.get("annotations", {})
                yield Item(
                    name=resource["name"], algorithm=algorithm, digest=digest, role=role, annotations=annotations
                )


def _metrics(root: Path, records: Records, executions: Mapping[str, ExecutionRecord]) -> dict[str, float]:
    """Return the plain numbers that the run of the evaluation recorded."""
    runs = {record.run_id for record in executions.values() if record.node == EVALUATOR}
    ledger = read_ledger(RunPaths(root).ledger)
    for run_id in sorted(runs):
        run = run_record(ledger, records, run_id)
        if run is not None and run.metrics is not None:
            numbers = {name: value for name, value in run.metrics.items() if isinstance(value, (int, float))}
            return {name: value for name, value in sorted(numbers.items()) if not isinstance(value, bool)}
    return {}
