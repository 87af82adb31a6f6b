"""Discovery of data files in the folders of a folder: in the only one that has any, or in one folder for each part."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from components.features import TRAIN
from components.ingest import csv_layout, part_names
from components.ingest.data_files import NONE_FOUND, DataFiles, named_part, part_of_split, train_first
from components.ingest.forms import CSV

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

_MOST_FOLDERS: Final = 50
_COMMANDS: Final = 3


def further_down(folder: Path, discover: Callable[[Path], DataFiles]) -> DataFiles | None:
    """Return the data files in the one folder of a folder that has any, or in its folders for each part.

    Args:
      folder: without data files of its own.
      discover: finds those of one of its folders.

    Raises:
      BadInput: if several folders have some, with the commands that look at them.
    """
    found: dict[Path, DataFiles] = {}
    for below in _folders_in(folder)[:_MOST_FOLDERS]:
        try:
            found[below] = discover(below)
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
        return csv_layout.sniff(files.parts[0].files[0]).columns >= csv_layout.FEWEST_COLUMNS
    except MnistTfxError:
        return False


def _parts_by_folder(found: Mapping[Path, DataFiles]) -> DataFiles | None:
    """Return the parts where each folder is one by its name, as in `mnist/train/0000.parquet`; None where they are not."""
    named = {below: named_part(part_names.part_of(below.name)) for below in found}
    forms = {files.form for files in found.values()}
    single = all(part.split == TRAIN for files in found.values() for part in files.parts)
    if None in named.values() or len(set(named.values())) < len(named) or len(forms) > 1 or not single:
        return None
    to, says = part_names.assigned(filter(None, named.values()))
    parts = [
        replace(part, split=part_of_split(to[str(named[below])]))
        for below, files in found.items()
        for part in files.parts
    ]
    where = next(iter(found)).parent
    ignored = tuple(path for files in found.values() for path in files.ignored)
    return DataFiles(form=forms.pop(), parts=train_first(parts, where=where), ignored=ignored, says=says)
