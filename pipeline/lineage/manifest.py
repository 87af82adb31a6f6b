"""A model's files and the records behind them -> the provenance that is served with it.

An in-toto Statement v1 (https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md) with a SLSA v1
provenance predicate (https://slsa.dev/spec/v1.0/provenance). It lists every record by hash, so that an audit can
start from the served bytes alone. A tree digest goes by the name `treeSha256`, a Merkle root over rows by
`merkleSha256`: neither is the SHA-256 of one file.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from components.digest import canonical_json, manifest_digest
from components.errors import EnvironmentProblem, Refused
from components.serving import PROVENANCE
from pipeline.lineage.artifacts import ArtifactEntry, saved_model
from pipeline.lineage.graph import closure
from pipeline.lineage.records import DATA, ExecutionRecord, Record

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://slsa.dev/provenance/v1"
BUILD_TYPE: Final = "urn:mnist-tfx:pipeline:v1"
BUILDER: Final = "urn:mnist-tfx:runner:v1"
SHA256, TREE, MERKLE, COMMIT = "sha256", "treeSha256", "merkleSha256", "gitCommit"
RECORDS: Final = "records/"

Resource = dict[str, Any]
Known = Mapping[str, ExecutionRecord]


def statement(
    model_manifest: Mapping[str, Mapping[str, Any]], records: Mapping[str, Record], heads: Sequence[str]
) -> dict[str, Any]:
    """Returns the provenance of a model; the same arguments give the same statement.

    Args:
      model_manifest: `digest.tree_manifest` of the SavedModel.
      records: by hash.
      heads: hashes of the records behind what the push read: model and blessings.

    Raises:
      Refused: if no record behind `heads` made these bytes, or a link is among them.
      RecordMissing: if a record behind them is gone.
    """
    known = closure(records, heads)
    tree = manifest_digest(model_manifest)
    maker = _maker(known, tree)
    behind = closure(records, [maker])
    return {
        "_type": STATEMENT_TYPE,
        "subject": _subject(model_manifest, tree),
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"recipe": known[maker].pipeline, "settings": _settings(known)},
                "internalParameters": {"heads": list(heads), "executions": _executions(known)},
                "resolvedDependencies": _dependencies(behind),
            },
            "runDetails": {
                "builder": _builder(known[maker]),
                "metadata": _metadata(known, maker),
                "byproducts": _byproducts(known, behind),
            },
        },
    }


def served_files(model: ArtifactEntry) -> dict[str, Mapping[str, Any]]:
    """Returns the manifest of the SavedModel in a recorded Model, as `statement` takes it."""
    return saved_model(model.files)


def to_bytes(provenance: Mapping[str, Any]) -> bytes:
    """Returns the statement's file: canonical JSON."""
    return canonical_json(provenance)


def from_bytes(data: bytes) -> dict[str, Any]:
    """Restores what `to_bytes` wrote.

    Raises:
      EnvironmentProblem: if it is something else.
    """
    try:
        provenance = json.loads(data)
        kinds = (provenance["_type"], provenance["predicateType"], heads_of(provenance)[0])[:2]
    except (ValueError, KeyError, TypeError, IndexError) as err:
        raise EnvironmentProblem("not a provenance statement", where=PROVENANCE, got=err) from err
    if kinds != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise EnvironmentProblem("not a provenance statement", where=PROVENANCE, wanted=PREDICATE_TYPE, got=kinds[1])
    return dict(provenance)


def heads_of(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the hashes of the records behind what the push read."""
    return tuple(provenance["predicate"]["buildDefinition"]["internalParameters"]["heads"])


def records_of(provenance: Mapping[str, Any]) -> tuple[str, ...]:
    """Returns the hashes of all records behind the model, each after the ones it was made from."""
    byproducts = provenance["predicate"]["runDetails"]["byproducts"]
    return tuple(item["digest"][SHA256] for item in byproducts if item["name"].startswith(RECORDS))


def manifest_of(provenance: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Returns the model's manifest, as `digest.tree_manifest` gave it."""
    files = [item for item in provenance["subject"] if SHA256 in item["digest"]]
    return {item["name"]: {"sha256": item["digest"][SHA256], **item["annotations"]} for item in files}


def digest_of(provenance: Mapping[str, Any]) -> str:
    """Returns the model's tree digest, as the statement tells it."""
    return str(next(item["digest"][TREE] for item in provenance["subject"] if TREE in item["digest"]))


def _subject(model_manifest: Mapping[str, Mapping[str, Any]], tree: str) -> list[Resource]:
    links = [path for path, file in model_manifest.items() if "sha256" not in file]
    if links:
        raise Refused("the model holds links", where="provenance", got=", ".join(sorted(links)))
    files = [
        _resource(path, SHA256, file["sha256"], bytes=file["bytes"]) for path, file in sorted(model_manifest.items())
    ]
    return [_resource(".", TREE, tree), *files]


def _maker(known: Known, tree: str) -> str:
    for hash_, record in known.items():
        if any(entry.sha256 == tree for made in record.outputs.values() for entry in made):
            return hash_
    nodes = ", ".join(record.node for record in known.values())
    raise Refused("no record made these bytes", where="provenance", wanted=f"tree digest {tree}", got=nodes)


def _settings(known: Known) -> dict[str, Any]:
    """Returns {node: its section of the recipe}, wherever TFX made the node carry it."""
    found = {}
    for record in known.values():
        custom = _parsed(record.parameters.get("custom_config"))
        inner = custom.get("settings") if isinstance(custom, dict) else None
        section = _parsed(record.parameters.get("settings", inner))
        if section is not None:
            found[record.node] = section
    return found


def _parsed(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) else text
    except ValueError:
        return text


def _executions(known: Known) -> list[dict[str, Any]]:
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
        for hash_, record in known.items()
    ]


def _dependencies(behind: Known) -> list[Resource]:
    """Returns what went into the model, directly or through what its maker read."""
    found = []
    read = {(ref.record, ref.path) for record in behind.values() for refs in record.inputs.values() for ref in refs}
    for hash_, record in behind.items():
        found += _data(record)
        found += [_artifact(record, *made) for made in _outputs(record) if (hash_, made[1].path) in read]
        found += [
            _resource(f"code/{record.node}", SHA256, record.code.digest),
            _resource("requirements.lock", SHA256, record.lock_digest),
        ]
        if record.git.commit is not None:
            git = {"tree": record.git.tree, "diff_sha256": record.git.diff_sha256}
            found.append(_resource("git", COMMIT, record.git.commit, **git))
    return _sorted(found)


def _data(record: ExecutionRecord) -> list[Resource]:
    found = [_resource(f"data/{source.name}", SHA256, source.payload_digest) for source in record.sources]
    data = record.extra.get(DATA, {})
    rows = {"rows": data, **{f"rows/{split}": part for split, part in data.get("splits", {}).items()}}
    return found + [
        _resource(name, MERKLE, part["rows_digest"]) for name, part in rows.items() if "rows_digest" in part
    ]


def _byproducts(known: Known, behind: Known) -> list[Resource]:
    made = [
        _artifact(record, *output)
        for hash_, record in known.items()
        if hash_ not in behind
        for output in _outputs(record)
    ]
    names = [_resource(f"{RECORDS}{hash_}.json", SHA256, hash_, node=record.node) for hash_, record in known.items()]
    return names + _sorted(made)


def _outputs(record: ExecutionRecord) -> list[tuple[str, ArtifactEntry]]:
    return [(channel, entry) for channel, made in sorted(record.outputs.items()) for entry in made]


def _artifact(record: ExecutionRecord, channel: str, entry: ArtifactEntry) -> Resource:
    properties = {"properties": dict(entry.properties)} if entry.properties else {}
    return _resource(f"{record.node}/{channel}", TREE, entry.sha256, path=entry.path, type=entry.type, **properties)


def _builder(record: ExecutionRecord) -> dict[str, Any]:
    return {"id": BUILDER, "version": {"python": record.environment.python, **record.environment.packages}}


def _metadata(known: Known, maker: str) -> dict[str, str]:
    return {
        "invocationId": known[maker].run_id,
        "startedOn": min(record.started for record in known.values()),
        "finishedOn": max(record.finished for record in known.values()),
    }


def _resource(name: str, algorithm: str, digest: str, **annotations: Any) -> Resource:
    resource: Resource = {"name": name, "digest": {algorithm: digest}}
    return {**resource, "annotations": annotations} if annotations else resource


def _sorted(resources: Iterable[Resource]) -> list[Resource]:
    unique = {canonical_json(resource): resource for resource in resources}
    return [resource for _, resource in sorted(unique.items(), key=lambda item: (item[1]["name"], item[0]))]
