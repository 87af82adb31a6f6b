"""A first recipe for a data set: what an inspection saw, written down with the reasons, and floors that its size can bear.

The floors follow from three numbers alone: the test rows, those of the smallest class among them, and the share of the
commonest class. A model that always answers the commonest class is right as often as that share says; half of the way
from there to no error at all is asked for, less what chance may take from so few rows (the lower end of Wilson's 95 %
interval), but always for more than the commonest class alone gives. So a small test part asks for less, and a model that
has learned nothing is refused whatever its size.
"""

from __future__ import annotations

import dataclasses
import json
import math
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

from components import disk
from components.errors import BadInput, printable
from components.features import TEST, TRAIN
from components.files import replacing
from components.intervals import wilson
from components.settings import HashSplit
from pipeline.config.recipe import validate
from pipeline.config.recipe_file import is_file_name

if TYPE_CHECKING:
    from pipeline.datasets.inspection_result import Inspection

LARGE: Final = 5_000
"""Rows to train on from which on a step takes more of them."""

MOST_POOLED: Final = 2
LEAST_SIDE: Final = 3
"""Pixels that the last convolution leaves in each direction at least."""

USUAL: Final = 0.95
"""The accuracy at which the noise between two models is stated: the lower it is, the more noise there is."""


@dataclasses.dataclass(frozen=True)
class Floors:
    """What a first model has to reach.

    Attributes:
      accuracy: on all test rows.
      class_accuracy: on the rows of any one class.
      margin: how far below the served model a candidate may be.
      rows: test rows that there are, or that the split makes.
      commonest: share of the commonest class.
    """

    accuracy: float
    class_accuracy: float
    margin: float
    rows: int
    commonest: float

    @classmethod
    def of(cls, counts: tuple[int, ...]) -> Floors:
        """Return the floors for a test part with so many rows of each class."""
        rows, present = sum(counts), [count for count in counts if count]
        commonest = max(counts) / rows if rows else 1.0
        wanted = (1 + commonest) / 2
        # Of very skewed classes, chance would take more than the whole way.
        unskilled = math.ceil((commonest + 0.5 / max(rows, 1)) * 1000) / 1000
        return cls(
            accuracy=min(0.999, max(_down(wilson(wanted * rows, rows)[0]), unskilled)),
            class_accuracy=_down(wilson(wanted / 2 * min(present), min(present))[0]) if present else 0.0,
            margin=_margin(rows),
            rows=rows,
            commonest=commonest,
        )


def write(found: Inspection, file: Path) -> str:
    """Write a recipe for a data set, and return its text.

    Args:
      found: the data set.
      file: that is not there yet; the recipe goes by its name.

    Raises:
      BadInput: if the file is there, or nothing can be learnt from the data.
    """
    if found.importable:
        hint = f"`mnist-tfx data inspect {found.path}` says how to make data files of it"
        raise BadInput("no data files yet", where=found.path, got=found.form, hint=hint)
    if found.problems:
        raise BadInput("; ".join(found.problems), where=found.path)
    text = "".join(f"{line}\n" for line in _lines(found, recipe_name(file)))
    validate(yaml.safe_load(text), where=file.name)
    try:
        with replacing(file, place=os.link) as out:
            out.write(text.encode())
    except FileExistsError as err:
        raise _there(file) from err
    except OSError as err:
        raise disk.problem(err, "cannot write the recipe", where=file) from err
    return text


def require_new(file: Path) -> None:
    """Refuse the name of a file that is there, or of no recipe.

    Raises:
      BadInput: naming it.
    """
    if not is_file_name(file.name):
        raise BadInput("a recipe's file ends in .yaml", where="-o", got=file.name)
    if os.path.lexists(file):
        raise _there(file)


def _there(file: Path) -> BadInput:
    return BadInput("is there already, and nothing was written", where=file, hint="name another with -o, or remove it")


def recipe_name(file: Path) -> str:
    """Return the name of a recipe by its file: lower case letters, digits and -, a letter first."""
    name = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in file.stem.lower()).strip("-")
    return (name if name[:1].isalpha() else f"data-{name}".rstrip("-"))[:41]


def _lines(found: Inspection, name: str) -> Iterator[str]:
    train = found.rows[TRAIN]
    # Names and notes may hold what somebody else wrote: a line break would end the comment.
    yield f"# A first recipe for {printable(found.path.name)}, from `mnist-tfx recipe new`: {train:,} rows to train on, {_test(found)}."
    yield "# It trains a small network that suits most data; change it by figures on validation, never by those on test."
    yield from (f"# {printable(note)}" for note in found.notes)
    yield "version: 1"
    yield f"name: {name}"
    yield ""
    yield from _data_lines(found)
    yield ""
    yield "transform:"
    yield "  scaling: minmax  # pixels from 0 to 1"
    yield ""
    yield "autoencoder: null  # the classifier sees the images themselves; `recipe show mnist` has one before it"
    yield ""
    yield from _classifier_lines(found)
    yield ""
    yield from _gate_lines(found)
    yield ""
    yield from _evaluation_lines(floors_for(found))


def _test(found: Inspection) -> str:
    return f"{found.rows[TEST]:,} to test on" if TEST in found.rows else "and no test part"


def _data_lines(found: Inspection) -> Iterator[str]:
    height, width = reversed(found.shape) if found.transpose else found.shape  # the recipe has upright images
    yield "data:"
    yield f"  shape: [{height}, {width}]  # in pixels"
    yield f"  pixel_max: {found.pixel_max}  # the largest pixel in the files is {found.highest}"
    yield f"  label_count: {found.label_count}"
    for key, value, why in _as_seen(found):
        yield f"  {key}: {json.dumps(value, ensure_ascii=False)}{f'  # {why}' if why else ''}"
    split = HashSplit()
    if TEST in found.rows:
        yield f"  split: {{validation: {split.validation:g}}}  # of the rows to train on; the test part stays as it is"
    else:
        yield "  # There is no test part: the hash of the pixels makes one, and equal images stay on one side."
        yield f"  split: {{validation: {split.validation:g}, test: {split.test:g}}}"


def _as_seen(found: Inspection) -> Iterator[tuple[str, Any, str]]:
    """Yield the keys of the data that are not as everybody has them: key, value, reason."""
    if found.label is not None:
        yield "label", found.label, "the column of the label"
    if found.label_offset:
        last = found.label_offset + found.label_count - 1
        yield "label_offset", found.label_offset, f"labels in the files go from {found.label_offset} to {last}"
    if found.transpose:
        yield "transpose", True, "rows and columns are swapped in the files"
    if found.ignore_columns:
        yield "ignore_columns", list(found.ignore_columns), "neither pixel nor label"
    if found.empty_classes:
        empty = [label + found.label_offset for label in found.empty_classes]
        yield "empty_classes", empty, "labels of classes without rows"
    if found.class_names:
        yield "class_names", list(found.class_names), ""


def _classifier_lines(found: Inspection) -> Iterator[str]:
    pooled = min(MOST_POOLED, int(math.log2(max(1, min(found.shape) / LEAST_SIDE))))
    batch = 128 if found.rows[TRAIN] >= LARGE else 32
    yield "classifier:"
    if pooled:
        yield "  convolutions:"
        yield from (f"    - {{filters: {16 << n}, kernel: 3, padding: same, pool: 2}}" for n in range(pooled))
    yield "  layers: [128]"
    yield "  dropout: 0.3"
    if pooled:
        yield "  augmentation: {shift: 1}  # images are moved by up to a pixel while training"
    yield "  optimizer: {name: adam, learning_rate: 0.002, schedule: cosine}"
    yield f"  batch: {batch}"
    yield "  epochs: 5"
    yield "  min_steps: 1500  # of few rows there are more epochs"


def _gate_lines(found: Inspection) -> Iterator[str]:
    between = found.duplicates.between
    if not between:
        yield "gates: {}"
        return
    yield f"# {between} images of the test part are in the training part too, so a model is measured on what it has seen."
    yield "# A run refuses that; `leaks: warn` below instead of `refuse` has it go on and say so."
    yield "gates:"
    yield "  leaks: refuse"


def floors_for(found: Inspection) -> Floors:
    """Return the floors for a data set's test part, or for the one that the split makes."""
    if TEST in found.counts:
        return Floors.of(found.counts[TEST])
    share = HashSplit().test
    return Floors.of(tuple(int(share * count) for count in found.counts[TRAIN]))


def _evaluation_lines(floors: Floors) -> Iterator[str]:
    low, high = wilson(USUAL * floors.rows, floors.rows)
    yield "evaluation:"
    yield f"  # {floors.rows:,} test rows: a model that is right on {USUAL:.0%} is known to be so within {low:.1%} to {high:.1%}."
    yield f"  # The commonest class has {floors.commonest:.0%} of them. Asked for is half of the way from there to no error, less"
    yield "  # what chance takes from so few rows; of a class, half of that. Raise both to what the first run reaches."
    yield f"  accuracy: {floors.accuracy:g}"
    yield f"  class_accuracy: {floors.class_accuracy:g}"
    yield f"  baseline_margin: {floors.margin:g}  # chance alone makes such a difference between two models"


def _margin(rows: int) -> float:
    """Return half of the interval at `USUAL`, in thousandths, rounded up."""
    low, high = wilson(USUAL * rows, rows)
    return min(0.5, math.ceil((high - low) / 2 * 1000) / 1000)


def _down(rate: float) -> float:
    return math.floor(rate * 100) / 100
