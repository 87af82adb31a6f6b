"""The check of a served directory against its own statement."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from components.digest import is_provenance, manifest_digest
from components.errors import EnvironmentProblem
from components.serving import PROVENANCE
from pipeline.audit.findings import INTEGRITY, UNKNOWN, Finding, integrity
from pipeline.audit.mismatches import mismatches
from pipeline.provenance import plain_files
from pipeline.provenance.file_check import BESIDE
from pipeline.provenance.ledger import Line
from pipeline.provenance.plain_files import Hasher, Seen
from pipeline.provenance.records import moment
from pipeline.provenance.statement import digest_of, heads_of, manifest_of, parse_statement

SERVED, MANIFEST = "served file", "manifest"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Served:
    """A served directory.

    Attributes:
      folder: its path.
      name: how findings call it: relative to the root, or as it was given.
      seen: everything in it, hashed.
      statement: its provenance; empty if there is none to read.
      data: the provenance's bytes.
      findings: what is wrong with the manifest itself.
      removed: how the ledger says that it was pruned, in words; None of what is there.
    """

    folder: Path
    name: str
    seen: Mapping[str, Seen]
    statement: Mapping[str, Any]
    data: bytes
    findings: tuple[Finding, ...]
    removed: str | None = None

    @property
    def recorded(self) -> dict[str, dict[str, Any]]:
        """The manifest of the model, as the provenance tells it."""
        return manifest_of(self.statement) if self.statement else {}

    @property
    def sha256(self) -> str | None:
        """The model's tree digest, as the provenance tells it."""
        return digest_of(self.statement) if self.statement else None

    @property
    def found_sha256(self) -> str:
        """The tree digest of the files that are there; waits for the hashing."""
        model = {path: seen for path, seen in self.seen.items() if not is_provenance(path)}
        return manifest_digest({path: _entry(seen) for path, seen in model.items()})

    @property
    def heads(self) -> tuple[str, ...]:
        """Hashes of the records that the push read, as the provenance names them."""
        return heads_of(self.statement) if self.statement else ()


def look_at(folder: Path, name: str, hasher: Hasher) -> Served:
    """Return what is in a served directory; its files are still being hashed."""
    seen = plain_files.listing(folder, hasher)
    statement: dict[str, Any] = {}
    data, findings = b"", tuple[Finding, ...]()
    try:
        data = plain_files.read_plain(folder / PROVENANCE)
        statement = parse_statement(data)
    except EnvironmentProblem as err:
        statement, where = {}, f"{name}/{PROVENANCE}"
        findings = (Finding.of(err, INTEGRITY, MANIFEST, where),)
    return Served(folder=folder, name=name, seen=seen, statement=statement, data=data, findings=findings)


def look_at_removed(folder: Path, name: str, removed: Line, data: bytes) -> Served:
    """Return a version that was pruned, with the statement that follows from the records instead of its own."""
    told = f"removed {moment(removed.time)} UTC, ledger line {removed.sequence}"
    statement = parse_statement(data)
    return Served(folder=folder, name=name, seen={}, statement=statement, data=data, findings=(), removed=told)


def check_served(served: Served) -> Iterator[Finding]:
    """Yield how the files differ from the manifest, and how the manifest contradicts itself."""
    yield from served.findings
    yield from _smuggled(served)
    if served.removed is not None:
        what = "its files are gone, so that nobody can compare them"
        yield integrity(SERVED, served.name, what, got=served.removed, level=UNKNOWN)
        return
    if not served.statement:
        return
    model = {path: seen for path, seen in served.seen.items() if not is_provenance(path)}
    yield from mismatches(SERVED, served.name, served.recorded, model)
    if (got := manifest_digest(served.recorded)) != served.sha256:
        where, what = f"{served.name}/{PROVENANCE}", "its files do not give its tree digest"
        yield integrity(MANIFEST, where, what, wanted=served.sha256, got=got)


def _smuggled(served: Served) -> Iterator[Finding]:
    """Yield what the model's digest leaves out by name and is no provenance either."""
    for path, seen in served.seen.items():
        if is_provenance(path) and not (path in BESIDE and seen.kind == plain_files.FILE):
            yield integrity(SERVED, f"{served.name}/{path}", "was added or replaced", got=seen.kind)


def _entry(seen: Seen) -> dict[str, Any]:
    if seen.kind.startswith(plain_files.LINK):
        return {"symlink": seen.kind.removeprefix(plain_files.LINK)}
    return {"sha256": plain_files.digest_or_problem(seen), "bytes": seen.bytes}
