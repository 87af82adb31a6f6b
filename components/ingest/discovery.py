"""Discovery of data files: which ones are the train part, which the test part, and which are left aside.

A folder is read by the names in it: IDX files win over CSV files as soon as two of them are a pair. Files given one by one go by the
same names, and where a name says nothing, IDX goes by its magic. Nothing here reads more than a header.
"""

from __future__ import annotations

import math
import os
import re
import stat
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from components.ingest import csv_layout, idx, import_record
from components.ingest.kinds import HEAD, foreign_kind, idx_kind
from components.ingest.payload import PayloadReader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from pathlib import Path

    from components.ingest.spans import Span

NONE_FOUND: Final = "no data files found"

Form = Literal["idx", "csv"]
PartName = Literal["train", "test"]

_IDX_NAME: Final = re.compile(
    r"(?P<set>.*?)(?P<split>train|t10k|test)[-._](?P<role>images|labels)[-._]idx[1-9][-._][a-z0-9]+(\.gz)?",
    re.IGNORECASE | re.DOTALL,
)
# train_images, t10k-labels.idx1, train-images.idx3-ubyte.bin: where the content says that it is IDX.
_LOOSE_IDX_NAME: Final = re.compile(
    r"(?P<set>.*?)(?P<split>train|t10k|test)[-._]?(?P<role>images|labels)([-._][a-z0-9._-]*)?",
    re.IGNORECASE | re.DOTALL,
)
_CSV_NAME: Final = re.compile(r".*\.(csv|tsv|tra|tes|data)(\.gz)?", re.IGNORECASE | re.DOTALL)
_TRAIN_NAME: Final = re.compile(r"train|\.tra(\.gz)?$", re.IGNORECASE)
_TEST_NAME: Final = re.compile(r"test|^t10k|\.tes(\.gz)?$", re.IGNORECASE)
_ROLES: Final = {"images": idx.IMAGES, "labels": idx.LABELS}
_FEWEST_COLUMNS: Final = 17  # a label and the smallest image that anybody would have, 4x4
_LOOKED_AT: Final = 5  # files of a folder without data that are opened to say what they are


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file, or pair of files, that is parsed in one go.

    Attributes:
      split: "train", or "test" for an official test part.
      files: (images, labels) of IDX, or the one CSV file.
      span: the span that it is part of, where the data was named by a pattern.
    """

    split: PartName
    files: tuple[Path, ...]
    span: Span | None = None


@dataclass(frozen=True, kw_only=True)
class DataFiles:
    """The data that a run reads.

    Attributes:
      form: "idx" or "csv".
      parts: train before test; a split has several parts where several were given by name.
      ignored: files in the folder that are not read, in the order of their names.
      why: {one of these that looks like data: why it is not read}.
      says: what was recognised about them, a sentence to each; see `components.ingest.recognition`.
    """

    form: Form
    parts: tuple[Part, ...]
    ignored: tuple[Path, ...] = ()
    why: Mapping[Path, str] = field(default_factory=dict)
    says: tuple[str, ...] = ()

    @property
    def spans(self) -> tuple[Span, ...]:
        """The spans that the parts come from, oldest first."""
        found = {part.span.number: part.span for part in self.parts if part.span is not None}
        return tuple(span for _, span in sorted(found.items()))


@dataclass(frozen=True, kw_only=True)
class _Candidate:
    """A file by what its name, or failing that its magic, says.

    Attributes:
      path: the file.
      form: what it is.
      split: the part that its name puts it into, None where the name does not say.
      role: "images" or "labels" of an IDX file, "rows" of a CSV.
      group: what the names of an IDX pair have in common.
    """

    path: Path
    form: Form
    split: PartName | None
    role: str
    group: str = ""


def discover(paths: Sequence[Path], *, form: str | None = None) -> DataFiles:
    """Find the parts of the data.

    Args:
      paths: one folder, or files.
      form: "idx" or "csv" to leave the other kind aside; None takes what is there, IDX first.

    Raises:
      BadInput: when something is missing or the parts cannot be told from the names.
      EnvironmentProblem: when a folder cannot be read.
    """
    if form not in (None, "idx", "csv"):
        raise BadInput("unknown data form", wanted="idx or csv", got=repr(form))
    folders = [path for path in paths if stat.S_ISDIR(_mode(path))]
    if not folders:
        return _given(paths, form)
    if len(paths) > 1:
        raise BadInput(
            "give one folder, or files", where=folders[0], got=f"{len(paths)} paths with a folder among them"
        )
    return _in_folder(folders[0], form)


def discover_spans(spans: Sequence[Span], *, form: str | None = None) -> DataFiles:
    """Find the parts of several spans, and make one data set of them: their parts, oldest span first.

    Args:
      spans: at least one, oldest first.
      form: as for `discover`.

    Raises:
      BadInput: when a span is empty or incomplete, or of another form or geometry than the newest.
      EnvironmentProblem: when a folder cannot be read.
    """
    found = [(span, discover([span.folder], form=form)) for span in spans]
    last, newest = found[-1]
    wanted = _kind(newest)
    for span, files in found[:-1]:
        if (got := _kind(files)) != wanted:
            what = f"{span.name} is of another kind than {last.name}"
            raise BadInput(what, where=span.folder, wanted=wanted, got=got, hint="take fewer --spans")
    parts = [replace(part, span=span) for span, files in found for part in files.parts]
    return DataFiles(
        form=newest.form,
        parts=tuple(sorted(parts, key=lambda part: part.split == "test")),
        ignored=tuple(path for _, files in found for path in files.ignored),
        why={path: reason for _, files in found for path, reason in files.why.items()},
    )


def _kind(files: DataFiles) -> str:
    if files.form == "csv":
        return f"CSV with {csv_layout.sniff(files.parts[0].files[0]).columns} columns"
    return "IDX of {}x{} images".format(*(geometry(files) or ()))


def geometry(files: DataFiles) -> tuple[int, int] | None:
    """Return height and width of the images: read from an IDX header, but only guessed for CSV (see `square_guess`).

    Raises:
      BadInput: when the first file cannot be read.
    """
    first = files.parts[0].files[0]
    if files.form == "csv":
        return square_guess(csv_layout.sniff(first).columns)
    _, height, width = idx.read_header(first, dimensions=idx.IMAGES).shape
    return height, width


def square_guess(columns: int) -> tuple[int, int] | None:
    """Guess that a CSV row of so many fields is a label and a square image; None where no square fits."""
    side = math.isqrt(columns - 1)
    return (side, side) if side and side * side == columns - 1 else None


def _given(paths: Sequence[Path], form: str | None) -> DataFiles:
    if not paths:
        raise BadInput("no data files given", hint="name a folder or files with --data")
    for path in paths:
        _require_usable(path)
    _require_distinct(paths)
    files = [_by_name(path) or _by_content(path) for path in paths]
    forms = {file.form for file in files}
    if len(forms) > 1 or form not in (None, *forms):
        raise BadInput(
            "files are of another form",
            where=", ".join(map(str, paths)),
            wanted=form or "all IDX or all CSV",
            got=" and ".join(sorted(forms)),
        )
    if "csv" in forms:
        return DataFiles(form="csv", parts=_csv_parts(files))
    splits = [file.split or "train" for file in files]
    # Two files given for a split belong together, whatever their names.
    files = [replace(file, group="") if splits.count(file.split or "train") == 2 else file for file in files]
    return DataFiles(form="idx", parts=_idx_parts(files, where=paths[0].parent))


def _require_distinct(paths: Sequence[Path]) -> None:
    known: set[tuple[int, int]] = set()
    for path in paths:
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in known:
            raise BadInput("is given twice", where=path, hint="name each file once with --data")
        known.add((status.st_dev, status.st_ino))


def _in_folder(folder: Path, form: str | None) -> DataFiles:
    listing = _listing(folder)
    named = [file for path in listing if (file := _by_name(path)) and file.form == (form or file.form)]
    if not named and form != "csv":  # beside files of the usual names, these may be copies
        named = [file for path in listing if (file := _by_loose_name(path))]
    files = _raw_before_gzip(named)
    parts, why = _folder_parts(folder, files)
    taken = {path for part in parts for path in part.files}
    for path in taken:
        _require_usable(path)
    found: Form = "idx" if len(parts[0].files) > 1 else "csv"
    return DataFiles(form=found, parts=parts, ignored=_ignored(listing, taken), why=why)


def _ignored(listing: Sequence[Path], taken: Collection[Path]) -> tuple[Path, ...]:
    """Return what is left aside; the record of an import is no data, and is read with it."""
    return tuple(path for path in listing if path not in taken and path.name != import_record.FILE)


def _listing(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return sorted(folder / one.name for one in entries if not one.name.startswith(".") and not _is_folder(one))
    except OSError as err:
        raise EnvironmentProblem("folder cannot be read", where=folder, got=err.strerror) from err


def _is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder; that is known from its folder's listing, and of 100,000 files none is asked."""
    try:
        return entry.is_dir()
    except OSError:  # links in a loop
        return False


def _raw_before_gzip(files: Iterable[_Candidate]) -> list[_Candidate]:
    """Leave aside `x.gz` where `x` lies beside it, as after `gunzip --keep`."""
    files = list(files)
    raw = {file.path.name for file in files}
    return [file for file in files if not file.path.name.endswith(".gz") or file.path.name[:-3] not in raw]


def _folder_parts(folder: Path, files: Sequence[_Candidate]) -> tuple[tuple[Part, ...], dict[Path, str]]:
    csv_files = [file for file in files if file.form == "csv"]
    idx_files = [file for file in files if file.form == "idx"]
    if not files:
        raise BadInput(
            NONE_FOUND,
            where=folder,
            wanted="train-images-idx3-ubyte and train-labels-idx1-ubyte, or .csv, .tsv, .data or .tra files (or .gz)",
            got=_content(folder),
            hint=_way_out(folder),
        )
    # With one pair there, a second set or an orphan is a mistake to name, not a reason to take the CSVs instead.
    if idx_files and (_has_pair(idx_files) or not csv_files):
        return _one_of_each(folder, _idx_parts(idx_files, where=folder)), {}
    csv_files, why = _with_labels(csv_files)
    if len(csv_files) > 1 and any(file.split is None for file in csv_files):
        raise BadInput(
            "cannot tell which CSV file is train and which is test",
            where=folder,
            wanted="names with train or test in them, or .tra and .tes",
            got=", ".join(file.path.name for file in csv_files),
            hint="give the files one by one with --data",
        )
    return _one_of_each(folder, _csv_parts(csv_files)), why


def _with_labels(files: Sequence[_Candidate]) -> tuple[list[_Candidate], dict[Path, str]]:
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
    if layout.columns < _FEWEST_COLUMNS <= wanted.columns:
        shown = f": {', '.join(header)}" if header else ""
        return f"it has no images, but {layout.columns} column{'s' if layout.columns > 1 else ''}{shown}"
    return None


def _content(folder: Path) -> str:
    """Say what a folder holds that has no data files: the first few files, and what those are whose bytes say so."""
    listing = _listing(folder)
    if not listing:
        folders = sorted(path.name for path in folder.iterdir() if path.is_dir())
        shown = ", ".join(folders[:_LOOKED_AT]) + (", ..." if len(folders) > _LOOKED_AT else "")
        return f"folders alone: {shown}" if folders else "no file at all"
    more = f", and {len(listing) - _LOOKED_AT} more" if len(listing) > _LOOKED_AT else ""
    return ", ".join(_named(path) for path in listing[:_LOOKED_AT]) + more


def _way_out(folder: Path) -> str | None:
    """Return what to do where data files may lie under other names, or further down; None where none can."""
    listing = _listing(folder)
    if any(_foreign(path) is None for path in listing[:_LOOKED_AT]):
        return "give data files of other names one by one with --data"
    further = not listing and any(folder.iterdir())
    return "give the folder that the files lie in, or the files one by one, with --data" if further else None


def _named(path: Path) -> str:
    kind = _foreign(path)
    return path.name if kind is None else f"{path.name} ({kind})"


def _foreign(path: Path) -> str | None:
    try:
        return foreign_kind(_head(path))
    except MnistTfxError:
        return None


def _has_pair(files: Sequence[_Candidate]) -> bool:
    roles: defaultdict[tuple[PartName | None, str], set[str]] = defaultdict(set)
    for file in files:
        roles[file.split, file.group].add(file.role)
    return any(len(found) == len(_ROLES) for found in roles.values())


def _one_of_each(folder: Path, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    for split in ("train", "test"):
        files = [part.files[0].name for part in parts if part.split == split]
        if len(files) > 1:
            raise BadInput(
                f"more than one {split} part",
                where=folder,
                got=", ".join(files),
                hint="give the files one by one with --data",
            )
    return parts


def _csv_parts(files: Sequence[_Candidate]) -> tuple[Part, ...]:
    """Make each file a part; what no name calls test is train, and so is a single file whatever its name."""
    splits: list[PartName] = ["train" if len(files) == 1 else file.split or "train" for file in files]
    parts = [Part(split=split, files=(file.path,)) for split, file in zip(splits, files, strict=True)]
    return _train_first(parts, where=files[0].path.parent)


def _idx_parts(files: Sequence[_Candidate], *, where: Path) -> tuple[Part, ...]:
    """Pairs images with the labels of the same split and the same rest of the name."""
    pairs: defaultdict[tuple[PartName, str], dict[str, Path]] = defaultdict(dict)
    for file in files:
        split = file.split or "train"
        pair = pairs[split, file.group]
        if file.role in pair:
            got = f"{pair[file.role].name} and {file.path.name}"
            raise BadInput(f"two files of {split} {file.role}", where=where, got=got, hint="give --data the right ones")
        pair[file.role] = file.path
    for (split, _), pair in pairs.items():
        if missing := [role for role in _ROLES if role not in pair]:
            raise BadInput(
                f"{split} {missing[0]} are missing",
                where=where,
                wanted=f"an IDX file of {missing[0]} to go with {next(iter(pair.values())).name}",
            )
    parts = [Part(split=split, files=(pair["images"], pair["labels"])) for (split, _), pair in pairs.items()]
    return _train_first(parts, where=where)


def _train_first(parts: Sequence[Part], *, where: Path) -> tuple[Part, ...]:
    if all(part.split == "test" for part in parts):
        raise BadInput("no train part", where=where, got="test files alone")
    return tuple(sorted(parts, key=lambda part: part.split == "test"))


def _by_name(path: Path) -> _Candidate | None:
    if match := _IDX_NAME.fullmatch(path.name):
        return _named_idx(path, match)
    if _CSV_NAME.fullmatch(path.name):
        return _Candidate(path=path, form="csv", split=_split_by_name(path.name), role="rows")
    return None


def _by_loose_name(path: Path) -> _Candidate | None:
    match = _LOOSE_IDX_NAME.fullmatch(path.name)
    return _named_idx(path, match) if match and _is_idx(path) else None


def _named_idx(path: Path, match: re.Match[str]) -> _Candidate:
    split: PartName = "train" if match["split"].lower() == "train" else "test"
    return _Candidate(path=path, form="idx", split=split, role=match["role"].lower(), group=match["set"])


def _is_idx(path: Path) -> bool:
    try:
        return idx_kind(_head(path)) is not None
    except MnistTfxError:
        return False


def _by_content(path: Path) -> _Candidate:
    head = _head(path)
    if (kind := foreign_kind(head)) is not None:
        raise BadInput("is no data file", where=path, wanted="IDX or CSV, raw or gzip", got=kind)
    split = _split_by_name(path.name)
    if not head.startswith(b"\0\0"):
        return _Candidate(path=path, form="csv", split=split, role="rows")
    # A wrong type or number of dimensions is for the IDX reader to explain.
    role = next((role for role, count in _ROLES.items() if head[3:4] == bytes((count,))), None)
    if role is None:  # several columns of labels are no images because of that
        role = "labels" if "label" in path.name.lower() else "images"
    return _Candidate(path=path, form="idx", split=split, role=role)


def _head(path: Path) -> bytes:
    with PayloadReader(path) as reader:
        return reader.read(HEAD)


def _split_by_name(name: str) -> PartName | None:
    if _TRAIN_NAME.search(name):
        return "train"
    return "test" if _TEST_NAME.search(name) else None


def _mode(path: Path) -> int:
    try:
        return os.stat(path).st_mode
    except PermissionError as err:
        raise EnvironmentProblem("cannot be read", where=path, got=err.strerror) from err
    except (OSError, ValueError) as err:
        # A name that is too long, a loop of links or a NUL byte in the name: there is no such file.
        raise BadInput("no such file or folder", where=path, got=getattr(err, "strerror", err)) from err


def _require_usable(path: Path) -> None:
    if not stat.S_ISREG(_mode(path)):
        raise BadInput("is not a regular file", where=path)
    # Names travel into records and reports, as UTF-8 and one to a line.
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in str(path)):
        raise BadInput("file name holds control characters or is not UTF-8", where=path, hint="rename the file")
