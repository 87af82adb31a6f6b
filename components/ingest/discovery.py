"""Discovery of data files: which ones are the train part, which the test part, and which are left aside.

A folder is read by the names in it: IDX files win over other files as soon as two of them are a pair, then pixels and labels
in files of their own, then CSV, then Parquet. A folder without any is what the one folder in it is that has some, or its
folders are the parts. Files given one by one go by the same names, and where a name says nothing, by their first bytes.
Nothing here reads more than a header.
"""

from __future__ import annotations

import os
import re
import shlex
import stat
import unicodedata
from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from components.features import TEST, TRAIN, VALIDATION
from components.ingest import csv_layout, idx, import_record, pairs, part_names
from components.ingest.forms import CSV, IDX, PAIRS, PARQUET, READERS, Form
from components.ingest.kinds import HEAD, foreign_kind, idx_kind
from components.ingest.parquet import MAGIC
from components.ingest.payload import PayloadReader

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from components.ingest.spans import Span

NONE_FOUND: Final = "no data files found"

PartName = Literal["train", "test"]
NamedPart = Literal["train", "test", "validation"]

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
_SHARDS: Final = re.compile(r"-([0-9]+)-of-([0-9]+)\.", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]+", re.ASCII)
_CSV_NAME: Final = re.compile(r".*\.(csv|tsv|tra|tes|data)(\.gz)?", re.IGNORECASE | re.DOTALL)
_TRAIN_NAME: Final = re.compile(r"train|\.tra(\.gz)?$", re.IGNORECASE)
_VALIDATION_NAME: Final = re.compile(r"(?<![a-z])(val|valid|validation|dev)(?![a-z])", re.IGNORECASE)
_TEST_NAME: Final = re.compile(r"test|^t10k|\.tes(\.gz)?$", re.IGNORECASE)
_ROLES: Final = {"images": idx.IMAGES, "labels": idx.LABELS}
_FEWEST_COLUMNS: Final = 17  # a label and the smallest image that anybody would have, 4x4
_DEEPEST: Final = 3  # torchvision puts MNIST/raw below the folder it is given
_MOST_FOLDERS: Final = 50
_COMMANDS: Final = 3
_LOOKED_AT: Final = 5  # files of a folder without data that are opened to say what they are


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file, or pair of files, that is parsed in one go.

    Attributes:
      split: "train", or "test" for an official test part.
      files: images and labels, or the one file with both; `components.ingest.forms` says which.
      span: the span that it is part of, where the data was named by a pattern.
    """

    split: PartName
    files: tuple[Path, ...]
    span: Span | None = None


@dataclass(frozen=True, kw_only=True)
class DataFiles:
    """The data that a run reads.

    Attributes:
      form: of the files.
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
      role: "images" or "labels" of a pair, "rows" of a file with both.
      group: what the names of an IDX pair have in common.
    """

    path: Path
    form: Form
    split: NamedPart | None
    role: str
    group: str = ""


def discover(paths: Sequence[Path], *, form: str | None = None) -> DataFiles:
    """Find the parts of the data.

    Args:
      paths: one folder, or files.
      form: to leave files of other forms aside; None takes what is there, IDX first.

    Raises:
      BadInput: when something is missing or the parts cannot be told from the names.
      EnvironmentProblem: when a folder cannot be read.
    """
    if form not in (None, *READERS):
        raise BadInput("unknown data form", wanted=" or ".join(READERS), got=repr(form))
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
    first = files.parts[0].files
    if files.form == CSV:
        return f"CSV with {csv_layout.sniff(first[0]).columns} columns"
    size = "x".join(map(str, geometry(files) or ()))
    return f"{READERS[files.form].title} of {size} images"


def geometry(files: DataFiles) -> tuple[int, int] | None:
    """Return height and width of the images: as the files say, but only guessed for CSV (see `square_guess`).

    Raises:
      BadInput: when the first file cannot be read.
    """
    return READERS[files.form].shape(files.parts[0].files)


def _given(paths: Sequence[Path], form: str | None) -> DataFiles:
    if not paths:
        raise BadInput("no data files given", hint="name a folder or files with --data")
    for path in paths:
        _require_usable(path)
    _require_distinct(paths)
    files = _pairs_among(paths, form) or [_by_name(path) or _by_content(path) for path in paths]
    forms = {file.form for file in files}
    if len(forms) > 1 or form not in (None, *forms):
        raise BadInput(
            "files are of another form",
            where=", ".join(map(str, paths)),
            wanted=form or "all of one form",
            got=" and ".join(sorted(forms)),
        )
    (found,) = forms
    if len(READERS[found].roles) == 1:
        parts, says = _single_parts(files)
        return DataFiles(form=found, parts=parts, says=says)
    if found == PAIRS:
        parts, says, why = _pair_parts(files, where=paths[0].parent)
        return DataFiles(form=found, parts=parts, says=says, ignored=tuple(why), why=why)
    splits = [file.split or "train" for file in files]
    # Two files given for a split belong together, whatever their names.
    files = [replace(file, group="") if splits.count(file.split or "train") == 2 else file for file in files]
    return DataFiles(form=IDX, parts=_idx_parts(files, where=paths[0].parent))


def _pairs_among(paths: Sequence[Path], form: str | None) -> list[_Candidate]:
    """Return files of pixels and files of labels; none where their names do not say that they are."""
    if form not in (None, PAIRS):
        return []
    return [
        _Candidate(path=path, form=PAIRS, split=_named_part(one.part), role=role, group=one.group)
        for one in pairs.found_among(paths)
        for role, path in (("images", one.images), ("labels", one.labels))
        if path is not None
    ]


def _require_distinct(paths: Sequence[Path]) -> None:
    known: set[tuple[int, int]] = set()
    for path in paths:
        status = os.stat(path)
        if (status.st_dev, status.st_ino) in known:
            raise BadInput("is given twice", where=path, hint="name each file once with --data")
        known.add((status.st_dev, status.st_ino))


def _in_folder(folder: Path, form: str | None, depth: int = 0) -> DataFiles:
    listing = _listing(folder)
    named = [file for path in listing if (file := _by_name(path)) and file.form == (form or file.form)]
    if not _has_pair([file for file in named if file.form == IDX]):
        named = _pairs_among(listing, form) or named
    if not named and form in (None, IDX):  # beside files of the usual names, these may be copies
        named = [file for path in listing if (file := _by_loose_name(path))]
    if not named and depth < _DEEPEST and (below := _further_down(folder, form, depth)) is not None:
        return below
    found = _folder_parts(folder, _raw_before_gzip(named))
    taken = {path for part in found.parts for path in part.files}
    for path in taken:
        _require_usable(path)
    return replace(found, ignored=_ignored(listing, taken))


def _further_down(folder: Path, form: str | None, depth: int) -> DataFiles | None:
    """Return the data files in the one folder of a folder that has any, or in its folders for each part.

    Raises:
      BadInput: if several folders have some, with the commands that look at them.
    """
    found: dict[Path, DataFiles] = {}
    for below in _folders_in(folder)[:_MOST_FOLDERS]:
        try:
            found[below] = _in_folder(below, form, depth + 1)
        except BadInput as err:  # noqa: PERF203  # a folder without data says nothing of the next
            if err.what != NONE_FOUND:
                raise
    found = {below: files for below, files in found.items() if _has_images(files)}
    if not found:
        return None
    if len(found) == 1:
        ((below, files),) = found.items()
        return replace(files, says=(f"read from the folder {below.name} in {folder.name}", *files.says))
    if (together := _parts_by_folder(found)) is not None:
        return together
    raise BadInput(
        "several folders with data files",
        where=folder,
        wanted="one of them",
        got=", ".join(below.name for below in found),
        commands=tuple(f"mnist-tfx data inspect {shlex.quote(str(below))}" for below in list(found)[:_COMMANDS]),
    )


def _folders_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            named = (one for one in entries if not one.name.startswith((".", "__")))
            return sorted(folder / one.name for one in named if one.is_dir(follow_symlinks=False))
    except OSError as err:
        raise EnvironmentProblem("folder cannot be read", where=folder, got=err.strerror) from err


def _has_images(files: DataFiles) -> bool:
    """Return whether files in a folder further down may hold images: lists of names and labels lie beside pictures."""
    if files.form != CSV:
        return True
    try:
        return csv_layout.sniff(files.parts[0].files[0]).columns >= _FEWEST_COLUMNS
    except MnistTfxError:
        return False


def _parts_by_folder(found: Mapping[Path, DataFiles]) -> DataFiles | None:
    """Return the parts where each folder is one by its name, as in `mnist/train/0000.parquet`; None where they are not."""
    named = {below: _named_part(part_names.part_of(below.name)) for below in found}
    forms = {files.form for files in found.values()}
    single = all(part.split == TRAIN for files in found.values() for part in files.parts)
    if None in named.values() or len(set(named.values())) < len(named) or len(forms) > 1 or not single:
        return None
    to, says = part_names.assigned(filter(None, named.values()))
    parts = [
        replace(part, split=_part(to[str(named[below])])) for below, files in found.items() for part in files.parts
    ]
    where = next(iter(found)).parent
    ignored = tuple(path for files in found.values() for path in files.ignored)
    return DataFiles(form=forms.pop(), parts=_train_first(parts, where=where), ignored=ignored, says=says)


def _part(name: str) -> PartName:
    return "test" if name == TEST else "train"


def _named_part(name: str | None) -> NamedPart | None:
    if name == VALIDATION:
        return "validation"
    return None if name is None else _part(name)


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


def _folder_parts(folder: Path, files: Sequence[_Candidate]) -> DataFiles:
    of = {form: [file for file in files if file.form == form] for form in READERS}
    if not files:
        raise BadInput(
            NONE_FOUND,
            where=folder,
            wanted="train-images-idx3-ubyte and train-labels-idx1-ubyte, or .csv, .tsv, .data, .tra or .parquet files",
            got=_content(folder),
            hint=_way_out(folder),
        )
    if of[PAIRS]:
        parts, says, why = _pair_parts(of[PAIRS], where=folder)
        _require_one_of_each(folder, [(one.split or TRAIN, one.path) for one in of[PAIRS] if one.role == "images"])
        return DataFiles(form=PAIRS, parts=parts, says=says, why=why)
    # With one pair there, a second set or an orphan is a mistake to name, not a reason to take the CSVs instead.
    if of[IDX] and (_has_pair(of[IDX]) or not (of[CSV] or of[PARQUET])):
        return DataFiles(form=IDX, parts=_one_of_each(folder, _idx_parts(of[IDX], where=folder)))
    return _of_tables(folder, of[CSV]) if of[CSV] else _of_parquet(folder, of[PARQUET])


def _of_tables(folder: Path, files: Sequence[_Candidate]) -> DataFiles:
    files, why = _with_labels(files)
    if len(files) > 1 and any(file.split is None for file in files):
        raise BadInput(
            "cannot tell which CSV file is train and which is test",
            where=folder,
            wanted="names with train or test in them, or .tra and .tes",
            got=", ".join(file.path.name for file in files),
            hint="give the files one by one with --data",
            commands=tuple(_without_extras(files)),
        )
    _require_one_of_each(folder, [(file.split or TRAIN, file.path) for file in files])
    parts, says = _single_parts(files)
    return DataFiles(form=CSV, parts=parts, why=why, says=says)


def _without_extras(files: Sequence[_Candidate]) -> Iterator[str]:
    """Yield the commands that leave aside, or train on as well, files beside a train part whose names say nothing."""
    named = [file.path for file in files if file.split is not None]
    extras = [file.path for file in files if file.split is None]
    if sum(file.split == TRAIN for file in files) == 1 and len(extras) <= _COMMANDS:
        left = ", ".join(path.name for path in extras)
        yield f"{_run_on(named)} # without {left}"
        yield f"{_run_on([*named, *extras])} # {left} to train on as well"


def _run_on(paths: Sequence[Path]) -> str:
    return " ".join(("mnist-tfx run", *(f"--data {shlex.quote(str(path))}" for path in paths)))


def _of_parquet(folder: Path, files: Sequence[_Candidate]) -> DataFiles:
    """Return the parts of Parquet files: each is one file, or several whose names differ in numbers alone."""
    for split in dict.fromkeys(file.split for file in files):
        shards = [file.path for file in files if file.split == split]
        if len({_DIGITS.sub("0", path.name) for path in shards}) > 1:
            _require_one_of_each(folder, [(split or TRAIN, path) for path in shards])
        _require_all_shards(folder, shards)
    parts, says = _single_parts(files)
    return DataFiles(form=PARQUET, parts=parts, says=says)


def _require_all_shards(folder: Path, shards: Sequence[Path]) -> None:
    """Refuse a part of which a file is missing, where the names say how many there are: `train-00000-of-00002.parquet`."""
    numbered = {int(match[1]): match for path in shards if (match := _SHARDS.search(path.name))}
    total = max((int(match[2]) for match in numbered.values()), default=0)
    missing = next((number for number in range(min(total, len(shards) + 1)) if number not in numbered), None)
    if missing is not None:
        got = ", ".join(path.name for path in shards[:_LOOKED_AT])
        raise BadInput("a shard is missing", where=folder, wanted=f"number {missing} of {total}", got=got)


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
    roles: defaultdict[tuple[NamedPart | None, str], set[str]] = defaultdict(set)
    for file in files:
        roles[file.split, file.group].add(file.role)
    return any(len(found) == len(_ROLES) for found in roles.values())


def _one_of_each(folder: Path, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    _require_one_of_each(folder, [(part.split, part.files[0]) for part in parts])
    return parts


def _require_one_of_each(folder: Path, named: Sequence[tuple[str, Path]]) -> None:
    for split in (TRAIN, TEST, VALIDATION):
        files = [path.name for part, path in named if part == split]
        if len(files) > 1:
            raise BadInput(
                f"more than one {split} part",
                where=folder,
                got=", ".join(files),
                hint="give the files one by one with --data",
            )


def _single_parts(files: Sequence[_Candidate]) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """Make each file a part, and say what was decided; what no name calls test is train.

    So is a single file whatever its name. Rows held out for validation join the training part, or are the test part.
    """
    named = [TRAIN if len(files) == 1 else str(file.split or TRAIN) for file in files]
    to, says = part_names.assigned(named)
    parts = [Part(split=_part(to[name]), files=(file.path,)) for name, file in zip(named, files, strict=True)]
    return _train_first(parts, where=files[0].path.parent), says


def _pair_parts(
    files: Sequence[_Candidate], *, where: Path
) -> tuple[tuple[Part, ...], tuple[str, ...], dict[Path, str]]:
    """Pair pixels with the labels of the same part; pixels without labels are left aside, and why."""
    named: defaultdict[tuple[str, str], dict[str, Path]] = defaultdict(dict)
    for file in files:
        named[file.split or TRAIN, file.group][file.role] = file.path
    why = {
        part["images"]: "it has no labels: no file of them goes with it" for part in named.values() if len(part) == 1
    }
    whole = {key: part for key, part in named.items() if len(part) > 1}
    to, says = part_names.assigned(name for name, _ in whole)
    if len(whole) == 1:
        to = dict.fromkeys(to, TRAIN)
    parts = [Part(split=_part(to[key[0]]), files=(part["images"], part["labels"])) for key, part in whole.items()]
    return _train_first(parts, where=where), says, why


def _idx_parts(files: Sequence[_Candidate], *, where: Path) -> tuple[Part, ...]:
    """Pairs images with the labels of the same split and the same rest of the name."""
    pairs: defaultdict[tuple[PartName, str], dict[str, Path]] = defaultdict(dict)
    for file in files:
        split = _part(file.split or TRAIN)
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
    if _PARQUET_NAME.fullmatch(path.name):
        return _Candidate(path=path, form="parquet", split=_split_by_name(path.name), role="rows")
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
    split = _split_by_name(path.name)
    if head.startswith(MAGIC):
        return _Candidate(path=path, form="parquet", split=split, role="rows")
    if (kind := foreign_kind(head)) is not None:
        raise BadInput("is no data file", where=path, wanted="IDX or CSV, raw or gzip, or Parquet", got=kind)
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


def _split_by_name(name: str) -> NamedPart | None:
    if _TRAIN_NAME.search(name):
        return "train"
    if _TEST_NAME.search(name):
        return "test"
    return "validation" if _VALIDATION_NAME.search(name) else None


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
