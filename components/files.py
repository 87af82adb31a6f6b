"""Bytes -> files that outlive a crash: a file replaced whole or not at all, a folder whose entries are on disk."""

from __future__ import annotations

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, Final

PART_PATTERN: Final = ".*.part"
"""What a killed `replacing` may leave beside its target; whoever holds the folder's lock may remove it."""


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Makes a folder's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Opens a file that takes the name `path`, durably, when the block ends well, and is removed when it does not.

    It is written under a name of its own in the same folder, so a reader sees the old bytes or the new ones, and two
    writers at once do not mix.

    Raises:
      OSError: when the folder is missing, full or not writable; `path` is then as it was.
    """
    target = Path(path)
    part = target.with_name(f".{uuid.uuid4().hex}.part")
    try:
        with part.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
    sync_folder(target.parent)
