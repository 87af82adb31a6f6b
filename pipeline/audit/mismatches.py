"""Findings about files that are not as recorded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pipeline.audit.findings import Finding, integrity
from pipeline.provenance.file_check import EXTRA, MISSING, REPLACED, Difference, Files, compare
from pipeline.provenance.plain_files import FILE, Seen, digest_or_problem


def mismatches(link: str, folder: str, recorded: Files, seen: Mapping[str, Seen]) -> Iterator[Finding]:
    """Yield how the files of a folder differ from what was recorded, in the order of their paths; waits for digests."""
    for difference in compare(recorded, seen):
        what, wanted, got = _in_words(difference)
        yield integrity(link, f"{folder}/{difference.path}", what, wanted=wanted, got=got)


def _in_words(difference: Difference) -> tuple[str, str, str]:
    recorded, seen = difference.recorded or {}, difference.seen or Seen("nothing")
    got = f"a file of {seen.bytes} bytes" if seen.kind == FILE else seen.kind
    if difference.kind == EXTRA:
        return "was added", "no such file", got
    if difference.kind in (MISSING, REPLACED):
        return "is missing" if difference.kind == MISSING else "was replaced", _entry_in_words(recorded), got
    if seen.bytes != recorded.get("bytes"):
        return "has another size", f"{recorded.get('bytes')} bytes", f"{seen.bytes} bytes"
    return "was changed", f"SHA-256 {recorded['sha256']}", digest_or_problem(seen)


def _entry_in_words(recorded: Mapping[str, Any]) -> str:
    if "sha256" in recorded:
        size = "" if recorded.get("bytes") is None else f" of {recorded['bytes']} bytes"
        return f"a file{size}, SHA-256 {recorded['sha256']}"
    return f"symlink to {recorded.get('symlink')}"
