"""Lists of rows that are left out of a data set: a row digest to a line, and what follows a `#` is a remark."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from components.errors import BadInput
from components.settings import MOST_EXCLUDED
from components.untrusted import MIB, read_bytes

_DIGEST: Final = re.compile("[0-9a-f]{64}")
HINT: Final = "mnist-tfx lineage erase-request writes such a list"


def read_exclusions(path: Path, *, most: int | None = MOST_EXCLUDED) -> tuple[str, ...]:
    """Return the digests in a list, each once, sorted.

    Args:
      path: the list.
      most: digests that a recipe may hold; None where they do not go into one.

    Raises:
      BadInput: if it cannot be read, has a line that is no digest, has none, or has too many.
    """
    digests = set()
    for number, line in enumerate(_text(path).splitlines(), start=1):
        text = line.partition("#")[0].strip().lower()
        if text and not _DIGEST.fullmatch(text):
            raise BadInput(
                "not a row digest", where=f"{path} line {number}", wanted="64 hex digits", got=text[:100], hint=HINT
            )
        digests |= {text} - {""}
    if not digests:
        raise BadInput("no row digest in it", where=path, wanted="64 hex digits to a line", hint=HINT)
    if most is not None and len(digests) > most:
        hint = "mnist-tfx data exclude takes them out of the data files themselves"
        wanted = f"{most} at most"
        raise BadInput("too many rows to leave out by digest", where=path, wanted=wanted, got=len(digests), hint=hint)
    return tuple(sorted(digests))


def exclusions_text(remarks: Iterable[str], groups: Mapping[str, Iterable[str]]) -> str:
    """Return the text of a list.

    Args:
      remarks: lines at its beginning.
      groups: {why: digests}, of which each digest is written once.
    """
    lines, written = [f"# {remark}" for remark in remarks], set[str]()
    for why, digests in groups.items():
        new = [digest for digest in dict.fromkeys(digests) if digest not in written]
        lines += [f"# {why}", *new] if new else []
        written |= set(new)
    return "".join(f"{line}\n" for line in lines)


def _text(path: Path) -> str:
    try:
        return read_bytes(path, limit=4 * MIB).decode("utf-8-sig")
    except UnicodeDecodeError as err:
        raise BadInput("no text in UTF-8", where=path, hint=HINT) from err
