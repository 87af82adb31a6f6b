"""The kind of a file that somebody holds, by its first bytes and never by its name."""

from __future__ import annotations

import enum
import re
import zipfile
from pathlib import Path
from typing import Final

from components.ingest.kinds import HEAD, foreign_kind, idx_kind
from components.ingest.payload import GZIP_MAGIC, PayloadReader

_HEAD: Final = 1 << 16
_NETPBM: Final = re.compile(rb"P[1-6]\s")
_ZIP: Final = (b"PK\x03\x04", b"PK\x05\x06")
_NUMBER: Final = re.compile(r"\s*-?[0-9]+(\.[0-9]*)?([eE][-+]?[0-9]+)?\s*")
_CODE: Final = re.compile(r"^(from [\w.]+ import |import [\w.]+|(async )?def \w+\(|class \w+[(:])", re.MULTILINE)
_SCHEMA: Final = re.compile(r"^feature \{", re.MULTILINE)
_FEWEST_COLUMNS: Final = 5
_MOST_LABEL_COLUMNS: Final = 100
_FLOATS: Final = (0x0D, 0x0E)


class Kind(enum.Enum):
    """What a file is; the value says it in words."""

    IMAGES = "an IDX file of images"
    LABELS = "an IDX file of labels"
    OTHER_IDX = "an IDX file of neither images nor labels in bytes"
    TABLE = "a table of numbers"
    PICTURE = "a picture"
    ARRAYS = "NumPy arrays"
    ARCHIVE = "an archive"
    PARQUET = "a Parquet file"
    STORE = "a file of columns"
    PICKLE = "a pickle"
    CODE = "Python code"
    SCHEMA = "a schema"
    EMPTY = "an empty file"
    OTHER = "a file of no kind that is known here"


_WORDS: Final = {
    "picture": Kind.PICTURE,
    "NumPy": Kind.ARRAYS,
    "pickle": Kind.PICKLE,
    "Parquet": Kind.PARQUET,
    "HDF5": Kind.STORE,
    "Arrow": Kind.STORE,
    "MATLAB": Kind.STORE,
    "archive": Kind.ARCHIVE,
    "bzip2": Kind.ARCHIVE,
    "xz": Kind.ARCHIVE,
    "Zstandard": Kind.ARCHIVE,
    "gzip": Kind.ARCHIVE,
}
"""A word in what `foreign_kind` says, and the kind that it means."""


def recognise(path: Path) -> tuple[Kind, str]:
    """Return the kind of a raw or gzip file, and what it is in words.

    Raises:
      BadInput: if its compression is broken.
      EnvironmentProblem: if it cannot be read.
    """
    with PayloadReader(path) as reader:
        head = reader.read(_HEAD)
    kind, what = _of(head, path)
    with open(path, "rb") as file:
        packed = file.read(2) == GZIP_MAGIC
    if packed and kind in (Kind.PICTURE, Kind.ARRAYS):
        return Kind.ARCHIVE, f"{what} in a gzip file"
    return kind, what


def _of(head: bytes, path: Path) -> tuple[Kind, str]:
    if not head:
        return Kind.EMPTY, Kind.EMPTY.value
    if head.startswith(_ZIP):
        return _zip(path)
    if (what := foreign_kind(head[:HEAD])) is not None:
        return next((kind for word, kind in _WORDS.items() if word in what), Kind.OTHER), what
    kind = _idx(head) or (Kind.PICTURE if _is_other_picture(head) else _text(head))
    return kind, kind.value


def _idx(head: bytes) -> Kind | None:
    if idx_kind(head) is None:
        return None
    kind, dimensions = head[2], head[3]
    columns = int.from_bytes(head[8:12], "big")
    if dimensions == 1 or (dimensions == 2 and columns <= _MOST_LABEL_COLUMNS):
        return Kind.LABELS
    return Kind.IMAGES if dimensions == 3 and kind not in _FLOATS else Kind.OTHER_IDX


def _is_other_picture(head: bytes) -> bool:
    bitmap = head[:2] == b"BM" and head[6:10] == bytes(4)
    return bitmap or head[4:12] == b"ftypavif" or _NETPBM.match(head) is not None


def _text(head: bytes) -> Kind:
    try:
        # The last character may be cut in two.
        text = head[: len(head) - 4 if len(head) == _HEAD else None].decode("utf-8-sig")
    except UnicodeDecodeError:
        return Kind.OTHER
    lines = [line for line in text.splitlines() if line.strip()]
    if lines and _is_row(lines[1] if len(lines) > 1 else lines[0]):
        return Kind.TABLE
    if _SCHEMA.search(text):
        return Kind.SCHEMA
    return Kind.CODE if _CODE.search(text) else Kind.OTHER


def _is_row(line: str) -> bool:
    fields = re.split(r"\s*[,;|\t ]\s*", line.strip())
    return len(fields) >= _FEWEST_COLUMNS and all(_NUMBER.fullmatch(field.strip('"')) for field in fields)


def _zip(path: Path) -> tuple[Kind, str]:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return Kind.ARCHIVE, "a damaged zip archive"
    if names and all(name.endswith(".npy") for name in names):
        return Kind.ARRAYS, Kind.ARRAYS.value
    return Kind.ARCHIVE, "a zip archive"
