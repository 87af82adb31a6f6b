"""Values that were read from files, kept for as long as the files are the same ones.

A file is the same while its place holds the same inode with the same size and times. The time of the last change of the
inode itself is among them: whoever rewrites a file can set the time of its content back, and not that.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Hashable, Iterable, Mapping
from pathlib import Path
from typing import Generic, TypeVar

Identity = tuple[int, int, int, int]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Seen = Mapping[Path, "Identity | None"]


def identity(path: Path) -> Identity | None:
    """Return what is another value as soon as a file was written or replaced; None where there is none."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def seen(paths: Iterable[Path]) -> Seen:
    """Return the identities of files, to be taken before they are read: what changes meanwhile is read again."""
    return {path: identity(path) for path in paths}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Kept(Generic[Value]):
    value: Value
    files: Seen

    @property
    def is_current(self) -> bool:
        return all(identity(path) == before for path, before in self.files.items())


class FileCache(Generic[Key, Value]):
    """One value to a key, computed again when a file behind it is no longer the same."""

    def __init__(self) -> None:
        self._kept: dict[Key, _Kept[Value]] = {}

    def get(self, key: Key) -> Value | None:
        """Return the value; None if there is none that still holds."""
        kept = self._kept.get(key)
        return kept.value if kept is not None and kept.is_current else None

    def put(self, key: Key, value: Value, files: Seen) -> Value:
        """Keep a value that was made from files as they were seen before."""
        self._kept[key] = _Kept(value=value, files=files)
        return value

    def read(self, key: Key, paths: Iterable[Path], compute: Callable[[], Value]) -> Value:
        """Return the value, computed from files where none is kept that still holds."""
        kept = self._kept.get(key)
        if kept is not None and kept.is_current:
            return kept.value
        files = seen(paths)
        return self.put(key, compute(), files)
