"""The payload of a data file, read forward in bounded memory; a gzip file's is what it decompresses to.

Gzip is told by its first two bytes, never by the file's name. Several members in a row are one payload, as RFC 1952
says; whatever else follows a member is refused, and so is a member that is cut short or fails its checksum.
"""

from __future__ import annotations

import hashlib
import os
import stat
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Final

from components.errors import BadInput, EnvironmentProblem

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator
    from pathlib import Path

    from typing_extensions import Self

GZIP_MAGIC: Final = b"\x1f\x8b"
GZIP_RATIO: Final = 1032
"""Deflate makes at most 1032 bytes out of one, so a container's size bounds its payload before anything is read."""

_GZIP_WINDOW: Final = 31  # zlib's code for "gzip header and trailer, largest window"
_CONTAINER_BLOCK: Final = 1 << 18
_FIRST_BLOCK: Final = 1 << 14  # blocks double from here on: many a question is answered by a header
_PAYLOAD_BLOCK: Final = 1 << 20
_FIRST_BITE: Final = 1 << 10
"""Bytes of a gzip member that are decompressed first; more and more follow.

What a member leaves of its input comes back as a copy, and a file of tiny members would be copied once for each."""

_MOST_EMPTY: Final = 1_000
"""Members without a byte in them; `bgzip` ends a file with one, and thousands are made to keep a reader busy."""

_ZLIB_CAUSES: Final = {
    "incorrect data check": "the gzip checksum is wrong",
    "incorrect length check": "the gzip length is wrong",
}


@dataclass(frozen=True, kw_only=True)
class PayloadDigest:
    """Who a file is, by content.

    Attributes:
      payload: SHA-256 of the decompressed bytes, 64 hex digits: the identity that ingest goes by.
      container: SHA-256 of the file as it lies on disk; equal to `payload` for a raw file.
      payload_bytes: length of the payload.
      container_bytes: length of the file.
    """

    payload: str
    container: str
    payload_bytes: int
    container_bytes: int


class PayloadReader:
    """Reads a payload forward, some bytes at a time; a context manager.

    Args:
      path: a raw or gzip file.
      start: byte of the payload to begin at.

    Attributes:
      offset: byte of the payload that comes next.
    """

    def __init__(self, path: Path, *, start: int = 0) -> None:
        self.offset = start
        self._blocks = payload_blocks(path, start=start)
        self._rest = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._blocks.close()

    def read(self, size: int) -> bytes:
        """Return the next `size` bytes, fewer only at the end of the payload."""
        pieces, missing = [], size
        while missing and (block := self._rest or next(self._blocks, b"")):
            pieces.append(block[:missing])
            self._rest = block[missing:]
            missing -= len(pieces[-1])
        self.offset += size - missing
        return b"".join(pieces)


def payload_digest(
    path: Path, *, limit: int | None = None, watch: Callable[[bytes], object] | None = None
) -> PayloadDigest:
    """Digest payload and container in one pass.

    Args:
      path: a raw or gzip file.
      limit: most payload bytes to accept; None accepts any number.
      watch: is given the blocks of the payload, and may raise to stop there.

    Raises:
      BadInput: when the file cannot be decompressed, or its payload goes on after `limit` bytes.
    """
    payload, container = hashlib.sha256(), hashlib.sha256()
    sizes = [0, 0]

    def observe(block: bytes) -> None:
        container.update(block)
        sizes[1] += len(block)

    raw = not is_gzip(path)  # its payload is the file itself, and not hashed twice
    for block in payload_blocks(path, observe=None if raw else observe):
        payload.update(block)
        sizes[0] += len(block)
        require_within(sizes[0], limit, path)
        if watch is not None:
            watch(block)
    return PayloadDigest(
        payload=payload.hexdigest(),
        container=(payload if raw else container).hexdigest(),
        payload_bytes=sizes[0],
        container_bytes=sizes[0 if raw else 1],
    )


def read_payload(path: Path, limit: int | None = None) -> bytes:
    """Return the whole payload.

    Raises:
      BadInput: when the file cannot be decompressed, or its payload goes on after `limit` bytes.
    """
    with PayloadReader(path) as reader:
        data = b"".join(iter(lambda: reader.read(_PAYLOAD_BLOCK), b"")) if limit is None else reader.read(limit + 1)
    require_within(len(data), limit, path)
    return data


def payload_size_bound(path: Path) -> int:
    """Return the payload's size for a raw file, and the most it can be for a gzip one, without decompressing."""
    with _opened(path) as file:
        size = os.fstat(file.fileno()).st_size
        return size * GZIP_RATIO if file.read(2) == GZIP_MAGIC else size


def payload_blocks(
    path: Path, *, start: int = 0, observe: Callable[[bytes], object] | None = None
) -> Generator[bytes, None, None]:
    """Yield the payload in blocks of at most 1 MiB, none of them empty.

    Args:
      path: a raw or gzip file.
      start: byte of the payload to begin at; a raw file is not read up to there, a gzip one has to be.
      observe: is given the blocks of the file itself, as they lie on disk.
    """
    with _opened(path) as file:
        container = _container_blocks(file, path, observe)
        first = next(container, b"")
        if first.startswith(GZIP_MAGIC):
            yield from _from_byte(start, _inflate(first, container, path))
        elif start:
            file.seek(start)
            yield from container
        elif first:
            yield first
            yield from container


def _inflate(first: bytes, container: Iterator[bytes], path: Path) -> Iterator[bytes]:
    member, start, offset, block = _new_member(), 0, 0, memoryview(first)
    bite, empty, filled = _FIRST_BITE, 0, False
    while block:
        if member.eof:
            empty = _counted_empty(empty, path, filled=filled)
            member, start, bite, filled = _new_member(), offset, _FIRST_BITE, False
        before, taken = member.copy(), block[:bite]
        try:
            data = member.decompress(taken, _PAYLOAD_BLOCK)
        except zlib.error as err:
            raise _gzip_error(err, path, at=offset + _failing_byte(before, bytes(taken)), start=start) from err
        used = len(taken) - len(member.unused_data if member.eof else member.unconsumed_tail)
        offset, block, bite = offset + used, block[used:], min(2 * bite, _CONTAINER_BLOCK)
        if data:
            filled = True
            yield data
        block = block or memoryview(next(container, b""))
    if not member.eof:
        raise BadInput(
            "gzip data is cut short",
            where=path,
            wanted="the end of the compressed data",
            got=f"the end of the file at byte {offset}",
            hint="copy or download it again",
        )


def _from_byte(start: int, blocks: Iterator[bytes]) -> Iterator[bytes]:
    for block in blocks:
        if start < len(block):
            yield block[start:]
        start = max(0, start - len(block))


def is_gzip(path: Path) -> bool:
    """Return whether a file is compressed, by its content.

    Raises:
      BadInput: when it is no regular file, or not there.
    """
    with _opened(path) as file:
        return file.read(len(GZIP_MAGIC)) == GZIP_MAGIC


def _new_member() -> zlib._Decompress:
    return zlib.decompressobj(_GZIP_WINDOW)


def _counted_empty(empty: int, path: Path, *, filled: bool) -> int:
    empty += not filled
    if empty > _MOST_EMPTY:
        raise BadInput(f"more than {_MOST_EMPTY} gzip members hold nothing", where=path, hint="compress it again")
    return empty


def _gzip_error(err: zlib.error, path: Path, *, at: int, start: int) -> BadInput:
    if start and at - start < 10:  # a gzip header has ten bytes: this is no member at all
        return BadInput(
            f"trailing garbage after the gzip data, from byte {start}",
            where=path,
            hint="copy or download it again, or cut the file there",
        )
    text = str(err).rpartition(": ")[2]
    what = _ZLIB_CAUSES.get(text, f"gzip data is corrupt ({text})")
    return BadInput(f"{what}, at byte {at}", where=path, hint="copy or download it again")


def _failing_byte(before: zlib._Decompress, block: bytes) -> int:
    # zlib does not say how far it came, so the block is gone through again, byte by byte, from the state before it.
    return next((i for i in range(len(block)) if not _accepts(before, block[i : i + 1])), len(block))


def _accepts(member: zlib._Decompress, data: bytes) -> bool:
    try:
        member.decompress(data)
    except zlib.error:
        return False
    return True


def _container_blocks(file: BinaryIO, path: Path, observe: Callable[[bytes], object] | None) -> Iterator[bytes]:
    size = _FIRST_BLOCK
    try:
        while block := file.read(size):
            if observe is not None:
                observe(block)
            yield block
            size = min(2 * size, _CONTAINER_BLOCK)
    except OSError as err:
        raise EnvironmentProblem("cannot be read", where=path, got=err.strerror) from err


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            # Opening a FIFO would wait for a writer, and a device need not end.
            raise BadInput("is not a regular file", where=path)
        file = open(path, "rb")  # noqa: SIM115 - closed below, outside the translation of errors
    except (FileNotFoundError, NotADirectoryError) as err:
        raise BadInput("no such file", where=path) from err
    except OSError as err:
        raise EnvironmentProblem("cannot be opened", where=path, got=err.strerror) from err
    with file:
        yield file


def require_within(size: int, limit: int | None, path: Path) -> None:
    """Refuse a payload that goes on after `limit` bytes.

    Raises:
      BadInput: if it does.
    """
    if limit is not None and size > limit:
        raise BadInput(
            "payload is longer than it may be",
            where=path,
            wanted=f"at most {limit} bytes",
            got=f"{size} and more",
            hint="another file under this name, or a gzip bomb",
        )
