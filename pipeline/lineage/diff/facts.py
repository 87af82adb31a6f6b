"""The facts behind a version that a diff compares, by kind and key, with the value in each node."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any, Final

from pipeline import stages
from pipeline.provenance import parameters
from pipeline.provenance.records import ExecutionRecord
from pipeline.stages import CLASSIFIER, INGEST, REVIEWED_SCHEMA

SCHEMA, CODE, SETTINGS, ENVIRONMENT, LOCK = "schema", "code", "settings", "environment", "lock"
FILES, GIT, BASELINE = "files", "git", "baseline"

_NOT_SETTINGS: Final = frozenset(
    {f"{INGEST}.{name}" for name in ("input_base", "input_fingerprint", "source", "form", "span")}
    | {f"{REVIEWED_SCHEMA}.{name}" for name in ("schema_sha256", "source", "geometry")}
    | {f"{stages.BASELINE}.baseline_digest"}
)
"""Properties that stand for data, schema and baseline, which are compared by themselves."""

Facts = dict[tuple[str, str], dict[str, Any]]
"""{(kind, key): {node id: value}}."""


def facts(executions: Mapping[str, ExecutionRecord]) -> Facts:
    """Return what is recorded of the executions {node id: record} behind a version."""
    result: Facts = {}
    for node, record in executions.items():
        for kind, key, value in _facts_of(record):
            result.setdefault((kind, key), {})[node] = value
    return result


def _facts_of(record: ExecutionRecord) -> Iterator[tuple[str, str, Any]]:
    yield from ((SETTINGS, k, v) for k, v in parameters.flatten(record).items() if k not in _NOT_SETTINGS)
    yield from ((CODE, path, sha256) for path, sha256 in record.code.files.items())
    # Not `asdict`, which copies every value: that was a third of the time that a comparison takes.
    yield from ((ENVIRONMENT, k, v) for k, v in parameters.flatten_keys(vars(record.environment)).items())
    yield LOCK, "requirements.lock", record.lock_digest
    if record.node == INGEST:
        yield from ((FILES, source.name, source.payload_digest) for source in record.sources)
        yield FILES, "form", record.parameters.get("form")
        yield FILES, "span", record.parameters.get("span")
    if record.node == REVIEWED_SCHEMA:
        files = [item for entry in record.artifacts for item in entry.files.items()]
        yield SCHEMA, "geometry", record.parameters.get("geometry")
        yield from ((SCHEMA, path, file["sha256"]) for path, file in files if "sha256" in file)
    if record.node == CLASSIFIER:
        yield from ((GIT, k, v) for k, v in dataclasses.asdict(record.git).items())
    if record.node == stages.BASELINE:
        yield BASELINE, "sha256", record.parameters.get("baseline_digest")
