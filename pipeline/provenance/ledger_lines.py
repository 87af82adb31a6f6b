"""The lines of a ledger, checked as bytes and made into values when somebody asks for one.

A root can have 100,000 lines and more. To parse one and write it as canonical JSON again takes fifty times as long as to
hash it, and as a value it takes six times its bytes. So a line of the form that runs write is checked as it is: that
form is canonical, and its digest is that of the line without the field that holds it. Any other line is parsed.
"""

from __future__ import annotations

import hashlib
import os
import re
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol, overload

from components.errors import EnvironmentProblem
from components.untrusted import MIB, opened

if TYPE_CHECKING:
    from pipeline.provenance.ledger import Line

LARGEST: Final = 4096 * MIB
"""Bytes of a ledger; ten million lines."""

LONGEST: Final = 16 * MIB
"""Bytes of a line; one that lets artifacts go names their paths."""

BLOCK: Final = 1 << 20
"""Bytes that are read at once."""

EVENTS: Final = (
    *(b"", b"intent", b"commit", b"run", b"pushed", b"staged", b"promoting", b"promoted", b"pruned"),
    *(b"collected", b"lost", b"approved", b"withdrawn", b"key-added", b"key-rotated", b"key-revoked"),
)
"""Events by their code, those of lines in the usual form first; 0 stands for an event that is not known here."""

_CODES: Final = {event: code for code, event in enumerate(EVENTS) if event}
_SHA: Final = 32
_TOGETHER: Final = 1_000
"""Lines that are made into values at once, where they are asked for from the end."""

_H, _N, _T = rb'"[0-9a-f]{64}"', rb"[1-9][0-9]{0,14}", rb'"[\w.:+@/-]{1,200}"'
# The names are in ascending order, and no text in it needs an escape: this is canonical JSON, and what a line must have.
_USUAL: Final = re.compile(
    rb'\{"digest":(?P<digest>' + _H + rb"),"
    rb'(?P<rest>"event":"(?:(?P<intent>intent)"(?:,"key":(?P<key>' + _H + rb"))?"
    rb'|(?P<settled>commit)","intent":(?P<settles>' + _N + rb")"
    rb'|(?P<run>run)"|(?P<version_event>pushed|staged|promoting|promoted|pruned)")'
    rb',"node":(?P<node>null|' + _T + rb'),"previous":(?P<previous>' + _H + rb'),"record":(?P<record>null|' + _H + rb")"
    rb',"run_id":(?P<run_id>' + _T + rb'),"sequence":(?P<sequence>' + _N + rb")"
    rb'(?(version_event),"sha256":(?P<sha256>' + _H + rb")|)"
    rb',"time":(?P<time>' + _T + rb")"
    rb'(?(version_event),"version":(?P<version>' + _N + rb")|)\})\n",
    re.ASCII,
)


class Source(Protocol):
    """Where the bytes of lines are."""

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes between two offsets; fewer where there are no more."""

    def with_line(self, text: bytes) -> Source:
        """Return the source with one line more at its end."""


class Memory:
    """Lines whose bytes are held."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = data

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes between two offsets."""
        return self._data[start:stop]

    def with_line(self, text: bytes) -> Memory:
        """Return the lines and one more."""
        return Memory(self._data + text)


class File:
    """Lines that are read again when they are asked for; what was written since is told by its digest."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, start: int, stop: int) -> bytes:
        """Return the bytes between two offsets."""
        with opened(self._path, limit=LARGEST, error=EnvironmentProblem) as descriptor:
            return os.pread(descriptor, stop - start, start)

    def with_line(self, text: bytes) -> File:
        """Return the same file, to which the line was written."""
        del text
        return self


Parse = Callable[[bytes, int, bytes], "Line"]
"""Returns the line in a text without its newline, given its number and the digest of the line before; raises if it is not whole."""


class Checked:
    """What is known of lines that were checked, each to follow the one before.

    Attributes:
      ends: offset behind each line's newline.
      codes: number of each line's event in `EVENTS`.
      digests: of each line, 32 bytes.
      sha256: of the bytes of all of them.
    """

    def __init__(self) -> None:
        self.ends: array[int] = array("Q")
        self.codes = bytearray()
        self.digests = bytearray()
        self.sha256 = hashlib.sha256()

    @property
    def size(self) -> int:
        """Bytes of all lines."""
        return self.ends[-1] if self.ends else 0

    def copy(self) -> Checked:
        """Return the same, to be added to."""
        result = Checked()
        result.ends, result.codes, result.digests = self.ends[:], self.codes[:], self.digests[:]
        result.sha256 = self.sha256.copy()
        return result

    def digest(self, number: int) -> bytes:
        """Return the digest of a line by its number; zeros before the first one."""
        return bytes(self.digests[(number - 1) * _SHA : number * _SHA]) if number else bytes(_SHA)

    def add(self, text: bytes, line: Line) -> None:
        """Add a line that was made of fields."""
        self.sha256.update(text)
        self._note(self.size + len(text), _code(line), bytes.fromhex(line.digest))

    def check(self, data: bytes, parse: Parse) -> int:
        """Add the lines in `data`, and return where the last whole one ends."""
        offset, at, whole = self.size, 0, data.rfind(b"\n") + 1
        number = len(self.codes)
        before = self.digest(number)
        while at < whole:
            number += 1
            found = _USUAL.match(data, at)
            digest = None if found is None else _digest(found, number, before)
            if found is None or digest is None:
                end = data.index(b"\n", at) + 1
                line = parse(data[at : end - 1], number, before)
                code, digest = _code(line), bytes.fromhex(line.digest)
            else:
                code, end = _CODES[_event(found)], found.end()
            self._note(offset + end, code, digest)
            at, before = end, digest
        self.sha256.update(data[:whole])
        return whole

    def _note(self, end: int, code: int, digest: bytes) -> None:
        self.ends.append(end)
        self.codes.append(code)
        self.digests += digest


def _code(line: Line) -> int:
    return _CODES.get(line.event.encode(), 0)


class Lines(Sequence["Line"]):
    """The lines of a chain, each made into a value when it is asked for.

    Args:
      source: of their bytes.
      parse: makes a value of a line in another form than the usual one.
      make: makes a line of its fields.
      known: of them; nothing is before the first line.
    """

    def __init__(self, source: Source, parse: Parse, make: Callable[..., Line], known: Checked | None = None) -> None:
        self._source, self._parse, self._make = source, parse, make
        self._known = known or Checked()

    @property
    def size(self) -> int:
        """Bytes of all lines."""
        return self._known.size

    def __len__(self) -> int:
        return len(self._known.codes)

    @overload
    def __getitem__(self, index: int) -> Line: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Line]: ...

    def __getitem__(self, index: int | slice) -> Line | Sequence[Line]:
        """Return a line, or some of them."""
        chosen = range(len(self))[index]
        return tuple(self._each(chosen)) if isinstance(chosen, range) else next(self._each([chosen], ahead=0))

    def __iter__(self) -> Iterator[Line]:
        return self._each(range(len(self)))

    def __reversed__(self) -> Iterator[Line]:
        for stop in range(len(self), 0, -_TOGETHER):
            yield from reversed(tuple(self._each(range(max(0, stop - _TOGETHER), stop))))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Lines):
            return self.sha256 == other.sha256
        return isinstance(other, Sequence) and len(self) == len(other) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]  # a sequence that compares with lists of lines

    def of(self, events: Iterable[str], start: int = 0) -> Iterator[Line]:
        """Yield the lines of some events, from the one with index `start` on; few others are made into values."""
        wanted = frozenset(events)
        codes = {0, *(_CODES.get(event.encode(), 0) for event in wanted)}
        chosen = (number for number in range(start, len(self)) if self._known.codes[number] in codes)
        return (line for line in self._each(chosen) if line.event in wanted)

    @property
    def sha256(self) -> bytes:
        """Digest of the bytes of all lines."""
        return self._known.sha256.digest()

    def digest(self, index: int) -> str:
        """Return the digest of a line as it was when it was checked."""
        return self._known.digest(range(len(self))[index] + 1).hex()

    def are_first(self, data: Iterable[bytes]) -> bool:
        """Whether these are the lines whose bytes are given."""
        digest = hashlib.sha256()
        for block in data:
            digest.update(block)
        return digest.digest() == self.sha256

    def plus(self, line: Line) -> Lines:
        """Return these lines and the one that follows them, which is in the file."""
        text, known = line.to_bytes(), self._known.copy()
        known.add(text, line)
        return Lines(self._source.with_line(text), self._parse, self._make, known)

    def read_on(self, data: Iterable[bytes]) -> tuple[Lines, bytes]:
        """Return these lines and those in the bytes that follow them, and what follows the last whole line.

        Raises:
          LedgerBroken: as `parse` does.
        """
        known, rest = self._known.copy(), b""
        for block in data:
            text = rest + block
            rest = text[known.check(text, self._parse) :]
            if len(rest) > LONGEST:  # which no line that was written is: it is none, and says so
                number = len(known.codes)
                self._parse(rest, number + 1, known.digest(number))
        return Lines(self._source, self._parse, self._make, known), rest

    def _each(self, indexes: Iterable[int], ahead: int = BLOCK) -> Iterator[Line]:
        first, data = 0, b""
        for index in indexes:
            start, end = self._known.ends[index - 1] if index else 0, self._known.ends[index]
            if not first <= start <= end <= first + len(data):
                first, data = start, self._source.read(start, max(end, start + ahead))
            yield self._line(index + 1, data[start - first : end - first])

    def _line(self, number: int, text: bytes) -> Line:
        before = self._known.digest(number - 1)
        found = _USUAL.fullmatch(text)
        if found is not None and _digest(found, number, before) is not None:
            line = self._made(found)
        else:
            line = self._parse(text.rstrip(b"\n"), number, before)
        if bytes.fromhex(line.digest) != self._known.digest(number):
            raise EnvironmentProblem("was changed while it was read", where=f"ledger line {number}")
        return line

    def _made(self, found: re.Match[bytes]) -> Line:
        def text(name: str) -> str | None:
            value = found[name]
            return None if value is None or value == b"null" else value[1:-1].decode()

        details = {
            "key": text("key"),
            "intent": found["settles"] and int(found["settles"]),
            "sha256": text("sha256"),
            "version": found["version"] and int(found["version"]),
        }
        line = self._make(
            sequence=int(found["sequence"]),
            previous=text("previous"),
            time=text("time"),
            event=_event(found).decode(),
            node=text("node"),
            run_id=text("run_id"),
            record=text("record"),
            details={name: value for name, value in details.items() if value is not None},
        )
        line.__dict__["digest"] = text("digest")  # which was compared: it need not be computed again
        return line


def _event(found: re.Match[bytes]) -> bytes:
    event: bytes = found["intent"] or found["settled"] or found["run"] or found["version_event"]
    return event


def _digest(found: re.Match[bytes], number: int, before: bytes) -> bytes | None:
    """Return the digest of a line in the usual form; None if it is another than it says, or does not follow the line before."""
    digest = hashlib.sha256(b"{" + found["rest"])
    follows = found["previous"] == b'"%b"' % before.hex().encode() and found["sequence"] == b"%d" % number
    return digest.digest() if follows and found["digest"] == b'"%b"' % digest.hexdigest().encode() else None


def blocks(descriptor: int, start: int, stop: int | None = None) -> Iterator[bytes]:
    """Yield the bytes of an open file between two offsets, by default up to its end, `BLOCK` of them at a time."""
    while block := os.pread(descriptor, BLOCK if stop is None else min(BLOCK, stop - start), start):
        yield block
        start += len(block)
