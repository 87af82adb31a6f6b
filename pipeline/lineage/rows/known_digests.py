"""Where a digest occurs in the records of a root, or among the rows that it ingested, whatever it is the digest of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from components.features import SPLITS, TEST
from pipeline.lineage.downstream import DIGEST, PAYLOAD, Match
from pipeline.lineage.index import LineageIndex
from pipeline.lineage.rows.data_sets import DataSet
from pipeline.lineage.rows.index import ALL, Field, root_of
from pipeline.lineage.steps import ExecutionSummary


def known_as(lineage: LineageIndex, digest: str) -> Iterator[Match]:
    """Yield every execution whose record knows the digest: as its own hash, of data, an artifact, a file or code."""
    payloads, raw = (digest, lineage.containers.get(digest, digest)), bytes.fromhex(digest)
    code = {
        code_digest: path for code_digest, files in lineage.code.items() for path, sha in files.items() if sha == digest
    }
    for step in lineage.steps.that_may_know((*payloads, *code)):
        if step.data is not None and (data := _data(step, step.data, payloads)) is not None:
            yield data
        for output in step.makes:
            if output.sha256 == digest:
                what = f"{output.type} of {step.node}"
                yield Match(step=step, match=DIGEST, what=what, artifact=output.sha256)
            elif _holds(output.files, raw):
                what = f"file in {output.type} of {step.node}"
                yield Match(step=step, match=DIGEST, what=what, artifact=output.sha256)
        if step.record == digest:
            yield Match(step=step, match=DIGEST, what=f"record of {step.node}")
        elif step.code in code or step.code == digest:
            yield Match(step=step, match=DIGEST, what=f"code of {step.node}: {code.get(step.code, 'all files')}")
        elif _holds(step.mentions, raw):
            yield Match(step=step, match=DIGEST, what=f"execution property, key or lock file of {step.node}")


def known_as_row(data_sets: Sequence[DataSet], digest: str) -> Iterator[Match]:
    """Yield every execution that read a row with this digest, be it of pixels and label or of the pixels alone."""
    raw = bytes.fromhex(digest)
    fields: tuple[Field, ...] = ("row", "pixels")
    for data_set in data_sets:
        for field in fields if data_set.index is not None else ():
            here = data_set.index.occurrences(raw, field) if data_set.index is not None else []
            if here:
                what = f"{field} digest of {here[0]}"
                splits = frozenset(one.split for one in here)
                yield from (Match(step=step, match=DIGEST, what=what, splits=splits) for step in data_set.steps)


def _data(step: ExecutionSummary, data: Mapping[str, Any], digests: Sequence[str]) -> Match | None:
    everything = frozenset(SPLITS)
    official = any(file["name"].startswith(TEST) for file in data["files"])
    learned = everything - {TEST} if official else everything
    meanings = {
        data.get("payload_digest"): ("data set", everything),
        root_of(step, ALL): ("rows of the data", everything),
    }
    for split in SPLITS:
        meanings[root_of(step, split)] = (f"rows of {split}", frozenset({split}))
    for file in data["files"]:
        of_test = file["name"].startswith(TEST)
        meanings[file["payload_digest"]] = (f"data file {file['name']}", frozenset({TEST}) if of_test else learned)
    what, splits = next((meanings[digest] for digest in digests if digest in meanings), (None, everything))
    return None if what is None else Match(step=step, match=PAYLOAD, what=what, splits=splits)


def _holds(digests: bytes, raw: bytes) -> bool:
    at = digests.find(raw)
    while at >= 0 and at % len(raw):
        at = digests.find(raw, at + 1)
    return at >= 0
