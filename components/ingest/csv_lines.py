"""CSV bytes -> blocks of whole lines with their line numbers: no byte-order mark, LF at every end, no endless line."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from components.errors import BadInput
from components.ingest.payload import PayloadReader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONGEST_FIRST_LINE: Final = 1 << 22
"""Bytes that a line may have as long as the number of columns is not known."""

_BOM: Final = b"\xef\xbb\xbf"
_BLOCK: Final = 1 << 19  # what the arithmetic on a block takes stays in a core's cache


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
        """Yields number and bytes of each line, without its LF."""
        return enumerate(self.text[:-1].split(b"\n"), self.first)


def longest_line(columns: int) -> int:
    """Returns how many bytes a line of so many numbers may have: far more than they need, far less than a file."""
    return 1 << 16 | 32 * columns


def line_blocks(path: Path, *, start: int = 1, longest: int = LONGEST_FIRST_LINE) -> Iterator[LineBlock]:
    """Yields the lines of a raw or gzip text file in blocks.

    Args:
      path: the file.
      start: number of the first line to yield, from 1.
      longest: bytes after which a line is refused.

    Raises:
      BadInput: for a line that does not end within `longest` bytes.
    """
    number, rest = 1, b""
    with PayloadReader(path) as reader:
        while data := reader.read(_BLOCK):
            text = rest + (data.removeprefix(_BOM) if reader.offset == len(data) else data)
            cut = text.rfind(b"\n") + 1
            text, rest = text[:cut], text[cut:]
            yield from _from(start, number, text)
            number += text.count(b"\n")
            if len(rest) > longest:
                raise bad_line(path, number, "is too long", got=f"more than {longest} bytes")
    yield from _from(start, number, rest and rest + b"\n")


class LineLimit:
    """Counts the lines in a file's blocks, and refuses one that goes on and on: what a gzip bomb has instead of lines.

    Args:
      path: the file, for the error.
      longest: bytes that no line needs; a line may have up to a block more.
    """

    def __init__(self, path: Path, longest: int) -> None:
        self._path = path
        self._longest = longest
        self._line = 1
        self._length = 0

    def __call__(self, block: bytes) -> None:
        """Takes the next block of the payload.

        Raises:
          BadInput: for a line that does not end.
        """
        ends = block.count(b"\n")
        self._line += ends
        self._length = len(block) - block.rfind(b"\n") - 1 if ends else self._length + len(block)
        if self._length > self._longest:
            raise bad_line(self._path, self._line, "is too long", got=f"more than {self._longest} bytes")


def fields(path: Path, number: int, line: bytes, delimiter: str) -> list[str]:
    """Splits one line, quotes taken off.

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
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True), [])
    except csv.Error as err:
        raise bad_line(path, number, f"cannot be split into fields ({err})") from err


def bad_line(  # noqa: PLR0913  # one argument to each part of the error
    path: Path, number: int, what: str, *, wanted: str | None = None, got: str | None = None, hint: str | None = None
) -> BadInput:
    """Returns the error for a line that is at fault as a whole."""
    return BadInput(f"line {number} {what}", where=path, wanted=wanted, got=got, hint=hint)


def _from(start: int, number: int, text: bytes) -> Iterator[LineBlock]:
    while text and number < start:
        text = text[text.find(b"\n") + 1 :]
        number += 1
    if text:
        yield LineBlock(first=number, text=text.replace(b"\r\n", b"\n") if b"\r" in text else text)
