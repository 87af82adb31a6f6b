"""What sources refer to, kept in the user's own cache: parsing all that a run's stages import takes a third of a second.

A file's references follow from its bytes, so they are kept by the digest of these, which is taken of every file at every
run. What is kept is used only if nobody but the user can write to it, who could as well change the code that is digested.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

from pipeline.root.user_cache import is_own, keep, user_cache

MOST: Final = 5_000
"""Sources that are kept; with more, those of former checkouts are forgotten."""

FILES: Final = 4
"""Files at most, the newest: one to a version of Python and of the code that finds references."""

References = tuple[frozenset[str], frozenset[str]]


class KeptReferences:
    """References by source, from the file and for it.

    Args:
      find: gives what a source refers to: its bytes and its package -> dotted names, names of scripts.
      code: the file that `find` stands in; other code may find something else.
    """

    def __init__(self, find: Callable[[bytes, str], References], code: Path) -> None:
        self._find = find
        identity = hashlib.sha256(code.read_bytes() + sys.version.encode()).hexdigest()[:32]
        self._name = f"{identity}.json"
        self._known: dict[str, list[list[str]]] | None = None
        self._used: dict[str, list[list[str]]] = {}
        self._new = False

    def of(self, source: bytes, digest: str, package: str) -> References:
        """Return what a source, whose SHA-256 is `digest`, refers to; raises as `find` does."""
        if self._known is None:
            self._known = self._read()
        key = f"{digest} {package}"
        if (found := self._used.get(key) or self._known.get(key)) is None:
            found = [sorted(names) for names in self._find(source, package)]
            self._new = True
        self._used[key] = found
        names, scripts = found
        return frozenset(names), frozenset(scripts)

    def keep(self) -> None:
        """Write the file, if there is anything new; where none can be written, sources are parsed again next time."""
        if not self._new:
            return
        everything = {**(self._known or {}), **self._used}
        with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: no home
            folder = _folder()
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if not is_own(folder):
                return
            kept = everything if len(everything) <= MOST else self._used
            keep(folder / self._name, json.dumps(kept).encode(), FILES)
            self._new = False

    def _read(self) -> dict[str, list[list[str]]]:
        try:
            folder = _folder()
            if not (is_own(folder) and is_own(folder / self._name)):
                return {}
            fields = json.loads((folder / self._name).read_bytes())
        except (OSError, RuntimeError, ValueError):
            return {}  # there is none, or no whole one
        return fields if isinstance(fields, dict) and all(map(_is_entry, fields.values())) else {}


def _folder() -> Path:
    return user_cache() / "code"


def _is_entry(value: object) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2  # names and scripts
        and all(isinstance(names, list) and all(isinstance(name, str) for name in names) for names in value)
    )
