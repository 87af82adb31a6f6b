"""The facts about a served version that an auditor is shown: one frozen value, from which page, package and card are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from components.features import SPLITS
from components.serving import SIGNATURE
from components.untrusted import MIB, read_bytes
from pipeline.audit import policy as policies
from pipeline.audit.audit import DEFAULTS, AuditOptions, audit_version
from pipeline.audit.findings import Audit
from pipeline.lineage.export import details, origin
from pipeline.lineage.export.details import Metric
from pipeline.lineage.export.origin import Origin
from pipeline.lineage.periods import Period, period_of
from pipeline.lineage.show import IMPORTED, schemas_of
from pipeline.provenance import keys, record_store
from pipeline.provenance.accuracy import Accuracy, accuracy_of
from pipeline.provenance.ancestry import DATA
from pipeline.provenance.approvals import Approval, Approvals, read_approvals
from pipeline.provenance.dsse import Envelope, NotAnEnvelope
from pipeline.provenance.git import GitState
from pipeline.provenance.ledger import Chain, Head, read_ledger
from pipeline.provenance.records import ExecutionRecord, RunRecord, record_hash
from pipeline.provenance.removed_version import removal
from pipeline.provenance.runs import run_record
from pipeline.root.paths import RunPaths


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFile:
    """A file of data behind the version.

    Attributes:
      name: as it was given to the run that read it first.
      sha256: of its content, decompressed.
      bytes: of that content; None if not recorded.
      rows: images in it; None if not recorded.
      imported: what it was made from, in words; None where it was read as it is.
    """

    name: str
    sha256: str
    bytes: int | None
    rows: int | None
    imported: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Split:
    """A part of the rows, and the Merkle root that names exactly these."""

    name: str
    rows: int
    rows_digest: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataFacts:
    """What the version was made from.

    Attributes:
      files: the data files.
      splits: train, validation and test.
      source: where the data are from, as the recipe states it; None where it does not.
      licence: likewise.
      excluded: rows that were left out by digest, on purpose; None where no such list was given.
    """

    files: tuple[DataFile, ...]
    splits: tuple[Split, ...]
    source: str | None
    licence: str | None
    excluded: int | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class CodeFacts:
    """A state of the code, and the steps that ran it.

    Attributes:
      git: the commit, and whether it was all there was.
      nodes: the steps.
    """

    git: GitState
    nodes: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Step:
    """One execution behind the version."""

    node: str
    record: str
    run_id: str
    started: str
    finished: str
    device: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class SchemaFacts:
    """A reviewed schema that the data were checked against.

    Attributes:
      sha256: of the schema and its reference profile.
      approvals: of this very schema, oldest first, whatever became of them.
    """

    sha256: str
    approvals: tuple[Approval, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Removal:
    """The end of a version that was pruned: UTC time and number of the line that tells of it."""

    time: str
    line: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class SignatureFacts:
    """What is known of signatures over the version.

    Attributes:
      keyids: of the keys that the envelope names; none where there is no envelope.
      checked: whether the public key that was given has signed these bytes, and counts; None where none was given.
      detail: what the check came to, in words.
    """

    keyids: tuple[str, ...]
    checked: bool | None
    detail: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What an auditor is shown of a served version.

    Attributes:
      known: statement and records behind the version.
      run: the record of the run that pushed it; None if there is none.
      period: when it was the one to load.
      staged: since when it waits for its promotion, UTC; None of what is or was in service.
      data: what it was made from.
      code: the states of the code, the one of most steps first.
      accuracy: on the test images; None if it was not recorded.
      approvals: of this very model, oldest first, whatever became of them.
      schemas: the reviewed schemas behind it.
      removed: its end, if it was pruned: then all else is by the records alone.
      metrics: of the evaluation.
      executions: {hash: record} of all that was executed for it, each after the ones it was made from, its push last.
      signature: who signed.
      audit: the verdicts, as of now.
      policy: the rules that were asked.
      head: of the ledger.
    """

    known: Origin
    run: RunRecord | None
    period: Period
    staged: str | None
    data: DataFacts
    code: tuple[CodeFacts, ...]
    accuracy: Accuracy | None
    approvals: tuple[Approval, ...]
    schemas: tuple[SchemaFacts, ...]
    removed: Removal | None
    metrics: tuple[Metric, ...]
    executions: Mapping[str, ExecutionRecord]
    signature: SignatureFacts
    audit: Audit
    policy: policies.Policy
    head: Head

    @property
    def time(self) -> str:
        """The time of its push, or where that is not recorded the end of its making: UTC, ISO 8601."""
        return self.period.start or self.staged or str(self.known.details["metadata"]["finishedOn"])

    @property
    def version(self) -> int:
        """Its number."""
        return self.known.lineage.version

    @property
    def path(self) -> str:
        """Its folder, relative to the root."""
        return self.known.lineage.path

    @property
    def sha256(self) -> str:
        """The model's tree digest, as its statement says."""
        return self.known.lineage.sha256

    @property
    def record_hashes(self) -> tuple[str, ...]:
        """Hashes of all records behind it: of the executions, and of the run that pushed it."""
        return (*self.executions, *((record_hash(self.run),) if self.run is not None else ()))

    @property
    def steps(self) -> tuple[Step, ...]:
        """What was executed, in order."""
        return tuple(_step(hash_, record) for hash_, record in self.executions.items())

    def to_dict(self) -> dict[str, Any]:
        """Return the facts as JSON values, without statement and records, which are files of their own."""
        plain = {
            "version": self.version,
            "path": self.path,
            "sha256": self.sha256,
            "recipe": self.known.recipe,
            "run_id": self.known.lineage.run_id,
            "baseline": self.known.lineage.baseline,
            "packages": dict(self.known.packages),
            "audit": self.audit.to_dict(),
            "policy": self.policy.to_dict(),
            "head": str(self.head),
        }
        names = (
            "period",
            "staged",
            "data",
            "code",
            "approvals",
            "schemas",
            "removed",
            "accuracy",
            "metrics",
            "steps",
            "signature",
        )
        return {**plain, **{name: _plain(getattr(self, name)) for name in names}}


def collect_facts(root: Path, version: int | None = None, options: AuditOptions = DEFAULTS) -> Facts:
    """Return the facts about a served version, by default the newest; it is audited for them.

    Raises:
      BadInput: if the version is not there and was not pruned, or the audit's options are unusable.
      RecordMissing: if a record behind it is gone.
      EnvironmentProblem: if its statement, a record or the ledger cannot be read.
    """
    known = origin.collect(root, version)
    number = known.lineage.version
    ledger = read_ledger(RunPaths(root).ledger)
    records = record_store.scan(RunPaths(root).records)
    run = run_record(ledger, records, known.lineage.run_id)
    executions = {**known.executions, **_push(ledger, records, number)}
    figures = details.gather(root, known.lineage)
    approvals = _approvals(ledger, options)
    removed = removal(ledger, number) if known.lineage.removed is not None else None
    return Facts(
        known=known,
        run=run,
        period=period_of(ledger, number),
        staged=_staged(ledger, number),
        data=_data(known, figures),
        code=_code(executions.values()),
        accuracy=accuracy_of(None if run is None else run.metrics),
        approvals=approvals.of(known.lineage.sha256),
        schemas=tuple(SchemaFacts(sha256=one, approvals=approvals.of(one)) for one in schemas_of(executions.values())),
        removed=None if removed is None else Removal(time=removed.time, line=removed.sequence),
        metrics=figures.metrics,
        executions=executions,
        signature=_signature(root, number, ledger, options) if removed is None else _REMOVED,
        audit=audit_version(root, number, options),
        policy=options.policy,
        head=ledger.head,
    )


def _staged(ledger: Chain, version: int) -> str | None:
    stagings = ledger.stagings(version)
    return stagings[-1].line.time if stagings and ledger.push(version) is None else None


def _approvals(ledger: Chain, options: AuditOptions) -> Approvals:
    trusted = [keys.load_public(path) for path in options.approval_keys]
    return read_approvals(ledger, trusted or None)


def _push(ledger: Chain, records: record_store.Records, version: int) -> dict[str, ExecutionRecord]:
    """Return the record of the push by its hash; nothing where no push is recorded, as on a cluster."""
    push = ledger.origin(version)
    record = records.get(push.record) if push is not None and push.record is not None else None
    return {push.record: record} if push and push.record and isinstance(record, ExecutionRecord) else {}


def _data(known: Origin, figures: details.Details) -> DataFacts:
    nodes = (node for node in known.lineage.graph.nodes.values() if node.kind == DATA)
    files = [
        DataFile(
            name=node.name,
            sha256=node.sha256,
            bytes=figures.files.get(node.sha256, {}).get("bytes"),
            rows=figures.files.get(node.sha256, {}).get("rows"),
            imported=node.properties.get(IMPORTED),
        )
        for node in nodes
    ]
    return DataFacts(
        files=tuple(sorted(files, key=lambda file: (file.name, file.sha256))),
        splits=tuple(
            Split(name=name, rows=part["rows"], rows_digest=part["rows_digest"])
            for name, part in sorted(figures.splits.items(), key=lambda item: _place(item[0]))
        ),
        source=known.stated.get("source"),
        licence=known.stated.get("licence"),
        excluded=sum(known.excluded) if known.excluded else None,
    )


def _place(split: str) -> tuple[int, str]:
    return (SPLITS.index(split) if split in SPLITS else len(SPLITS), split)


def _code(records: Iterable[ExecutionRecord]) -> tuple[CodeFacts, ...]:
    by_state: dict[GitState, list[str]] = {}
    for record in records:
        by_state.setdefault(record.git, []).append(record.node)
    states = [CodeFacts(git=git, nodes=tuple(dict.fromkeys(nodes))) for git, nodes in by_state.items()]
    return tuple(sorted(states, key=lambda state: -len(state.nodes)))


def _step(hash_: str, record: ExecutionRecord) -> Step:
    return Step(
        node=record.node,
        record=hash_,
        run_id=record.run_id,
        started=record.started,
        finished=record.finished,
        device=record.environment.device,
    )


_REMOVED: Final = SignatureFacts(keyids=(), checked=None, detail="removed with the version, if there was one")


def _signature(root: Path, version: int, ledger: Chain, options: AuditOptions) -> SignatureFacts:
    folder = RunPaths(root).version(version)
    keyids = _keyids(folder)
    if options.key is None:
        return SignatureFacts(keyids=keyids, checked=None, detail="no public key was given to check it with")
    from pipeline.provenance import signing

    checked = signing.verify(folder, options.key, ledger=ledger)
    if checked.ok:
        note = "" if checked.note is None else f", {checked.note}"
        return SignatureFacts(keyids=keyids, checked=True, detail=f"signed by key {checked.keyid}{note}")
    faults = "; ".join(map(str, checked.faults))
    return SignatureFacts(keyids=keyids, checked=False, detail=faults or f"not signed by key {checked.keyid}")


def _keyids(folder: Path) -> tuple[str, ...]:
    """Return the ids of the keys that an envelope names: a hint, which nobody signed."""
    if not (folder / SIGNATURE).is_file():
        return ()
    try:
        envelope = Envelope.from_bytes(read_bytes(folder / SIGNATURE, limit=64 * MIB))
    except NotAnEnvelope:
        return ()  # the audit says so where a key is given
    return tuple(signature.keyid[:64] for signature in envelope.signatures)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return dataclasses.asdict(value)
    return [_plain(one) for one in value] if isinstance(value, tuple) else value
