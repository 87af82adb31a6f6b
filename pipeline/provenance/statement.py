"""The provenance statement that is served with a model.

An in-toto Statement v1 (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md) with a SLSA v1
provenance predicate (https://slsa.dev/spec/v1.0/provenance). It lists every record by hash, so that an audit can
start from the served bytes alone. A tree digest goes by the name `treeSha256`, a Merkle root over rows by
`merkleSha256`: neither is the SHA-256 of one file.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from typing_extensions import NotRequired, TypedDict

from components.digest import canonical_json, manifest_digest
from components.errors import BadInput, EnvironmentProblem, Refused
from components.serving import PROVENANCE
from components.shapes import Shape
from components.untrusted import MIB, parse_object, read_bytes
from components.wording import as_written
from pipeline.provenance.ancestry import closure
from pipeline.provenance.artifacts import ArtifactEntry, saved_model
from pipeline.provenance.parameters import unpack
from pipeline.provenance.records import DATA, ExecutionRecord, Record, require_time
from pipeline.root.paths import RunPaths

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "urn:mnist-tfx:pipeline:v1"
BUILDER: Final = "urn:mnist-tfx:runner:v1"
SHA256, TREE, MERKLE, COMMIT = "sha256", "treeSha256", "merkleSha256", "gitCommit"
RECORDS: Final = "records/"

Resource = dict[str, Any]
Known = Mapping[str, ExecutionRecord]


LARGEST: Final = 64 * MIB
"""Bytes of a statement; one of ours has 20 KB."""

_NO_STATEMENT: Final = "not a provenance statement"


class _Annotations(TypedDict, total=False):
    bytes: int
    path: str
    type: str
    node: str
    properties: Mapping[str, Any]


class _Resource(TypedDict):
    name: str
    digest: Mapping[str, str]
    annotations: NotRequired[_Annotations]


class _ExternalParameters(TypedDict):
    recipe: str
    settings: Mapping[str, Any]


class _InternalParameters(TypedDict):
    heads: list[str]
    executions: list[Mapping[str, str]]


class _BuildDefinition(TypedDict):
    buildType: str
    externalParameters: _ExternalParameters
    internalParameters: _InternalParameters
    resolvedDependencies: list[_Resource]


class _Builder(TypedDict):
    id: str
    version: Mapping[str, str]


class _Metadata(TypedDict):
    invocationId: str
    startedOn: str
    finishedOn: str


class _RunDetails(TypedDict):
    builder: _Builder
    metadata: _Metadata
    byproducts: list[_Resource]


class _Predicate(TypedDict):
    buildDefinition: _BuildDefinition
    runDetails: _RunDetails


class _Statement(TypedDict):
    subject: list[_Resource]
    predicate: _Predicate


_SHAPE: Final = Shape(_Statement)


def build_statement(
    model_manifest: Mapping[str, Mapping[str, Any]], records: Mapping[str, Record], heads: Sequence[str]
) -> dict[str, Any]:
    """Return the provenance of a model; the same arguments give the same statement.

    Args:
      model_manifest: `digest.tree_manifest` of the SavedModel.
      records: by hash.
      heads: hashes of the records behind what the push read: model and blessings.

    Raises:
      Refused: if no record behind `heads` made these bytes, or a link is among them.
      RecordMissing: if a record behind them is gone.
    """
    executions = closure(records, heads)
    tree = manifest_digest(model_manifest)
    maker = _maker(executions, tree)
    ancestors, made_in = closure(records, [maker]), executions[maker].environment
    return {
        "_type": STATEMENT_TYPE,
        "subject": _subject(model_manifest, tree),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"recipe": executions[maker].pipeline, "settings": _settings(executions)},
                "internalParameters": {"heads": list(heads), "executions": _executions(executions)},
                "resolvedDependencies": _dependencies(ancestors),
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"python": made_in.python, **made_in.packages}},
                "metadata": _metadata(executions, maker),
                "byproducts": _byproducts(executions, ancestors),
            },
        },
    }


def served_files(model: ArtifactEntry) -> dict[str, Mapping[str, Any]]:
    """Return the manifest of the SavedModel in a recorded Model, as `statement` takes it."""
    return saved_model(model.files)


def statement_bytes(provenance: Mapping[str, Any]) -> bytes:
    """Return the statement's file: canonical JSON."""
    return canonical_json(provenance)


def parse_statement(data: bytes) -> dict[str, Any]:
    """Restore what `to_bytes` wrote.

    Raises:
      EnvironmentProblem: if it is something else.
    """
    try:
        provenance = parse_object(data, where=PROVENANCE)
    except BadInput as err:
        got = f"{err.what}: {err.got}"
        raise EnvironmentProblem(_NO_STATEMENT, where=PROVENANCE, wanted=err.wanted, got=got) from err
    kind = provenance.get("_type"), provenance.get("predicateType")
    if kind != (STATEMENT_TYPE, PREDICATE_TYPE):
        got = ", ".join(map(as_written, kind))
        raise EnvironmentProblem(_NO_STATEMENT, where=PROVENANCE, wanted=PREDICATE_TYPE, got=got)
    _SHAPE.read(provenance, what=_NO_STATEMENT, where=PROVENANCE, error=EnvironmentProblem)
    if not any(TREE in item["digest"] for item in provenance["subject"]):
        raise EnvironmentProblem(_NO_STATEMENT, where=PROVENANCE, wanted=f"a subject with {TREE}", got="none")
    files = [item for item in provenance["subject"] if SHA256 in item["digest"]]
    if unsized := [item["name"] for item in files if "bytes" not in item.get("annotations", {})]:
        raise EnvironmentProblem(_NO_STATEMENT, where=PROVENANCE, wanted="the size of every file", got=unsized[0])
    for moment in ("startedOn", "finishedOn"):
        require_time(provenance["predicate"]["runDetails"]["metadata"][moment], where=PROVENANCE)
    if not heads_of(provenance):
        raise EnvironmentProblem(_NO_STATEMENT, where=PROVENANCE, wanted="the records that the push read", got="none")
    return provenance


def read_statement(path: Path) -> dict[str, Any]:
    """Return the statement in a file.

    Raises:
      EnvironmentProblem: if it cannot be read, or is something else.
    """
    return parse_statement(read_bytes(path, limit=LARGEST, error=EnvironmentProblem))


def read_provenance(root: Path, version: int) -> dict[str, Any]:
    """Return the statement that is served with a version.

    Raises:
      EnvironmentProblem: if there is none, or it is no statement.
    """
    return read_statement(RunPaths(root).version(version) / PROVENANCE)


def heads_of(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the hashes of the records behind what the push read."""
    return tuple(provenance["predicate"]["buildDefinition"]["internalParameters"]["heads"])


def manifest_of(provenance: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the model's manifest, as `digest.tree_manifest` gave it."""
    files = [item for item in provenance["subject"] if SHA256 in item["digest"]]
    return {item["name"]: {**item.get("annotations", {}), "sha256": item["digest"][SHA256]} for item in files}


def digest_of(provenance: Mapping[str, Any]) -> str:
    """Return the model's tree digest, as the statement tells it."""
    return str(next(item["digest"][TREE] for item in provenance["subject"] if TREE in item["digest"]))


def _subject(model_manifest: Mapping[str, Mapping[str, Any]], tree: str) -> list[Resource]:
    links = [path for path, file in model_manifest.items() if "sha256" not in file]
    if links:
        raise Refused("the model holds links", where="provenance", got=", ".join(sorted(links)))
    files = [
        _resource(path, SHA256, file["sha256"], bytes=file["bytes"]) for path, file in sorted(model_manifest.items())
    ]
    return [_resource(".", TREE, tree), *files]


def _maker(executions: Known, tree: str) -> str:
    for hash_, record in executions.items():
        if any(entry.sha256 == tree for entry in record.artifacts):
            return hash_
    nodes = ", ".join(record.node for record in executions.values())
    raise Refused("no record made these bytes", where="provenance", wanted=f"tree digest {tree}", got=nodes)


def _settings(executions: Known) -> dict[str, Any]:
    """Return {node: its section of the recipe}, wherever TFX made the node carry it."""
    sections = {record.node: unpack(record).get("settings") for record in executions.values()}
    return {node: section for node, section in sections.items() if section is not None}


def _executions(executions: Known) -> list[dict[str, Any]]:
    return [
        {
            "record": hash_,
            "node": record.node,
            "key": record.key,
            "run_id": record.run_id,
            "started": record.started,
            "finished": record.finished,
            "device": record.environment.device,
        }
        for hash_, record in executions.items()
    ]


def _dependencies(ancestors: Known) -> list[Resource]:
    """Return what went into the model, directly or through what its maker read."""
    result = []
    consumed = {
        (ref.record, ref.path) for record in ancestors.values() for refs in record.inputs.values() for ref in refs
    }
    for hash_, record in ancestors.items():
        result += _data(record)
        result += [
            _artifact(record, *output) for output in record.outputs_by_channel if (hash_, output[1].path) in consumed
        ]
        result += [
            _resource(f"code/{record.node}", SHA256, record.code.digest),
            _resource("requirements.lock", SHA256, record.lock_digest),
        ]
        if record.git.commit is not None:
            git = {"tree": record.git.tree, "diff_sha256": record.git.diff_sha256}
            result.append(_resource("git", COMMIT, record.git.commit, **git))
    return _sorted(result)


def _data(record: ExecutionRecord) -> list[Resource]:
    files = [_resource(f"data/{source.name}", SHA256, source.payload_digest) for source in record.sources]
    data = record.extra.get(DATA, {})
    rows = {"rows": data, **{f"rows/{split}": part for split, part in data.get("splits", {}).items()}}
    return files + [
        _resource(name, MERKLE, part["rows_digest"]) for name, part in rows.items() if "rows_digest" in part
    ]


def _byproducts(executions: Known, ancestors: Known) -> list[Resource]:
    artifacts = [
        _artifact(record, *output)
        for hash_, record in executions.items()
        if hash_ not in ancestors
        for output in record.outputs_by_channel
    ]
    names = [
        _resource(f"{RECORDS}{hash_}.json", SHA256, hash_, node=record.node) for hash_, record in executions.items()
    ]
    return names + _sorted(artifacts)


def _artifact(record: ExecutionRecord, channel: str, entry: ArtifactEntry) -> Resource:
    properties = {"properties": dict(entry.properties)} if entry.properties else {}
    return _resource(f"{record.node}/{channel}", TREE, entry.sha256, path=entry.path, type=entry.type, **properties)


def _metadata(executions: Known, maker: str) -> dict[str, str]:
    return {
        "invocationId": executions[maker].run_id,
        "startedOn": min(record.started for record in executions.values()),
        "finishedOn": max(record.finished for record in executions.values()),
    }


def _resource(name: str, algorithm: str, digest: str, **annotations: Any) -> Resource:
    resource: Resource = {"name": name, "digest": {algorithm: digest}}
    return {**resource, "annotations": annotations} if annotations else resource


def _sorted(resources: Iterable[Resource]) -> list[Resource]:
    unique = {canonical_json(resource): resource for resource in resources}
    return [resource for _, resource in sorted(unique.items(), key=lambda item: (item[1]["name"], item[0]))]
