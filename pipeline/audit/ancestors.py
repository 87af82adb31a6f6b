"""The check of what is behind a version: records, artifacts and data copies against one another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Final

from typing_extensions import TypedDict

from components.digest import canonical_json, sha256_bytes, sha256_file
from components.errors import BadInput, MnistTfxError
from components.ingest import import_record
from components.shapes import Shape
from components.untrusted import parse_object
from pipeline.audit.evidence import RECORD, Evidence, record_path
from pipeline.audit.findings import WARN, Finding, completeness, integrity
from pipeline.audit.mismatches import mismatches
from pipeline.provenance import attempts, plain_files
from pipeline.provenance.artifacts import MODEL_FOLDER, ArtifactEntry, artifact_digest, checked_path
from pipeline.provenance.file_check import BESIDE
from pipeline.provenance.ledger import Event
from pipeline.provenance.own_code import INPUTS, folder_name, own_digests
from pipeline.provenance.plain_files import Hasher, Seen
from pipeline.provenance.records import DATA, ExecutionRecord

LEFT_OVER: Final = "was left by an attempt that was repeated, as its record says"

ARTIFACT, ATTEMPT, DATA_COPY, CODE_COPY, EDGE = "artifact", "attempt", "data copy", "code copy", "edge"
CONTENTS, SOURCES, PAYLOAD = "contents.json", "sources.json", "payload"

Known = Mapping[str, ExecutionRecord]


class _Note(TypedDict):
    name: str
    payload_digest: str


class _Notes(TypedDict):
    sources: list[_Note]


_NOTES: Final = Shape(_Notes)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder below the root and what a record says is in it.

    Attributes:
      link: `artifact`, `data copy` or `code copy`.
      path: relative to the root.
      recorded: {file: manifest entry}.
      seen: what is there, hashed.
      linked: the part of the path that is a symlink; None if none is.
      payloads: {file: digest of its payload}, being digested, of the data files.
      imports: names of the records of imports that belong there.
      import_digests: {file: its digest}, being digested, of those that are there.
    """

    link: str
    path: str
    recorded: Mapping[str, Mapping[str, Any]]
    seen: Mapping[str, Seen]
    linked: str | None
    payloads: Mapping[str, Future[str]] = dataclasses.field(default_factory=dict)
    imports: frozenset[str] = frozenset()
    import_digests: Mapping[str, Future[str]] = dataclasses.field(default_factory=dict)


def look_at_artifacts(root: Path, records: Known, hasher: Hasher) -> tuple[Folder, ...]:
    """Return the artifacts that the records made; their files are still being hashed."""
    entries = [entry for record in records.values() for entry in record.artifacts]
    return tuple(_folder(root, ARTIFACT, entry.path, entry.files, hasher) for entry in entries)


def look_at_inputs(root: Path, records: Known, hasher: Hasher) -> tuple[Folder, ...]:
    """Return the copies of data, schema and the user's own code; their files are still being hashed.

    The records behind the version bind payloads, not the files that hold them, so every payload is digested again.
    A run's record would tell the files' digests, but nothing binds it: whoever can write to the ledger can append one.
    """
    read = [(path, record) for record in records.values() if (path := _inputs_of(record)) is not None]
    folders = [
        dataclasses.replace(
            _folder(root, DATA_COPY, path, _recorded_inputs(record), hasher), imports=_recorded_imports(record)
        )
        for path, record in read
    ]
    data = (_with_imports(root, _with_payloads(root, folder, hasher), hasher) for folder in folders)
    return (*data, *_code_copies(root, records, hasher))


def _recorded_imports(record: ExecutionRecord) -> frozenset[str]:
    """Return the name of the import's record that the data came with, of which the execution's record has the digest."""
    digest = record.parameters.get(import_record.PROPERTY)
    return frozenset() if digest is None else frozenset((import_record.kept_name(str(digest)),))


def _with_imports(root: Path, folder: Folder, hasher: Hasher) -> Folder:
    kept = {
        name for name, one in folder.seen.items() if import_record.KEPT.fullmatch(name) and one.kind == plain_files.FILE
    }
    started = {name: hasher.start(str(root / folder.path / name)) for name in kept}
    return dataclasses.replace(folder, import_digests=started)


def _code_copies(root: Path, records: Known, hasher: Hasher) -> Iterator[Folder]:
    """Yield the copies of the user's own code, each once; records have its digests, and no sizes."""
    owned = [own for record in records.values() if (own := own_digests(record.code.files))]
    for path, own in {f"{INPUTS}/{folder_name(own)}": own for own in owned}.items():
        linked = plain_files.link_on_the_way(root, path)
        seen = {} if linked else plain_files.listing(root / path, hasher)
        sizes = {name: one.bytes for name, one in seen.items()}
        recorded = {name: {"sha256": sha256, "bytes": sizes.get(name)} for name, sha256 in own.items()}
        yield Folder(link=CODE_COPY, path=path, recorded=recorded, seen=seen, linked=linked)


def _with_payloads(root: Path, folder: Folder, hasher: Hasher) -> Folder:
    bound = {name: file["bytes"] for name, file in folder.recorded.items() if PAYLOAD in file}
    plain = [name for name in bound if name in folder.seen and folder.seen[name].kind == plain_files.FILE]
    started = {name: hasher.start_payload(root / folder.path / name, bound[name]) for name in plain}
    return dataclasses.replace(folder, payloads=started)


def own_code_of(records: Known) -> dict[str, tuple[str, ...]]:
    """Return {file of the user's own code: nodes that ran it}, both sorted."""
    nodes: dict[str, set[str]] = {}
    for record in records.values():
        for path in own_digests(record.code.files):
            nodes.setdefault(path, set()).add(record.node)
    return {path: tuple(sorted(nodes[path])) for path in sorted(nodes)}


def check_records(records: Known) -> Iterator[Finding]:
    """Yield where a record contradicts itself or the one that made what it read."""
    for hash_, record in records.items():
        where = f"{record_path(hash_)} ({record.node})"
        for what, wanted, got in _contradictions(record):
            yield integrity(RECORD, where, what, wanted=wanted, got=got)
        for what, wanted, got in _broken_edges(record, records):
            yield completeness(EDGE, where, what, wanted=wanted, got=got)


def check_attempts(evidence: Evidence, records: Known) -> Iterator[Finding]:
    """Yield what pods did more than once in a run that is on the path: an attempt is a warning, anything else is wrong.

    A record that claims to be an attempt adds nothing to what is served: whatever it says was made lies where the
    record on the path says what has to lie, and is compared with that one alone.
    """
    by_pods = _made_by_pods(evidence)
    for counting, record in records.items():
        beside = {
            h: r for h, r in by_pods.items() if h == counting or (r.run_id, r.node) == (record.run_id, record.node)
        }
        tries = sorted((r.started, h) for h, r in beside.items() if attempts.are_attempts(r, record))
        for number, (_, hash_) in enumerate(tries, start=1):
            if hash_ not in records:
                became = "superseded" if (record.started, counting) > tries[number - 1] else "of which nothing was read"
                what = f"attempt {number} of {record.node}, {became}"
                yield completeness(ATTEMPT, record_path(hash_), what, level=WARN)
        for hash_ in beside.keys() - {one for _, one in tries} - records.keys():
            yield _stray(record_path(hash_), record.node, record_path(counting))


def _stray(where: str, node: str, counting: str) -> Finding:
    what = f"{node} ran, but is not on the path, and is no attempt at what is: it read or wrote something else"
    return completeness(ATTEMPT, where, what, wanted=counting, got=where)


def _made_by_pods(evidence: Evidence) -> Known:
    committed = dict.fromkeys(str(line.record) for line in evidence.chain.of(Event.COMMIT))
    return {h: r for h, r in evidence.records(committed) if isinstance(r, ExecutionRecord) and not r.in_store}


def check_artifacts(evidence: Evidence, records: Known, folders: tuple[Folder, ...]) -> Iterator[Finding]:
    """Yield the files of artifacts that are not as recorded; waits for the hashing.

    What an earlier attempt at a pod's task left beside them is a warning, if it is what that attempt's record says.
    """
    for folder in folders:
        if folder.linked is not None:
            yield _linked(folder)
            continue
        # The provenance came along with a served version; no digest of a model covers it.
        beside = {path for path in folder.seen if path.removeprefix(MODEL_FOLDER) in BESIDE}
        seen = {path: one for path, one in folder.seen.items() if path not in beside or one.kind != plain_files.FILE}
        extra = seen.keys() - folder.recorded.keys()
        left = _left_over(evidence, records, folder, {path: seen[path] for path in extra}) if extra else frozenset()
        yield from (completeness(ATTEMPT, f"{folder.path}/{path}", LEFT_OVER, level=WARN) for path in sorted(left))
        kept = {path: one for path, one in seen.items() if path not in left}
        yield from mismatches(folder.link, folder.path, folder.recorded, kept)


def _left_over(evidence: Evidence, records: Known, folder: Folder, extra: Mapping[str, Seen]) -> frozenset[str]:
    """Return the files that other attempts at the artifact's task made, byte for byte."""
    makers = [r for r in records.values() if any(entry.path == folder.path for entry in r.artifacts)]
    known = attempts.left_over(makers[0], folder.path, _made_by_pods(evidence)) if makers else {}
    return frozenset(
        path
        for path, one in extra.items()
        if one.kind == plain_files.FILE
        # Hashed here alone: nobody else reads what is not recorded, of whatever size it may be.
        and any(
            file.get("bytes") == one.bytes and _digest(evidence.root / folder.path / path) == file.get("sha256")
            for file in known.get(path, ())
        )
    )


def _digest(path: Path) -> str | None:
    try:
        return sha256_file(path)
    except OSError:
        return None


def check_inputs(evidence: Evidence, folders: tuple[Folder, ...]) -> Iterator[Finding]:
    """Yield the copies of data, schema and code that are not what was recorded; waits for the hashing."""
    for folder in folders:
        if folder.linked is not None:
            yield _linked(folder)
            continue
        payloads = {name: file for name, file in folder.recorded.items() if PAYLOAD in file}
        plain = {name: file for name, file in folder.recorded.items() if PAYLOAD not in file}
        elsewhere = payloads.keys() | ({SOURCES} if payloads else set())
        # A copy that a crash cut short is removed by the next run, and nothing reads it.
        torn = {name for name in folder.seen if name.startswith(".") and name.endswith(".part")}
        # Of an import that wrote the same files from other sources: its name says what it holds.
        others = {name for name in folder.seen if import_record.KEPT.fullmatch(name)} if payloads else set()
        seen = {name: one for name, one in folder.seen.items() if name not in elsewhere | torn | others}
        yield from mismatches(folder.link, folder.path, plain, seen)
        for name, file in payloads.items():
            yield from _check_payload(folder, name, str(file[PAYLOAD]))
        for name in sorted(others | folder.imports):
            yield from _check_import(folder, name)
        if payloads:
            yield from _check_sources(folder, evidence.root / folder.path, payloads)


def _folder(root: Path, link: str, path: str, recorded: Mapping[str, Mapping[str, Any]], hasher: Hasher) -> Folder:
    linked = plain_files.link_on_the_way(root, path)
    seen = {} if linked else plain_files.listing(root / path, hasher, recorded)
    return Folder(link=link, path=path, recorded=recorded, seen=seen, linked=linked)


def _contradictions(record: ExecutionRecord) -> Iterator[tuple[str, str, str]]:
    digest = sha256_bytes(canonical_json({"files": dict(record.code.files), "lock": record.lock_digest}))
    if digest != record.code.digest:
        yield "its code files and lock do not give its code digest", record.code.digest, digest
    wanted = record.parameters.get("code_digest", record.code.digest)
    if wanted != record.code.digest:
        yield "was asked for other code than it ran", str(wanted), record.code.digest
    for channel, entries in sorted(record.outputs.items()):
        for entry in entries:
            yield from _entry_contradictions(channel, entry)
            if not record.in_store and entry.path.startswith(f"artifacts/{record.node}/"):
                yield f"says that a pod made {channel}, where the local runner writes", "another place", entry.path


def _entry_contradictions(channel: str, entry: ArtifactEntry) -> Iterator[tuple[str, str, str]]:
    if (got := artifact_digest(entry.type, entry.files)) != entry.sha256:
        yield f"the files of {channel} do not give its digest", entry.sha256, got
    if (size := sum(file.get("bytes", 0) for file in entry.files.values())) != entry.bytes:
        yield f"the files of {channel} do not give its size", f"{entry.bytes} bytes", f"{size} bytes"


def _broken_edges(record: ExecutionRecord, records: Known) -> Iterator[tuple[str, str, str]]:
    for channel, refs in sorted(record.inputs.items()):
        if not refs:
            yield f"read nothing as {channel}", "an artifact", "none"
        for ref in refs:
            maker = records.get(ref.record) if ref.record is not None else None
            if ref.record is None:
                yield f"nobody recorded who made its {channel}", "a record", "none"
            elif maker is not None and ref not in [e.ref(ref.record) for e in maker.artifacts]:
                digests = ", ".join(entry.sha256 for entry in maker.artifacts)
                yield f"its {channel} was not made by {maker.node}", f"{ref.path} with {ref.sha256}", digests


def _inputs_of(record: ExecutionRecord) -> str | None:
    """Return the folder of copies that an execution read, relative to the root."""
    folder = record.parameters.get("input_base" if DATA in record.extra else "source")
    is_reader = DATA in record.extra or "schema_sha256" in record.parameters
    try:
        return checked_path(folder) if is_reader and isinstance(folder, str) else None
    except BadInput:
        return None


def _recorded_inputs(record: ExecutionRecord) -> dict[str, Mapping[str, Any]]:
    """Return {name: entry}: payload and size of a data file; an imported schema's as its artifacts have it."""
    data = record.extra.get(DATA)
    if data is None:
        entries = record.artifacts
        return {name: file for entry in entries for name, file in entry.files.items()}
    given = [{name: file[name] for name in ("name", "payload_digest", "bytes")} for file in data["files"]]
    text = canonical_json(given)
    payloads = {file["name"]: {PAYLOAD: file["payload_digest"], "bytes": file["bytes"]} for file in given}
    return {**payloads, CONTENTS: {"sha256": sha256_bytes(text), "bytes": len(text)}}


def _check_payload(folder: Folder, name: str, payload: str) -> Iterator[Finding]:
    where, wanted = f"{folder.path}/{name}", f"payload {payload}"
    seen, hashed = folder.seen.get(name), folder.payloads.get(name)
    if seen is None:
        yield integrity(folder.link, where, "is missing", wanted=wanted, got="nothing")
    elif hashed is None:
        yield integrity(folder.link, where, "was replaced", wanted=wanted, got=seen.kind)
    elif (got := _result(hashed)) != payload:
        yield integrity(folder.link, where, "was changed", wanted=wanted, got=got)


def _check_import(folder: Folder, name: str) -> Iterator[Finding]:
    """Compare the record of an import with its name; what binds that is the record of the execution that kept it."""
    where, wanted = f"{folder.path}/{name}", f"SHA-256 {name.removeprefix('import-').removesuffix('.json')}"
    seen, hashed = folder.seen.get(name), folder.import_digests.get(name)
    if seen is None:
        yield integrity(
            folder.link, where, "is missing: the way back to what was imported", wanted=wanted, got="nothing"
        )
    elif hashed is None:
        yield integrity(folder.link, where, "was replaced", wanted=wanted, got=seen.kind)
    elif (got := f"SHA-256 {_result(hashed)}") != wanted:
        yield integrity(folder.link, where, "was changed", wanted=wanted, got=got)


def _result(hashed: Future[str]) -> str:
    try:
        return hashed.result()
    except (MnistTfxError, OSError) as err:
        return str(err)


def _check_sources(folder: Folder, place: Path, payloads: Mapping[str, Mapping[str, Any]]) -> Iterator[Finding]:
    """Compare the note on where the copies came from; its paths are for people, and nothing vouches for them."""
    where = f"{folder.path}/{SOURCES}"
    try:
        fields = parse_object(plain_files.read_plain(place / SOURCES), where=SOURCES, error=plain_files.NotPlain)
        noted = _NOTES.read(fields, what="cannot be read", where=SOURCES, error=plain_files.NotPlain)["sources"]
    except plain_files.NotPlain as err:
        yield integrity(folder.link, where, "cannot be read", got=str(err))
        return
    wrong = [e["name"] for e in noted if payloads.get(e["name"], {}).get(PAYLOAD) != e["payload_digest"]]
    if wrong:
        yield integrity(folder.link, where, "names another payload", got=", ".join(map(str, wrong)))


def _linked(folder: Folder) -> Finding:
    what = f"{folder.path} lies behind a symlink, which is not followed"
    return integrity(folder.link, str(folder.linked), what)
