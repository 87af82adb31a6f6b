"""Content (a data file, any digest on record) -> the models that it went into, and in which role.

A file is looked up by the digest of its payload and by its rows: so it is found renamed, packed or unpacked, as CSV
instead of IDX, in other pieces, or in part.
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.digest import tree_digest
from components.errors import BadInput, EnvironmentProblem, printable
from components.features import SPLITS, TEST
from pipeline.lineage.downstream import DIGEST, PAYLOAD, PIXELS, ROLES, ROWS, Found, Reach, spread
from pipeline.lineage.history import History, Push, Step
from pipeline.lineage.row_index import ALL, Overlap, open_any, root_of

if TYPE_CHECKING:
    from pipeline.lineage.given_rows import GivenRows

_HEX: Final = re.compile(r"[0-9a-f]{64}")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A model that was reached.

    Attributes:
      version: that it was pushed as; None if it never was.
      digest: of the model.
      served: whether it is served now as that version.
      role: what part the content had in it, of `ROLES`.
      match: how the content was recognised.
      whole: whether all of it went in; None for what has no rows.
      shared: rows that it shares with the model's data; None where rows were not compared.
    """

    version: int | None
    digest: str
    served: bool
    role: tuple[str, ...]
    match: str
    whole: bool | None = None
    shared: Overlap | None = None

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "shared"}
        rows: dict[str, Any] = {"shared_rows": None, "shared_rows_by_split": None}
        if self.shared is not None:
            rows = {"shared_rows": self.shared.total, "shared_rows_by_split": dict(self.shared.splits)}
        return {**fields, "role": list(self.role), **rows}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Impact:
    """What lies downstream.

    Attributes:
      given: what was asked about, in words.
      digest: its digest.
      rows: number of rows in the file; None if it was not read as images.
      found: where it was recognised.
      models: those it went into, by version.
      nodes_visited: what was asked about, the executions reached, and the models.
      notes: what could not be looked at, in words.
    """

    given: str
    digest: str
    rows: int | None = None
    found: tuple[Found, ...] = ()
    models: tuple[Model, ...] = ()
    nodes_visited: int = 0
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        found = [{"record": f.step.record, "node": f.step.node, "match": f.match, "what": f.what} for f in self.found]
        return {
            "given": self.given,
            "digest": self.digest,
            "rows": self.rows,
            "nodes_visited": self.nodes_visited,
            "models": [model.to_dict() for model in self.models],
            "found": found,
            "notes": list(self.notes),
        }


def impact(history: History, given: Sequence[str]) -> Impact:
    """Returns everything downstream of a digest, a file, a directory, or an IDX images file with its labels file.

    Raises:
      BadInput: if it is neither a file nor 64 hex digits, or its compression is broken.
    """
    paths = [Path(text) for text in given]
    if len(paths) == 1 and not paths[0].exists() and _HEX.fullmatch(given[0].lower()):
        return _of_digest(history, given[0].lower(), "digest")
    for path in paths:
        if not path.exists():
            raise BadInput("no such file, and not a digest", where=path, wanted="a file, or 64 hex digits")
    if len(paths) == 1 and paths[0].is_dir():
        return _of_digest(history, tree_digest(paths[0]), printable(f"directory {paths[0].name}"))
    return _of_files(history, paths)


def _of_digest(history: History, digest: str, given: str) -> Impact:
    return _answer(history, Impact(given=given, digest=digest), tuple(known_as(history, digest)))


def _of_files(history: History, paths: Sequence[Path]) -> Impact:
    from components.ingest.payload import payload_digest

    digests = [payload_digest(path) for path in paths]
    texts = dict.fromkeys(text for digest in digests for text in (digest.payload, digest.container))
    by_bytes = {(one.step.record, one.what): one for text in texts for one in known_as(history, text)}
    rows: GivenRows | None = None
    by_rows: list[Found] = []
    try:
        rows = _rows(history, paths)
    except BadInput as err:
        notes = [] if by_bytes else [f"looked up by its bytes alone, since it has no rows to compare: {err}"]
    else:
        by_rows, notes = compared(history, rows, {record for record, _ in by_bytes})
    counted = {one.step.record for one in by_rows}
    found = [*by_rows, *(one for one in by_bytes.values() if one.splits is None or one.step.record not in counted)]
    names, count = printable(" and ".join(path.name for path in paths)), None if rows is None else len(rows.digests)
    start = Impact(given=names, digest=digests[0].payload, rows=count, notes=tuple(notes))
    return _answer(history, start, tuple(found))


def _rows(history: History, paths: Sequence[Path]) -> GivenRows:
    from pipeline.lineage import given_rows

    if len(paths) > 2:
        raise BadInput("too many files", wanted="one, or an images file and its labels file", got=len(paths))
    return given_rows.read_rows(paths, given_rows.settings_of(history.ingests))


def compared(history: History, rows: GivenRows, same_bytes: set[str]) -> tuple[list[Found], list[str]]:
    """Compares rows with those of all data that was ever ingested.

    Args:
      history: of the root.
      rows: to look for.
      same_bytes: records of executions that are known to have read the very same payload.

    Returns:
      Where some of them were found, and which data could not be looked into, in words.
    """
    found, notes = [], []
    for steps in same_rows(history.ingests).values():
        try:
            overlap = open_any(history.root, steps).overlap(rows)
        except EnvironmentProblem as err:
            notes.append(f"not compared by rows: {err}")
            continue
        if overlap.total:
            match, noun = (PIXELS, "images") if rows.field == "pixels" else (ROWS, "rows")
            what = f"{overlap.total} of its {len(rows.digests)} {noun}"
            splits = frozenset(split for split, count in overlap.splits.items() if count)
            kinds = [(step, PAYLOAD if step.record in same_bytes else match) for step in steps]
            found += [Found(step=step, match=kind, what=what, splits=splits, overlap=overlap) for step, kind in kinds]
    return found, notes


def same_rows(ingests: Sequence[Step]) -> Mapping[tuple[str, ...], Sequence[Step]]:
    """Returns executions of ExampleGen grouped by the rows digests of their splits."""
    groups: dict[tuple[str, ...], list[Step]] = defaultdict(list)
    for step in ingests:
        groups[tuple(root_of(step, split) for split in SPLITS)].append(step)
    return groups


def known_as(history: History, digest: str) -> Iterator[Found]:
    """Yields every execution whose record knows the digest: as its own hash, of data, an artifact, a file or code."""
    payloads, raw = (digest, history.containers.get(digest, digest)), bytes.fromhex(digest)
    code = {known: path for known, files in history.code.items() for path, sha in files.items() if sha == digest}
    for step in history.steps.values():
        if step.data is not None and (data := _data(step, step.data, payloads)) is not None:
            yield data
        for made in step.makes:
            if made.sha256 == digest:
                what = f"{made.type} of {step.node}"
                yield Found(step=step, match=DIGEST, what=what, artifact=made.sha256)
            elif _holds(made.files, raw):
                what = f"file in {made.type} of {step.node}"
                yield Found(step=step, match=DIGEST, what=what, artifact=made.sha256)
        if step.record == digest:
            yield Found(step=step, match=DIGEST, what=f"record of {step.node}")
        elif step.code in code or step.code == digest:
            yield Found(step=step, match=DIGEST, what=f"code of {step.node}: {code.get(step.code, 'all files')}")
        elif _holds(step.mentions, raw):
            yield Found(step=step, match=DIGEST, what=f"execution property, key or lock file of {step.node}")


def _data(step: Step, data: Mapping[str, Any], digests: Sequence[str]) -> Found | None:
    everything = frozenset(SPLITS)
    official = any(file["name"].startswith(TEST) for file in data["files"])
    learned = everything - {TEST} if official else everything
    known = {data.get("payload_digest"): ("data set", everything), root_of(step, ALL): ("rows of the data", everything)}
    for split in SPLITS:
        known[root_of(step, split)] = (f"rows of {split}", frozenset({split}))
    for file in data["files"]:
        of_test = file["name"].startswith(TEST)
        known[file["payload_digest"]] = (f"data file {file['name']}", frozenset({TEST}) if of_test else learned)
    what, splits = next((known[digest] for digest in digests if digest in known), (None, everything))
    return None if what is None else Found(step=step, match=PAYLOAD, what=what, splits=splits)


def _holds(digests: bytes, raw: bytes) -> bool:
    at = digests.find(raw)
    while at >= 0 and at % len(raw):
        at = digests.find(raw, at + 1)
    return at >= 0


def _answer(history: History, start: Impact, found: tuple[Found, ...]) -> Impact:
    reach = spread(history, found)
    models = tuple(_models(history, start, found, reach))
    return dataclasses.replace(
        start,
        found=found,
        models=models,
        nodes_visited=1 + len(reach.visited) + len(models),
        notes=(*start.notes, *history.unreadable),
    )


def _models(history: History, start: Impact, found: tuple[Found, ...], reach: Reach) -> list[Model]:
    makers: dict[str, list[str]] = defaultdict(list)
    roles: dict[str, set[str]] = defaultdict(set)
    for (record, digest), some in reach.roles.items():
        makers[digest].append(record)
        roles[digest] |= some
    overlaps = {one.step.record: one for one in found if one.overlap is not None}
    models = []
    for digest, part in roles.items():
        nearest = next((overlaps[near] for near in _near(history, makers[digest]) if near in overlaps), None)
        shared, match = (None, found[0].match) if nearest is None else (nearest.overlap, nearest.match)
        whole = start.rows == shared.total if shared is not None else match == PAYLOAD or None
        role = tuple(name for name in ROLES if name in part)
        for push in pushed_as(history, digest):
            version, served = (None, False) if push is None else (push.version, push.served)
            models.append(
                Model(version=version, digest=digest, served=served, role=role, match=match, whole=whole, shared=shared)
            )
    return sorted(models, key=lambda model: (model.version is None, model.version or 0, model.digest))


def pushed_as(history: History, digest: str) -> Sequence[Push | None]:
    """Returns the versions that a model was pushed as; one None if no push of it is recorded."""
    return history.pushed.get(digest) or [None]


def _near(history: History, makers: Sequence[str]) -> Iterator[str]:
    """Yields the records behind what classifiers, their autoencoders and their evaluations read directly."""
    for maker in makers:
        judges = [step for step, read in history.readers.get(maker, ()) if read.channel == "model"]
        for step in (history.steps[maker], *judges):
            for read in step.reads:
                if read.maker is not None:
                    yield read.maker
                    if read.channel == "base_model":
                        yield from (inner.maker for inner in history.steps[read.maker].reads if inner.maker)
