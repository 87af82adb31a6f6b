"""What data files are, recognised from their content, and said in words: form, separators, header, columns, labels.

Nothing is guessed: what is not certain is left to the settings, and where two readings are possible the reader of the
form refuses. The result is the same whether a run asks, which knows its settings, or somebody who wants to know which
settings would fit.
"""

from __future__ import annotations

import contextlib
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from components.errors import BadInput
from components.features import TRAIN
from components.ingest import csv_columns, discovery, idx, parquet
from components.ingest.csv_layout import COMMA, DELIMITERS, sniff
from components.ingest.forms import CSV, IDX, PARQUET, READERS
from components.ingest.words import Words
from components.settings import DataSettings

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from components.ingest.csv_columns import Columns
    from components.ingest.csv_layout import CsvLayout
    from components.ingest.data_files import DataFiles
    from components.ingest.forms import Form

CLASSES: Final = (10, 26, 27, 47, 62, 100, csv_columns.MOST_CLASSES)
"""How many classes there may be, where only the values can say which end column of a CSV is the label."""

_MOST_BESIDE: Final = 13
"""Columns beside the pixels, up to ten of one-hot labels among them, below which a square is what was meant."""

_SHOWN: Final = 5


@dataclass(frozen=True, kw_only=True)
class Recognised:
    """How data files are to be read.

    Attributes:
      form: one of `components.ingest.forms`.
      shape: height and width of the images in the files; None where a CSV has no square ones and no settings say.
      delimiter: what separates the fields of a CSV; None for other forms.
      header: whether a CSV has a header line.
      columns: what the columns of a CSV are.
      label_type: of labels in IDX, such as `int32 in 8 columns, the first taken`; None for unsigned bytes.
      class_names: labels in words, or names that the files give to labels, in the order of their numbers.
      ignored: {file beside the data: why it is not read}.
      says: what was recognised beyond the usual, a sentence to each; empty for MNIST's own files.
    """

    form: Form
    shape: tuple[int, int] | None
    delimiter: str | None = None
    header: bool = False
    columns: Columns | None = None
    label_type: str | None = None
    class_names: tuple[str, ...] = ()
    ignored: Mapping[Path, str] = field(default_factory=dict)
    says: tuple[str, ...] = ()

    def settings(self, data: DataSettings) -> DataSettings:
        """Return settings with what only the files know: names for labels in words.

        Raises:
          BadInput: when there are more or fewer than the settings have classes.
        """
        if not self.class_names or data.class_names:
            return data
        count = len(self.class_names)
        if count != data.label_count:
            raise BadInput(
                "the files name another number of classes than the recipe has",
                where="data.label_count",
                wanted=data.label_count,
                got=f"{count}: {_listed(self.class_names)}",
                hint=f"--set data.label_count={count}, or --class-names FILE with all names, a name a line",
            )
        return data.model_copy(update={"class_names": self.class_names})


def recognise(files: DataFiles, data: DataSettings | None = None) -> Recognised:
    """Recognise what the files of a data set are; of little more than their beginnings, except for labels in words.

    Args:
      files: as `discovery.discover` found them.
      data: settings to read them by; None looks for settings that fit, see `fitting`.

    Raises:
      BadInput: when they cannot be read by these settings, or by any.
    """
    if files.form == CSV:
        return _of_csv(files, data)
    return _of_idx(files) if files.form == IDX else _of_others(files, data)


def fitting(files: DataFiles, *, label: str = "auto", ignore_columns: Sequence[str] = ()) -> DataSettings:
    """Return settings that the files can be read by, with the largest number of classes that is certain to be enough.

    The shape of a CSV's images is that of a square. How many classes there are, `label_counts` says.

    Args:
      files: as `discovery.discover` found them.
      label: the label's column of a CSV, as `data.label` has it.
      ignore_columns: of a CSV, neither pixel nor label.

    Raises:
      BadInput: when none fit.
    """
    if files.form != CSV:
        shape = discovery.geometry(files)
        if shape is None:
            hint = "a recipe with data.shape reads grey images that are no squares"
            raise BadInput("no row can be a square image", where=files.parts[0].files[0], hint=hint)
        return DataSettings(shape=shape, pixel_max=255, label_count=csv_columns.MOST_CLASSES)
    refused: list[tuple[DataSettings, BadInput]] = []
    path = files.parts[0].files[0]
    columns = sniff(path).columns - len(ignore_columns)
    if columns > 1 and math.isqrt(columns) ** 2 == columns:
        side = math.isqrt(columns)
        hint = "`mnist-tfx predict` reads rows without labels"
        raise BadInput("has no labels", where=path, got=f"{columns} columns, the pixels of {side}x{side}", hint=hint)
    for square in _square_readings(columns):
        data = square.model_copy(update={"label": label, "ignore_columns": tuple(ignore_columns)})
        try:
            csv_columns.label_texts([part.files[0] for part in files.parts], data)
        except BadInput as err:
            refused.append((data, err))
            continue
        return data
    # Smaller squares fit with more columns beside them; what is wrong with the largest is what to mend.
    likeliest, refusal = max(refused, key=_likelihood, default=(None, None))
    if likeliest is not None and refusal is not None and columns - likeliest.pixels < _MOST_BESIDE:
        raise refusal
    usual = "a recipe with data.shape reads grey images that are no squares"
    hint = csv_columns.as_colours(path, columns) or usual
    raise BadInput("no row can be a square image and a label", where=path, got=f"{columns} columns", hint=hint)


def _likelihood(reading: tuple[DataSettings, BadInput]) -> tuple[int, int]:
    return reading[0].pixels, reading[0].label_count


def shape_of(files: DataFiles) -> tuple[int, int] | None:
    """Return height and width of the images in the files; of a CSV, that of squares, or None where none fits."""
    if files.form != CSV:
        return discovery.geometry(files)
    path = files.parts[0].files[0]
    for data in _square_readings(sniff(path).columns):
        with contextlib.suppress(BadInput):
            csv_columns.check_columns([path], data)
            return data.shape
    return discovery.geometry(files)


def label_counts(files: DataFiles, data: DataSettings) -> dict[str, Counter[str]]:
    """Return {split: {label as users see it: rows}} of all rows, without their pixels.

    Args:
      files: as `discovery.discover` found them.
      data: settings to read them by; labels out of their range are counted as well.

    Raises:
      BadInput: when the labels cannot be read.
    """
    counts: dict[str, Counter[str]] = {}
    reader = READERS[files.form]
    plan = reader.plan([part.files for part in files.parts], data)
    for part in files.parts:
        counts.setdefault(part.split, Counter()).update(reader.label_counts(part.files, data, plan))
    return counts


def _of_idx(files: DataFiles) -> Recognised:
    says = []
    labels = next(part.files[1] for part in files.parts if part.split == TRAIN)
    label_type = idx.label_type(labels)
    if label_type is not None:
        says.append(f"{labels.name}: labels are {label_type}")
    shape = discovery.geometry(files)
    return Recognised(
        form=files.form,
        shape=shape,
        label_type=label_type,
        ignored=files.why,
        says=(*files.says, *says, *_beside(files)),
    )


def _of_others(files: DataFiles, data: DataSettings | None) -> Recognised:
    """Recognise files whose labels may be words, or have names in the files themselves."""
    settings = fitting(files) if data is None else data
    plan = READERS[files.form].plan([part.files for part in files.parts], settings)
    words = plan.texts if isinstance(plan, Words) else ()
    says = [f"labels are words, numbered in order: {_listed(words)}"] if words else []
    names = words
    if files.form == PARQUET and not words:
        names = parquet.same_names([parquet.open_table(part.files[0]) for part in files.parts])
    return Recognised(
        form=files.form,
        shape=READERS[files.form].shape(files.parts[0].files) or settings.file_shape,
        class_names=names if not settings.class_names else (),
        ignored=files.why,
        says=(*files.says, *says, *_beside(files)),
    )


def _of_csv(files: DataFiles, data: DataSettings | None) -> Recognised:
    settings = fitting(files) if data is None else data
    paths = [part.files[0] for part in files.parts]
    columns = csv_columns.find_columns(paths, settings)
    layout = sniff(paths[0])
    says = tuple(f"{paths[0].name}: {sentence}" for sentence in _sentences(layout, columns))
    return Recognised(
        form=files.form,
        shape=settings.file_shape,
        delimiter=layout.delimiter,
        header=layout.header is not None or layout.nameless,
        columns=columns,
        class_names=columns.texts if not settings.class_names else (),
        ignored=files.why,
        says=(*files.says, *says, *_beside(files)),
    )


def _beside(files: DataFiles) -> Sequence[str]:
    return [f"{path.name} ignored: {why}" for path, why in files.why.items()]


def _sentences(layout: CsvLayout, columns: Columns) -> Sequence[str]:
    """Return what is unlike a line of numbers between commas with the label at an end."""
    says = []
    if layout.delimiter != COMMA:
        says.append(f"fields are separated by {DELIMITERS[layout.delimiter]}")
    if layout.counted is not None or layout.nameless:
        says.append("its first line is a header of numbers")
    for column in columns.ignored:
        name = f" ({layout.header[column]!r})" if layout.header and layout.header[column] else ""
        says.append(f"column {column + 1}{name} is neither pixel nor label and is ignored")
    if len(columns.label) > 1:
        first, last = columns.label[0], columns.label[-1]
        names = (
            f": {layout.header[first]!r} is the first class, {layout.header[last]!r} the last" if layout.header else ""
        )
        says.append(f"labels are one-hot, in columns {min(columns.label) + 1} to {max(columns.label) + 1}{names}")
    elif columns.label[0] not in (0, layout.columns - 1) and not columns.ignored:
        says.append(f"labels are in column {columns.label[0] + 1}")
    if columns.texts:
        says.append(f"labels are words, numbered in order: {_listed(columns.texts)}")
    return says


def _listed(names: Sequence[str]) -> str:
    if len(names) <= _SHOWN:
        return ", ".join(names)
    return f"{', '.join(names[: _SHOWN - 2])}, ... {names[-1]} ({len(names)})"


def _square_readings(columns: int) -> Sequence[DataSettings]:
    """Return settings for each way in which so many columns may be a square image, the likeliest first."""
    # A block of one-hot labels is there or is not; one column more than a square may be by chance.
    one_hot = [(count + index, count, 0) for index in (0, 1) for count in range(3, 101)]
    # Ten classes from 1 on before more of them from 0 on: under these, a column of faint pixels may be labels as well.
    ways = one_hot + [(others, count, first) for others in (1, 2) for count in CLASSES for first in (0, 1)]
    readings = []
    for others, classes, offset in ways:
        side = math.isqrt(max(0, columns - others))
        if side > 1 and side * side == columns - others:
            readings.append(DataSettings(shape=(side, side), pixel_max=255, label_count=classes, label_offset=offset))
    return readings
