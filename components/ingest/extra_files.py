"""CSV files beside those of train and test: without labels, without images, or of unknown part."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Final

from components.errors import MnistTfxError
from components.features import TRAIN
from components.ingest import csv_layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from components.ingest.candidates import Candidate

_COMMANDS: Final = 3


def with_labels(files: Sequence[Candidate]) -> tuple[list[Candidate], dict[Path, str]]:
    """Leave aside what cannot be rows like those of the training file: without a label, or without images at all.

    Only a single file whose name says train says what rows are like.
    """
    train = [file for file in files if file.split == "train"]
    others = [file for file in files if file.split != "train"]
    if len(train) != 1 or not others:
        return list(files), {}
    try:
        wanted = csv_layout.sniff(train[0].path)
    except MnistTfxError:
        return list(files), {}
    why = {file.path: reason for file in others if (reason := _unlike(file.path, wanted)) is not None}
    return [file for file in files if file.path not in why], why


def _unlike(path: Path, wanted: csv_layout.CsvLayout) -> str | None:
    """Return why a file has no rows like those of a training file with that layout; None where it may have them."""
    try:
        layout = csv_layout.sniff(path)
    except MnistTfxError:
        return None  # for its reader to refuse
    header, names = layout.header or (), wanted.header or ()
    missing = [name for name in names if name not in header]
    if layout.columns < wanted.columns and header and len(missing) == 1 and set(header) < set(names):
        return f"it has no labels: {wanted.columns - layout.columns} column less, {missing[0]!r}"
    if len(missing) == 1 and any(name.lower() in csv_layout.INDEX_NAMES for name in set(header) - set(names)):
        return f"it has no labels: rows are numbered, where the training file has {missing[0]!r}"
    if layout.columns == wanted.columns - 1:
        return "it has no labels: one column less than the training file"
    if layout.columns < csv_layout.FEWEST_COLUMNS <= wanted.columns:
        shown = f": {', '.join(header)}" if header else ""
        return f"it has no images, but {layout.columns} column{'s' if layout.columns > 1 else ''}{shown}"
    return None


def commands_without(files: Sequence[Candidate]) -> Iterator[str]:
    """Yield the commands that leave aside, or train on as well, files beside a train part whose names say nothing."""
    named = [file.path for file in files if file.split is not None]
    extras = [file.path for file in files if file.split is None]
    if sum(file.split == TRAIN for file in files) == 1 and len(extras) <= _COMMANDS:
        left = ", ".join(path.name for path in extras)
        yield f"{_run_on(named)} # without {left}"
        yield f"{_run_on([*named, *extras])} # {left} to train on as well"


def _run_on(paths: Sequence[Path]) -> str:
    return " ".join(("mnist-tfx run", *(f"--data {shlex.quote(str(path))}" for path in paths)))
