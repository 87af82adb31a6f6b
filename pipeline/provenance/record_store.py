"""The store of records: a folder of immutable files of canonical JSON, each named by the SHA-256 of its own bytes."""

from __future__ import annotations

import contextlib
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from components import disk
from components.digest import sha256_bytes
from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from components.files import replacing
from components.untrusted import MIB, read_bytes
from pipeline.provenance.records import Record, from_bytes, to_bytes

LARGEST: Final = 64 * MIB
"""Bytes of a record; a thousand would be unusual, were it not for the manifest of every file that was made."""

_HASH: Final = re.compile(r"[0-9a-f]{64}")
NEW: Final = ".new-"
"""Prefix of a record that is still being written; a crash can leave one behind, and nothing reads it."""


class RecordMissing(EnvironmentProblem, KeyError):
    """No record goes by this hash."""


class RecordChanged(EnvironmentProblem):
    """A record's bytes are not those that its name promises."""


class Records(Mapping[str, Record]):
    """The records of a folder by hash: read, checked and kept on first use."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._read: dict[str, Record] = {}

    def __getitem__(self, key: str) -> Record:
        if key not in self._read:
            self._read[key] = read(self.folder, key)
        return self._read[key]

    def __contains__(self, key: object) -> bool:
        return isinstance(key, str) and bool(_HASH.fullmatch(key)) and file_of(self.folder, key).is_file()

    def __iter__(self) -> Iterator[str]:
        names = sorted(os.listdir(self.folder)) if self.folder.is_dir() else []
        stems = (name.removesuffix(".json") for name in names if name.endswith(".json"))
        return (stem for stem in stems if _HASH.fullmatch(stem))

    def __len__(self) -> int:
        return sum(1 for _ in self)


def scan(folder: Path) -> Records:
    """Return the records of `folder`, which need not exist; none is read yet."""
    return Records(folder)


def read(folder: Path, hash_: str) -> Record:
    """Return the record that goes by the hash `hash_`.

    Raises:
      EnvironmentProblem: as `read_record_bytes`, and if it is of another release.
    """
    data = read_record_bytes(folder, hash_)
    try:
        return from_bytes(data)
    except MnistTfxError as err:
        raise EnvironmentProblem(err.what, where=file_of(folder, hash_), wanted=err.wanted, got=err.got) from err


def read_record_bytes(folder: Path, hash_: str) -> bytes:
    """Return the bytes of the record that goes by the hash `hash_`: those of which it is the hash.

    Raises:
      BadInput: if `hash_` is no hash.
      RecordMissing: if there is no such file.
      RecordChanged: if its bytes have another hash.
      EnvironmentProblem: if it cannot be read.
    """
    if not _HASH.fullmatch(hash_):
        raise BadInput("not a record's hash", where=folder, wanted="64 hex digits", got=hash_[:80])
    path = file_of(folder, hash_)
    try:
        data = read_bytes(path, limit=LARGEST, error=EnvironmentProblem)
    except EnvironmentProblem as err:
        if not os.path.lexists(path):
            raise RecordMissing("record is missing", where=folder, wanted=path.name) from err
        raise EnvironmentProblem("cannot read the record", where=path, wanted=err.wanted, got=err.got) from err
    if (got := sha256_bytes(data)) != hash_:
        raise RecordChanged("record was changed", where=path, wanted=f"SHA-256 {hash_}", got=got)
    return data


def write(folder: Path, record: Record) -> str:
    """Write a record and return its hash; nothing is ever replaced, and the file is on disk when this returns.

    Raises:
      RecordChanged: if another file already goes by its hash.
      EnvironmentProblem: if the folder cannot be written.
      ValueError: if the record holds a NaN.
    """
    data = to_bytes(record)
    hash_ = sha256_bytes(data)
    path = file_of(folder, hash_)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _publish(path, data)
        if path.read_bytes() != data:
            raise RecordChanged("record was changed", where=path, wanted=f"SHA-256 {hash_}")
    except OSError as err:
        raise disk.problem(err, "cannot write the record", where=path, need=len(data)) from err
    return hash_


def file_of(folder: Path, hash_: str) -> Path:
    """Return the path of the record that goes by the hash `hash_`."""
    return folder / f"{hash_}.json"


def _publish(path: Path, data: bytes) -> None:
    part = path.with_name(f"{NEW}{uuid.uuid4().hex}")
    # A link is refused where the name is taken; a rename would replace what is there.
    with contextlib.suppress(FileExistsError), replacing(path, part=part, place=os.link) as file:
        file.write(data)
