"""The check of the ledger: what was done, in which order, and what is served, against the records."""

from __future__ import annotations

import collections
import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

from components.digest import sha256_bytes
from components.errors import MnistTfxError
from components.serving import PROVENANCE
from pipeline.audit.evidence import LEDGER, RECORD, Ancestors, Evidence, record_path
from pipeline.audit.findings import FAIL, INTEGRITY, UNKNOWN, WARN, Finding, completeness, integrity
from pipeline.audit.served import MANIFEST, SERVED, Served
from pipeline.provenance import plain_files, record_store
from pipeline.provenance.approvals import Approvals
from pipeline.provenance.ledger import Event, Head, LedgerBroken, Line, Push
from pipeline.provenance.records import ExecutionRecord, RunRecord
from pipeline.provenance.statement import BUILD_TYPE, build_statement, statement_bytes
from pipeline.stages import AUTOENCODER, PUSHER, STAGES, feeding

PUSH, NODE = "push", "node"

_REQUIRED: Final[Mapping[str, frozenset[str]]] = {
    stage.id: frozenset(channel for channel, output in stage.inputs.items() if output.partition(".")[0] != AUTOENCODER)
    for stage in STAGES.values()
}
"""{node: its input channels}: an edge that was taken out of a record is missed by these. A recipe may have no autoencoder."""

_NOT_BEHIND_A_PUSH: Final = STAGES.keys() - feeding(PUSHER)
"""Stages whose outputs nothing that is pushed was made from; no served version can vouch for them."""

_RECORD_FILE: Final = re.compile(r"[0-9a-f]{64}\.json")


def reused(evidence: Evidence) -> Mapping[str, frozenset[str]]:
    """Return {record: runs that had its outputs cached}."""
    runs_by_record: dict[str, set[str]] = collections.defaultdict(set)
    for _, run in evidence.runs():
        for node in run.nodes:
            if node.state == "cached" and node.record:
                runs_by_record[node.record].add(run.run_id)
    return {record: frozenset(runs) for record, runs in runs_by_record.items()}


def check_head(evidence: Evidence, head: Head) -> Iterator[Finding]:
    """Yield that the ledger no longer holds a head that was kept elsewhere: its tail was cut, or it was rewritten."""
    try:
        evidence.chain.expect(head)
    except LedgerBroken as err:
        where = f"{evidence.paths.ledger.name} line {head.sequence}"
        yield Finding.of(err, INTEGRITY, LEDGER, where)


def push_behind(evidence: Evidence, served: Served, pushes: tuple[Push, ...]) -> Push | None:
    """Return the push that what is served came from, by what its manifest says; None if there was no push.

    A number can be in the ledger more than once: of a push of bytes that are served already, or of one to a serving
    volume that has been replaced since.
    """
    of_bytes = [push for push in pushes if push.sha256 == served.sha256]
    records = dict(evidence.records(push.record for push in of_bytes if push.record is not None))
    for push in of_bytes:
        record = records.get(str(push.record))
        if isinstance(record, ExecutionRecord) and set(record.input_records) == set(served.heads):
            return push
    return next(iter([*of_bytes, *pushes]), None)


def check_push(
    evidence: Evidence, version: int, served: Served, pushes: tuple[Push, ...], push: Push | None
) -> Iterator[Finding]:
    """Yield where the ledger's pushes and what is served disagree: nothing recorded, or another version's bytes."""
    if push is None:
        yield completeness(
            PUSH,
            served.name,
            "is served but no push of it is recorded",
            wanted=f"a line `pushed` with version {version} in ledger.jsonl",
            got="none",
        )
        return
    if served.removed is None and served.found_sha256 != push.sha256:
        yield _other_bytes(evidence, version, served, push, served.found_sha256)
    yield from _check_number(evidence, version, pushes, push)
    if push.record is None:
        what = f"no line commits the push of version {version}"
        yield completeness(PUSH, push.where, what)


def check_run(version: int, pushes: tuple[Push, ...], push: Push | None, wanted: str) -> Iterator[Finding]:
    """Yield that a version came from other bytes than one certain push, whose record has the hash `wanted`."""
    own = [one for one in pushes if one.record == wanted]
    if push is not None and push.sha256 not in [one.sha256 for one in own]:
        yield integrity(
            PUSH,
            push.where,
            f"version {version} is not what {record_path(wanted)} pushed",
            wanted=own[0].sha256 if own else "a line `pushed` that goes with that record",
            got=push.sha256,
        )


def _check_number(evidence: Evidence, version: int, pushes: tuple[Push, ...], push: Push) -> Iterator[Finding]:
    """Yield that a number was given to different bytes.

    A local root has one serving directory, in which no number is given out twice: something was rewritten. Pods push to
    a volume, which may be another one at the same path the next time, and nothing that they record tells the two apart.
    So there the reader is warned, once: whoever asks for a version by its number has been answered in two ways. It is
    no fault of what is served, all of which fits one push; where it does not, the findings about that say so.
    """
    others = {other.sha256: other for other in reversed(pushes) if other.sha256 != push.sha256}
    if not others:
        return
    records = evidence.records(one.record for one in (push, *others.values()) if one.record is not None)
    by_pods = {hash_ for hash_, record in records if isinstance(record, ExecutionRecord) and not record.in_store}
    for other in list(others.values())[::-1]:
        replaced = {push.record, other.record} <= by_pods
        what = f"version {version} was pushed twice with different bytes"
        yield integrity(
            PUSH,
            other.where,
            f"{what}: to another serving volume, or a number was used again" if replaced else what,
            wanted=push.sha256,
            got=other.sha256,
            level=WARN if replaced else FAIL,
        )


def check_pusher(version: int, served: Served, push: Push, ancestors: Ancestors) -> Iterator[Finding]:
    """Yield where the record of the push is not about this version, these bytes, or this manifest."""
    record = ancestors.records.get(str(push.record))
    if record is None:
        return  # said already
    where = f"{record_path(str(push.record))} ({record.node})"
    properties_of_outputs = [entry.properties for entry in record.artifacts]
    numbers = {
        str(properties["pushed_version"]) for properties in properties_of_outputs if "pushed_version" in properties
    }
    if numbers and numbers != {str(version)}:
        yield _disagrees(where, "pushed another version", str(version), ", ".join(sorted(numbers)))
    models = [ref.sha256 for ref in record.inputs.get("model", ())]
    if push.sha256 not in models:
        yield _disagrees(where, "read another model than was pushed", push.sha256, ", ".join(models))
    if served.statement and set(served.heads) != set(record.input_records):
        wanted, got = (", ".join(sorted(hashes)) for hashes in (record.input_records, served.heads))
        yield integrity(
            MANIFEST, f"{served.name}/{PROVENANCE}", "names other records than the push read", wanted=wanted, got=got
        )


def check_manifest(served: Served, ancestors: Ancestors) -> Iterator[Finding]:
    """Yield that the manifest is not the one that follows from the records behind it.

    It follows from them byte for byte (`build_statement`), so that an edit anywhere in it shows.
    """
    if not served.statement or ancestors.findings:
        return  # said already, or nothing to derive it from
    where = f"{served.name}/{PROVENANCE}"
    built = served.statement["predicate"]["buildDefinition"].get("buildType")
    if built != BUILD_TYPE:
        yield integrity(
            MANIFEST,
            where,
            "is of another release, which cannot be compared with the records",
            wanted=BUILD_TYPE,
            got=str(built),
            level=UNKNOWN,
        )
        return
    try:
        wanted = build_statement(served.recorded, ancestors.records, served.heads)
    except (MnistTfxError, KeyError) as err:
        what = "does not follow from the records that it names"
        yield integrity(MANIFEST, where, what, got=str(err))
        return
    text = statement_bytes(wanted)
    if text != served.data:
        place = _first_difference(wanted, served.statement) or "its bytes"
        yield integrity(
            MANIFEST,
            where,
            f"does not follow from the records that it names: {place}",
            wanted=f"SHA-256 {sha256_bytes(text)}",
            got=sha256_bytes(served.data),
        )


def check_approvals(evidence: Evidence, approvals: Approvals) -> Iterator[Finding]:
    """Yield the approvals and changes of keys whose lines do not hold what was signed."""
    if evidence.ledger_findings:
        return  # its lines are not to be trusted, and somebody says so already
    for line, what in approvals.faults.items():
        yield integrity(LEDGER, f"{evidence.paths.ledger.name} line {line}", what)


def check_commits(evidence: Evidence, ancestors: Ancestors) -> Iterator[Finding]:
    """Yield the records behind the version that no line commits, and commits that are about something else."""
    commits = {line.record: line for line in evidence.chain.of(Event.COMMIT) if line.record in ancestors.records}
    for hash_, record in ancestors.records.items():
        where, line = f"{record_path(hash_)} ({record.node})", commits.get(hash_)
        if line is None:
            what = "is not committed in the ledger"
            yield completeness(LEDGER, where, what)
            continue
        for name, wanted, got in _differences(record, line, evidence.chain.line(line.details.get("intent"))):
            what = f"ledger.jsonl line {line.sequence} commits another {name}"
            yield _disagrees(where, what, wanted, got)


def check_nodes(evidence: Evidence, version: int, push: Push | None, ancestors: Ancestors) -> Iterator[Finding]:
    """Yield the nodes and edges of the pipeline that are not on the path, by the run that pushed the version."""
    ended_with = [(run_hash, run) for run_hash, run in evidence.runs() if run.version == version]
    # A later run may end with the same version, and with other records: of its own push of the same bytes.
    runs = [
        (run_hash, run) for run_hash, run in ended_with if push and push.record in [node.record for node in run.nodes]
    ]
    if not runs:
        where, what = evidence.paths.ledger.name, f"no run is recorded that ended with this push of version {version}"
        yield completeness(NODE, where, what, level=UNKNOWN)
    for run_hash, run in runs[:1]:
        for node in run.nodes:
            if node.record not in ancestors.records and node.id not in _NOT_BEHIND_A_PUSH:
                what = f"{node.id} ran, but is not on the path to version {version}"
                yield completeness(NODE, record_path(run_hash), what, wanted=node.record, got="none")
    for hash_, record in ancestors.records.items():
        for channel in sorted(_REQUIRED.get(record.node, frozenset()) - record.inputs.keys()):
            what = f"{record.node} has no edge {channel}"
            yield completeness(NODE, record_path(hash_), what)


def check_all_records(evidence: Evidence, ancestors: Ancestors) -> Iterator[Finding]:
    """Yield what is wrong with the ledger's other records, and the files among them that the ledger does not know."""
    if evidence.ledger_findings:
        return  # the ledger cannot tell then
    named = {line.record: line for line in evidence.chain.lines if line.record is not None}
    for hash_, line in named.items():
        record = evidence.record(hash_)
        if isinstance(record, Finding) and hash_ not in ancestors.records:
            yield Finding(
                verdict=record.verdict,
                link=RECORD,
                where=record.where,
                what=f"{record.what} (ledger.jsonl line {line.sequence} names it)",
                wanted=record.wanted,
                got=record.got,
            )
    for name, seen in plain_files.listing(evidence.paths.records).items():
        if name.startswith(record_store.NEW) and seen.kind == plain_files.FILE:
            continue  # a crash leaves one behind, and nothing reads it
        if not _RECORD_FILE.fullmatch(name) or seen.kind != plain_files.FILE:
            yield integrity(RECORD, f"records/{name}", "is no record", got=seen.kind)
        elif (hash_ := name.removesuffix(".json")) not in named:
            yield from _unknown_to_the_ledger(evidence, hash_)


def _unknown_to_the_ledger(evidence: Evidence, hash_: str) -> Iterator[Finding]:
    record = evidence.record(hash_)
    if isinstance(record, Finding):
        yield record
    elif not _left_by_a_crash(evidence, record):
        what = "is not in the ledger, and no crash explains it"
        yield completeness(LEDGER, record_path(hash_), what)


def _left_by_a_crash(evidence: Evidence, record: ExecutionRecord | RunRecord) -> bool:
    """Whether the ledger has a gap where this record would belong: a process that died between record and line."""
    lines = [line for line in evidence.chain.lines if line.run_id == record.run_id]
    if isinstance(record, RunRecord):
        return bool(lines) and all(line.event != Event.RUN for line in lines)
    # A push that was killed with its record written is attached by a recovery under the same intent, with a new record.
    pushes = (Event.PUSHED, Event.STAGED)
    repaired = {line.node for line in lines if line.event in pushes and line.details.get("repaired")}
    settled = {line.details.get("intent") for line in lines if line.event == Event.COMMIT and line.node not in repaired}
    intents = [line for line in lines if line.event == Event.INTENT and line.sequence not in settled]
    return any(line.node == record.node and line.details.get("key", record.key) == record.key for line in intents)


def _other_bytes(evidence: Evidence, version: int, served: Served, push: Push, got: str) -> Finding:
    others = [evidence.version_of(digest) for digest in (got, served.sha256 or "")]
    other = next((number for number in others if number not in (None, version)), None)
    belongs = f": digest belongs to version {other}" if other is not None else ""
    return integrity(
        SERVED, served.name, f"these are not the bytes that {push.where} pushed{belongs}", wanted=push.sha256, got=got
    )


def _differences(record: ExecutionRecord, commit: Line, intent: Line | None) -> Iterator[tuple[str, str, str]]:
    if commit.node != record.node:
        yield "node", record.node, str(commit.node)
    if commit.run_id != record.run_id:
        yield "run", record.run_id, commit.run_id
    if intent is None or intent.event != Event.INTENT:
        yield "intent", "the line of an intent", "none"
    elif intent.details.get("key", record.key) != record.key:
        yield "node key", record.key, str(intent.details.get("key"))


def _disagrees(where: str, what: str, wanted: str, got: str) -> Finding:
    return completeness(RECORD, where, what, wanted=wanted, got=got)


def _first_difference(wanted: Any, got: Any, place: str = "") -> str | None:
    """Return the place where two JSON values first differ, such as `predicate.buildDefinition.buildType`."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        keys = sorted(wanted.keys() | got.keys())
        pairs = [(f"{place}.{key}" if place else key, wanted.get(key), got.get(key)) for key in keys]
    elif isinstance(wanted, list) and isinstance(got, list) and len(wanted) == len(got):
        pairs = [(f"{place}[{i}]", *both) for i, both in enumerate(zip(wanted, got, strict=True))]
    else:
        return None if wanted == got and type(wanted) is type(got) else place
    return next(filter(None, (_first_difference(a, b, name) for name, a, b in pairs)), None)
