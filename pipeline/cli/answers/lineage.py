"""Models of the answers of `lineage`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from pipeline.cli.answers.model import Count, Digest, Model, Positive, Text, Version

Verdict = Literal["PASS", "FAIL", "UNKNOWN"]
Split = Literal["train", "validation", "test"]


class Policy(Model):
    """The rules that an audit applied."""

    version: Literal[1]
    rules: dict[str, Literal["fail", "warn", "off"]]


class Verdicts(Model):
    """One to each question of an audit."""

    integrity: Verdict = Field(alias="INTEGRITY")
    completeness: Verdict = Field(alias="COMPLETENESS")
    policy: Verdict = Field(alias="POLICY")


class Scope(Model):
    """What a verdict is about."""

    compared: str
    left_out: str | None


class Scopes(Model):
    """What each verdict is about."""

    integrity: Scope = Field(alias="INTEGRITY")
    completeness: Scope = Field(alias="COMPLETENESS")
    policy: Scope = Field(alias="POLICY")


class Anchor(Model):
    """What an audit trusts from outside the root."""

    kind: Literal["none", "head", "signature"]
    detail: str


class Finding(Model):
    """Something that is not as it was recorded, or not as the policy wants it."""

    verdict: Literal["INTEGRITY", "COMPLETENESS", "POLICY"]
    link: str
    where: str
    what: str
    wanted: str | None
    got: str | None
    level: Literal["FAIL", "UNKNOWN", "WARN"]


class AuditCounts(Model):
    """How much an audit read."""

    files: Count
    bytes: Count
    records: Count
    ledger_lines: Count
    executions: Count


class Withdrawal(Model):
    """Somebody's word that an approval does not hold any more."""

    by: str
    reason: str | None
    time: str
    line: Positive
    """Of the ledger."""
    keyid: str | None
    owner: str | None
    """Whose key it is, by the ledger's list."""
    why: str
    """What its signature is worth; it counts whatever that is."""


class Approval(Model):
    """Somebody's yes to certain bytes."""

    subject: Literal["version", "schema"]
    name: str
    sha256: Digest
    by: str
    reason: str | None
    time: str
    line: Positive
    """Of the ledger."""
    keyid: str | None
    owner: str | None
    """Whose key it is, by the ledger's list."""
    verdict: Literal["valid", "unsigned", "untrusted", "forged", "withdrawn"]
    why: str
    """The verdict in words, of a withdrawn approval what it was worth before as well."""
    withdrawn: Withdrawal | None


class ApproverKey(Model):
    """A key that approvals are signed with."""

    keyid: Digest
    """SHA-256 of the public key in DER."""
    public: str
    owner: str
    line: Positive
    added: str
    added_by: str
    replaces: Digest | None
    """The key that handed over to this one."""
    state: Literal["in force", "rotated", "revoked"]
    ended: str | None
    ended_line: Positive | None
    since: str | None
    """From when on a revoked key does not count."""
    ended_by: str | None
    why: str | None


class ApproverKeys(Model):
    """The list of keys that the ledger holds."""

    keys: list[ApproverKey]


class Audit(Model):
    """Verdicts on one served version."""

    version: Version | None
    path: str
    sha256: Digest | None
    verdicts: Verdicts
    scopes: Scopes
    anchor: Anchor
    findings: list[Finding]
    counts: AuditCounts
    autoencoder: bool | None
    own_code: dict[str, list[str]]
    """{file of the user's own code behind the version: nodes that ran it}."""
    approvals: list[Approval]
    """Of its bytes, oldest first."""


class Audits(Model):
    """Verdicts on served versions."""

    policy: Policy
    audits: list[Audit] = Field(min_length=1)


class LedgerHead(Model):
    """Length and last hash of the ledger."""

    head: Annotated[str, Field(pattern="^[0-9]+:[0-9a-f]{64}$")]
    lines: Positive
    sha256: Digest
    time: str
    problem: str | None


class KeyPair(Model):
    """Keys that were made."""

    keyid: Digest
    """SHA-256 of the public key in DER."""
    algorithm: Literal["ecdsa-p256", "ed25519"]
    encrypted: bool
    private: str
    public: str


class Signature(Model):
    """A statement that was signed."""

    path: str
    """The folder of the served version."""
    envelope: str
    """The signed statement in it."""
    keyid: Digest


class FileFault(Model):
    """A file that is not as signed."""

    what: str
    """Such as missing, extra, changed, symlink, or signature: ..."""
    path: str
    """Relative to the folder."""
    wanted: str | None
    found: str | None


class SignatureCheck(Model):
    """A directory against a public key."""

    path: str
    keyid: Digest
    signed: bool
    """Whether the key signed the statement in the envelope."""
    digest: str | None
    """The model's tree digest as signed."""
    ok: bool
    faults: list[FileFault]


class LineageNode(Model):
    """A node of the graph behind a served version."""

    id: str
    kind: Literal["served", "execution", "data"]
    name: str
    sha256: Digest
    run_id: str | None
    time: str | None
    properties: dict[str, Any]
    state: Literal["executed", "cached"] | None


class LineageEdge(Model):
    """An artifact from the node that wrote it to one that read it."""

    source: str
    target: str
    channel: str
    sha256: Digest


class Contender(Model):
    """A candidate of a sweep."""

    run_id: str
    values: dict[str, Any]
    """{key of the recipe: the value that was tried}."""
    validation_accuracy: float | None


class Choice(Model):
    """The choice among the candidates of a sweep that a version came out of."""

    sweep: Text
    by: Text
    values: dict[str, Any]
    """Those of the chosen one."""
    candidates: list[Contender]


class Lineage(Model):
    """The graph from a served version back to its data files."""

    version: Version
    path: str
    sha256: Digest
    run_id: str
    recorded: bool
    baseline: str
    approvals: list[Approval]
    choice: Choice | None
    removed: str | None
    """UTC time at which it was pruned; null of what is there."""
    nodes: list[LineageNode]
    edges: list[LineageEdge]


class TraceInput(Model):
    """An artifact that an execution read."""

    channel: str
    type: str
    sha256: Digest
    maker: Digest | None


class TraceOutput(Model):
    """An artifact that an execution wrote."""

    channel: str
    type: str
    path: str
    sha256: Digest


class TraceStep(Model):
    """An execution upstream of a version."""

    record: Digest
    node: str
    run_id: str
    started: str
    depth: Positive
    code: str
    reads: list[TraceInput]
    makes: list[TraceOutput]


class TraceData(Model):
    """A data file upstream of a version."""

    name: str
    payload_digest: Digest
    rows: Count | None
    reader: Digest
    imported_from: str | None
    """What it was imported from, in words."""


class Trace(Model):
    """Everything upstream of a version, nearest first."""

    version: Version
    digest: Digest
    run_id: str
    recorded: bool
    served: bool
    nodes_visited: Positive
    edges: Count
    depth: Count
    executions: list[TraceStep]
    data: list[TraceData]


class Image(Model):
    """An image, by its pixels."""

    height: Positive
    width: Positive
    pixels_digest: Digest


class Inclusion(Model):
    """A leaf of a Merkle tree, and the way from it to the root."""

    leaf: Digest
    index: Count
    path: list[Digest]


class Absence(Model):
    """The neighbours between which a leaf would be."""

    before: Inclusion | None
    after: Inclusion | None


class Subtree(Model):
    """A complete subtree at the right edge."""

    first: Digest
    path: list[Digest]


class SizeProof(Model):
    """Proof of the number of leaves."""

    last: Digest
    subtrees: list[Subtree]


class RowProof(Model):
    """Proof about an image with one label."""

    label: Count
    row_digest: Digest
    proof: Inclusion | Absence


class Proof(Model):
    """Proof that an image is among rows, or is not: the content of a proof file."""

    format: Literal["mnist-tfx row proof 1"]
    claim: Literal["included", "absent"]
    split: Split | Literal["all"]
    root: Digest
    size: Positive
    size_proof: SizeProof
    image: Image
    rows: list[RowProof] = Field(min_length=1)


class ProofFile(Model):
    """A proof that was written, and where."""

    file: str
    proof: Proof


class ProofCheck(Model):
    """Whether a proof holds, and if not, why."""

    faults: list[str]
    claim: Literal["included", "absent"]
    split: Split | Literal["all"]
    root: Digest
    size: Positive
    image: Image
    labels: list[Count]
    image_checked: bool


Match = Literal["payload", "rows", "pixels", "digest"]


class AffectedModel(Model):
    """A model that something went into."""

    version: Version | None
    digest: Digest
    served: bool
    role: list[Literal["autoencoder", "classifier", "evaluation", "itself", "publication"]] = Field(min_length=1)
    match: Match
    whole: bool | None
    shared_rows: Count | None
    shared_rows_by_split: dict[Split, Count] | None
    uses: list[Split] | None


class KnownAs(Model):
    """A record that knows what was given."""

    record: Digest
    node: str
    match: Match
    what: str


class Occurrence(Model):
    """A row with the pixels of an image."""

    split: Split
    label: Count
    row_digest: Digest
    index: Count


class ComparedData(Model):
    """A data set on record, and whether it could be compared."""

    records: list[Digest] = Field(min_length=1)
    rows_digest: Digest | None
    rows: Count | None
    shape: Annotated[list[Positive], Field(min_length=2, max_length=2)] | None
    compared: bool
    why_not: str | None
    shared_rows: Count | None
    occurrences: list[Occurrence]


class Lookalike(Occurrence):
    """A row that is the image after a change, such as another scale."""

    how: str
    rows_digest: Digest


class Impact(Model):
    """Whether something went into a model, into which ones, and what that rests on."""

    answer: Literal["yes", "no", "cannot-tell"]
    given: str
    kind: str
    digest: Digest | None
    rows: Count | None
    image: Image | None
    nodes_visited: Positive
    models: list[AffectedModel]
    found: list[KnownAs]
    data_sets: list[ComparedData]
    proofs: list[Proof]
    lookalikes: list[Lookalike]
    unknown: list[str]
    basis: list[str]
    hint: str | None
    notes: list[str]


class HeldRow(Model):
    """A row that is to be deleted, in a data set of the root."""

    row_digest: Digest
    split: Split
    label: Count
    data_set: str
    """Merkle root over all rows of the data set."""


class Holder(Model):
    """A file or folder that is there and holds such rows, or pictures of them."""

    kind: Literal["copy of the data", "examples", "report", "source", "picture"]
    path: str
    """Relative to the root; absolute for a source."""
    what: str
    versions: list[Version]


class NextCommand(Model):
    """A command that is offered, and why."""

    command: str
    why: str


class ErasureRequest(Model):
    """Where something that is to be deleted is, and what follows."""

    answer: Literal["yes", "no", "cannot-tell"]
    given: str
    rows: list[HeldRow]
    models: list[AffectedModel]
    holders: list[Holder]
    left_out_before: list[Digest]
    unknown: list[str]
    basis: list[str]
    path: str | None
    """The list of row digests that was written."""
    commands: list[NextCommand]
    stays: list[str]


class AbsenceCheck(Model):
    """Whether a version was made without rows, and what else holds them."""

    version: Version
    digest: Digest
    present: list[Digest]
    rows: Count
    roots: list[str]
    proofs: list[Proof]
    learned: bool
    kept: list[Holder]
    unknown: list[str]
    """What is kept and could not be compared."""
    absent: bool


class ComparedVersion(Model):
    """One of two versions."""

    version: Version
    sha256: Digest
    run_id: str
    choice: Choice | None


class Change(Model):
    """A value that changed."""

    key: str
    old: Any
    new: Any
    nodes: list[str]
    reaches_model: bool
    lines: list[str]
    """Of a file of the user's own code, those that changed."""


class ChangedRow(Model):
    """A row that was added, removed, relabelled or moved."""

    row: Digest
    pixels: Digest
    label: int
    new_label: int | None
    split: str | None


class RowCounts(Model):
    """How many rows changed, and how."""

    added: Count
    removed: Count
    relabelled: Count
    moved: Count


class SplitChange(Model):
    """What changed in a split."""

    split: str
    before: Count
    after: Count
    counts: RowCounts | None
    first: dict[
        Literal["added", "removed", "relabelled", "moved"],
        Annotated[list[ChangedRow], Field(min_length=1, max_length=5)],
    ]


class Section(Model):
    """Changes of one kind."""

    kind: Literal[
        "data", "schema", "code", "settings", "environment", "lock", "nodes", "files", "git", "baseline", "metrics"
    ]
    count: Positive
    is_cause: bool
    changes: list[Change]
    rows: list[SplitChange]


class WeightChanges(Model):
    """How many tensors differ."""

    tensors: Count
    differing: Count


class VersionDiff(Model):
    """What changed between two served versions."""

    verdict: Text
    same_bytes: bool
    before: ComparedVersion
    after: ComparedVersion
    sections: list[Section]
    weights: WeightChanges | None
    unknown: list[str]


class ReproducedMetric(Model):
    """A metric as recorded and as it came out."""

    name: Literal["accuracy", "loss", "reconstruction_mse"]
    recorded: float | None
    found: float | None
    equal: bool
    within_tolerance: bool


class Reproduction(Model):
    """How a version came out when it was run again."""

    version: Version
    sha256: Digest
    root: str | None
    verdict: Literal["bit for bit", "within tolerance", "not reproduced", "cannot tell"]
    bits_promised: bool
    deterministic: bool
    tensors: Count | None
    differing_tensors: list[str]
    metrics: list[ReproducedMetric]
    unpinned: list[Section]
    findings: list[str]
    notes: list[str]


class Evidence(Model):
    """What an auditor is shown of a version, written to a file."""

    version: Version
    path: str
    bytes: Count
    sha256: Digest
    head: Annotated[str, Field(pattern="^[0-9]+:[0-9a-f]{64}$")]
    """Of the ledger, to keep elsewhere."""
    audit: Audit


class Export(Model):
    """The lineage of a version in another form."""

    version: int
    format: Literal["slsa", "openlineage", "cyclonedx", "prov", "dot", "mermaid", "html"]
    sha256: Digest
    """Of the document."""
    bytes: int
    path: str | None
    """The file that -o named."""
    document: str | None
    """The document itself, unless it went to a file."""


class Orphan(Model):
    """Something without its counterpart."""

    kind: Literal[
        "served-unrecorded",
        "served-missing",
        "served-stranger",
        "half-promoted",
        "staged-missing",
        "staged-unrecorded",
        "recorded-missing",
        "store-lost",
        "dead-execution",
        "open-intent",
        "uncommitted-record",
        "run-unrecorded",
        "unreadable-record",
        "unknown-artifact",
        "unused-input",
        "stale-checkpoint",
        "stage",
    ]
    where: Text
    why: Text
    remedy: Literal[
        "lineage audit", "lineage gc", "lineage rebuild", "lineage repair", "run", "serving prune --staged", ""
    ]
    bytes: Count


class Orphans(Model):
    """What a root holds without its counterpart."""

    orphans: list[Orphan]


class Repair(Model):
    """Something that a crash left open."""

    kind: Literal["attached", "promoted", "committed", "lost", "failed", "run-recorded", "line-repaired", "left"]
    where: Text
    why: Text


class Repairs(Model):
    """What was recovered, or would be."""

    dry_run: bool
    repairs: list[Repair]


class RemovedFile(Model):
    """Something that nothing refers to."""

    kind: Literal["artifact", "input", "checkpoint", "log", "report", "working-folder", "half-written-record", "stage"]
    path: Text
    bytes: Count
    record: Digest | None


class Collection(Model):
    """What was removed, or would be."""

    dry_run: bool
    bytes: Count
    removed: list[RemovedFile]


class RebuiltStore(Model):
    """A metadata store that was written again from the records."""

    path: Text
    kept: str | None
    """The unreadable file that was in its place."""
    runs: Count
    executions: Count
    artifacts: Count
    events: Count


class CopiedRoot(Model):
    """A root that was copied whole, by a backup or from one."""

    path: Text
    root: Text
    """The root that the copy is of."""
    head: Annotated[str, Field(pattern="^[0-9]+:[0-9a-f]{64}$")]
    """Of its ledger."""
    files: Count
    bytes: Count
    settled: list[Repair]
    """The work of a run that was under way: settled in the copy, as after a crash."""
    missing: list[str]
    """Paths that records name and that were not there."""
    audits: list[Audit]
    """Of integrity and completeness, with no rule asked. Empty without an audit, and where nothing is served."""
