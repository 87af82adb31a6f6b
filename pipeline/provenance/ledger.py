"""The ledger: one canonical JSON object to a line, each chained to the one before by its digest.

A line's `digest` is the SHA-256 of its other fields' canonical JSON, and `previous` is the digest of the line before,
so that an edited, inserted, deleted or reordered line is found and named. A cut tail leaves a shorter chain that is
whole: only a head kept elsewhere tells (`Chain.expect`). Order is by `sequence`; `time` is for people.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import os
import threading
from collections import OrderedDict, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from typing_extensions import TypedDict

from components.digest import canonical_json, sha256_bytes
from components.errors import BadInput, EnvironmentProblem
from components.shapes import Shape
from components.untrusted import opened, parse_object, read_bytes
from pipeline.provenance.ledger_lines import LARGEST, File, Lines, Memory, Source, blocks

MOST_READ: Final = 4
"""Ledgers that a process remembers."""

FIRST: Final = "0" * 64
"""`previous` of the first line."""

FIELDS: Final = ("sequence", "previous", "time", "event", "node", "run_id", "record")
DIGEST: Final = "digest"


class Event:
    """Kinds of ledger lines."""

    INTENT: Final = "intent"
    COMMIT: Final = "commit"
    LOST: Final = "lost"
    RUN: Final = "run"
    PUSHED: Final = "pushed"
    STAGED: Final = "staged"
    PROMOTING: Final = "promoting"
    PROMOTED: Final = "promoted"
    APPROVED: Final = "approved"
    WITHDRAWN: Final = "withdrawn"
    KEY_ADDED: Final = "key-added"
    KEY_ROTATED: Final = "key-rotated"
    KEY_REVOKED: Final = "key-revoked"
    COLLECTED: Final = "collected"
    PRUNED: Final = "pruned"


class LedgerBroken(EnvironmentProblem):
    """The ledger is not what was written; `where` names the first bad line."""


@dataclasses.dataclass(frozen=True)
class Head:
    """The end of a chain, to be kept elsewhere: number and digest of its last line."""

    sequence: int = 0
    digest: str = FIRST

    def __str__(self) -> str:
        return f"{self.sequence}:{self.digest}"

    @staticmethod
    def from_str(text: str) -> Head:
        """Restore what `str` wrote.

        Raises:
          BadInput: if it is something else.
        """
        sequence, _, digest = text.partition(":")
        if not sequence.isdecimal() or len(digest) != len(FIRST) or set(digest) - set("0123456789abcdef"):
            raise BadInput("not a ledger head", wanted="<lines>:<64 hex digits>", got=text[:100])
        return Head(int(sequence), digest)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Line:
    """One event.

    Attributes:
      sequence: number of the line, from 1.
      previous: digest of the line before, `FIRST` on line 1.
      time: UTC, ISO 8601, by a clock that may have been set back.
      event: `intent`, `commit`, `lost`, `run`, `pushed`; `collected` before artifacts of an old record are removed,
        `pruned` before a served version is. `staged` is a push into `staged/`, `promoting` comes before the version is
        moved from there into service and `promoted` after it; `approved`, `withdrawn`, `key-added`, `key-rotated`
        and `key-revoked` are what people said (`pipeline.provenance.approvals`).
      node: node id; None for a run.
      run_id: the run it happened in.
      record: hash of the record that it commits, or whose artifacts it lets go.
      details: further fields, such as `intent` (the sequence that a commit settles), `version` or `why`.
    """

    sequence: int
    previous: str
    time: str
    event: str
    node: str | None
    run_id: str
    record: str | None
    details: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        if taken := self.details.keys() & {*FIELDS, DIGEST}:
            raise ValueError(f"details may not be named {', '.join(sorted(taken))}")

    @functools.cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON of everything else on the line."""
        return sha256_bytes(canonical_json(self._fields()))

    def to_dict(self) -> dict[str, Any]:
        """Return the line as JSON values."""
        return {**self._fields(), DIGEST: self.digest}

    @staticmethod
    def from_dict(fields: Mapping[str, Any]) -> Line:
        """Restore what `to_dict` returned; the digest is not checked here.

        Raises:
          LedgerBroken: if a field is missing, or of the wrong kind for its event.
        """
        details = {name: value for name, value in fields.items() if name not in _NO_DETAILS}
        own = {name: fields[name] for name in FIELDS if name in fields}
        line = _LINE.read({**own, "details": details}, what=_NO_LINE, where="ledger", error=LedgerBroken)
        if (wanted := _DETAILS.get(line.event)) is not None:
            wanted.read(details, what=_NO_LINE, where="ledger", error=LedgerBroken)
        return line

    def to_bytes(self) -> bytes:
        """Return the line as it is in the file."""
        return canonical_json(self.to_dict()) + b"\n"

    def _fields(self) -> dict[str, Any]:
        return {**self.details, **{name: getattr(self, name) for name in FIELDS}}


class _Intent(TypedDict, total=False):
    key: str


class _Settled(TypedDict):
    intent: int


class _Version(TypedDict):
    version: int
    sha256: str | None


class _Collected(TypedDict):
    paths: list[str]


class _Approved(TypedDict):
    subject: Literal["version", "schema"]
    name: str
    sha256: str
    by: str
    reason: str | None
    envelope: Mapping[str, Any] | None


class _Withdrawn(_Approved):
    approvals: list[int]


class _KeyAdded(TypedDict):
    keyid: str
    public: str
    owner: str
    by: str
    reason: str | None


class _KeyRotated(_KeyAdded):
    replaces: str
    envelope: Mapping[str, Any]


class _KeyRevoked(TypedDict):
    keyid: str
    since: str
    by: str
    reason: str | None


_LINE: Final = Shape(Line)
_DETAILS: Final[Mapping[str, Shape[Any]]] = {
    Event.INTENT: Shape(_Intent),
    Event.COMMIT: Shape(_Settled),
    Event.LOST: Shape(_Settled),
    Event.PUSHED: Shape(_Version),
    Event.PRUNED: Shape(_Version),
    Event.STAGED: Shape(_Version),
    Event.PROMOTING: Shape(_Version),
    Event.PROMOTED: Shape(_Version),
    Event.APPROVED: Shape(_Approved),
    Event.WITHDRAWN: Shape(_Withdrawn),
    Event.KEY_ADDED: Shape(_KeyAdded),
    Event.KEY_ROTATED: Shape(_KeyRotated),
    Event.KEY_REVOKED: Shape(_KeyRevoked),
    Event.COLLECTED: Shape(_Collected),
}
"""What is read of the details of each event."""

_NO_LINE: Final = "is no ledger line"
_NO_DETAILS: Final = frozenset((*FIELDS, DIGEST))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Push:
    """One push, by the two lines that tell of it.

    Attributes:
      line: with the version and the digest of its model.
      record: hash of the Pusher's record; None if no line commits it.
    """

    line: Line
    record: str | None

    @property
    def where(self) -> str:
        """The line's place, in words."""
        return f"ledger.jsonl line {self.line.sequence}"

    @property
    def version(self) -> int:
        """Number of the version."""
        return int(self.line.details["version"])

    @property
    def sha256(self) -> str:
        """Tree digest of the model that was pushed."""
        return str(self.line.details["sha256"])

    @property
    def run_id(self) -> str:
        """The run that pushed it."""
        return self.line.run_id


@dataclasses.dataclass(frozen=True)
class Chain:
    """A verified chain.

    Attributes:
      lines: all of them, in order; of a ledger that was read, each is made into a value when it is asked for.
      torn: what a crash left behind the last whole line.
    """

    lines: Sequence[Line] = ()
    torn: bytes = b""

    @property
    def head(self) -> Head:
        """The last line's number and digest."""
        if isinstance(self.lines, Lines):
            return Head(len(self.lines), self._digest(-1)) if self.lines else Head()
        return Head(self.lines[-1].sequence, self.lines[-1].digest) if self.lines else Head()

    def _digest(self, index: int) -> str:
        return self.lines.digest(index) if isinstance(self.lines, Lines) else self.lines[index].digest

    def of(self, *events: str, after: int = 0) -> Iterator[Line]:
        """Yield the lines of some events, in order: all of them, or those with a higher number than `after`."""
        if isinstance(self.lines, Lines):
            return self.lines.of(events, after)
        return (line for line in self.lines[after:] if line.event in events)

    def line(self, sequence: object) -> Line | None:
        """Return the line with a number; None if there is none."""
        if isinstance(self.lines, Lines):
            return self.lines[sequence - 1] if isinstance(sequence, int) and 0 < sequence <= len(self.lines) else None
        return next((line for line in self.lines if line.sequence == sequence), None)

    @functools.cached_property
    def order(self) -> tuple[str, ...]:
        """Hashes of the committed execution records, oldest first."""
        return tuple(line.record for line in self.of(Event.COMMIT) if line.record is not None)

    def unsettled(self) -> tuple[Line, ...]:
        """Return the intents that nothing has committed or given up."""
        settled = {line.details.get("intent") for line in self.of(Event.COMMIT, Event.LOST)}
        return tuple(line for line in self.of(Event.INTENT) if line.sequence not in settled)

    def unfinished(self) -> dict[str, str]:
        """Return {node key: the newest run that began this work} of the work that no commit ever ended."""
        return dict(self._unfinished)

    @functools.cached_property
    def _unfinished(self) -> dict[str, str]:
        begun = [(line.details.get("key"), line) for line in self.of(Event.INTENT)]
        committed = {line.details.get("intent") for line in self.of(Event.COMMIT)}
        done = {key for key, line in begun if line.sequence in committed}
        return {key: line.run_id for key, line in begun if isinstance(key, str) and key not in done}

    def collected(self) -> frozenset[str]:
        """Return the paths of the artifacts that were removed on purpose, relative to the root."""
        return self._collected

    @functools.cached_property
    def _collected(self) -> frozenset[str]:
        removed = (line.details["paths"] for line in self.of(Event.COLLECTED))
        return frozenset(path for paths in removed for path in paths)

    def highest_version(self) -> int:
        """Return the highest version ever recorded, served or staged, 0 if none was: both share their numbers."""
        return max((*self._pushes, *self._stagings), default=0)

    @property
    def versions(self) -> tuple[int, ...]:
        """Numbers of the versions that were ever in service, lowest first."""
        return tuple(sorted(self._pushes))

    @property
    def staged(self) -> tuple[int, ...]:
        """Numbers of the versions that were ever staged, lowest first; those that were promoted since among them."""
        return tuple(sorted(self._stagings))

    def pushes(self, version: int) -> tuple[Push, ...]:
        """Return the pushes that ended in a version, in order; a push of bytes that are served already adds one.

        A promotion is one as well: with the run and the record of the push that staged the version.
        """
        return self._pushes.get(version, ())

    def stagings(self, version: int) -> tuple[Push, ...]:
        """Return the pushes into `staged/` that ended in a version, in order."""
        return self._stagings.get(version, ())

    def push(self, version: int) -> Push | None:
        """Return the push that made a version what it is: the first one of the bytes that were pushed last.

        Its statement is the one that is served; a later push of the same bytes changes nothing in the folder.
        """
        return _first_of_last_bytes(self.pushes(version))

    def origin(self, version: int) -> Push | None:
        """Return the push that made a version what it is, be it in service or only staged."""
        return self.push(version) or _first_of_last_bytes(self.stagings(version))

    def run_record(self, run_id: str) -> str | None:
        """Return the hash of a run's record; None if no line tells how the run ended."""
        return self._runs.get(run_id)

    @functools.cached_property
    def _pushes(self) -> Mapping[int, tuple[Push, ...]]:
        return self._by_version(Event.PUSHED, Event.PROMOTED)

    @functools.cached_property
    def _stagings(self) -> Mapping[int, tuple[Push, ...]]:
        return self._by_version(Event.STAGED)

    def _by_version(self, *events: str) -> Mapping[int, tuple[Push, ...]]:
        pushes: dict[int, list[Push]] = defaultdict(list)
        for line in self.of(*events):
            pushes[line.details["version"]].append(Push(line=line, record=self._commit_of(line)))
        return {version: tuple(of_version) for version, of_version in pushes.items()}

    def _commit_of(self, push: Line) -> str | None:
        """Return the record that the nearest commit of the push's node and run commits.

        The commit of a push is on the line after it, in older ledgers on the one before. Pods may commit several
        attempts in one run: the one that counts is beside the line of the push.
        """
        for number in (push.sequence - 1, push.sequence + 1):
            line = self.lines[number - 1] if 0 < number <= len(self.lines) else None
            if line is not None and (line.event, line.node, line.run_id) == (Event.COMMIT, push.node, push.run_id):
                return line.record
        own = self._commits.get((push.node, push.run_id), ())
        nearest = min(own, key=lambda commit: abs(commit.sequence - push.sequence), default=None)
        return nearest.record if nearest else None

    @functools.cached_property
    def _commits(self) -> Mapping[tuple[str | None, str], Sequence[Line]]:
        commits: dict[tuple[str | None, str], list[Line]] = defaultdict(list)
        for line in self.of(Event.COMMIT):
            commits[line.node, line.run_id].append(line)
        return commits

    @functools.cached_property
    def _runs(self) -> Mapping[str, str]:
        return {line.run_id: str(line.record) for line in self.of(Event.RUN) if line.record is not None}

    def expect(self, head: Head) -> None:
        """Check that the chain still holds a head that was kept elsewhere.

        Raises:
          LedgerBroken: if its tail was cut, or the line rewritten.
        """
        if head.sequence > len(self.lines):
            raise LedgerBroken("its tail was cut", where="ledger", wanted=f"{head.sequence} lines", got=len(self.lines))
        digest = self._digest(head.sequence - 1) if head.sequence else FIRST
        if digest != head.digest:
            raise LedgerBroken("was rewritten", where=f"ledger line {head.sequence}", wanted=head.digest, got=digest)


def _first_of_last_bytes(pushes: tuple[Push, ...]) -> Push | None:
    first = None
    for push in pushes:
        first = push if first is None or push.sha256 != first.sha256 else first
    return first


def parse_ledger(data: bytes, *, where: object = "ledger") -> Chain:
    """Return the chain in `data`, a file's bytes.

    Raises:
      LedgerBroken: naming the first line that is not what was written.
    """
    return Chain(*no_lines(Memory(data), where).read_on([data]))


def no_lines(source: Source, where: object) -> Lines:
    """Return the lines of a ledger before the first one; `where` is for the message about one that is not whole."""

    def parse(text: bytes, number: int, previous: bytes) -> Line:
        return checked(text, Head(number - 1, previous.hex()), where)

    return Lines(source, parse, Line)


def read_ledger(path: Path) -> Chain:
    """Return the chain in a ledger, without locking or repairing it; a file that is not there has no lines.

    Raises:
      LedgerBroken: as `parse_ledger`.
      EnvironmentProblem: if it cannot be read.
    """
    if not os.path.lexists(path):
        return Chain()
    try:
        with opened(path, limit=LARGEST) as descriptor:
            return _READ.chain(path, descriptor)
    except BadInput as err:
        got = f"{err.what}: {err.got}" if err.got else err.what
        raise EnvironmentProblem("cannot read the ledger", where=path, wanted=err.wanted, got=got) from err


class _Read:
    """The ledgers that this process read last.

    A page or a command asks for the chain many times over, and to check a line takes longer than to digest it. Lines
    that were checked are not checked again while the file begins with the very bytes that they were.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: OrderedDict[Path, Chain] = OrderedDict()

    def chain(self, path: Path, descriptor: int) -> Chain:
        known = self._last.get(path)
        before = known.lines if known is not None and isinstance(known.lines, Lines) else None
        if before is None or not before.are_first(blocks(descriptor, 0, before.size)):
            before = no_lines(File(path), path)
        lines, torn = before.read_on(blocks(descriptor, before.size))
        if known is not None and (lines.size, torn) == (before.size, known.torn) and before is known.lines:
            return known
        found = Chain(lines, torn)
        with self._lock:
            self._last[path] = found
            self._last.move_to_end(path)
            while len(self._last) > MOST_READ:
                self._last.popitem(last=False)
        return found


_READ: Final = _Read()


def ledger_bytes(path: Path) -> bytes:
    """Return the bytes of a ledger, of which nothing is checked.

    Raises:
      EnvironmentProblem: if it cannot be read.
    """
    try:
        return read_bytes(path, limit=LARGEST)
    except BadInput as err:
        got = f"{err.what}: {err.got}" if err.got else err.what
        raise EnvironmentProblem("cannot read the ledger", where=path, wanted=err.wanted, got=got) from err


def last_time(path: Path) -> str | None:
    """Return the time of a ledger's last whole line, of which alone anything is checked; None where it has none.

    Raises:
      LedgerBroken: if that is no ledger line with a time.
      EnvironmentProblem: if it cannot be read.
    """
    if not os.path.lexists(path):
        return None
    last = ledger_bytes(path).rpartition(b"\n")[0].rpartition(b"\n")[2]
    if not last:
        return None
    line = Line.from_dict(parse_object(last, where=path, error=LedgerBroken, any_number=True))
    try:
        return datetime.datetime.fromisoformat(line.time.replace("Z", "+00:00")).isoformat()
    except ValueError as err:
        raise LedgerBroken(_NO_LINE, where=path, wanted="a time", got=line.time) from err


def checked(text: bytes, head: Head, where: object) -> Line:
    """Return the line in `text`, without its newline, if it is whole and follows `head`.

    Raises:
      LedgerBroken: if not.
    """
    number = head.sequence + 1
    place = f"{where} line {number}"
    try:
        fields = parse_object(text, where=place, error=LedgerBroken, any_number=True)
        line = Line.from_dict(fields)
    except LedgerBroken as err:
        raise LedgerBroken(_NO_LINE, where=place, got=err.got) from err
    if line.to_bytes() != text + b"\n":
        raise LedgerBroken("was edited", where=place, wanted=f"digest {line.digest}", got=fields.get(DIGEST))
    if line.sequence != number:
        what = "lines before it were deleted" if line.sequence > number else "was inserted or moved"
        raise LedgerBroken(what, where=place, wanted=f"sequence {number}", got=line.sequence)
    if line.previous != head.digest:
        raise LedgerBroken(
            "does not follow the line before", where=place, wanted=f"previous {head.digest}", got=line.previous
        )
    return line
