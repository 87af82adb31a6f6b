"""Labels in words: which there are, and the numbers that they get, in their alphabetical order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.errors import BadInput
from components.ingest.faults import quoted

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from components.settings import DataSettings

MOST_CLASSES: Final = 1000
"""Different labels in words; more are no classes."""

_LONGEST_NUMBER: Final = 9


@dataclass(frozen=True, kw_only=True)
class Words:
    """Labels in words, in the order of their numbers; none where labels are numbers.

    Attributes:
      texts: all of them.
    """

    texts: tuple[str, ...] = ()


def words_of(labels: Iterable[tuple[Path, Iterable[object]]], data: DataSettings) -> Words:
    """Return the words that are labels, those of the settings before those that are found.

    Args:
      labels: each file, and the different labels in it.
      data: may name the classes.

    Raises:
      BadInput: for more of them than there can be classes.
    """
    found: set[str] = set()
    for path, values in labels:
        found.update(str(value).strip() for value in values)
        if len(found) > MOST_CLASSES:
            raise BadInput("more labels in words than there can be classes", where=path, got=f"{len(found)}")
    if all(map(_is_number, found)):
        return Words()
    return Words(texts=data.class_names or tuple(sorted(found)))


def require_names(words: Words, path: Path, data: DataSettings) -> None:
    """Refuse labels in words for which the settings have no names: they would be missing wherever only these are at hand.

    Raises:
      BadInput: saying which words there are, and with which option to name them.
    """
    if not words.texts or data.class_names:
        return
    count = len(words.texts)
    hint = f"--set data.label_count={count}" if count != data.label_count else "give --class-names FILE, a name a line"
    raise BadInput(
        "labels are words, and the settings do not say which",
        where=path,
        wanted=f"{data.label_count} names in data.class_names",
        got=f"{count} classes, {quoted(words.texts[0])} to {quoted(words.texts[-1])}",
        hint=hint,
    )


def numbered(labels: Sequence[object], words: Words, data: DataSettings, *, where: Path, first: int) -> NDArray[Any]:
    """Return labels [n] as whole numbers as the file would count them.

    Args:
      labels: words or numbers.
      words: all there are.
      data: says which number the first class has.
      where: the file.
      first: number of the first row, for errors.

    Raises:
      BadInput: for a label that is neither one of the words nor a whole number, naming the row.
    """
    if words.texts:
        known = {text: data.label_offset + number for number, text in enumerate(words.texts)}
        found = [known.get(str(label).strip()) for label in labels]
    else:
        found = [_whole(label) for label in labels]
    for row, number in enumerate(found, first):
        if number is None:
            label = labels[row - first]
            wanted = f"one of {', '.join(words.texts[:10])}" if words.texts else "a whole number"
            raise BadInput("a label is none", where=f"{where}: row {row}", wanted=wanted, got=quoted(label))
    return np.array(found, np.int64)


def _whole(label: object) -> int | None:
    if isinstance(label, bool) or label is None:
        return None
    if isinstance(label, int):
        return label
    text = str(label).strip()
    return int(text) if _is_number(text) else None


def _is_number(text: str) -> bool:
    return text.isascii() and text.removeprefix("-").isdecimal() and len(text) <= _LONGEST_NUMBER
