"""Executions that an orchestrator repeated within one run, and how they differ from records that do not belong there.

A pod that fails after its upload is started again with the same inputs, and writes to the same places. Both attempts
leave a record, the second one leaves the bytes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from pipeline.provenance.records import ExecutionRecord

Known = Mapping[str, ExecutionRecord]


def are_attempts(one: ExecutionRecord, other: ExecutionRecord) -> bool:
    """Return whether pods made both records for one task of one run: the same inputs read, the same places written.

    The key need not be the same: what a Baseline resolves, the newest served version, may change in between.
    """
    return not one.in_store and not other.in_store and _task(one) == _task(other)


def superseded(records: Known) -> dict[str, str]:
    """Return {hash of an attempt: hash of the attempt that counts}.

    That is the one that another record read; where none was read, as of a Pusher, the last.
    """
    groups = defaultdict(list)
    for hash_, record in records.items():
        if not record.in_store:
            groups[repr(_task(record))].append(hash_)
    result: dict[str, str] = {}
    for attempts in groups.values():
        last = _most_telling(attempts, records)
        result |= {hash_: last for hash_ in attempts if hash_ != last}
    return result


def by_node(records: Known, run_id: str) -> dict[str, str]:
    """Return {node: hash of its record}, as a run saw its nodes: its own execution, else the one that it reused."""
    gone = superseded(records)
    left = {hash_: record for hash_, record in records.items() if hash_ not in gone}
    own = defaultdict(list)
    for hash_, record in left.items():
        own[record.node, record.run_id == run_id].append(hash_)
    nodes = {node for node, _ in own}
    return {node: _most_telling(own.get((node, True)) or own[node, False], records) for node in nodes}


def left_over(record: ExecutionRecord, path: str, records: Known) -> dict[str, tuple[Mapping[str, Any], ...]]:
    """Return {file: what it may be} of what other attempts at a task made in an artifact, and `record` did not.

    An attempt that is repeated uploads over what the one before it left, and takes nothing away.

    Args:
      record: of the attempt that counts.
      path: of the artifact, relative to the root.
      records: those of other attempts among them.
    """
    own = {name for entry in record.artifacts if entry.path == path for name in entry.files}
    left = defaultdict(list)
    for other in (one for one in records.values() if are_attempts(one, record)):
        for entry in (one for one in other.artifacts if one.path == path):
            for name in entry.files.keys() - own:
                left[name].append(entry.files[name])
    return {name: tuple(files) for name, files in left.items()}


def number_of(hash_: str, records: Known) -> int:
    """Return which attempt at its task a record is of, counted from 1 by when they began."""
    tries = sorted((r.started, h) for h, r in records.items() if h == hash_ or are_attempts(r, records[hash_]))
    return [h for _, h in tries].index(hash_) + 1


def _task(record: ExecutionRecord) -> tuple[object, ...]:
    places = {channel: [entry.path for entry in entries] for channel, entries in sorted(record.outputs.items())}
    return record.pipeline, record.run_id, record.node, dict(sorted(record.inputs.items())), places


def _most_telling(hashes: list[str], records: Known) -> str:
    read = {maker for record in records.values() for maker in record.input_records}
    return max(hashes, key=lambda hash_: (hash_ in read, records[hash_].started, hash_))
