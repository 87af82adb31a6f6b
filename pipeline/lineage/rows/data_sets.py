"""The data sets that a root ever ingested, and which of them hold rows that somebody asks about.

A data set that cannot be looked into is named with the reason: what is not found elsewhere may be in there.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from components.errors import EnvironmentProblem, MnistTfxError
from components.features import SPLITS, TRAIN, VALIDATION
from pipeline.lineage.downstream import DIGEST, PIXELS, ROWS, Match, propagate
from pipeline.lineage.index import LineageIndex
from pipeline.lineage.rows import given_rows, lookalikes
from pipeline.lineage.rows.given_rows import GivenRows
from pipeline.lineage.rows.index import ALL, Occurrence, Overlap, RowIndex, open_any, root_of
from pipeline.lineage.rows.lookalikes import Lookalike
from pipeline.lineage.rows.proofs import RowProof, prove
from pipeline.lineage.steps import ExecutionSummary
from pipeline.provenance import parameters, record_store
from pipeline.provenance.records import ExecutionRecord
from pipeline.root.paths import RunPaths

if TYPE_CHECKING:
    from components.settings import DataSettings

_SHORT: Final = 12


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class DataSet:
    """The executions that ingested equal rows.

    Attributes:
      steps: of ExampleGen, oldest record hash first.
      settings: how the rows were read; None if this release cannot say.
      index: the rows; None if no index of them can be read.
      why_not: why there is no index, or no settings.
    """

    steps: Sequence[ExecutionSummary]
    settings: DataSettings | None
    index: RowIndex | None
    why_not: str | None = None

    @property
    def rows_digest(self) -> str:
        """The recorded Merkle root over all rows."""
        return root_of(self.steps[0], ALL)

    @property
    def rows(self) -> int | None:
        """How many rows were recorded."""
        return (self.steps[0].data or {}).get("rows")

    @property
    def name(self) -> str:
        """What it is called in sentences."""
        return f"data set {self.rows_digest[:_SHORT]}"


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class Comparison:
    """What one data set has of the rows that are asked about.

    Attributes:
      data_set: it.
      compared: whether the rows were compared with it.
      why_not: why they were not.
      overlap: what they share, by pixels and label or by pixels alone; None if they were not compared.
      match: which of the two, `rows` or `pixels`.
      occurrences: where a single picture is in it.
      proofs: of a single picture: that it is among the rows of a split, or that it is nowhere.
    """

    data_set: DataSet
    why_not: str | None = None
    overlap: Overlap | None = None
    match: str = ROWS
    occurrences: tuple[Occurrence, ...] = ()
    proofs: tuple[RowProof, ...] = ()

    @property
    def splits(self) -> frozenset[str]:
        """The splits that hold some of the rows."""
        shared = {} if self.overlap is None else self.overlap.splits
        return frozenset(split for split, count in shared.items() if count)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON values; proofs are for the answer as a whole to list."""
        data_set, settings = self.data_set, self.data_set.settings
        return {
            "records": [step.record for step in data_set.steps],
            "rows_digest": data_set.rows_digest or None,
            "rows": data_set.rows,
            "shape": None if settings is None else list(settings.shape),
            "compared": self.overlap is not None,
            "why_not": self.why_not,
            "shared_rows": None if self.overlap is None else self.overlap.total,
            "occurrences": [one.to_dict() for one in self.occurrences],
        }


def data_sets(lineage: LineageIndex) -> Iterator[DataSet]:
    """Yield the data sets of a root."""
    for steps in same_rows(lineage.ingests).values():
        try:
            settings = settings_of(steps[-1])
        except EnvironmentProblem as err:
            yield DataSet(steps=steps, settings=None, index=None, why_not=str(err))
            continue
        try:
            yield DataSet(steps=steps, settings=settings, index=open_any(lineage.root, steps))
        except MnistTfxError as err:
            yield DataSet(steps=steps, settings=settings, index=None, why_not=str(err))


def same_rows(ingests: Sequence[ExecutionSummary]) -> Mapping[tuple[str, ...], Sequence[ExecutionSummary]]:
    """Return executions of ExampleGen grouped by the rows digests of their splits."""
    groups: dict[tuple[str, ...], list[ExecutionSummary]] = defaultdict(list)
    for step in ingests:
        # An old record may know no digests of rows: then it is like no other.
        roots = tuple(root_of(step, split) for split in SPLITS)
        groups[roots if any(roots) else (step.record,)].append(step)
    return groups


def settings_of(step: ExecutionSummary) -> DataSettings:
    """Return the settings under which an execution of ExampleGen read its data.

    Raises:
      EnvironmentProblem: if they are not on record.
    """
    settings = given_rows.settings_of([step])
    if not settings:
        raise EnvironmentProblem("its data settings are not on record", where=f"{step.node} {step.record[:_SHORT]}")
    return settings[0]


def shapes(ingested: Sequence[DataSet]) -> list[tuple[int, int]]:
    """Return the sizes that images ever had here."""
    return list(dict.fromkeys(one.settings.shape for one in ingested if one.settings is not None))


def compare(ingested: Sequence[DataSet], given: GivenRows, name: str) -> list[Comparison]:
    """Compare rows with every data set of images of their size.

    Args:
      ingested: all data sets of the root.
      given: the rows.
      name: what they are called, for the refusal.

    Raises:
      BadInput: if no data here ever had images of their size.
    """
    if (sizes := shapes(ingested)) and given.shape not in sizes and all(one.settings for one in ingested):
        raise given_rows.of_another_size(name, sizes, given.shape)
    return [_compare_one(one, given) for one in ingested]


def _compare_one(data_set: DataSet, given: GivenRows) -> Comparison:
    if data_set.settings is not None and data_set.settings.shape != given.shape:
        size = "x".join(map(str, data_set.settings.shape))
        # Not a doubt: what has another size is not in there.
        empty = Overlap(total=0, splits={})
        return Comparison(data_set=data_set, why_not=f"its images are {size}", overlap=empty)
    if data_set.index is None or data_set.settings is None:
        return Comparison(data_set=data_set, why_not=data_set.why_not)
    index = data_set.index
    comparison = Comparison(data_set=data_set, overlap=index.overlap(given.pixels, "pixels"), match=PIXELS)
    if given.rows is not None and (overlap := index.overlap(given.rows, "row")).total:
        comparison = Comparison(data_set=data_set, overlap=overlap)
    if len(given) > 1:
        return comparison
    picture, labels = given.first[0], data_set.settings.label_count
    here = tuple(index.occurrences(picture.digest))
    splits = tuple(dict.fromkeys(one.split for one in here)) or (ALL,)
    proofs = tuple(prove(index, picture, split, labels) for split in splits)
    return dataclasses.replace(comparison, occurrences=here, proofs=proofs)


def other_forms(compared: Sequence[Comparison], given: GivenRows) -> list[Lookalike]:
    """Return rows that are the given pictures inverted, rescaled, turned or mirrored; of many, the first are tried."""
    indexes = [
        (one.data_set.index, one.data_set.settings.pixel_max)
        for one in compared
        if one.data_set.index is not None and one.data_set.settings is not None and one.overlap is not None
        if one.data_set.settings.shape == given.shape
    ]
    return lookalikes.find(indexes, given.first)


def found_in(compared: Sequence[Comparison], given: GivenRows) -> Iterator[Match]:
    """Yield the executions that read some of the rows."""
    noun = "rows" if given.rows is not None else "images"
    for one in compared:
        if one.overlap is not None and one.overlap.total:
            what = f"{one.overlap.total} of its {len(given)} {noun}"
            if one.match == PIXELS and given.rows is not None:
                what += ", under other labels"
            for step in one.data_set.steps:
                yield Match(step=step, match=one.match, what=what, splits=one.splits, overlap=one.overlap)


def uses(
    lineage: LineageIndex, steps: Sequence[ExecutionSummary], splits: frozenset[str]
) -> Mapping[str, frozenset[str]]:
    """Return {model digest: splits as which the model used rows that lie in these splits of one data set}."""
    result: dict[str, set[str]] = defaultdict(set)
    for split in SPLITS:
        if split in splits:
            held = [Match(step=step, match=DIGEST, what=split, splits=frozenset({split})) for step in steps]
            for record, digest in propagate(lineage, held).roles:
                result[digest].add(split)
                if split == VALIDATION and _was_retrained(lineage, record):
                    result[digest].add(TRAIN)
    return {digest: frozenset(some) for digest, some in result.items()}


def _was_retrained(lineage: LineageIndex, record: str) -> bool:
    """Whether a Classifier's execution, once it had chosen on validation, trained on those rows as well."""
    execution = record_store.read(RunPaths(lineage.root).records, record)
    return isinstance(execution, ExecutionRecord) and bool(parameters.flatten(execution).get("classifier.retrain"))
