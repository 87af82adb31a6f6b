"""Files that are not as recorded, in the words of findings."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.provenance.file_check import EXTRA, MISSING, REPLACED, Difference, Files, compare
from pipeline.provenance.plain_files import FILE, Seen, digest_or_problem


@dataclasses.dataclass(frozen=True, kw_only=True)
class Mismatch:
    """A file that is not as recorded."""

    path: str
    what: str
    wanted: str | None = None
    got: str | None = None


def mismatches(recorded: Files, seen: Mapping[str, Seen]) -> Iterator[Mismatch]:
    """Yield how files differ from what was recorded, in the order of their paths; waits for their digests."""
    return map(_mismatch, compare(recorded, seen))


def _mismatch(found: Difference) -> Mismatch:
    recorded, seen = found.recorded or {}, found.seen or Seen("nothing")
    got = f"a file of {seen.bytes} bytes" if seen.kind == FILE else seen.kind
    if found.kind == EXTRA:
        return Mismatch(path=found.path, what="was added", wanted="no such file", got=got)
    if found.kind in (MISSING, REPLACED):
        what = "is missing" if found.kind == MISSING else "was replaced"
        return Mismatch(path=found.path, what=what, wanted=_wanted(recorded), got=got)
    if seen.bytes != recorded.get("bytes"):
        sizes = f"{recorded.get('bytes')} bytes", f"{seen.bytes} bytes"
        return Mismatch(path=found.path, what="has another size", wanted=sizes[0], got=sizes[1])
    wanted = f"SHA-256 {recorded['sha256']}"
    return Mismatch(path=found.path, what="was changed", wanted=wanted, got=digest_or_problem(seen))


def _wanted(recorded: Mapping[str, Any]) -> str:
    if "sha256" in recorded:
        return f"a file of {recorded.get('bytes')} bytes, SHA-256 {recorded['sha256']}"
    return f"symlink to {recorded.get('symlink')}"
