"""The models that something went into (a data file, a picture, any digest on record), and in which role.

A file is looked up by the digest of its payload and by its rows: so it is found renamed, packed or unpacked, as CSV
instead of IDX, in other pieces, or in part. The answer is yes, no, or that it cannot be told; it is no only where
everything that could hold it was compared.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from components.errors import BadInput, CannotTell
from components.features import SPLITS
from pipeline.lineage import imports
from pipeline.lineage.downstream import DIGEST, PAYLOAD, PIXELS, ROLES, Match, Reachability, propagate
from pipeline.lineage.index import IndexedVersion, LineageIndex
from pipeline.lineage.rows import given_rows
from pipeline.lineage.rows.data_sets import Comparison, DataSet, compare, data_sets, found_in, other_forms, uses
from pipeline.lineage.rows.given import Given, look_at, of_picture
from pipeline.lineage.rows.index import Overlap
from pipeline.lineage.rows.known_digests import known_as, known_as_row
from pipeline.stages import CLASSIFIER

if TYPE_CHECKING:
    from pipeline.lineage.rows.given_rows import GivenRows, Show
    from pipeline.lineage.rows.images import Picture
    from pipeline.lineage.rows.lookalikes import Lookalike
    from pipeline.lineage.rows.proofs import RowProof

YES, NO, CANNOT_TELL = "yes", "no", "cannot-tell"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model:
    """A model that was reached.

    Attributes:
      version: that it was pushed as; None if it never was.
      digest: of the model.
      served: whether it is served now as that version.
      role: what part the content had in it, of `ROLES`.
      match: how the content was recognised.
      uses: the splits as which it used the rows; None for what was not recognised row by row.
      whole: whether all of it went in; None for what has no rows.
      shared: rows that it shares with the model's data; None where rows were not compared.
    """

    version: int | None
    digest: str
    served: bool
    role: tuple[str, ...]
    match: str
    uses: tuple[str, ...] | None = None
    whole: bool | None = None
    shared: Overlap | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        fields = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.name != "shared"}
        rows: dict[str, Any] = {"shared_rows": None, "shared_rows_by_split": None}
        if self.shared is not None:
            rows = {"shared_rows": self.shared.total, "shared_rows_by_split": dict(self.shared.splits)}
        return {**fields, "role": list(self.role), "uses": None if self.uses is None else list(self.uses), **rows}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Impact:
    """Everything downstream of what a question is about.

    Attributes:
      given: what the question is about.
      rows: its rows; None if it was not read as images.
      found: where it was recognised.
      models: those it went into, by version.
      compared: the data sets that its rows were, or could not be, compared with.
      lookalikes: rows that are the given pictures in another form, where none is there as it is.
      unknown: why something that is not found may have gone into a model after all, in words.
      basis: what a "no" rests on, in words.
      nodes_visited: the given content, the executions reached, and the models.
      notes: what else is worth knowing, in words.
      is_run_record: whether it is the record of a run of this root.
    """

    given: Given
    rows: GivenRows | None = None
    found: tuple[Match, ...] = ()
    models: tuple[Model, ...] = ()
    compared: tuple[Comparison, ...] = ()
    lookalikes: tuple[Lookalike, ...] = ()
    unknown: tuple[str, ...] = ()
    basis: tuple[str, ...] = ()
    nodes_visited: int = 0
    notes: tuple[str, ...] = ()
    is_run_record: bool = False

    @property
    def answer(self) -> str:
        """`yes`, `no` or `cannot-tell`."""
        if self.models:
            return YES
        return CANNOT_TELL if self.unknown else NO

    @property
    def hint(self) -> str | None:
        """What to do where the question is left open."""
        if self.answer != CANNOT_TELL or self.given.hint is not None:
            return self.given.hint if self.answer == CANNOT_TELL else None
        if self.lookalikes:
            return "ask about it in that form, if that is the one that is meant"
        if any(one.overlap is None for one in self.compared):
            return "bring back what is missing, or run again with the same data, which ingests it again"
        if self.rows is not None and any(_other_scale(self, self.rows)):
            return "save it on the scale of the data files, as they were before they were scaled, and ask about that"
        if self.given.doubts or (self.given.readings is not None and self.rows is None):
            return "name the data file or picture that it was made from, or save it as is wanted"
        return "mnist-tfx serving list names what is no version of this root: move it away, or ask the root it is from"

    @property
    def picture(self) -> Picture | None:
        """The one image that the question is about; None if it is about something else."""
        return self.rows.first[0] if self.rows is not None and len(self.rows) == 1 else None

    @property
    def proofs(self) -> tuple[RowProof, ...]:
        """Of a single image, one proof for each set of rows that holds it, or one that no split of a data set does.

        Where its pixels are in doubt, a proof that they are nowhere would be one about something else.
        """
        if self.given.doubts and not self.models:
            return ()
        return tuple({proof.root: proof for one in self.compared for proof in one.proofs}.values())

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values."""
        matches = [{"record": f.step.record, "node": f.step.node, "match": f.match, "what": f.what} for f in self.found]
        return {
            "answer": self.answer,
            "given": self.given.name,
            "kind": self.given.kind,
            "digest": next(iter(self.given.digests), None),
            "rows": None if self.rows is None else len(self.rows),
            "image": None if self.picture is None else self.picture.to_dict(),
            "nodes_visited": self.nodes_visited,
            "models": [model.to_dict() for model in self.models],
            "found": matches,
            "data_sets": [one.to_dict() for one in self.compared],
            "proofs": [proof.to_dict() for proof in self.proofs],
            "lookalikes": [one.to_dict() for one in self.lookalikes],
            "unknown": list(self.unknown),
            "basis": list(self.basis),
            "hint": self.hint,
            "notes": list(self.notes),
        }


def impact(lineage: LineageIndex, given: Sequence[str], show: Show = given_rows.in_silence) -> Impact:
    """Return everything downstream of a digest, of files, of a folder or of pictures.

    Args:
      lineage: of the root.
      given: as `look_at` takes it.
      show: called with the progress.

    Raises:
      BadInput: if it is nothing that can be looked at, or its images have another size than any data here.
    """
    ingested = tuple(data_sets(lineage))
    settings = list(dict.fromkeys(one.settings for one in ingested if one.settings is not None))
    return _impact(lineage, ingested, _as_imported(lineage, look_at(given, settings, show)))


def impact_of_picture(lineage: LineageIndex, picture: Picture, name: str) -> Impact:
    """Return everything downstream of one image.

    Raises:
      BadInput: if it has another size than any data here.
    """
    return _impact(lineage, tuple(data_sets(lineage)), of_picture(picture, name))


def _as_imported(lineage: LineageIndex, given: Given) -> Given:
    """Return the question about the rows that an import made of a file, where a record of one knows its bytes.

    An import fits, stretches or inverts pictures: the rows need not look like what they were made from.
    """
    try:
        found = imports.rows_behind(lineage, given.digests)
    except CannotTell as err:
        return dataclasses.replace(given, readings=None, doubts=(*given.doubts, str(err)))
    if found is None:
        # What a record that cannot be read would say, nobody knows.
        return dataclasses.replace(given, doubts=(*given.doubts, *imports.unread(lineage)))
    rows, notes = found
    return dataclasses.replace(given, readings=lambda: iter([rows]), doubts=(), hint=None, notes=notes)


def _impact(lineage: LineageIndex, ingested: Sequence[DataSet], given: Given) -> Impact:
    by_bytes = {(one.step.record, one.what): one for text in given.digests for one in known_as(lineage, text)}
    if not by_bytes and given.readings is None and given.digests:
        by_bytes = {(one.step.record, one.what): one for one in known_as_row(ingested, given.digests[0])}
    start = Impact(
        given=given,
        notes=(*lineage.unreadable.values(), *given.notes),
        is_run_record=not lineage.run_records.isdisjoint(given.digests),
    )
    # A run's record names executions, and nothing is made from it: that is known, whatever else is in doubt.
    known = bool(by_bytes) or start.is_run_record
    unknown = [] if known else list(given.doubts)
    try:
        start = _compare_rows(ingested, start)
    except (BadInput, CannotTell) as err:
        # What is on record by its own digest need not be readable row by row.
        if not known and not given.doubts and isinstance(err, BadInput):
            raise
        unknown += [] if known else [f"{err.what}, and it is {err.got}" if given.doubts else str(err)]
    same = {record for record, _ in by_bytes}
    by_rows = [
        dataclasses.replace(one, match=PAYLOAD) if start.given.digests and one.step.record in same else one
        for one in ([] if start.rows is None else found_in(start.compared, start.rows))
    ]
    counted = {one.step.record for one in by_rows}
    matches = (*by_rows, *(one for one in by_bytes.values() if one.splits is None or one.step.record not in counted))
    if not (matches or known or unknown or start.rows or given.by_digest_alone):
        unknown.append(
            "its digest occurs in no record and in no row index of this root, and another form has another digest"
        )
    unknown += _unknown(lineage, ingested, start)
    notes = (*start.notes, *_remarks(start))
    start = dataclasses.replace(start, found=matches, unknown=tuple(unknown), notes=notes)
    return _answer(lineage, start)


def _compare_rows(ingested: Sequence[DataSet], start: Impact) -> Impact:
    """Compare the rows, in the first way of reading them that finds some of them."""
    first: Impact | None = None
    for rows in start.given.readings() if start.given.readings is not None else ():
        compared = tuple(compare(ingested, rows, start.given.name))
        candidate = dataclasses.replace(start, rows=rows, compared=compared)
        if any(one.overlap is not None and one.overlap.total for one in compared):
            return candidate
        first = first or candidate
    if first is None or first.rows is None:
        return start
    return dataclasses.replace(first, lookalikes=tuple(other_forms(first.compared, first.rows)))


def _unknown(lineage: LineageIndex, ingested: Sequence[DataSet], it: Impact) -> Iterator[str]:
    """Yield why what was not found may be there all the same."""
    if it.rows is not None:
        yield from (f"{one.data_set.name} was not compared: {one.why_not}" for one in it.compared if not one.overlap)
        if not ingested:
            yield "no data was ever ingested here to compare it with"
        if it.rows.cut is not None:
            yield f"compared up to where it can be read: {it.rows.cut}"
        yield from dict.fromkeys(str(one) for one in it.lookalikes[:1])
        if len(it.lookalikes) > 1:
            yield f"so it is with {len(it.lookalikes)} of its first {len(it.rows.first)} images"
        if not it.lookalikes:
            yield from _other_scale(it, it.rows)
    yield from _versions_not_on_record(lineage)


def _other_scale(it: Impact, rows: GivenRows) -> Iterator[str]:
    """Yield that pixels are too large for the data: how they were scaled, and rounded or clipped, cannot be undone."""
    limits = [one.data_set.settings.pixel_max for one in it.compared if one.data_set.settings is not None]
    if limits and rows.highest > max(limits):
        yield f"its pixels go up to {rows.highest}, and those of the data here to {max(limits)}: it is on another scale"


def _remarks(it: Impact) -> Iterator[str]:
    """Yield where labels differ."""
    if it.rows is not None and it.rows.rows is not None:
        relabelled = [one for one in it.compared if one.match == PIXELS and one.overlap is not None]
        yield from (f"its images are in {one.data_set.name} under other labels" for one in relabelled if one.splits)


def _versions_not_on_record(lineage: LineageIndex) -> Iterator[str]:
    """Yield the versions in the serving directory that were made from what no record tells."""
    models = {output.sha256 for step in lineage.steps.of_node(CLASSIFIER) for output in step.makes}
    for push in lineage.pushes:
        if push.digest not in models:
            yield f"version {push.version}: no record here says how its model was made"
    recorded = {push.version for push in lineage.pushes}
    yield from (text for number, text in lineage.unreadable.items() if number not in recorded)


def _answer(lineage: LineageIndex, start: Impact) -> Impact:
    reach = propagate(lineage, start.found)
    models = tuple(_models(lineage, start, reach))
    visited = 1 + len(reach.visited) + len(models)
    start = dataclasses.replace(start, models=models, nodes_visited=visited)
    return start if start.answer != NO else dataclasses.replace(start, basis=tuple(_basis(start)))


def _basis(it: Impact) -> Iterator[str]:
    """Yield what shows that something went into no model."""
    if it.found:
        where = ", ".join(dict.fromkeys(one.what for one in it.found))
        yield f"it is on record ({where}), and no model on record was made from that"
    if it.is_run_record:
        yield "it is the record of a run, which no execution reads; what a run made is in the records of its executions"
    if it.rows is None:
        if not (it.found or it.is_run_record):
            yield "its digest occurs in no record of this root; nothing but the digest was compared"
        return
    how = "pixels and labels, and by pixels alone," if it.rows.rows is not None else "pixels"
    for one in it.compared:
        if one.why_not is not None:
            yield f"not in {one.data_set.name}: {one.why_not}"
        elif one.overlap is not None and not one.overlap.total:
            yield f"compared by {how} with all {one.data_set.rows} rows of {one.data_set.name}"


def _models(lineage: LineageIndex, start: Impact, reach: Reachability) -> list[Model]:
    makers: dict[str, list[str]] = defaultdict(list)
    roles: dict[str, set[str]] = defaultdict(set)
    for (record, digest), some in reach.roles.items():
        makers[digest].append(record)
        roles[digest] |= some
    overlaps = {one.step.record: one for one in start.found if one.overlap is not None}
    used = _uses(lineage, start.found)
    models = []
    for digest, part in roles.items():
        nearest = next((overlaps[near] for near in _nearby_records(lineage, makers[digest]) if near in overlaps), None)
        shared, match = (None, start.found[0].match) if nearest is None else (nearest.overlap, nearest.match)
        whole = len(start.rows or ()) == shared.total if shared is not None else match == PAYLOAD or None
        role = tuple(name for name in ROLES if name in part)
        for push in pushed_as(lineage, digest):
            version, served = (None, False) if push is None else (push.version, push.served)
            models.append(
                Model(
                    version=version,
                    digest=digest,
                    served=served,
                    role=role,
                    match=match,
                    uses=used.get(digest),
                    whole=whole,
                    shared=shared,
                )
            )
    return sorted(models, key=lambda model: (model.version is None, model.version or 0, model.digest))


def _uses(lineage: LineageIndex, matches: Sequence[Match]) -> Mapping[str, tuple[str, ...]]:
    by_splits: dict[frozenset[str], list[Match]] = defaultdict(list)
    for one in matches:
        if one.splits is not None and (one.overlap is not None or one.match in (DIGEST, PIXELS)):
            by_splits[one.splits].append(one)
    some: dict[str, set[str]] = defaultdict(set)
    for splits, group in by_splits.items():
        for digest, splits_of in uses(lineage, [one.step for one in group], splits).items():
            some[digest] |= splits_of
    return {digest: tuple(split for split in SPLITS if split in splits) for digest, splits in some.items()}


def pushed_as(lineage: LineageIndex, digest: str) -> Sequence[IndexedVersion | None]:
    """Return the versions that a model was pushed as; one None if no push of it is recorded."""
    return lineage.pushed.get(digest) or [None]


def _nearby_records(lineage: LineageIndex, makers: Sequence[str]) -> Iterator[str]:
    """Yield the records behind what classifiers, their autoencoders and their evaluations read directly."""
    for maker in makers:
        judges = [step for step, read in lineage.steps.readers_of(maker) if read.channel == "model"]
        for step in (lineage.steps[maker], *judges):
            for read in step.reads:
                if read.maker is not None:
                    yield read.maker
                    if read.channel == "base_model":
                        yield from (inner.maker for inner in lineage.steps[read.maker].reads if inner.maker)
