"""The index of a root: every execution on record, who read what each one made, and what was pushed.

Each record is checked against its hash, and most of it is let go again: what stays is what walks and look-ups need, in
memory or, of a store of thousands, in the user's cache, where the next question finds it.
"""

from __future__ import annotations

import dataclasses
import functools
import gc
import re
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from typing_extensions import TypedDict

from components import serving
from components.errors import BadInput, CannotTell, EnvironmentProblem, MnistTfxError, printable
from components.shapes import Shape
from components.untrusted import parse_json, parse_object, read_object
from pipeline.lineage import kept_steps
from pipeline.lineage.kept_steps import KeptFile, Sources
from pipeline.lineage.steps import ExecutionSummary, InputRef, OutputRef, Steps, StepsInMemory
from pipeline.provenance import record_store, records
from pipeline.provenance.ledger import Chain, Event, Line, read_ledger
from pipeline.provenance.record_store import RecordMissing
from pipeline.provenance.records import DATA, SCHEMA_VERSION
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.provenance.statement import digest_of, heads_of, read_provenance
from pipeline.root.paths import RunPaths
from pipeline.root.writable import require_folder

_DIGEST: Final = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")


class _Source(TypedDict):
    path: str
    payload_digest: str


class _Noted(TypedDict):
    sources: list[_Source]


_NOTED: Final = Shape(_Noted)


class IndexedVersion(NamedTuple):
    """A version: its number, its model's digest, the records behind it, and what is known of it.

    Attributes:
      version: its number.
      digest: of the model.
      run_id: the run that pushed or, if no push is recorded, trained it.
      heads: the record of the push or, if there is none, those that the provenance names.
      recorded: whether the ledger knows of the push.
      served: whether it is in the serving directory with the digest that was pushed.
    """

    version: int
    digest: str
    run_id: str
    heads: tuple[str, ...]
    recorded: bool
    served: bool


@dataclasses.dataclass(frozen=True, kw_only=True)
class LineageIndex:
    """What a root has on record.

    Attributes:
      root: its folder.
      steps: executions by record hash.
      code: {code digest: {path: SHA-256}}.
      names: {payload digest: the name that a run was last given the file by}.
      containers: {SHA-256 of a file as it lay on disk: its payload digest}.
      pushes: versions by number.
      newest: the version that is served, as far as it was made here; None if there is none.
      unreadable: {number of a version that does not say where it came from: why, in words}.
      run_records: hashes of the records of runs, which no execution reads.
    """

    root: Path
    steps: Steps
    code: Mapping[str, Mapping[str, str]]
    names: Mapping[str, str]
    containers: Mapping[str, str]
    pushes: tuple[IndexedVersion, ...]
    newest: int | None = None
    unreadable: Mapping[int, str] = dataclasses.field(default_factory=dict)
    run_records: frozenset[str] = frozenset()

    @functools.cached_property
    def pushed(self) -> Mapping[str, Sequence[IndexedVersion]]:
        """{model digest: recorded pushes of it, by version}."""
        result: dict[str, list[IndexedVersion]] = defaultdict(list)
        for push in self.pushes:
            if push.recorded:
                result[push.digest].append(push)
        return result

    @functools.cached_property
    def ingests(self) -> tuple[ExecutionSummary, ...]:
        """The executions that read data files."""
        return tuple(self.steps.ingests())

    def push(self, version: int | None) -> IndexedVersion:
        """Return a version, by default the newest in the serving directory.

        Raises:
          BadInput: if there is none, or no such one.
          CannotTell: if the newest one, or the one that is named, does not say what it was made from.
        """
        if version is None and self.newest is None:
            raise ServingDirectory.of(RunPaths(self.root)).nothing_served()
        number = self.newest if version is None else version
        matching = [push for push in self.pushes if push.version == number]
        if not matching and number is not None and number in self.unreadable:
            raise self._unknown_origin(number)
        if not matching:
            numbers = ", ".join(str(push.version) for push in self.pushes)
            raise BadInput("no such version", where=self.root, wanted=f"one of {numbers or 'none'}", got=version)
        if version is None and matching[0].recorded and not matching[0].served:
            # An older one in its place would be an answer to another question.
            raise self._unknown_origin(matching[0].version)
        return matching[0]

    def _unknown_origin(self, version: int) -> CannotTell:
        got = self.unreadable.get(version, "provenance of another model than the one that was pushed")
        hint = "mnist-tfx lineage audit says what is wrong with it, or name another version"
        return CannotTell("what it was made from is not known", where=f"version {version}", got=got, hint=hint)


def open_lineage(root: Path) -> LineageIndex:
    """Return the lineage of a root, every line of the ledger checked, and every record, now or when it was first read.

    Raises:
      BadInput: if no pipeline has run there.
      RecordMissing: if the ledger committed a record that is gone: an answer without it would be incomplete.
      RecordChanged: if a record is not what its name says.
      EnvironmentProblem: if ledger or records cannot be read, or the serving directory is a link.
    """
    paths = RunPaths(root)
    if not paths.records.is_dir():
        raise BadInput("no pipeline has run here", where=root, hint="mnist-tfx run makes one, or name another --root")
    require_folder(paths)
    ledger = read_ledger(paths.ledger)
    steps, code, runs = _read_all(paths, ledger)
    sources = [*_noted_sources(paths.inputs), *_by_age(runs, ledger)]
    present, unreadable = _present(root)
    pushes = _pushes(ledger, present)
    newest = ServingDirectory(paths, ledger).newest
    return LineageIndex(
        root=root,
        steps=steps,
        code=code,
        names={source["payload_digest"]: source["name"] for source in sources},
        containers={s["container_digest"]: s["payload_digest"] for s in sources if s.get("container_digest")},
        pushes=pushes,
        newest=None if newest is None else newest.version,
        unreadable=unreadable,
        run_records=frozenset(record for record, _ in runs),
    )


@contextmanager
def _uncollected() -> Iterator[None]:
    # 100,000 records make millions of objects and no cycle: the collector would go through them again and again, while
    # they are made and whenever something else is.
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if enabled:
            gc.enable()


Read = tuple[Steps, Mapping[str, Mapping[str, str]], list[tuple[str, Sources]]]
"""Executions, {code digest: {path: SHA-256}}, and hash and data sources of the runs."""


def _read_all(paths: RunPaths, ledger: Chain) -> Read:
    hashes = [*record_store.scan(paths.records)]
    if len(hashes) >= kept_steps.FEWEST:
        with kept_steps.opened(ledger) as kept:
            if kept is not None:
                return _read_new(paths, ledger, hashes, kept)
    steps, sources = StepsInMemory(), []
    code: dict[str, dict[str, str]] = {}
    with _uncollected():
        for hash_ in hashes:
            if isinstance(read := _read(paths, hash_), list):
                sources.append((hash_, read))
            else:
                steps[hash_], files = read
                code.setdefault(steps[hash_].code, files)
    _require_committed(paths, ledger.of(Event.COMMIT), steps)
    return steps, code, sources


def _read_new(paths: RunPaths, ledger: Chain, hashes: Sequence[str], kept: KeptFile) -> Read:
    """Read the records that are not kept yet, and keep them."""
    known = kept.steps.hashes()
    new = [hash_ for hash_ in hashes if hash_ not in known]
    checked = kept.checked.sequence
    if len(hashes) - len(new) < len(known):  # some are gone
        kept.forget()
        new, checked = list(hashes), 0
    del known  # ten megabytes
    for hash_ in new:
        if isinstance(read := _read(paths, hash_), list):
            kept.add_run(hash_, read)
        else:
            kept.add_step(*read)
    _require_committed(paths, ledger.of(Event.COMMIT, after=checked), kept.steps)
    steps = kept.finish(ledger.head)
    return steps, steps.code(), steps.runs()


def _require_committed(paths: RunPaths, commits: Iterable[Line], steps: Steps) -> None:
    for line in commits:
        if line.record not in steps:
            where = f"{paths.ledger} line {line.sequence}"
            raise RecordMissing("a record is missing", where=where, wanted=f"{line.record}.json")


def _read(paths: RunPaths, hash_: str) -> Sources | tuple[ExecutionSummary, dict[str, str]]:
    """Return an execution and the files of its code, or the data sources of a run."""
    fields = _fields(paths.records, hash_)
    try:
        if fields["kind"] == "run":
            sources: Sources = records.from_dict(fields).to_dict()["sources"]
            return sources
        return _step(hash_, fields), dict(fields["code"]["files"])
    except (KeyError, TypeError, AttributeError, ValueError) as err:
        raise EnvironmentProblem("not a record of this release", where=hash_, got=err) from err


def _fields(folder: Path, hash_: str) -> dict[str, Any]:
    data = record_store.read_record_bytes(folder, hash_)
    fields = parse_object(data, where=hash_, error=EnvironmentProblem, any_number=True)
    if fields.get("schema_version") != SCHEMA_VERSION:
        raise EnvironmentProblem("of another release", where=hash_, wanted=f"schema_version {SCHEMA_VERSION}")
    return fields


def _step(hash_: str, fields: Mapping[str, Any]) -> ExecutionSummary:
    text = str.__str__  # raises TypeError for anything else, and interns nothing that stands once
    same = sys.intern  # a digest stands in the record of its maker and in those of all its readers
    data = fields["extra"].get(DATA)
    if data is not None:  # what others of a record are read for is digests, of which any text will do
        records.from_dict(fields)
    # A row that was left out is named in the record, and did not go in.
    away = () if data is None else frozenset(left_out(fields["parameters"]))
    other = f"{fields['parameters']} {fields['key']} {fields['lock_digest']} {'' if data else fields['extra']}"
    return ExecutionSummary(
        record=same(hash_),
        node=same(fields["node"]),
        run_id=same(fields["run_id"]),
        started=text(fields["started"]),
        code=same(fields["code"]["digest"]),
        reads=tuple(
            InputRef(
                same(channel),
                same(ref["type"]),
                same(ref["sha256"]),
                None if ref["record"] is None else same(ref["record"]),
            )
            for channel, refs in fields["inputs"].items()
            for ref in refs
        ),
        makes=tuple(
            OutputRef(
                same(channel), same(entry["type"]), text(entry["path"]), same(entry["sha256"]), _files(entry["files"])
            )
            for channel, entries in fields["outputs"].items()
            for entry in entries
        ),
        mentions=bytes.fromhex("".join(digest for digest in _DIGEST.findall(other) if digest not in away)),
        data=data,
        parameters=None if data is None else fields["parameters"],
    )


def left_out(parameters: Mapping[str, Any] | None) -> tuple[str, ...]:
    """Return the digests of the rows that an execution of ExampleGen was to leave out."""
    try:
        settings = parse_json(str((parameters or {}).get("settings", "{}")), where="record of ExampleGen")
    except MnistTfxError:
        return ()  # an older release, or somebody else's: it left out nothing by digest
    listed = settings.get("exclude") if isinstance(settings, Mapping) else None
    return tuple(one for one in listed if isinstance(one, str)) if isinstance(listed, list) else ()


def _files(files: Mapping[str, Mapping[str, Any]]) -> bytes:
    return bytes.fromhex("".join(file["sha256"] for file in files.values() if "sha256" in file))


def _noted_sources(inputs: Path) -> list[dict[str, Any]]:
    """Return what the folders of inputs know about the files that the copies were made from."""
    result: list[dict[str, Any]] = []
    for path in sorted(inputs.glob("*/sources.json")):
        try:
            result += [
                {**entry, "name": printable(Path(entry["path"]).name)}
                for entry in _NOTED.read(read_object(path), what="no note of sources", where=path)["sources"]
            ]
        except BadInput:  # noqa: PERF203  # one bad file must not hide the others
            continue  # a convenience for people; the records know the payload digests without it
    return result


def _by_age(sources: Iterable[tuple[str, list[dict[str, Any]]]], ledger: Chain) -> list[dict[str, Any]]:
    age = {line.record: line.sequence for line in ledger.of(Event.RUN)}
    ordered = sorted(sources, key=lambda item: age.get(item[0], 0))
    return [source for _, given in ordered for source in given]


def _pushes(ledger: Chain, present: Mapping[int, Mapping[str, Any]]) -> tuple[IndexedVersion, ...]:
    result = []
    for version in sorted({*ledger.versions, *ledger.staged, *present}):
        push, provenance = ledger.origin(version), present.get(version)
        if push is not None:
            named = () if provenance is None else heads_of(provenance)
            heads = named if push.record is None else (push.record,)
            in_service = ledger.push(version) is not None
            served = in_service and provenance is not None and digest_of(provenance) == push.sha256
            result.append(IndexedVersion(version, push.sha256, push.run_id, heads, recorded=True, served=served))
        elif provenance is not None:
            run_id = provenance["predicate"]["runDetails"]["metadata"]["invocationId"]
            heads, digest = heads_of(provenance), digest_of(provenance)
            result.append(IndexedVersion(version, digest, run_id, heads, recorded=False, served=False))
    return tuple(result)


def _present(root: Path) -> tuple[dict[int, dict[str, Any]], dict[int, str]]:
    """Return {version: provenance}, and {version: why there is none}; a folder without a model is no version."""
    present, unreadable = {}, {}
    paths = RunPaths(root)
    for version in (*serving.versions(paths.staged), *serving.versions(paths.serving)):
        try:
            present[version.version] = read_provenance(root, version.version)
        except MnistTfxError as err:  # noqa: PERF203  # one bad version must not hide the others
            if version.complete:
                unreadable[version.version] = str(err)
    return present, unreadable
