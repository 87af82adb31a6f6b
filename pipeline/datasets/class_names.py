"""Names of classes: the file that an import writes, a name to a line, and the mapping that EMNIST ships."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from components.errors import BadInput
from components.untrusted import MIB, read_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

FILE: Final = "class-names.txt"
"""What an import calls it; line n is the name of class n, from 0."""

_MAPPING: Final = re.compile(r".*mapping\.txt", re.IGNORECASE)
_NUMBER: Final = re.compile(r"[0-9]+")


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Return names of classes in the order of their numbers, where all are numbers, and else sorted as text."""
    distinct = sorted(set(names))
    if all(_NUMBER.fullmatch(name) and name.isascii() for name in distinct):
        # `01` and `1` are two folders, and so two classes; the text decides between them.
        return tuple(sorted(distinct, key=lambda name: (int(name[:18]), name)))
    return tuple(distinct)


def are_numbers(names: Sequence[str]) -> bool:
    """Return whether names say no more than their classes' numbers do: 0, 1, 2, and so on, or nothing at all."""
    return tuple(names) == tuple(map(str, range(len(names))))


def text(names: Iterable[str]) -> str:
    """Return the content of the file."""
    return "".join(f"{name}\n" for name in names)


def read_names(path: Path) -> tuple[str, ...]:
    """Return the names in a file, a name to a line.

    Raises:
      BadInput: if it cannot be read, is no UTF-8, or has an empty line amid its names.
    """
    names = [line.strip() for line in _text(path).splitlines()]
    while names and not names[-1]:
        names.pop()
    if not names or not all(names):
        raise BadInput("no list of class names", where=path, wanted="a name to a line", got="an empty line")
    return tuple(names)


def read_mapping(path: Path) -> dict[int, str]:
    """Return {label: name} of a mapping as EMNIST has it: a label and its character codes to a line, the first counts.

    Raises:
      BadInput: if it is none.
    """
    found: dict[int, str] = {}
    for number, line in enumerate(_text(path).splitlines(), start=1):
        fields = line.split()
        if not fields:
            continue
        if len(fields) < 2 or not all(_NUMBER.fullmatch(one) and len(one) < 7 for one in fields):
            raise BadInput("no mapping of labels to characters", where=f"{path}: line {number}", got=line[:40])
        code = int(fields[1])
        found[int(fields[0])] = chr(code) if code <= 0x10FFFF and chr(code).isprintable() else fields[1]
    return found


def mapping_in(files: Iterable[Path]) -> Path | None:
    """Return the file that is a mapping by its name; None where there is none, or several."""
    found = [path for path in files if _MAPPING.fullmatch(path.name)]
    return found[0] if len(found) == 1 else None


def _text(path: Path) -> str:
    try:
        return read_bytes(path, limit=MIB).decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise BadInput("no text in UTF-8", where=path) from err
