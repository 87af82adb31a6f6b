"""What changed since the version before, as `lineage diff` says it: worked out in the background, once for the same files."""

from __future__ import annotations

import concurrent.futures
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from components.digest import canonical_json, sha256_bytes
from pipeline.lineage.diff import words
from pipeline.lineage.diff.diff import Section, VersionDiff, diff, index_files
from pipeline.lineage.versions import RecordedVersion, recorded
from pipeline.predict.server.pages.background import Background
from pipeline.predict.server.pages.refusals import attempt
from pipeline.provenance.file_cache import Identity, identity
from pipeline.provenance.records import record_hash

SOON: Final = 0.5
"""Seconds that a page waits for what may be there soon: only millions of rows or weights take longer."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part:
    """The changes of one kind.

    Attributes:
      kind: such as `settings`.
      count: how many there are.
      note: what is to be said of all of them; may be empty.
      lines: (what, from what to what, where).
      code: (name, changed lines) of the user's own files.
    """

    kind: str
    count: int
    note: str
    lines: tuple[words.Cells, ...]
    code: tuple[tuple[str, tuple[str, ...]], ...]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """What `lineage diff` prints.

    Attributes:
      verdict: what changed, in a few words; empty where it cannot be told.
      models: digests of both, cut to readable length.
      weights: how many tensors differ, in words; may be empty.
      choices: what the versions were chosen from, in words.
      parts: the changes, causes first.
      unknown: what could not be found out, in words.
    """

    verdict: str = ""
    models: tuple[str, str] = ("", "")
    weights: str = ""
    choices: tuple[str, ...] = ()
    parts: tuple[Part, ...] = ()
    unknown: tuple[str, ...] = ()


@dataclasses.dataclass(frozen=True, kw_only=True)
class Changes:
    """What the page of a version shows of its changes.

    Attributes:
      before: number of the version that it is compared with.
      found: the difference; None while it is being worked out.
    """

    before: int
    found: Difference | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pair:
    """Two versions, and what another comparison of them would be another answer by.

    Attributes:
      before: number of the one.
      after: number of the other.
      records: digest over what is recorded of both.
      files: identities of the files that are read beside the records.
    """

    before: int
    after: int
    records: str
    files: tuple[tuple[Path, Identity | None], ...]


Differences = Background[Pair, Difference]
"""The last comparisons of versions, and those that are under way."""


def differences_of(root: Path) -> Differences:
    """Return the comparisons of a root's versions, of which none is made yet; nothing in the root is changed by one."""

    def compare(pair: Pair) -> Difference:
        return attempt(lambda: _in_words(diff(root, pair.before, pair.after)), _untold)

    return Background(compare)


def changes(root: Path, before: int, after: int, differences: Differences) -> Changes:
    """Return what changed between two versions, or that it is being worked out."""

    def ask() -> Difference | None:
        pair = _pair(recorded(root, before), recorded(root, after))
        if differences.last(pair) is None:
            concurrent.futures.wait([differences.start(pair)], timeout=SOON)
        return differences.last(pair)

    return Changes(before=before, found=attempt(ask, _untold))


def _untold(why: str) -> Difference:
    return Difference(unknown=(f"what changed: {why}",))


def _pair(before: RecordedVersion, after: RecordedVersion) -> Pair:
    files = [*index_files(before, after), *_model_files(before), *_model_files(after)]
    return Pair(
        before=before.version,
        after=after.version,
        records=sha256_bytes(canonical_json([_recorded(before), _recorded(after)])),
        files=tuple((path, identity(path)) for path in files),
    )


def _recorded(side: RecordedVersion) -> list[object]:
    hashes = sorted(record_hash(record) for record in side.executions.values())
    return [side.sha256, side.run_id, hashes, side.metrics, None if side.choice is None else side.choice.to_dict()]


def _model_files(side: RecordedVersion) -> Iterator[Path]:
    if side.model_folder is not None:
        yield from sorted((side.model_folder / "variables").glob("*"))


def _in_words(found: VersionDiff) -> Difference:
    return Difference(
        verdict=found.verdict,
        models=words.models(found),
        weights=words.weights(found),
        choices=tuple(words.choices(found)),
        parts=tuple(_part(section) for section in found.sections),
        unknown=found.unknown,
    )


def _part(section: Section) -> Part:
    return Part(
        kind=section.kind,
        count=section.count,
        note=words.note(section),
        lines=tuple(words.lines(section)),
        code=tuple((change.key, change.lines) for change in section.changes if change.lines),
    )
