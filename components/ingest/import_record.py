"""Import records: from which pictures or arrays each row of imported IDX files was made.

`mnist-tfx data import` writes one as `import.json` beside its files. It is believed only as far as the digests of those
files go; what it says of the sources is what the import saw. Ingest keeps it with the copies of the data, under a name that
holds its own digest, and names that digest in the execution properties.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import NotRequired, TypedDict

from components.digest import canonical_json, sha256_bytes
from components.errors import BadInput, MnistTfxError
from components.ingest.payload import payload_digest
from components.shapes import Shape
from components.untrusted import MIB, parse_object, read_bytes

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence
    from pathlib import Path

FILE: Final = "import.json"
PROPERTY: Final = "import_record"
"""Execution property of ExampleGen with the SHA-256 of the record that came with the data; absent where none did."""

KEPT: Final = re.compile(r"import-[0-9a-f]{64}\.json")
"""Name of a record beside the copies of the data."""

VERSION: Final = 1
LARGEST: Final = 512 * MIB
"""Bytes of a record; one of a million pictures has 200 MB."""


class SourceFile(TypedDict):
    """A file that was read, or a member of an archive that was."""

    name: str
    sha256: str
    bytes: int
    archive: NotRequired[int]


class WrittenFile(TypedDict):
    """A file that was written."""

    name: str
    rows: int
    sha256: str
    payload_digest: str


class Run(TypedDict):
    """Neighbouring rows of one source: `first` counts the source's own rows from 0, and `member` is an array in it."""

    file: int
    first: int
    rows: int
    member: NotRequired[str]


class Fields(TypedDict):
    """A whole record, as JSON."""

    schema_version: int
    release: str
    source: str
    form: str
    options: dict[str, Any]
    class_names: list[str]
    files: list[SourceFile]
    written: list[WrittenFile]
    rows: dict[str, list[Run]]
    skipped: list[str]


_FIELDS: Final = Shape(Fields)


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where one row came from.

    Attributes:
      split: the part that it was written to.
      row: its number there, from 0.
      file: the source file, or the member of an archive.
      member: the array in it, where it has several.
      first: the row's number in that.
    """

    split: str
    row: int
    file: SourceFile
    member: str | None
    first: int


@dataclass(frozen=True, kw_only=True)
class ImportRecord:
    """What one import did.

    Attributes:
      fields: as JSON.
      digest: SHA-256 of the file.
    """

    fields: Fields
    digest: str

    @property
    def payloads(self) -> frozenset[str]:
        """Payload digests of the files that were written."""
        return frozenset(one["payload_digest"] for one in self.fields["written"])

    def rows_of(self, sha256: str) -> Iterator[Origin]:
        """Yield the rows that were made from a source with this digest, be it a file, an archive or a member of one."""
        files = self.fields["files"]
        same = {n for n, file in enumerate(files) if sha256 in (file["sha256"], _archive(files, file))}
        for split, runs in self.fields["rows"].items():
            start = 0
            for run in runs:
                for number in range(run["rows"] if run["file"] in same else 0):
                    file, member = files[run["file"]], run.get("member")
                    at = run["first"] + number
                    yield Origin(split=split, row=start + number, file=file, member=member, first=at)
                start += run["rows"]

    def origin(self, split: str, row: int) -> Origin:
        """Return where a row of a part came from.

        Raises:
          IndexError: if the part has fewer rows.
        """
        start = 0
        for run in self.fields["rows"][split]:
            if row < start + run["rows"]:
                file, at = self.fields["files"][run["file"]], run["first"] + row - start
                return Origin(split=split, row=row, file=file, member=run.get("member"), first=at)
            start += run["rows"]
        raise IndexError(f"row {row} of {start}")

    def knows(self, sha256: str) -> bool:
        """Return whether a source had this digest."""
        return any(file["sha256"] == sha256 for file in self.fields["files"])


def _archive(files: list[SourceFile], file: SourceFile) -> str | None:
    return files[file["archive"]]["sha256"] if "archive" in file else None


def kept_name(digest: str) -> str:
    """Return the name of a record beside the copies of the data."""
    return f"import-{digest}.json"


def to_bytes(fields: Fields) -> bytes:
    """Return the text of a record: equal imports give equal bytes."""
    return canonical_json(fields)


def read(path: Path, *, error: type[MnistTfxError] = BadInput) -> ImportRecord:
    """Read a record.

    Raises:
      MnistTfxError: of class `error`, if it cannot be read, is none, or contradicts itself.
    """
    data = read_bytes(path, limit=LARGEST, error=error)
    told = parse_object(data, where=path, error=error)
    fields = _FIELDS.read(told, what="not the record of an import", where=path, error=error)
    if fields["schema_version"] != VERSION:
        got = fields["schema_version"]
        raise error("record of an import of another version", where=path, wanted=VERSION, got=got)
    if to_bytes(fields) != data:
        raise error("record of an import that is not as the import wrote it", where=path)
    if (wrong := _contradiction(fields)) is not None:
        raise error("record of an import that contradicts itself", where=path, got=wrong)
    return ImportRecord(fields=fields, digest=sha256_bytes(data))


def _contradiction(fields: Fields) -> str | None:
    known = len(fields["files"])
    for file in fields["files"]:
        if not 0 <= file.get("archive", 0) < known:
            return f"an archive {file.get('archive')} of {known} files"
    for split, runs in fields["rows"].items():
        if any(not 0 <= run["file"] < known or run["first"] < 0 or run["rows"] < 1 for run in runs):
            return f"rows of {split} from a file that it does not name"
        rows = sum(run["rows"] for run in runs)
        written = [one["rows"] for one in fields["written"] if one["name"].startswith(_PREFIXES.get(split, "?"))]
        if not written or any(count != rows for count in written):
            return f"{rows} rows of {split}, and files of {written}"
    return None


_PREFIXES: Final[Mapping[str, str]] = {"train": "train-", "test": "t10k-"}
NAMES: Final[Mapping[str, tuple[str, str]]] = {
    split: (f"{prefix}images-idx3-ubyte.gz", f"{prefix}labels-idx1-ubyte.gz") for split, prefix in _PREFIXES.items()
}
"""{split: names of the images file and of the labels file}: those of MNIST."""


def beside(path: Path, payloads: Collection[str]) -> tuple[ImportRecord | None, str | None]:
    """Return the record in a file if it is that of the data files, and else why it is not believed.

    Args:
      path: beside the data files; it need not be there.
      payloads: digests of all that is read.
    """
    if not path.is_file():
        return None, None
    try:
        found = read(path)
    except MnistTfxError as err:
        return None, f"{err}: not believed, so the lineage ends at the data files"
    if found.payloads != frozenset(payloads):
        return None, f"{path}: tells of other files than those beside it: not believed, so the lineage ends at these"
    return found, None


def doubt(files: Sequence[Path]) -> str | None:
    """Return why the record beside data files is not believed; None where it is, or where there is none."""
    folders = {file.parent for file in files}
    path = next(iter(folders)) / FILE
    if len(folders) != 1 or not path.is_file():
        return None
    return beside(path, [payload_digest(file).payload for file in files])[1]
