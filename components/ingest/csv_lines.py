"""Whole lines of a CSV file in blocks with their numbers: no byte-order mark, LF at every end, no endless line."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from components.errors import BadInput
from components.ingest.extents import Extent
from components.ingest.payload import PayloadReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SPACE: Final = " "
"""A delimiter of which any number counts as one, and which may begin and end a line."""

SPACES: Final = re.compile(r"[ \t]+")
LONGEST_FIRST_LINE: Final = 1 << 22
"""Bytes that a line may have as long as the number of columns is not known."""

MOST_BLANK: Final = 1 << 20
"""Bytes of a file after which some of them must have been something else than blanks and line ends."""

_SHARE: Final = 16  # of so many bytes, at least one is no blank
_BLANKS: Final = b" \t\r\n\v\f"
_VISIBLE: Final = re.compile(rb"[^ \t\r\n\v\f]")
_BOM: Final = b"\xef\xbb\xbf"
_BLOCK: Final = 1 << 19  # what the arithmetic on a block takes stays in a core's cache

_POWERS: Final = tuple(
    re.compile(rb"(?<![^,;|\t \n])([0-9])\.([0-9]{%d})0*[eE]\+0%d(?![^,;|\t \n])" % (power, power))
    for power in range(3)
)
"""Whole numbers of one, two and three digits in scientific notation, as whole fields."""


@dataclass(frozen=True, kw_only=True)
class LineBlock:
    """Neighbouring lines of a file.

    Attributes:
      first: number of the first line, from 1.
      text: the lines' bytes, each ended by LF.
    """

    first: int
    text: bytes

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """Yield number and bytes of each line that is not blank, without its LF."""
        number, at = self.first, 0
        # From one visible character to the next: a million empty lines cost what as many bytes do.
        while (shown := _VISIBLE.search(self.text, at)) is not None:
            start = max(at, self.text.rfind(b"\n", at, shown.start()) + 1)
            end = self.text.index(b"\n", start)
            number += self.text.count(b"\n", at, start)
            yield number, self.text[start:end]
            number, at = number + 1, end + 1


def longest_line(columns: int) -> int:
    """Return how many bytes a line of so many numbers may have: far more than they need, far less than a file."""
    return 1 << 16 | 32 * columns


def line_blocks(
    path: Path, *, start: int = 1, longest: int = LONGEST_FIRST_LINE, extent: Extent | None = None
) -> Iterator[LineBlock]:
    """Yield the lines of a raw or gzip text file in blocks.

    Args:
      path: the file.
      start: number of the first line to yield, from 1.
      longest: bytes after which a line is refused.
      extent: which lines to read; None reads all.

    Raises:
      BadInput: for a line that does not end within `longest` bytes, or a file that goes on with blank lines.
    """
    for _, number, text in _whole_lines(path, longest, extent):
        yield from _from(start, number, text)


def line_extents(path: Path, *, start: int, rows: int) -> list[Extent]:
    """Return the lines of a file that are not blank in runs of about `rows`, each of which can be read by itself.

    A row never goes on over a line's end, in quotes neither: `fields` refuses it. So any line's end is a place to cut.

    Args:
      path: the file.
      start: number of the first line that is a row, from 1.
      rows: lines of a run; more by up to those of a block, and fewer in the last.

    Raises:
      BadInput: as `line_blocks`.
    """
    found: list[Extent] = []
    first = count = 0
    begin: tuple[int, int] | None = None
    for offset, number, text in _whole_lines(path, LONGEST_FIRST_LINE, None):
        begin = begin or (offset, number)
        count += sum(1 for block in _from(start, number, text, as_read=True) for _ in block.lines())
        if count - first >= rows:
            end = offset + len(text)
            found.append(Extent(first=first, rows=count - first, offset=begin[0], line=begin[1], end=end))
            first, begin = count, None
    if begin is not None and (count > first or not found):
        found.append(Extent(first=first, rows=count - first, offset=begin[0], line=begin[1]))
    return found or [Extent(first=0, rows=0)]


def _whole_lines(path: Path, longest: int, extent: Extent | None) -> Iterator[tuple[int, int, bytes]]:
    """Yield whole lines in blocks: the byte of the payload at which a block begins, its first line's number, its bytes."""
    # The blanks of a part are judged with the whole file, which is read once before it is read in parts.
    blanks = _BlankLimit(path) if extent is None else None
    number, at, end = (1, 0, None) if extent is None else (extent.line, extent.offset, extent.end)
    rest = b""
    with PayloadReader(path, start=at) as reader:
        while data := reader.read(_BLOCK if end is None else min(_BLOCK, end - reader.offset)):
            if blanks is not None:
                blanks(data)
            if reader.offset == len(data) and data.startswith(_BOM):
                data, at = data.removeprefix(_BOM), len(_BOM)
            text = rest + data
            cut = text.rfind(b"\n") + 1
            text, rest = text[:cut], text[cut:]
            yield at, number, text
            number, at = number + text.count(b"\n"), at + len(text)
            if len(rest) > longest:
                raise bad_line(path, number, "is too long", got=f"more than {longest} bytes")
    if rest:
        yield at, number, rest + b"\n"


def first_lines(path: Path) -> Iterator[tuple[int, bytes]]:
    """Yield number, from 1, and bytes of each line that is not blank, as long as somebody wants the next one.

    Raises:
      BadInput: if a line does not end.
    """
    for block in line_blocks(path):
        yield from block.lines()


class _BlankLimit:
    """Counts the blanks in a file's blocks, and refuses a file of hardly anything else: a gzip bomb of empty lines."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._bytes = 0
        self._visible = 0

    def __call__(self, block: bytes) -> None:
        """Take the next block of the payload.

        Raises:
          BadInput: if hardly any of what was seen is visible.
        """
        self._bytes += len(block)
        self._visible += len(block.translate(None, _BLANKS))
        if self._bytes > MOST_BLANK and self._visible * _SHARE < self._bytes:
            seen = f"{self._visible} visible characters in the first {self._bytes} bytes"
            raise BadInput("is made of blank lines", where=self._path, wanted="rows of numbers", got=seen)


class LineLimit:
    """Counts the lines in a file's blocks, and refuses one that goes on and on: what a gzip bomb has instead of lines.

    A file of blank lines is refused as well.

    Args:
      path: the file, for the error.
      longest: bytes that no line needs; a line may have up to a block more.
    """

    def __init__(self, path: Path, longest: int) -> None:
        self._path = path
        self._longest = longest
        self._line = 1
        self._length = 0
        self._blanks = _BlankLimit(path)

    def __call__(self, block: bytes) -> None:
        """Take the next block of the payload.

        Raises:
          BadInput: for a line that does not end, or for blanks alone.
        """
        self._blanks(block)
        ends = block.count(b"\n")
        self._line += ends
        self._length = len(block) - block.rfind(b"\n") - 1 if ends else self._length + len(block)
        if self._length > self._longest:
            raise bad_line(self._path, self._line, "is too long", got=f"more than {self._longest} bytes")


def fields(path: Path, number: int, line: bytes, delimiter: str) -> list[str]:
    """Split one line, quotes taken off.

    Raises:
      BadInput: for a line that is no UTF-8 text, holds a NUL byte or a lone carriage return, or has quotes that do
        not match.
    """
    try:
        text = line.decode()
    except UnicodeDecodeError as err:
        raise bad_line(path, number, f"is not UTF-8 text (byte {err.start + 1} of the line)") from err
    if "\0" in text:
        raise bad_line(path, number, "holds a NUL byte")
    if "\r" in text:
        raise bad_line(path, number, "holds a carriage return", hint="end lines with LF or CRLF")
    if delimiter == SPACE:
        text = SPACES.sub(SPACE, text.strip())
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as err:
        raise bad_line(path, number, f"cannot be split into fields ({err})") from err


def bad_line(  # noqa: PLR0913  # one argument to each part of the error
    path: Path, number: int, what: str, *, wanted: str | None = None, got: str | None = None, hint: str | None = None
) -> BadInput:
    """Return the error for a line that is at fault as a whole."""
    return BadInput(f"line {number} {what}", where=path, wanted=wanted, got=got, hint=hint)


def _from(start: int, number: int, text: bytes, *, as_read: bool = False) -> Iterator[LineBlock]:
    at = 0
    while number < start and at < len(text):
        at = text.index(b"\n", at) + 1
        number += 1
    text = text[at:]
    if as_read and text:
        yield LineBlock(first=number, text=text)
    elif text:
        text = text.replace(b"\r\n", b"\n") if b"\r" in text else text
        yield LineBlock(first=number, text=_without_powers(text) if b"+0" in text else text)


def _without_powers(text: bytes) -> bytes:
    """Return lines with whole numbers for such as `2.550000000000000000e+02`: what `numpy.savetxt` writes by itself."""
    for power in _POWERS:
        text = power.sub(rb"\1\2", text)
    return text
