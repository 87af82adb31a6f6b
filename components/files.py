"""Files and folders: written atomically and durably, replaced whole or not at all, and listed in order."""

from __future__ import annotations

import contextlib
import fcntl
import glob
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from components.disk import FULL

PART_PATTERN: Final = ".*.part"
"""Name of what a killed `replacing` leaves beside its target."""


def files_in(folder: str) -> list[str]:
    """Return the paths of a folder's entries in the order of their names, but for hidden ones, such as parts."""
    return sorted(glob.glob(os.path.join(glob.escape(folder), "*")))


def sync_folder(path: str | os.PathLike[str]) -> None:
    """Make a folder's entries durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_parts(folder: Path) -> None:
    """Remove what killed writers left in a folder; only for the holder of its lock, or another writer fails."""
    for part in folder.glob(PART_PATTERN):
        part.unlink(missing_ok=True)


def remove_dead_parts(folder: Path) -> None:
    """Remove what killed writers left in a folder that has no lock of its own, and nothing that a living one is writing.

    A writer has its part locked for as long as it lives. Where the file system has no locks, everything stays.
    """
    for part in folder.glob(PART_PATTERN):
        with contextlib.suppress(OSError), part.open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            part.unlink()


@contextlib.contextmanager
def replacing(
    path: str | os.PathLike[str],
    *,
    part: str | os.PathLike[str] | None = None,
    durable: bool = True,
    place: Callable[[Path, Path], object] = os.replace,
) -> Iterator[BinaryIO]:
    """Open a file that takes the name `path` when the block ends well, and is removed when it does not.

    It is written under another name, so a reader sees the old bytes or the new ones, and two writers at once do not mix.

    Args:
      path: the final name.
      part: the name until then, on the same file system; by default one of its own in the same folder.
      durable: whether to wait until bytes and name are on disk. A file that may be made again does not need it: a kill
        leaves it whole without, only a power failure does not.
      place: gives the written file its final name; `os.link` refuses one that is taken.

    Raises:
      OSError: when the folder is missing, full or not writable, which it names `path` in; `path` is then as it was.
    """
    target = Path(path)
    written = target.with_name(f".{uuid.uuid4().hex}.part") if part is None else Path(part)
    try:
        with _part(written) as file:
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            file.close()
            place(written, target)
    except OSError as err:
        # Of a full disk the system says no name, and of a closed folder one that nobody has heard of.
        if err.filename == os.fspath(written) or (err.filename is None and err.errno in FULL):
            err.filename = os.fspath(target)
        raise
    finally:
        written.unlink(missing_ok=True)
    if durable:
        sync_folder(target.parent)


@contextlib.contextmanager
def _part(path: Path) -> Iterator[BinaryIO]:
    """Open a new part, and have it locked until the block ends, whether it is closed by then or not."""
    file, lock = _made(path)
    try:
        with file:
            yield file
    finally:
        os.close(lock)


def _made(path: Path) -> tuple[BinaryIO, int]:
    """Make a part and return it with a second descriptor, which keeps it locked."""
    while True:
        file = path.open("xb")
        with contextlib.suppress(OSError):  # a file system without locks
            fcntl.flock(file, fcntl.LOCK_EX)
        # Until it was locked, `remove_dead_parts` may have taken it for a dead writer's.
        if path.exists():
            return file, os.dup(file.fileno())
        file.close()


def replace_all(contents: Mapping[Path, bytes]) -> None:
    """Write several files, none of which takes its name before the bytes of all are on disk; then they do in their order.

    Raises:
      OSError: as `replacing`; all are then as they were.
    """
    with contextlib.ExitStack() as parts:
        for path, data in reversed(list(contents.items())):
            file = parts.enter_context(replacing(path))
            file.write(data)
            file.flush()
            os.fsync(file.fileno())


@contextlib.contextmanager
def folder_made(folder: Path, mode: int = 0o777) -> Iterator[None]:
    """Make a folder if need be; what was made is taken away again if the block fails and leaves it empty.

    Raises:
      OSError: if it cannot be made.
    """
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
        yield
    except BaseException:
        with contextlib.suppress(OSError):
            for place in new:
                place.rmdir()
        raise
