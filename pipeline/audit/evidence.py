"""The witnesses of a root: the ledger's lines and the records by hash, read once, with what is wrong with them.

A broken link must not hide the others. So nothing here raises, and records and ledger are not read by `record_store` and
`read_ledger`, which stop at what they cannot trust and follow a link: a line or record that does not hold is a finding,
and what can still be read is read.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from components.digest import sha256_bytes
from components.errors import EnvironmentProblem, MnistTfxError
from components.untrusted import parse_object
from pipeline.audit.findings import COMPLETENESS, INTEGRITY, Finding, completeness, integrity
from pipeline.provenance import plain_files
from pipeline.provenance.ancestry import makers_first
from pipeline.provenance.ledger import Chain, Event, LedgerBroken, Line, no_lines
from pipeline.provenance.ledger_lines import LARGEST, File, blocks
from pipeline.provenance.records import ExecutionRecord, Record, RunRecord, from_bytes
from pipeline.root.paths import RunPaths

_HASH: Final = re.compile(r"[0-9a-f]{64}")
READ_OF_BROKEN: Final = 64
"""MiB of a broken ledger that are read for what they say."""

LEDGER, RECORD = "ledger", "record"


def record_path(hash_: str) -> str:
    """Return a record's file relative to the root."""
    return f"records/{hash_}.json"


class Evidence:
    """What a root says about itself.

    Attributes:
      paths: of the root.
      chain: the ledger, as far as it can be read; if it is broken, its lines are not to be trusted.
      ledger_findings: what is wrong with it.
    """

    def __init__(self, paths: RunPaths) -> None:
        self.paths = paths
        self.chain, self.ledger_findings = _read_ledger(paths.ledger)
        self._records: dict[str, Record | Finding] = {}

    @property
    def root(self) -> Path:
        """The root's folder."""
        return self.paths.root

    def record(self, hash_: str) -> Record | Finding:
        """Return the record that goes by a hash, or why there is none."""
        if hash_ not in self._records:
            self._records[hash_] = _read_record(self.paths.records, hash_)
        return self._records[hash_]

    def records(self, hashes: Iterable[str]) -> Iterator[tuple[str, Record]]:
        """Yield those of the records that can be read."""
        for hash_ in dict.fromkeys(hashes):
            record = self.record(hash_)
            if not isinstance(record, Finding):
                yield hash_, record

    def runs(self) -> Iterator[tuple[str, RunRecord]]:
        """Yield the runs that the ledger names, oldest first."""
        named = [line.record for line in self.chain.of(Event.RUN) if line.record is not None]
        yield from ((hash_, record) for hash_, record in self.records(named) if isinstance(record, RunRecord))

    def committed(self) -> dict[str, ExecutionRecord]:
        """Return the executions that the ledger commits, oldest first, as far as their records can be read."""
        records = self.records(self.chain.order)
        return {hash_: record for hash_, record in records if isinstance(record, ExecutionRecord)}

    def version_of(self, sha256: str) -> int | None:
        """Return the newest version that was pushed with a model digest."""
        pushed = self.chain.of(Event.PUSHED, Event.PROMOTED)
        versions = [int(line.details["version"]) for line in pushed if line.details["sha256"] == sha256]
        return versions[-1] if versions else None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Ancestors:
    """The records behind a version.

    Attributes:
      records: {hash: record}, each after the ones it was made from.
      findings: about those that are missing, changed, or no records of executions.
    """

    records: Mapping[str, ExecutionRecord]
    findings: tuple[Finding, ...]


def walk(evidence: Evidence, heads: Iterable[str]) -> Ancestors:
    """Return `heads` and every record behind them; a record that cannot be read ends its branch and nothing else."""
    findings: list[Finding] = []

    def read(hash_: str, reader: str | None) -> ExecutionRecord | None:
        record = evidence.record(hash_)
        if isinstance(record, ExecutionRecord):
            return record
        if isinstance(record, Finding):
            findings.append(
                dataclasses.replace(record, what=f"{record.what} ({reader or 'the served version'} names it)")
            )
        else:
            findings.append(_broken(hash_, INTEGRITY, "is not the record of an execution", got=record.kind))
        return None

    return Ancestors(records=makers_first(heads, read), findings=tuple(findings))


def _read_record(folder: Path, hash_: str) -> Record | Finding:
    if not _HASH.fullmatch(hash_):
        return _broken(hash_, INTEGRITY, "is no record's hash", wanted="64 hex digits")
    try:
        data = plain_files.read_plain(folder / f"{hash_}.json")
    except plain_files.NotPlain as err:
        missing = plain_files.kind_of(folder / f"{hash_}.json") is None
        return Finding.of(err, COMPLETENESS if missing else INTEGRITY, RECORD, record_path(hash_))
    if (got := sha256_bytes(data)) != hash_:
        return _broken(hash_, INTEGRITY, "was changed", wanted=f"SHA-256 {hash_}", got=got)
    try:
        return from_bytes(data)
    except MnistTfxError as err:
        return Finding.of(err, INTEGRITY, RECORD, record_path(hash_))


def _broken(hash_: str, verdict: str, what: str, *, wanted: str | None = None, got: str | None = None) -> Finding:
    return Finding(verdict=verdict, link=RECORD, where=record_path(hash_[:80]), what=what, wanted=wanted, got=got)


def _read_ledger(path: Path) -> tuple[Chain, tuple[Finding, ...]]:
    try:
        with plain_files.opened_plain(path, limit=LARGEST) as descriptor:
            try:
                whole = Chain(*no_lines(File(path), path.name).read_on(blocks(descriptor, 0)))
            except LedgerBroken as err:
                return Chain(_readable(itertools.islice(blocks(descriptor, 0), READ_OF_BROKEN))), (
                    Finding.of(err, INTEGRITY, LEDGER, str(err.where)),
                )
    except plain_files.NotPlain as err:
        missing = plain_files.kind_of(path) is None
        return Chain(), (Finding.of(err, COMPLETENESS if missing else INTEGRITY, LEDGER, path.name),)
    if not whole.lines:
        finding = completeness(LEDGER, path.name, "is empty")
        return whole, (finding,)
    if whole.torn:
        where = f"{path.name} line {len(whole.lines) + 1}"
        got = f"{len(whole.torn)} bytes without a line end"
        return whole, (integrity(LEDGER, where, "is torn", got=got),)
    return whole, ()


def _readable(data: Iterable[bytes]) -> tuple[Line, ...]:
    """Return what can be read of a broken ledger, so that one bad line does not make every record look uncommitted."""
    result = []
    for text in b"".join(data).split(b"\n"):
        with contextlib.suppress(EnvironmentProblem):
            result.append(Line.from_dict(parse_object(text, where=LEDGER, error=EnvironmentProblem)))
    return tuple(result)
