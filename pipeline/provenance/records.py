"""Records of what was run: one for each execution, one for each run, frozen and readable again.

A record names its inputs by the hash of the record that made them, so that the records of a root form a hash DAG: whoever
knows the last hash knows everything behind it. `record_store` keeps them on disk. Nothing in a record is an absolute
path, so a root can be moved.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, ClassVar, Final, TypeVar

from typing_extensions import NotRequired, TypedDict

from components.digest import canonical_json, sha256_bytes
from components.errors import BadInput, EnvironmentProblem, printable
from components.shapes import Shape
from components.untrusted import parse_object
from components.wording import ReadAs, as_written
from pipeline.provenance import artifacts
from pipeline.provenance.artifacts import ArtifactEntry, ArtifactRef, checked_path
from pipeline.provenance.code import Code
from pipeline.provenance.git import GitState
from pipeline.stages import AUTOENCODER, CLASSIFIER

SCHEMA_VERSION: Final = 1

DATA: Final = "data"
"""Key of `ExecutionRecord.extra` under which ExampleGen's `data.json` is recorded: what was read, file by file."""

EXCLUDED: Final = "excluded"
"""Key of what is recorded under `DATA`: how many rows were left out by digest, and which digests no row had."""

BEAM: Final = "beam"
"""Key of `ExecutionRecord.extra` under which it is recorded which engine ran a Beam node: what it computed is the same."""

ORCHESTRATOR: Final = "orchestrator"
"""Key of `ExecutionRecord.extra` under which it is recorded who had the node executed; absent, it was the local runner."""

KUBEFLOW: Final = "kubeflow"
"""Such an execution left no line in a ledger and nothing in a metadata store of ours: there is its record alone."""

NAMES_ONLY: Final[Mapping[str, int]] = {"span": 0}
"""Parameters that only say where data lay, and what a node key holds in their place.

Identity is content: a renamed file hits the cache, and so does the same data under another span number. The number is
recorded all the same, as of the execution that read the data first.
"""

PACKAGES: Final = (
    "tfx",
    "tensorflow",
    "keras",
    "apache-beam",
    "tensorflow-data-validation",
    "tensorflow-transform",
    "tensorflow-model-analysis",
    "ml-metadata",
    "numpy",
    "protobuf",
)

Scalar = str | int | float | bool | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Environment:
    """Where a node ran.

    Attributes:
      python: version, such as `3.10.14`.
      platform: system, release and machine, such as `Linux-6.1-x86_64`.
      packages: {distribution: version} of those in `PACKAGES` that are installed.
      device: what the computation ran on, such as `cpu` or a GPU's name.
    """

    python: str
    platform: str
    packages: Mapping[str, str]
    device: str

    @staticmethod
    def here(device: str) -> Environment:
        """Return the environment of this process."""
        installed = {name: _installed_version(name) for name in PACKAGES}
        versions = {name: version for name, version in installed.items() if version is not None}
        return Environment(
            python=platform.python_version(), platform=platform.platform(), packages=versions, device=device
        )


class _DataFile(TypedDict):
    name: str
    payload_digest: str
    container_digest: NotRequired[str | None]
    bytes: int


class _Rows(TypedDict):
    rows: int
    rows_digest: str


class _Excluded(TypedDict):
    digests: int
    rows: int
    splits: Mapping[str, int]
    unmatched: list[str]


class _Data(TypedDict):
    files: list[_DataFile]
    rows_digest: NotRequired[str]
    splits: NotRequired[Mapping[str, _Rows]]
    excluded: NotRequired[_Excluded]


class _Error(TypedDict):
    what: str


class _Metrics(TypedDict):
    accuracy: float | int | None


class _Extra(TypedDict, total=False):
    """What is read of `ExecutionRecord.extra`; whatever else an execution had to say goes along."""

    data: _Data
    training: Mapping[str, Scalar]
    orchestrator: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSource:
    """One data file as the user gave it; control characters in its name are escaped.

    Attributes:
      name: file name.
      payload_digest: SHA-256 of the decompressed bytes.
      container_digest: SHA-256 of the file as it is, compressed or not.
      bytes: size of the decompressed bytes; None if not known.
    """

    name: str
    payload_digest: str
    container_digest: str | None = None
    bytes: int | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", printable(self.name))


@dataclasses.dataclass(frozen=True, kw_only=True)
class ExecutionRecord:
    """One execution of one node.

    Attributes:
      pipeline: recipe name.
      run_id: the run that executed it; a later run that reuses its outputs writes no record.
      node: node id, such as `Classifier`.
      key: `node_key` of node, executor, parameters and inputs.
      parameters: execution properties as resolved, the root's path written as `artifacts.ROOT_MARK`.
      code: the node's code and its digest.
      lock_digest: SHA-256 of the lock file.
      environment: where it ran.
      git: the commit that the code was checked out at.
      inputs: {channel: artifacts read}.
      outputs: {channel: artifacts made}.
      started: UTC time, ISO 8601 with `Z`, for people: order comes from the ledger.
      finished: the same.
      seconds: wall time by the monotonic clock.
      extra: whatever else the node has to say, such as `data` or `resumed_from`.
    """

    kind: ClassVar[str] = "execution"

    pipeline: str
    run_id: str
    node: str
    key: str
    parameters: Mapping[str, Scalar]
    code: Code
    lock_digest: str
    environment: Environment
    git: GitState
    inputs: Mapping[str, tuple[ArtifactRef, ...]]
    outputs: Mapping[str, tuple[ArtifactEntry, ...]]
    started: str
    finished: str
    seconds: float
    extra: Annotated[Mapping[str, Any], ReadAs(_Extra)] = dataclasses.field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        return _to_dict(self)

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> ExecutionRecord:
        """Restore what `to_dict` returned; raises as `from_dict` of this module does."""
        return _read(_EXECUTION, fields)

    @property
    def input_records(self) -> tuple[str, ...]:
        """Hashes of the records behind its inputs, each once, by channel."""
        refs = [ref for _, channel in sorted(self.inputs.items()) for ref in channel]
        return tuple(dict.fromkeys(ref.record for ref in refs if ref.record is not None))

    @property
    def artifacts(self) -> tuple[ArtifactEntry, ...]:
        """What it made, over all channels."""
        return tuple(entry for channel in self.outputs.values() for entry in channel)

    @property
    def outputs_by_channel(self) -> tuple[tuple[str, ArtifactEntry], ...]:
        """(channel, artifact) of all that it made, in the order of channels."""
        return tuple((channel, entry) for channel, entries in sorted(self.outputs.items()) for entry in entries)

    @property
    def in_store(self) -> bool:
        """Whether a metadata store of ours saw it."""
        return self.extra.get(ORCHESTRATOR) != KUBEFLOW

    @property
    def sources(self) -> tuple[DataSource, ...]:
        """The data files that it read itself, by name; only ExampleGen has any."""
        files = self.extra.get(DATA, {}).get("files", ())
        names = [field.name for field in dataclasses.fields(DataSource)]
        result = [DataSource(**{name: file[name] for name in names if name in file}) for file in files]
        return tuple(sorted(result, key=lambda source: source.name))


@dataclasses.dataclass(frozen=True, kw_only=True)
class NodeOutcome:
    """What became of one node in a run.

    Attributes:
      id: node id.
      state: `executed`, `cached`, `failed` or `skipped`.
      seconds: wall time in this run.
      why: what decided the state, in words.
      record: hash of the execution's record, the reused one's where it was cached.
    """

    id: str
    state: str
    seconds: float
    why: str
    record: str | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class RunRecord:
    """One run of the pipeline, in every outcome.

    Attributes:
      run_id: its id.
      recipe: recipe name.
      settings: the recipe as resolved, as JSON values.
      status: how it ended.
      error: `MnistTfxError.to_dict` of what stopped it.
      nodes: what became of each node, in pipeline order.
      metrics: of the evaluation, if there was one.
      blessed: the Evaluator's verdict; None if it gave none.
      baseline: what the candidate was compared with, such as `version 3` or `none`.
      version: served version that this run ended with.
      serving_path: its directory, relative to the root.
      payload_digests: of the data files, sorted.
      rows_digest: Merkle root over all rows.
      sources: the data files as given in this run, even if ingest was cached under other names.
      started: UTC time, ISO 8601 with `Z`.
      finished: the same.
      sweep: what part it had in a sweep; None where it was a run of its own. `id` and `values` are those of the sweep and
        of this run; a run whose `role` is `chosen` has all `candidates` too, and `by` says what was compared.
    """

    kind: ClassVar[str] = "run"

    run_id: str
    recipe: str
    settings: Mapping[str, Any]
    status: str
    error: Annotated[Mapping[str, Any] | None, ReadAs(_Error | None)]
    nodes: tuple[NodeOutcome, ...]
    metrics: Annotated[Mapping[str, Any] | None, ReadAs(_Metrics | None)]
    blessed: bool | None
    baseline: str | None
    version: int | None
    serving_path: str | None
    payload_digests: tuple[str, ...]
    rows_digest: str | None
    sources: tuple[DataSource, ...]
    started: str
    finished: str
    sweep: Mapping[str, Any] | None = None

    def __post_init__(self) -> None:
        if self.serving_path is not None:
            checked_path(self.serving_path)

    def to_dict(self) -> dict[str, Any]:
        """Return the record as JSON values."""
        fields = _to_dict(self)
        # A record is known by the hash of its bytes, and most have no such field.
        return fields if self.sweep is not None else {k: v for k, v in fields.items() if k != "sweep"}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> RunRecord:
        """Restore what `to_dict` returned; raises as `from_dict` of this module does."""
        return _read(_RUN, fields)


Record = ExecutionRecord | RunRecord
_EXECUTION: Final = Shape(ExecutionRecord)
_RUN: Final = Shape(RunRecord)
_NOT_A_RECORD: Final = "not a record of this release"
_Any = TypeVar("_Any", ExecutionRecord, RunRecord)


def _read(shape: Shape[_Any], fields: Mapping[str, Any]) -> _Any:
    try:
        record = shape.read(dict(fields), what=_NOT_A_RECORD, where="record", error=EnvironmentProblem)
    except BadInput as err:  # a path that leads out of the root
        raise EnvironmentProblem(err.what, where="record", wanted=err.wanted, got=err.got) from err
    for time in (record.started, record.finished):
        require_time(time, where="record")
    return record


def from_dict(fields: Mapping[str, Any]) -> Record:
    """Restore the record that `to_dict` of its class returned.

    Raises:
      EnvironmentProblem: if it is of another release, or fields are missing, unknown or of the wrong kind.
    """
    fields = dict(fields)
    version = fields.pop("schema_version", None)
    if version != SCHEMA_VERSION:
        raise EnvironmentProblem(
            "of another release", where="record", wanted=f"schema_version {SCHEMA_VERSION}", got=version
        )
    kind = fields.pop("kind", None)
    if kind == ExecutionRecord.kind:
        return ExecutionRecord.from_dict(fields)
    if kind == RunRecord.kind:
        return RunRecord.from_dict(fields)
    raise EnvironmentProblem(
        _NOT_A_RECORD, where="record", wanted=f"kind {ExecutionRecord.kind} or {RunRecord.kind}", got=as_written(kind)
    )


def from_bytes(data: bytes) -> Record:
    """Restore the record that `to_bytes` wrote.

    Raises:
      EnvironmentProblem: as `from_dict`, and if `data` is not a JSON object.
    """
    return from_dict(parse_object(data, where="record", error=EnvironmentProblem, any_number=True))


def to_bytes(record: Record) -> bytes:
    """Return a record's file: canonical JSON, whose SHA-256 is its name."""
    return canonical_json(record.to_dict())


def record_hash(record: Record) -> str:
    """Return the hash that a record goes by: the SHA-256 of its file's bytes."""
    return sha256_bytes(to_bytes(record))


def node_key(
    node: str, executor: str, parameters: Mapping[str, Scalar], inputs: Mapping[str, Iterable[ArtifactRef]]
) -> str:
    """Return the identity of a piece of work: equal for two executions of the same node with the same parameters and inputs.

    Args:
      node: node id.
      executor: import path of the executor.
      parameters: as recorded, among them the code digest; those in `NAMES_ONLY` do not count.
      inputs: {channel: artifacts in order}; where they lie does not count.
    """
    identity = {
        "node": node,
        "executor": executor,
        "parameters": {name: NAMES_ONLY.get(name, value) for name, value in parameters.items()},
        "inputs": {channel: [ref.identity for ref in refs] for channel, refs in inputs.items()},
    }
    return sha256_bytes(canonical_json(identity))


def has_autoencoder(nodes: Iterable[str]) -> bool | None:
    """Whether the model behind which these nodes stand holds an autoencoder; None where no model is among them."""
    ids = set(nodes)
    return AUTOENCODER in ids if CLASSIFIER in ids else None


def without_root(parameters: Mapping[str, Scalar], root: str) -> dict[str, Scalar]:
    """Return `parameters` with the absolute path `root` written as `artifacts.ROOT_MARK` wherever a text holds it."""
    return {name: artifacts.without_root(value, root) for name, value in parameters.items()}


def find(records: Mapping[str, Record], order: Sequence[str], key: str) -> tuple[str, ExecutionRecord] | None:
    """Return the newest execution with a node key, and its hash.

    Args:
      records: by hash.
      order: hashes from oldest to newest, as the ledger committed them; times do not count.
      key: a node key.
    """
    for hash_ in reversed(order):
        record = records.get(hash_)
        if isinstance(record, ExecutionRecord) and record.key == key:
            return hash_, record
    return None


def utc(timestamp: float) -> str:
    """Return seconds since the epoch as UTC, ISO 8601 with milliseconds and `Z`."""
    time = dt.datetime.fromtimestamp(timestamp, tz=dt.timezone.utc)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(time: str | None) -> str:
    """Return a time that `utc` wrote as people read it, to the second; nothing where there is none."""
    return time[:19].replace("T", " ") if time else ""


def timestamp(utc_time: str) -> float:
    """Return what `utc` was given, to the millisecond."""
    return dt.datetime.fromisoformat(utc_time.replace("Z", "+00:00")).timestamp()


def require_time(text: str, *, where: object) -> None:
    """Check that a text is a time as `utc` writes it.

    Raises:
      EnvironmentProblem: if it is not.
    """
    try:
        timestamp(text)
    except ValueError as err:
        raise EnvironmentProblem(
            "not a time", where=where, wanted="UTC, such as 2026-01-01T00:00:00Z", got=text
        ) from err


def _installed_version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _to_dict(record: Record) -> dict[str, Any]:
    fields = {"schema_version": SCHEMA_VERSION, "kind": record.kind, **dataclasses.asdict(record)}
    plain: dict[str, Any] = json.loads(canonical_json(fields))  # lists where the fields are tuples
    return plain
