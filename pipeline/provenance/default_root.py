"""The root that a command works on where none is named: one of the folders directly below `./runs`.

A command that only reads takes the only root, or the one that was used last. That is the one whose ledger has the newest
last line: every run ends with a line, and so does whatever else changes a root. Modification times are not asked, as a
copy, a backup or a look into the folder changes those. A command that changes something never chooses.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from components.errors import BadInput, MnistTfxError
from pipeline.provenance.ledger import last_time
from pipeline.root.paths import RunPaths, holds_pipeline

PARENT: Final = Path("runs")
"""Where `mnist-tfx run` makes roots, relative to the working directory."""

MOST: Final = 2000
"""Entries of the folder that are looked at."""

NAMED: Final = 5
"""Roots that a message names."""

RULE: Final = "the only root below ./runs, or the one used last"
RULE_OF_CHANGES: Final = "the only root below ./runs"

_NONE: Final = "no pipeline has run below ./runs"
_MAKES_ONE: Final = "`mnist-tfx run` makes one; one that lies elsewhere is named with --root"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Choice:
    """A root that nobody named.

    Attributes:
      root: its path, relative to the working directory.
      others: how many roots lie beside it.
    """

    root: Path
    others: int

    def __str__(self) -> str:
        return f"root {self.root}, the one of {self.others + 1} below ./runs that was used last; --root names another"


def choose(*, changes: bool, parent: Path = PARENT) -> Choice:
    """Return the root for a command that was given none.

    Args:
      changes: whether the command changes something in the root.
      parent: the folder that holds the roots.

    Raises:
      BadInput: if there is none, or several of which the command may not or cannot choose one.
    """
    roots = roots_below(parent)
    if not roots:
        raise BadInput(_NONE, where="--root", hint=_MAKES_ONE)
    if len(roots) == 1:
        return Choice(root=roots[0], others=0)
    if changes:
        raise BadInput("which root? This command changes one, so it has to be named", where="--root", got=_named(roots))
    if (last := _used_last(roots)) is None:
        what = "which root? Their ledgers do not tell which one was used last"
        raise BadInput(what, where="--root", got=_named(roots))
    return Choice(root=last, others=len(roots) - 1)


def roots_below(parent: Path = PARENT) -> list[Path]:
    """Return the roots directly below a folder, sorted by name; none where it cannot be read."""
    try:
        with os.scandir(parent) as entries:
            names = sorted(entry.name for entry in itertools.islice(entries, MOST))
    except OSError:
        return []
    return [parent / name for name in names if (parent / name).is_dir() and holds_pipeline(parent / name)]


def _used_last(roots: Sequence[Path]) -> Path | None:
    """Return the root with the newest line; None where two have it, or a ledger that is there cannot be read."""
    try:
        times = {root: last_time(RunPaths(root).ledger) for root in roots}
    except MnistTfxError:
        return None
    # A root without a ledger was never used by anything that ended.
    newest = max(time or "" for time in times.values())
    found = [root for root, time in times.items() if time == newest]
    return found[0] if len(found) == 1 else None


def _named(roots: Sequence[Path]) -> str:
    more = f" and {len(roots) - NAMED} more" if len(roots) > NAMED else ""
    return ", ".join(map(str, roots[:NAMED])) + more
