"""What an importable source is: recognised by its content, and said in a sentence with the command that imports it."""

from __future__ import annotations

import contextlib
import zipfile
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Final

from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from components.ingest import data_files, discovery, pair_names
from components.ingest.kinds import HEAD, foreign_kind
from components.ingest.payload import PayloadReader
from pipeline.datasets import next_commands
from pipeline.datasets.imports import pictures, tables

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from components.ingest.data_files import DataFiles

PICTURES, ARRAYS, ARFF, PARQUET, ZIP = "pictures", "npz", "arff", "parquet", "zip"
NAMES: Final = {
    ARRAYS: "NumPy arrays",
    PARQUET: "a Parquet table",
    ARFF: "an ARFF table",
    ZIP: "a zip archive",
    tables.SVMLIGHT: "a table in svmlight's form",
    tables.PIXEL_STRINGS: "a table with all pixels of a row in one column",
    tables.COLOURS: "a table of pixels in three colours",
}

SIZE: Final = (28, 28)
"""Of the images that are made where pictures have different sizes: MNIST's."""

_COUNTED: Final = 100_000
_DIFFERENT: Final = 50  # pictures whose sizes are looked at


@dataclass(frozen=True, kw_only=True)
class Source:
    """Something that `data import` makes data files of.

    Attributes:
      kind: `pictures`, `npz`, `arff`, `parquet`, `zip`, or that of a table.
      path: as it was named.
      files: of arrays, tables or the archive; none of pictures.
      says: what it is, in words.
      needs_size: whether pictures of different sizes lie in it.
    """

    kind: str
    path: Path
    files: tuple[Path, ...]
    says: str
    needs_size: bool = False

    @property
    def to(self) -> Path:
        """The folder that its data files may go to."""
        return Path(f"{next_commands.recipe_name(self.path)}-idx")

    @property
    def command(self) -> str:
        """The command that imports it."""
        size = f" --fit {SIZE[0]}x{SIZE[1]}" if self.needs_size else ""
        return f"mnist-tfx data import {next_commands.shown(self.path)} --to {self.to}{size}"


def recognise(path: Path) -> Source | None:
    """Return what a file or folder is that can be imported; None for anything else.

    Data files in a folder are for `components.ingest.discovery` to find: who has any, does not ask.
    """
    if path.is_file():
        kind = _kind(path)
        return None if kind is None else _of_file(kind, path, path)
    kinds = {file: _kind(file) for file in _plain(path)}
    files = {kind: [file for file, is_kind in kinds.items() if is_kind == kind] for kind in NAMES}
    if files[ARRAYS]:
        listed = ", ".join(file.name for file in files[ARRAYS][:5])
        return Source(kind=ARRAYS, path=path, files=tuple(files[ARRAYS]), says=f"it holds NumPy arrays: {listed}")
    if files[PARQUET]:
        listed = ", ".join(file.name for file in files[PARQUET][:5])
        return Source(kind=PARQUET, path=path, files=tuple(files[PARQUET]), says=f"it holds Parquet tables: {listed}")
    if svmlight := files[tables.SVMLIGHT]:
        listed = ", ".join(file.name for file in svmlight[:5])
        says = f"it holds tables in svmlight's form: {listed}"
        return Source(kind=tables.SVMLIGHT, path=path, files=tuple(svmlight), says=says)
    for kind in (ARFF, ZIP):
        if len(files[kind]) == 1:
            return _of_file(kind, files[kind][0], path)
    return tables_of(path) or one_table(path) or _pictures(path) or _further_down(path)


def _of_file(kind: str, file: Path, path: Path) -> Source:
    """Return the source that one file is, named itself or by its folder."""
    says = f"{file.name} is {NAMES[kind]}" if file == path else f"it holds {file.name}, {NAMES[kind]}"
    return Source(kind=kind, path=path, files=(file,), says=says, needs_size=kind == ZIP and _differ_within(file))


def _further_down(path: Path) -> Source | None:
    """Return what lies in the one folder of a folder: data sets of the Hugging Face hub have their tables in `data`."""
    folders = [one for one in path.iterdir() if one.is_dir() and not one.name.startswith(".")]
    return recognise(folders[0]) if len(folders) == 1 and not folders[0].is_symlink() else None


def tables_of(path: Path) -> Source | None:
    """Return files of pixels beside files of their labels; None where a folder does not hold such pairs."""
    found = pair_names.pairs_among(_plain(path)) if path.is_dir() else ()
    files = tuple(file for one in found if one.labels is not None for file in (one.images, one.labels))
    if not files:
        return None
    listed = ", ".join(file.name for file in files[:5])
    return Source(
        kind=ARRAYS, path=path, files=files, says=f"it holds pixels and labels in files of their own: {listed}"
    )


def one_table(path: Path) -> Source | None:
    """Return the one CSV file of a folder whose columns are not a label and grey pixels; None where it has no such file."""
    found = [file for file in _plain(path) if pair_names.is_table(file)] if path.is_dir() else []
    kind = _kind(found[0]) if len(found) == 1 else None
    return _of_file(kind, found[0], path) if kind in (tables.PIXEL_STRINGS, tables.COLOURS) else None


def _pictures(path: Path) -> Source | None:
    found = list(islice(pictures.below(path), _COUNTED))
    if not found:
        return None
    count = f"{len(found)}" if len(found) < _COUNTED else f"{_COUNTED} and more"
    folders = len({file.parent for file in found})
    says = f"it holds {count} pictures in {folders} folder{'' if folders == 1 else 's'}"
    return Source(kind=PICTURES, path=path, files=(), says=says, needs_size=_differ(found))


def _differ_within(archive: Path) -> bool:
    """Return whether pictures in a zip archive have different sizes, as `_differ` does."""
    from PIL import Image

    sizes = set()
    # What is wrong with an archive, or a picture in it, the import says.
    with contextlib.suppress(Exception), zipfile.ZipFile(archive) as opened:
        names = [name for name in opened.namelist() if pictures.is_picture(name)]
        for name in names[:: max(1, len(names) // _DIFFERENT)]:
            with contextlib.suppress(Exception), opened.open(name) as file, Image.open(file) as image:
                sizes.add(image.size)
    return len(sizes) > 1


def _differ(found: Sequence[Path]) -> bool:
    """Return whether some of the pictures have different sizes; headers are read, and of many pictures a few."""
    from PIL import Image

    sizes = set()
    for path in found[:: max(1, len(found) // _DIFFERENT)]:
        # Pillow raises nearly anything on a damaged file; the import says what is wrong with it.
        with contextlib.suppress(Exception), Image.open(path) as image:
            sizes.add(image.size)
    return len(sizes) > 1


def _plain(folder: Path) -> Iterator[Path]:
    """Yield the files in a folder whose first bytes have to say what they are: of 100,000 pictures, none."""
    try:
        named = (file for file in folder.iterdir() if file.suffix.lower() not in pictures.SUFFIXES)
        return iter(sorted(file for file in named if file.is_file() and not file.name.startswith(".")))
    except OSError as err:
        raise EnvironmentProblem("folder cannot be read", where=folder, got=err.strerror) from err


def _kind(path: Path) -> str | None:
    try:
        with PayloadReader(path) as reader:
            head = reader.read(HEAD)
    except MnistTfxError:
        return None
    what = foreign_kind(head) or ""
    if "ARFF" in what or (head.lstrip().startswith(b"%") and path.name.lower().endswith((".arff", ".arff.gz"))):
        return ARFF
    if "Parquet" in what:
        return PARQUET
    if "NumPy" in what or (head.startswith(b"PK\x03\x04") and _is_npz(path)):
        return ARRAYS
    if head.startswith(b"PK\x03\x04"):
        return ZIP
    kind = None if what else tables.kind_of(head)
    return tables.COLOURS if kind is None and pair_names.is_table(path) and tables.colours_in(path) else kind


def _is_npz(path: Path) -> bool:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def discover(paths: Sequence[Path], *, form: str | None = None) -> DataFiles:
    """Find data files as `components.ingest.discovery` does, and say what else there is instead of them.

    Raises:
      BadInput: if there are none, with the command that makes some where that is possible.
      EnvironmentProblem: if a folder cannot be read.
    """
    try:
        files = discovery.discover(paths, form=form)
    except BadInput as err:
        source = instead_of(err, paths[0]) if len(paths) == 1 else None
        if source is None:
            raise
        raise import_first(source) from err
    first = files.parts[0].files[0]
    if files.form == "csv" and _kind(first) == tables.PIXEL_STRINGS:
        raise import_first(_of_file(tables.PIXEL_STRINGS, first, first))
    return files


def instead_of(err: BadInput, path: Path) -> Source | None:
    """Return what can be imported where data files were looked for; None where some are there, and are wrong."""
    return recognise(path) if path.is_file() or err.what == data_files.NONE_FOUND else one_table(path)


def import_first(source: Source) -> BadInput:
    """Return the refusal that says what a source is, and names the command that makes data files of it."""
    return BadInput(f"no data files yet: {source.says}", where=source.path, commands=(source.command,))
