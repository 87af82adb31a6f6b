"""Records behind a pod's inputs, kept below the pod's root, and the proof that the bytes are theirs.

Pods share no ledger. Each task hands on a `lineage` artifact with every record up to its own, and each of its other
outputs carries its digest and the hash of its record as properties. So a pod knows what it reads, and checks it: what
was changed in the bucket since it was recorded is not read.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from components.errors import Refused
from pipeline.kubeflow import names, places
from pipeline.kubeflow.places import Place
from pipeline.kubeflow.pod.invocation import Artifact
from pipeline.provenance import attempts, record_store
from pipeline.provenance.artifacts import (
    DIGEST_PROPERTY,
    RECORD_PROPERTY,
    ROOT_MARK,
    ArtifactEntry,
    ArtifactRef,
    difference,
)
from pipeline.provenance.record_store import Records
from pipeline.provenance.records import ExecutionRecord
from pipeline.root.paths import RunPaths

ANEW: Final = "start the run again: it writes to places of its own"
LEFTOVERS: Final = f"if an attempt that was repeated left them: {ANEW}"
"""A task that is repeated uploads over what the first attempt left, and takes nothing away."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Upstream:
    """What a pod reads.

    Attributes:
      records: every record behind it, by hash.
      refs: {channel: how a record names the artifact}.
      artifacts: {channel: the artifact, with no properties but the recorded ones}.
    """

    records: Records
    refs: Mapping[str, ArtifactRef]
    artifacts: Mapping[str, Artifact]

    def heads(self) -> list[str]:
        """Return the hashes of the records that made the inputs, each once, by channel."""
        hashes = [ref.record for _, ref in sorted(self.refs.items()) if ref.record is not None]
        return list(dict.fromkeys(hashes))


def read(paths: RunPaths, place: Place, inputs: Mapping[str, Artifact]) -> Upstream:
    """Copy the records below the pod's root and checks every byte of the inputs against them.

    Args:
      paths: of the pod's root.
      place: of the task.
      inputs: {channel: artifact}, those that carry records among them.

    Raises:
      RecordChanged: if a record is not what its name says.
      Refused: if an input has no record, or is not what its record says.
    """
    for channel, artifact in inputs.items():
        if names.is_lineage_input(channel):
            _keep_records(paths, places.local(artifact.uri))
    records = record_store.scan(paths.records)
    given = {channel: artifact for channel, artifact in inputs.items() if not _is_other(channel)}
    checked = {channel: _checked(artifact, place, records) for channel, artifact in given.items()}
    return Upstream(
        records=records,
        refs={channel: entry.ref(hash_) for channel, (hash_, entry, _) in checked.items()},
        artifacts={channel: artifact for channel, (_, _, artifact) in checked.items()},
    )


def _is_other(channel: str) -> bool:
    return names.is_lineage_input(channel) or channel == names.DATA_CHANNEL


def _keep_records(paths: RunPaths, folder: Path) -> None:
    kept = record_store.scan(paths.records)
    for hash_, record in record_store.scan(RunPaths(folder).records).items():  # reading checks the hash
        if hash_ not in kept:
            record_store.write(paths.records, record)


def _checked(artifact: Artifact, place: Place, records: Records) -> tuple[str, ArtifactEntry, Artifact]:
    """Return the record's hash, what it says, and the artifact with the properties that the record has.

    Properties come from KFP's metadata, which anybody may edit who may write there. A verdict is one of them.
    """
    hash_ = str(artifact.metadata.get(RECORD_PROPERTY, ""))
    if hash_ not in records or not isinstance(record := records[hash_], ExecutionRecord):
        raise Refused("an input without a record", where=artifact.uri, got=hash_ or "no property `record`")
    entry = _entry(artifact, place.relative(artifact.uri), record)
    if difference(place.local_root, entry) and (left := _left_by_another_attempt(place, hash_, entry, records)):
        hash_, entry = left
        artifact = dataclasses.replace(artifact, metadata={**artifact.metadata, **_recorded_properties(entry, place)})
    recorded = _recorded_properties(entry, place)
    stored = {name: artifact.metadata.get(name) for name in recorded}
    if changed := [name for name, value in recorded.items() if stored[name] != value]:
        got = ", ".join(f"{name} {stored[name]} for {recorded[name]}" for name in changed)
        raise Refused("properties were changed since they were recorded", where=artifact.uri, got=got)
    if changes := difference(place.local_root, entry):
        _require_no_leftovers(artifact.uri, place, hash_, entry, records)
        only_extra = not (changes.missing or changes.changed)
        raise Refused(
            "an input was changed since it was recorded",
            where=artifact.uri,
            got=str(changes),
            hint=LEFTOVERS if only_extra else None,
        )
    trusted = {**recorded, DIGEST_PROPERTY: entry.sha256, RECORD_PROPERTY: hash_}
    return hash_, entry, dataclasses.replace(artifact, metadata=trusted)


def _left_by_another_attempt(
    place: Place, hash_: str, entry: ArtifactEntry, records: Records
) -> tuple[str, ArtifactEntry] | None:
    """Return record and entry of the attempt at the same task whose bytes lie there; None if those are nobody's.

    A task that is repeated after its upload has two artifacts of one name in KFP's metadata and the second one's bytes
    in the bucket; which of the two a reader is told of is the driver's choice.
    """
    record_read = records[hash_]
    for other, record in records.items():
        if not isinstance(record, ExecutionRecord) or not isinstance(record_read, ExecutionRecord) or other == hash_:
            continue
        if attempts.are_attempts(record, record_read):
            same_path = [one for entries in record.outputs.values() for one in entries if one.path == entry.path]
            if same_path and not difference(place.local_root, same_path[0]):
                return other, same_path[0]
    return None


def _require_no_leftovers(uri: str, place: Place, hash_: str, entry: ArtifactEntry, records: Records) -> None:
    """Name the attempt whose files lie among those of another one; says nothing where they are anybody else's.

    Whatever reads the artifact would take them for a part of it.
    """
    executions = {h: r for h, r in records.items() if isinstance(r, ExecutionRecord)}
    tries = {h: r for h, r in executions.items() if h == hash_ or attempts.are_attempts(r, executions[hash_])}
    for counting, record in tries.items():
        entries = [one for one in record.artifacts if one.path == entry.path]
        changes = difference(place.local_root, entries[0]) if entries else None
        if not changes or changes.missing or changes.changed:
            continue
        left = [h for h, r in tries.items() if h != counting and set(changes.extra) <= _files_at(r, entry.path)]
        if left:
            first, last = (attempts.number_of(h, executions) for h in (left[0], counting))
            raise Refused(
                f"holds files that attempt {first} of {record.node} left and attempt {last} did not write",
                where=uri,
                got=", ".join(changes.extra),
                hint=ANEW,
            )


def _files_at(record: ExecutionRecord, path: str) -> set[str]:
    return {name for entry in record.artifacts if entry.path == path for name in entry.files}


def _recorded_properties(entry: ArtifactEntry, place: Place) -> dict[str, Any]:
    return {name: _with_root(value, place.root) for name, value in entry.properties.items()}


def _with_root(value: Any, root: str) -> Any:
    return value.replace(ROOT_MARK, root) if isinstance(value, str) else value


def _entry(artifact: Artifact, path: str, record: ExecutionRecord) -> ArtifactEntry:
    same_path = [entry for entries in record.outputs.values() for entry in entries if entry.path == path]
    digest = artifact.metadata.get(DIGEST_PROPERTY)
    if not same_path or same_path[0].sha256 != digest:
        raise Refused(
            "an input is not what its record says",
            where=artifact.uri,
            wanted=same_path[0].sha256 if same_path else f"an output of {record.node}",
            got=digest,
        )
    return same_path[0]
