"""Discovery of data files: which ones are the train part, which the test part, and which are left aside.

A folder is read by the names in it: IDX files win over other files as soon as two of them are a pair, then pixels and labels
in files of their own, then CSV, then Parquet. A folder without any is what the one folder in it is that has some, or its
folders are the parts. Files given one by one go by the same names, and where a name says nothing, by their first bytes.
Nothing here reads more than a header.
"""

from __future__ import annotations

import os
import re
import stat
import unicodedata
from collections import defaultdict
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from components.errors import BadInput, EnvironmentProblem
from components.features import TRAIN
from components.ingest import csv_layout, import_record, pair_names, part_names
from components.ingest.candidates import ROLES, Candidate, by_content, by_loose_name, by_name, foreign_content, has_pair
from components.ingest.data_files import (
    NONE_FOUND,
    DataFiles,
    Part,
    PartName,
    named_part,
    part_of_split,
    require_one_of_each,
    train_first,
)
from components.ingest.extra_files import commands_without, with_labels
from components.ingest.forms import CSV, IDX, PAIRS, PARQUET, READERS
from components.ingest.subfolders import further_down

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence
    from pathlib import Path

    from components.ingest.spans import Span

_SHARDS: Final = re.compile(r"-([0-9]+)-of-([0-9]+)\.", re.ASCII)
_DIGITS: Final = re.compile(r"[0-9]+", re.ASCII)
_DEEPEST: Final = 3  # torchvision puts MNIST/raw below the folder it is given
_LOOKED_AT: Final = 5  # files of a folder without data that are opened to say what they are


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
    files = _pairs_among(paths, form) or [by_name(path) or by_content(path) for path in paths]
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


def _pairs_among(paths: Sequence[Path], form: str | None) -> list[Candidate]:
    """Return files of pixels and files of labels; none where their names do not say that they are."""
    if form not in (None, PAIRS):
        return []
    return [
        Candidate(path=path, form=PAIRS, split=named_part(one.part), role=role, group=one.group)
        for one in pair_names.pairs_among(paths)
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
    named = [file for path in listing if (file := by_name(path)) and file.form == (form or file.form)]
    if not has_pair([file for file in named if file.form == IDX]):
        named = _pairs_among(listing, form) or named
    if not named and form in (None, IDX):  # beside files of the usual names, these may be copies
        named = [file for path in listing if (file := by_loose_name(path))]
    if not named and depth < _DEEPEST and (below := _below(folder, form, depth)) is not None:
        return below
    found = _folder_parts(folder, _raw_before_gzip(named))
    taken = {path for part in found.parts for path in part.files}
    for path in taken:
        _require_usable(path)
    return replace(found, ignored=_ignored(listing, taken))


def _below(folder: Path, form: str | None, depth: int) -> DataFiles | None:
    return further_down(folder, lambda below: _in_folder(below, form, depth + 1))


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


def _raw_before_gzip(files: Iterable[Candidate]) -> list[Candidate]:
    """Leave aside `x.gz` where `x` lies beside it, as after `gunzip --keep`."""
    files = list(files)
    raw = {file.path.name for file in files}
    return [file for file in files if not file.path.name.endswith(".gz") or file.path.name[:-3] not in raw]


def _folder_parts(folder: Path, files: Sequence[Candidate]) -> DataFiles:
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
        require_one_of_each(folder, [(one.split or TRAIN, one.path) for one in of[PAIRS] if one.role == "images"])
        return DataFiles(form=PAIRS, parts=parts, says=says, why=why)
    # With one pair there, a second set or an orphan is a mistake to name, not a reason to take the CSVs instead.
    if of[IDX] and (has_pair(of[IDX]) or not (of[CSV] or of[PARQUET])):
        return DataFiles(form=IDX, parts=_one_of_each(folder, _idx_parts(of[IDX], where=folder)))
    return _of_tables(folder, of[CSV]) if of[CSV] else _of_parquet(folder, of[PARQUET])


def _of_tables(folder: Path, files: Sequence[Candidate]) -> DataFiles:
    files, why = with_labels(files)
    if len(files) > 1 and any(file.split is None for file in files):
        raise BadInput(
            "cannot tell which CSV file is train and which is test",
            where=folder,
            wanted="names with train or test in them, or .tra and .tes",
            got=", ".join(file.path.name for file in files),
            hint="give the files one by one with --data",
            commands=tuple(commands_without(files)),
        )
    require_one_of_each(folder, [(file.split or TRAIN, file.path) for file in files])
    parts, says = _single_parts(files)
    return DataFiles(form=CSV, parts=parts, why=why, says=says)


def _of_parquet(folder: Path, files: Sequence[Candidate]) -> DataFiles:
    """Return the parts of Parquet files: each is one file, or several whose names differ in numbers alone."""
    for split in dict.fromkeys(file.split for file in files):
        shards = [file.path for file in files if file.split == split]
        if len({_DIGITS.sub("0", path.name) for path in shards}) > 1:
            require_one_of_each(folder, [(split or TRAIN, path) for path in shards])
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
    if any(foreign_content(path) is None for path in listing[:_LOOKED_AT]):
        return "give data files of other names one by one with --data"
    further = not listing and any(folder.iterdir())
    return "give the folder that the files lie in, or the files one by one, with --data" if further else None


def _named(path: Path) -> str:
    kind = foreign_content(path)
    return path.name if kind is None else f"{path.name} ({kind})"


def _one_of_each(folder: Path, parts: tuple[Part, ...]) -> tuple[Part, ...]:
    require_one_of_each(folder, [(part.split, part.files[0]) for part in parts])
    return parts


def _single_parts(files: Sequence[Candidate]) -> tuple[tuple[Part, ...], tuple[str, ...]]:
    """Make each file a part, and say what was decided; what no name calls test is train.

    So is a single file whatever its name. Rows held out for validation join the training part, or are the test part.
    """
    named = [TRAIN if len(files) == 1 else str(file.split or TRAIN) for file in files]
    to, says = part_names.assigned(named)
    parts = [Part(split=part_of_split(to[name]), files=(file.path,)) for name, file in zip(named, files, strict=True)]
    return train_first(parts, where=files[0].path.parent), says


def _pair_parts(
    files: Sequence[Candidate], *, where: Path
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
    parts = [
        Part(split=part_of_split(to[key[0]]), files=(part["images"], part["labels"])) for key, part in whole.items()
    ]
    return train_first(parts, where=where), says, why


def _idx_parts(files: Sequence[Candidate], *, where: Path) -> tuple[Part, ...]:
    """Pairs images with the labels of the same split and the same rest of the name."""
    pairs: defaultdict[tuple[PartName, str], dict[str, Path]] = defaultdict(dict)
    for file in files:
        split = part_of_split(file.split or TRAIN)
        pair = pairs[split, file.group]
        if file.role in pair:
            got = f"{pair[file.role].name} and {file.path.name}"
            raise BadInput(f"two files of {split} {file.role}", where=where, got=got, hint="give --data the right ones")
        pair[file.role] = file.path
    for (split, _), pair in pairs.items():
        if missing := [role for role in ROLES if role not in pair]:
            raise BadInput(
                f"{split} {missing[0]} are missing",
                where=where,
                wanted=f"an IDX file of {missing[0]} to go with {next(iter(pair.values())).name}",
            )
    parts = [Part(split=split, files=(pair["images"], pair["labels"])) for (split, _), pair in pairs.items()]
    return train_first(parts, where=where)


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
