"""Reading, listing and hashing of files that nobody vouches for, in threads.

`components.digest` makes the digests of what was just written. Whoever checks a folder cannot trust what is in it, so a
link, a FIFO or a device in the place of a file is an answer here, and never followed or opened.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import os
import stat
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.digest import CHUNK
from components.errors import EnvironmentProblem
from components.ingest.payload import payload_blocks, require_within

if TYPE_CHECKING:
    from typing_extensions import Self

FILE: Final = "file"
SMALL: Final = 64 << 20
"""Most bytes of a file that is read whole: a record or manifest of that size was not written by the pipeline."""

THREADS: Final = 8
"""Most files that are hashed at once; hashlib gives up the interpreter's lock, and eight cores outrun any disk."""

LINK: Final = "symlink to "
UNREADABLE: Final = "a folder that cannot be read"

_KINDS: Final = (
    (stat.S_ISLNK, "symlink"),
    (stat.S_ISDIR, "folder"),
    (stat.S_ISFIFO, "FIFO"),
    (stat.S_ISSOCK, "socket"),
    (stat.S_ISCHR, "device"),
    (stat.S_ISBLK, "device"),
)


class NotPlain(EnvironmentProblem):
    """There is no plain file to read."""


@dataclasses.dataclass(frozen=True)
class Seen:
    """What is at a path.

    Attributes:
      kind: `file`, or what it is instead, such as `symlink to /etc` or `FIFO`.
      bytes: size of a file.
      sha256: digest of a file's bytes, or the `NotPlain` that reading met, once it is known; None unless asked for.
    """

    kind: str
    bytes: int = 0
    sha256: concurrent.futures.Future[str] | None = None


class Hasher:
    """Hashes files in threads, each path once; a context manager.

    Args:
      hashed: called by a thread after each file, with how many are done and how many were asked for.

    Attributes:
      files: how many were asked for.
      bytes: how many bytes were read.
    """

    def __init__(self, hashed: Callable[[int, int], None] = lambda *_: None) -> None:
        self._hashed = hashed
        self._done = 0
        self.files = 0
        self.bytes = 0
        self._known: dict[str, concurrent.futures.Future[str]] = {}
        self._payloads: dict[tuple[str, int], concurrent.futures.Future[str]] = {}
        self._pool = concurrent.futures.ThreadPoolExecutor(_threads())
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def start(self, path: str) -> concurrent.futures.Future[str]:
        """Return the SHA-256 of a plain file, to be known later; raises `NotPlain` then if it is none."""
        if path not in self._known:
            self.files += 1
            self._known[path] = self._pool.submit(self._digest, path)
            self._known[path].add_done_callback(self._count)
        return self._known[path]

    def start_payload(self, path: Path, limit: int) -> concurrent.futures.Future[str]:
        """Return the SHA-256 of a data file's payload, to be known later; as `components.ingest.payload.payload_digest` it may raise."""
        key = (str(path), limit)
        if key not in self._payloads:
            if str(path) not in self._known:
                self.files += 1
            self._payloads[key] = self._pool.submit(self._payload, path, limit)
            self._payloads[key].add_done_callback(self._count)
        return self._payloads[key]

    def wait(self) -> None:
        """Wait for all that was started, so that `bytes` counts it whether or not anybody asked for its digest."""
        concurrent.futures.wait([*self._known.values(), *self._payloads.values()])

    def _count(self, _: concurrent.futures.Future[str]) -> None:
        with self._lock:
            self._done += 1
        self._hashed(self._done, len(self._known) + len(self._payloads))

    def _payload(self, path: Path, limit: int) -> str:
        # Not `payload_digest`, which digests the container as well.
        digest, size = hashlib.sha256(), 0
        for block in payload_blocks(path):
            digest.update(block)
            size += len(block)
            require_within(size, limit, path)
        with self._lock:
            self.bytes += 0 if str(path) in self._known else path.stat().st_size
        return digest.hexdigest()

    def _digest(self, path: str) -> str:
        digest, buffer, total = hashlib.sha256(), bytearray(CHUNK), 0
        view = memoryview(buffer)
        with opened_plain(path) as descriptor:
            while count := os.readv(descriptor, [buffer]):
                digest.update(view[:count])
                total += count
        with self._lock:
            self.bytes += total
        return digest.hexdigest()


def _threads() -> int:
    # Two at least: one of them may wait for the disk.
    return max(2, min(THREADS, len(os.sched_getaffinity(0))))


def open_plain(path: str | Path) -> int:
    """Open a plain file for reading and returns its descriptor.

    Raises:
      NotPlain: if it is missing, unreadable, or something else.
    """
    try:
        # O_NONBLOCK: opening a FIFO would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as err:
        kind = kind_of(path)
        missing = kind in (None, FILE)
        what = ("is missing" if kind is None else "cannot be read") if missing else "is no plain file"
        raise NotPlain(what, where=path, got=err.strerror if missing else kind) from err
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise NotPlain("is no plain file", where=path, got=kind_of(path))
    return descriptor


@contextlib.contextmanager
def opened_plain(path: str | Path, *, limit: int | None = None) -> Iterator[int]:
    """Open a plain file for reading, as a descriptor.

    Raises:
      NotPlain: as `open_plain`, if it has more than `limit` bytes, and where it cannot be read.
    """
    descriptor = open_plain(path)
    try:
        if limit is not None and os.fstat(descriptor).st_size > limit:
            raise NotPlain("is larger than any file of its kind", where=path, wanted=f"at most {limit} bytes")
        yield descriptor
    except OSError as err:
        raise NotPlain("cannot be read", where=path, got=err.strerror) from err
    finally:
        os.close(descriptor)


def read_plain(path: str | Path) -> bytes:
    """Return the bytes of a plain file of sensible size.

    Raises:
      NotPlain: as `open_plain`, and if it is larger than `SMALL`.
    """
    with opened_plain(path) as descriptor, open(descriptor, "rb", closefd=False) as file:
        data = file.read(SMALL + 1)
    if len(data) > SMALL:
        raise NotPlain("is larger than any file of its kind", where=path, wanted=f"at most {SMALL} bytes")
    return data


def kind_of(path: str | Path) -> str | None:
    """Return what is at a path: `file`, or another word; None if nothing does."""
    try:
        return _kind(os.lstat(path).st_mode, path)
    except OSError:
        return None


def link_on_the_way(root: Path, relative: str) -> str | None:
    """Return the first part of `relative`, a path below `root`, that is a symlink; None if none is."""
    place = ""
    for name in relative.split("/"):
        place = f"{place}/{name}" if place else name
        if os.path.islink(root / place):
            return place
    return None


def listing(
    folder: Path, hasher: Hasher | None = None, recorded: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Seen]:
    """Return {path relative to `folder`: what is there} of all that is not a folder, and starts hashing the files.

    A folder that is not there, or is a link, has nothing in it; a file in its place goes by its own name.

    Args:
      folder: its path.
      hasher: hashes the files; None if nothing is to be hashed.
      recorded: what it will be compared with; a file of another size, however large, need not be hashed for that.
    """
    result: dict[str, Seen] = {}
    kind = kind_of(folder)
    if kind == FILE:
        digest = None if hasher is None else hasher.start(str(folder))
        return {folder.name: Seen(FILE, os.lstat(folder).st_size, digest)}
    waiting = [""] if kind == "folder" else []
    while waiting:
        inside = waiting.pop()
        try:
            with os.scandir(folder / inside) as found_here:
                entries = list(found_here)
        except OSError as err:
            result[inside or "."] = Seen(f"{UNREADABLE} ({err.strerror})")
            continue
        for entry in entries:
            path = f"{inside}/{entry.name}" if inside else entry.name
            if entry.is_dir(follow_symlinks=False):
                waiting.append(path)
                continue
            result[path] = _look_at(
                entry, hasher, None if recorded is None else recorded.get(path, {}).get("bytes", -1)
            )
    return dict(sorted(result.items()))


def digest_or_problem(seen: Seen) -> str:
    """Return a file's SHA-256, or in words why there is none."""
    if seen.kind != FILE or seen.sha256 is None:
        return seen.kind
    try:
        return seen.sha256.result()
    except NotPlain as err:
        return f"{err.what}: {err.got}"


def _look_at(entry: os.DirEntry[str], hasher: Hasher | None, size: int | None) -> Seen:
    """Return what a folder's entry is, being hashed if it is a file of the given size, or of any with None."""
    status = entry.stat(follow_symlinks=False)
    kind = _kind(status.st_mode, entry.path)
    is_wanted = kind == FILE and size in (None, status.st_size)
    started = hasher.start(entry.path) if hasher is not None and is_wanted else None
    return Seen(kind, status.st_size, started)


def _kind(mode: int, path: str | Path) -> str:
    if stat.S_ISREG(mode):
        return FILE
    name = next((name for is_kind, name in _KINDS if is_kind(mode)), "no file")
    return f"symlink to {os.readlink(path)}" if name == "symlink" else name
