"""Origins of data files that were copied out of an object store: address, version, and which bytes were received.

`origin.json` says it, in the folder of an address, where the copies lie as `components.ingest.copy_paths` has it.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from typing_extensions import TypedDict

from components.errors import BadInput, EnvironmentProblem
from components.ingest.copy_paths import COPY
from components.shapes import Shape
from components.untrusted import read_object

FILE: Final = "origin.json"
VERSION: Final = 1

LARGEST: Final = 1 << 30
"""Bytes; a million objects take some 400 MB."""


class Kept(TypedDict):
    """One object, as it was received.

    `path` is the copy's, below the folder of the address. `version` is a version id of S3 or a generation of Google's;
    empty where the store has none, and so is `etag` on HDFS. `modified` is what the store says, and no more than that.
    """

    path: str
    address: str
    etag: str
    version: str
    modified: str
    bytes: int
    sha256: str


class Fields(TypedDict):
    """`origin.json`: what lay at an address, in the order of the paths."""

    schema_version: int
    address: str
    endpoint: str
    objects: list[Kept]


FIELDS: Final = Shape(Fields)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where one copy came from.

    Attributes:
      endpoint: the server that was asked.
      kept: the object.
    """

    endpoint: str
    kept: Kept

    @property
    def address(self) -> str:
        """The object's address, with its version where there is one; never anything secret."""
        address, version = self.kept["address"], self.kept["version"]
        # As the tools of either store write it.
        mark = "#" if address.startswith("gs://") else "?versionId="
        return f"{address}{mark}{version}" if version else address


def origin_of(path: str | os.PathLike[str]) -> Origin | None:
    """Return the origin of a copy; None for any other file, and where nothing is known of it.

    Raises:
      EnvironmentProblem: if `origin.json` is there and damaged.
    """
    text = os.fspath(path)
    match = COPY.match(text)
    place = None if match is None else Path(match["folder"]) / FILE
    if match is None or place is None or not place.is_file():
        return None
    known = _known(place, place.stat().st_mtime_ns)
    kept = known[1].get(text[len(match["folder"]) + 1 :])
    return None if kept is None else Origin(endpoint=known[0], kept=kept)


def noted(path: Path, sha256: str) -> dict[str, str]:
    """Return how `sources.json` notes where a file came from: its path, or the address, version and ETag of the object.

    Args:
      path: absolute.
      sha256: of the file.

    Raises:
      BadInput: if the copy is not what was received.
    """
    origin = origin_of(path)
    if origin is None:
        return {"path": str(path)}
    if sha256 != origin.kept["sha256"]:
        hint = f"remove {_folder(path)}: the data is fetched again"
        got = f"SHA-256 {sha256}"
        raise BadInput("a copy is not what was fetched", where=path, wanted=origin.kept["sha256"], got=got, hint=hint)
    kept = origin.kept
    told = {"etag": kept["etag"], "version": kept["version"], "modified": kept["modified"], "endpoint": origin.endpoint}
    return {"path": kept["address"], **{name: value for name, value in told.items() if value}}


def _folder(path: Path) -> str:
    match = COPY.match(str(path))
    return "" if match is None else match["folder"]


def read(place: Path) -> Fields:
    """Read an `origin.json`.

    Raises:
      EnvironmentProblem: if it is damaged, or of another version.
    """
    hint = f"remove {place.parent}: the data is fetched again"
    told = read_object(place, limit=LARGEST, error=EnvironmentProblem)
    fields = FIELDS.read(told, what="not a list of what was fetched", where=place, error=EnvironmentProblem)
    if fields["schema_version"] != VERSION:
        got = fields["schema_version"]
        raise EnvironmentProblem("of another version", where=place, wanted=VERSION, got=got, hint=hint)
    return fields


@functools.lru_cache(maxsize=4)
def _known(place: Path, _written: int) -> tuple[str, dict[str, Kept]]:
    """Return endpoint and objects by path; the time of writing makes another file of it."""
    fields = read(place)
    return fields["endpoint"], {one["path"]: one for one in fields["objects"]}
