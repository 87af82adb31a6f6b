"""Names of files that hold pixels or labels alone, and which of them belong together: `X_train.csv` and `y_train.csv`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from components.features import TRAIN
from components.ingest import part_names

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

TABLES: Final = (".csv", ".tsv", ".csv.gz", ".tsv.gz")
ARRAYS: Final = (".npy", ".npy.gz")


def is_table(path: Path) -> bool:
    """Return whether a file is a CSV by its name."""
    return path.name.lower().endswith(TABLES)


@dataclass(frozen=True, kw_only=True)
class FilePair:
    """A file of pixels and the file of its labels, by their names.

    Attributes:
      part: as they name it.
      images: the file of pixels.
      labels: the file of their labels; None where there is none.
      group: the other words in their names, where there are several of a part.
    """

    part: str
    images: Path
    labels: Path | None
    group: str = ""


def pairs_among(files: Iterable[Path]) -> tuple[FilePair, ...]:
    """Return the CSV and NumPy files that are pixels or labels by their names.

    There are none unless some have labels, and none is alone as labels are, or one of two; pixels alone are a part without
    labels.
    """
    named = [
        (part_names.part_of(stem) or TRAIN, role, part_names.others_in(stem), file)
        for file in files
        if file.name.lower().endswith((*TABLES, *ARRAYS))
        and (role := part_names.role_of(stem := file.name.partition(".")[0])) is not None
    ]
    return _grouped(named, by_group=False) or _grouped(named, by_group=True)


def _grouped(named: Sequence[tuple[str, str, str, Path]], *, by_group: bool) -> tuple[FilePair, ...]:
    parts: dict[tuple[str, str], dict[str, list[Path]]] = {}
    for part, role, group, file in named:
        parts.setdefault((part, group if by_group else ""), {}).setdefault(role, []).append(file)
    clear = all("images" in part and all(len(ones) == 1 for ones in part.values()) for part in parts.values())
    if not clear or not any("labels" in part for part in parts.values()):
        return ()
    return tuple(
        FilePair(part=name, group=group, images=part["images"][0], labels=part.get("labels", [None])[0])
        for (name, group), part in parts.items()
    )
