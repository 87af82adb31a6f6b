"""Pixels and labels in CSV files of their own, such as `X_train.csv` beside `y_train.csv`; read as NumPy's arrays are."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.errors import BadInput, shortened
from components.features import TRAIN
from components.ingest.csv_layout import INDEX_NAMES, sniff
from components.ingest.csv_lines import SPACE
from components.ingest.payload import PayloadReader
from components.untrusted import LARGEST_ARRAYS
from pipeline.datasets.imports import parts as part_names

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from numpy.typing import NDArray

SUFFIXES: Final = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
_ROLES: Final = frozenset(("images", "labels"))
_BLOCK: Final = 1 << 22
_FEWEST_COUNTED: Final = 10  # two or three labels may count up as well


def is_table(path: Path) -> bool:
    """Return whether a file is a CSV by its name."""
    return path.name.lower().endswith(SUFFIXES)


def found_among(files: Iterable[Path]) -> tuple[Path, ...]:
    """Return the files that are pixels or labels by their names; none unless each part has one file of both."""
    roles: dict[str, dict[str, list[Path]]] = {}
    for file in filter(is_table, files):
        stem = file.name.partition(".")[0]
        if (role := part_names.role_of(stem)) is not None:
            roles.setdefault(part_names.part_of(stem) or TRAIN, {}).setdefault(role, []).append(file)
    complete = all(part.keys() == _ROLES and all(len(ones) == 1 for ones in part.values()) for part in roles.values())
    return tuple(file for part in roles.values() for ones in part.values() for file in ones) if complete else ()


def read(path: Path) -> NDArray[Any]:
    """Return a table without its header and without a row index.

    Returns:
      float64, or text where it holds words; [n] where it has one column, else [n, columns].

    Raises:
      BadInput: if it is no table, or too large.
    """
    layout = sniff(path)
    delimiter = None if layout.delimiter == SPACE else layout.delimiter
    options: dict[str, Any] = {"delimiter": delimiter, "skiprows": layout.first_line - 1, "comments": None, "ndmin": 2}
    content = _content(path)
    try:
        values: NDArray[Any] = np.loadtxt(io.BytesIO(content), dtype=np.float64, **options)
    except ValueError as err:
        values = _words(path, content, options, err)
    if layout.header is not None and len(layout.header) == 1 and layout.header[0] in values[:, 0]:
        # A column of words, whose first line is a row: no name of a column is a label as well.
        values = np.concatenate([[[layout.header[0]]], values])
    if values.shape[1] > 1 and _is_index(values[:, 0], layout.header):
        values = values[:, 1:]
    return values[:, 0] if values.shape[1] == 1 else values


def _words(path: Path, content: bytes, options: dict[str, Any], err: ValueError) -> NDArray[Any]:
    """Return a table of labels that are words; a table of pixels holds numbers alone."""
    if part_names.role_of(path.name.partition(".")[0]) == "labels":
        words: NDArray[Any] = np.loadtxt(io.BytesIO(content), dtype=str, encoding="utf-8", **options)
        return np.char.strip(words, " \"'")
    raise BadInput("its lines are no rows of numbers", where=path, got=shortened(err, 160)) from err


def _is_index(column: NDArray[Any], header: tuple[str, ...] | None) -> bool:
    if header is not None:
        return header[0].strip().lower() in INDEX_NAMES
    if column.dtype.kind != "f" or len(column) < _FEWEST_COUNTED:
        return False
    return bool(np.array_equal(column - column[0], np.arange(len(column)))) and column[0] in {0, 1}


def _content(path: Path) -> bytes:
    blocks, total = [], 0
    with PayloadReader(path) as reader:
        while block := reader.read(_BLOCK):
            total += len(block)
            if total > LARGEST_ARRAYS:
                raise BadInput("too large for what it should be", where=path, wanted=f"at most {LARGEST_ARRAYS} bytes")
            blocks.append(block)
    return b"".join(blocks)
