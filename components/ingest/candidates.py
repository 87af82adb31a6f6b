"""Data files by their names, and by their first bytes where a name says nothing: form, part and role of each."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from components.errors import BadInput, MnistTfxError
from components.ingest import idx
from components.ingest.kinds import HEAD, foreign_kind, idx_kind
from components.ingest.parquet import MAGIC
from components.ingest.payload import PayloadReader

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from components.ingest.data_files import NamedPart, PartName
    from components.ingest.forms import Form

_IDX_NAME: Final = re.compile(
    r"(?P<set>.*?)(?P<split>train|t10k|test)[-._](?P<role>images|labels)[-._]idx[1-9][-._][a-z0-9]+(\.gz)?",
    re.IGNORECASE | re.DOTALL,
)
# train_images, t10k-labels.idx1, train-images.idx3-ubyte.bin: where the content says that it is IDX.
_LOOSE_IDX_NAME: Final = re.compile(
    r"(?P<set>.*?)(?P<split>train|t10k|test)[-._]?(?P<role>images|labels)([-._][a-z0-9._-]*)?",
    re.IGNORECASE | re.DOTALL,
)
_PARQUET_NAME: Final = re.compile(r".*\.(parquet|pq)", re.IGNORECASE | re.DOTALL)
_CSV_NAME: Final = re.compile(r".*\.(csv|tsv|tra|tes|data)(\.gz)?", re.IGNORECASE | re.DOTALL)
_TRAIN_NAME: Final = re.compile(r"train|\.tra(\.gz)?$", re.IGNORECASE)
_VALIDATION_NAME: Final = re.compile(r"(?<![a-z])(val|valid|validation|dev)(?![a-z])", re.IGNORECASE)
_TEST_NAME: Final = re.compile(r"test|^t10k|\.tes(\.gz)?$", re.IGNORECASE)

ROLES: Final = {"images": idx.IMAGES, "labels": idx.LABELS}
"""The files of an IDX pair, and how many dimensions each has."""


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A file by what its name, or failing that its magic, says.

    Attributes:
      path: the file.
      form: what it is.
      split: the part that its name puts it into, None where the name does not say.
      role: "images" or "labels" of a pair, "rows" of a file with both.
      group: what the names of an IDX pair have in common.
    """

    path: Path
    form: Form
    split: NamedPart | None
    role: str
    group: str = ""


def by_name(path: Path) -> Candidate | None:
    """Return a file as its name says; None where it has not the name of a data file."""
    if match := _IDX_NAME.fullmatch(path.name):
        return _named_idx(path, match)
    if _CSV_NAME.fullmatch(path.name):
        return Candidate(path=path, form="csv", split=_split_by_name(path.name), role="rows")
    if _PARQUET_NAME.fullmatch(path.name):
        return Candidate(path=path, form="parquet", split=_split_by_name(path.name), role="rows")
    return None


def by_loose_name(path: Path) -> Candidate | None:
    """Return an IDX file with a name like `train_images`; None for other names, and where the content is not IDX."""
    match = _LOOSE_IDX_NAME.fullmatch(path.name)
    return _named_idx(path, match) if match and _is_idx(path) else None


def _named_idx(path: Path, match: re.Match[str]) -> Candidate:
    split: PartName = "train" if match["split"].lower() == "train" else "test"
    return Candidate(path=path, form="idx", split=split, role=match["role"].lower(), group=match["set"])


def _is_idx(path: Path) -> bool:
    try:
        return idx_kind(_head(path)) is not None
    except MnistTfxError:
        return False


def by_content(path: Path) -> Candidate:
    """Return a file as its first bytes say.

    Raises:
      BadInput: if they are those of something else than a data file.
    """
    head = _head(path)
    split = _split_by_name(path.name)
    if head.startswith(MAGIC):
        return Candidate(path=path, form="parquet", split=split, role="rows")
    if (kind := foreign_kind(head)) is not None:
        raise BadInput("is no data file", where=path, wanted="IDX or CSV, raw or gzip, or Parquet", got=kind)
    if not head.startswith(b"\0\0"):
        return Candidate(path=path, form="csv", split=split, role="rows")
    # A wrong type or number of dimensions is for the IDX reader to explain.
    role = next((role for role, count in ROLES.items() if head[3:4] == bytes((count,))), None)
    if role is None:  # several columns of labels are no images because of that
        role = "labels" if "label" in path.name.lower() else "images"
    return Candidate(path=path, form="idx", split=split, role=role)


def foreign_content(path: Path) -> str | None:
    """Return what a file is that is no data file, by its first bytes; None where they do not say."""
    try:
        return foreign_kind(_head(path))
    except MnistTfxError:
        return None


def _head(path: Path) -> bytes:
    with PayloadReader(path) as reader:
        return reader.read(HEAD)


def _split_by_name(name: str) -> NamedPart | None:
    if _TRAIN_NAME.search(name):
        return "train"
    if _TEST_NAME.search(name):
        return "test"
    return "validation" if _VALIDATION_NAME.search(name) else None


def has_pair(files: Sequence[Candidate]) -> bool:
    """Return whether images and labels of one part are among IDX files."""
    roles: defaultdict[tuple[NamedPart | None, str], set[str]] = defaultdict(set)
    for file in files:
        roles[file.split, file.group].add(file.role)
    return any(len(found) == len(ROLES) for found in roles.values())
