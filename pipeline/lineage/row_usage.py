"""An image -> which data sets hold it, in which split and under which label; and what each model used it for."""

from __future__ import annotations

import dataclasses
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.errors import BadInput, EnvironmentProblem
from components.features import SPLITS, TEST, TRAIN, VALIDATION
from pipeline.lineage import given_rows, parameters, record_files
from pipeline.lineage.downstream import DIGEST, Found, spread
from pipeline.lineage.history import History, Step
from pipeline.lineage.impact import pushed_as, same_rows
from pipeline.lineage.records import ExecutionRecord
from pipeline.lineage.row_index import ALL, Occurrence, RowIndex, open_any
from pipeline.lineage.row_proofs import RowProof, prove
from pipeline.lineage.trace import trace
from pipeline.paths import RunPaths

if TYPE_CHECKING:
    from components.settings import DataSettings
    from pipeline.lineage.given_rows import Picture

USES: Final = {TRAIN: "trained on", VALIDATION: "validated on", TEST: "tested on"}
"""What it means for a model that a split holds an image."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Asked:
    """How an image was named.

    Attributes:
      image: a PNG file.
      index: or a row's number, from 0.
      data: in these files, instead of the train part behind `version`.
      version: a served version; None for the newest.
    """

    image: Path | None = None
    index: int | None = None
    data: tuple[Path, ...] = ()
    version: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class UsingModel:
    """A model, and what it used the image for: splits in order, none if it never saw it."""

    version: int | None
    digest: str
    served: bool
    uses: tuple[str, ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSet:
    """What one data set has of the image.

    Attributes:
      index: the data set's rows.
      occurrences: where the image is; empty if it is not there.
      proofs: one for each split that holds it, or one that no split does.
      models: that were made from the data set.
    """

    index: RowIndex
    occurrences: tuple[Occurrence, ...]
    proofs: tuple[RowProof, ...]
    models: tuple[UsingModel, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        found = [
            {"split": o.split, "label": o.label, "row_digest": o.row_digest.hex(), "index": o.index}
            for o in self.occurrences
        ]
        return {
            "record": self.index.step.record,
            "rows_digest": self.index.rows_digest,
            "occurrences": found,
            "proofs": [proof.to_dict() for proof in self.proofs],
            "models": [{**dataclasses.asdict(model), "uses": list(model.uses)} for model in self.models],
        }


@dataclasses.dataclass(frozen=True, kw_only=True)
class Usage:
    """All that is known of an image.

    Attributes:
      picture: the image.
      data_sets: one for each set of rows that was ever ingested.
      notes: data sets that could not be looked into, in words.
    """

    picture: Picture
    data_sets: tuple[DataSet, ...]
    notes: tuple[str, ...] = ()

    @property
    def models(self) -> tuple[UsingModel, ...]:
        """Every model once, with all that it used the image for."""
        uses: dict[tuple[int | None, str, bool], set[str]] = defaultdict(set)
        for data_set in self.data_sets:
            for model in data_set.models:
                uses[model.version, model.digest, model.served] |= set(model.uses)
        models = [
            UsingModel(version=version, digest=digest, served=served, uses=tuple(s for s in SPLITS if s in some))
            for (version, digest, served), some in uses.items()
        ]
        return tuple(sorted(models, key=lambda model: (model.version is None, model.version or 0, model.digest)))

    def to_dict(self) -> dict[str, Any]:
        """Returns it as JSON values."""
        image = self.picture
        return {
            "image": {"height": image.height, "width": image.width, "pixels_digest": image.digest.hex()},
            "models": [{**dataclasses.asdict(model), "uses": list(model.uses)} for model in self.models],
            "data_sets": [data_set.to_dict() for data_set in self.data_sets],
            "notes": list(self.notes),
        }


def find_picture(history: History, asked: Asked) -> Picture:
    """Returns the image that was asked about.

    Raises:
      BadInput: if it is not named in exactly one way, or is not there.
      EnvironmentProblem: if the kept copy of the data is not what was ingested.
    """
    if (asked.image is None) == (asked.index is None):
        raise BadInput("which image?", wanted="either a PNG file or --index")
    if asked.image is not None:
        return given_rows.read_png(asked.image)
    number = asked.index or 0
    if asked.data:
        for data in given_rows.settings_of(history.ingests):
            return given_rows.read_row(asked.data, number, data)
        raise BadInput("nothing was ever ingested here", where=history.root)
    return _row_of_train_part(history, data_behind(history, asked.version), number)


def data_behind(history: History, version: int | None, rows_digest: str | None = None) -> Step:
    """Returns the execution that ingested the data of a version.

    Raises:
      BadInput: if there is no such version, or it was made from several data sets and none of them is named.
    """
    found = {str(step.data["rows_digest"]): step for _, step in trace(history, version).steps if step.data is not None}
    if rows_digest is not None:
        found = {digest: step for digest, step in found.items() if digest == rows_digest}
    if len(found) != 1:
        hint = "name one with --rows-digest" if found else None
        raise BadInput("not one data set behind the version", where=history.root, got=list(found) or "none", hint=hint)
    return next(iter(found.values()))


def use(history: History, picture: Picture) -> Usage:
    """Returns which data sets hold an image, with proofs, and what each model used it for."""
    found, notes = [], []
    for steps in same_rows(history.ingests).values():
        try:
            index = open_any(history.root, steps)
        except EnvironmentProblem as err:
            notes.append(f"not looked into: {err}")
            continue
        here = index.occurrences(picture.digest)
        splits = tuple(dict.fromkeys(one.split for one in here)) or (ALL,)
        proofs = tuple(prove(index, picture, split, label_count(steps[-1])) for split in splits)
        models = _models(history, steps, {one.split for one in here})
        found.append(DataSet(index=index, occurrences=tuple(here), proofs=proofs, models=models))
    return Usage(picture=picture, data_sets=tuple(found), notes=tuple(notes))


def label_count(step: Step) -> int:
    """Returns the number of labels that the rows of a data set can have."""
    return _settings(step).label_count


def _settings(step: Step) -> DataSettings:
    found = given_rows.settings_of([step])
    if not found:
        raise EnvironmentProblem("its data settings are not on record", where=f"{step.node} {step.record[:12]}")
    return found[0]


def _models(history: History, steps: Sequence[Step], splits: set[str]) -> tuple[UsingModel, ...]:
    uses: dict[str, set[str]] = defaultdict(set)
    for split in SPLITS:
        held = [Found(step=step, match=DIGEST, what=split, splits=frozenset({split})) for step in steps]
        for record, digest in spread(history, held).roles:
            uses[digest] |= {split} & splits
            if VALIDATION in {split} & splits and _was_retrained(history, record):
                uses[digest].add(TRAIN)
    return tuple(
        UsingModel(
            version=None if push is None else push.version,
            digest=digest,
            served=push is not None and push.served,
            uses=tuple(split for split in SPLITS if split in some),
        )
        for digest, some in uses.items()
        for push in pushed_as(history, digest)
    )


def _was_retrained(history: History, record: str) -> bool:
    """Whether a Classifier's execution, once it had chosen on validation, trained on those rows as well."""
    execution = record_files.read(RunPaths(history.root).records, record)
    return isinstance(execution, ExecutionRecord) and bool(parameters.dotted(execution).get("classifier.retrain"))


def _row_of_train_part(history: History, step: Step, number: int) -> Picture:
    from components.ingest.payload import payload_digest

    given: Mapping[str, Any] = step.parameters or {}
    recorded = {file["name"]: file for file in (step.data or {})["files"]}
    left = number
    for part in json.loads(given["source"]):
        files = [history.root / file for file in part["files"]]
        rows = recorded[files[0].name]["rows"]
        if part["split"] != TRAIN or left >= rows:
            left -= rows if part["split"] == TRAIN else 0
            continue
        for file in files:
            if (found := payload_digest(file).payload) != (wanted := recorded[file.name]["payload_digest"]):
                raise EnvironmentProblem("the copy of the data was changed", where=file, wanted=wanted, got=found)
        return given_rows.read_row(files, left, _settings(step))
    raise BadInput("no such row in the train part", where=history.root, got=number, hint="rows are counted from 0")
