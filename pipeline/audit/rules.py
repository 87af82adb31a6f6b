"""The rules of a policy, each with the check that names the record or file that breaks it.

A rule whose question cannot be answered, because what it reads is missing or was changed, is UNKNOWN and not broken.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from typing_extensions import TypedDict

from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from components.serving import BASELINE_PROPERTY, NO_BASELINE, SAVED_MODEL
from components.shapes import Shape
from components.untrusted import parse_json
from pipeline.audit.evidence import Ancestors, Evidence, record_path
from pipeline.audit.findings import FAIL, NO_ANCHOR, POLICY, UNKNOWN, WARN, Anchor, Finding
from pipeline.audit.policy import OFF, Policy
from pipeline.audit.policy import WARN as WARN_LEVEL
from pipeline.audit.saved_model_ops import NotASavedModel, scan
from pipeline.audit.served import Served
from pipeline.provenance import plain_files
from pipeline.provenance.approvals import Approvals, read_approvals
from pipeline.provenance.git import CLEAN
from pipeline.provenance.ledger import Chain, Event, Push
from pipeline.provenance.records import ExecutionRecord
from pipeline.provenance.row_file import RowFile
from pipeline.provenance.serving_directory import PushedElsewhere, ServingDirectory


class _Verdict(TypedDict, total=False):
    checks: list[Mapping[str, Any]]


_VERDICT: Final = Shape(_Verdict)

MOST_HELD: Final = 1_000_000
"""Images of the test split that are looked for at once; each takes some 100 bytes."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Broken:
    """A rule that does not hold at one place, or that could not be asked there."""

    where: str
    what: str
    wanted: str | None = None
    got: str | None = None
    unknown: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class Subject:
    """What the rules are asked about.

    Attributes:
      evidence: of the root.
      served: the directory.
      version: its number.
      push: how it came there; None if nothing tells.
      ancestors: the records behind it.
      anchor: what vouches for the root from outside.
      approvals: what the ledger tells of approvals.
      waits: whether it is staged and was not asked about by its number: it may be approved later.
    """

    evidence: Evidence
    served: Served
    version: int
    push: Push | None
    ancestors: Ancestors
    anchor: Anchor
    approvals: Approvals = dataclasses.field(default_factory=lambda: read_approvals(Chain()))
    waits: bool = False

    @property
    def pushed_elsewhere(self) -> tuple[PushedElsewhere, ...]:
        """The lower versions of other bytes that runs of other pipeline roots pushed to the same directory."""
        try:
            others = ServingDirectory(self.evidence.paths, self.evidence.chain).pushed_elsewhere
        except MnistTfxError:
            return ()  # of a directory that cannot be read, its own findings tell
        own = None if self.push is None else self.push.sha256
        return tuple(one for one in others if one.served.version < self.version and one.served.digest != own)

    @property
    def pusher(self) -> ExecutionRecord | None:
        """The record of the push."""
        return self.ancestors.records.get(str(self.push.record)) if self.push is not None else None

    def maker(self, reader: ExecutionRecord | None, channel: str) -> tuple[str, ExecutionRecord] | None:
        """Return the record behind one input of another, and its hash."""
        refs = reader.inputs.get(channel, ()) if reader is not None else ()
        for ref in refs:
            if ref.record in self.ancestors.records:
                return str(ref.record), self.ancestors.records[str(ref.record)]
        return None

    @property
    def trainers(self) -> list[tuple[str, ExecutionRecord]]:
        """Those that made a model out of examples."""
        items = self.ancestors.records.items()
        return [
            (hash_, r) for hash_, r in items if {"model", "model_run"} <= r.outputs.keys() and "examples" in r.inputs
        ]


def check(subject: Subject, policy: Policy) -> Iterator[Finding]:
    """Yield what breaks the policy, rule by rule."""
    for name, level in policy.levels.items():
        if level != OFF:
            shown = WARN_LEVEL if name == "approved" and subject.waits else level
            yield from (_finding(name, shown, broken) for broken in CHECKS[name](subject))


def check_alone(served: Served, policy: Policy) -> Iterator[Finding]:
    """Yield what breaks the one rule that needs no root, and that whether it was approved cannot be told without one."""
    if policy.levels["ops"] != OFF:
        yield from (_finding("ops", policy.levels["ops"], broken) for broken in _ops(served))
    if policy.levels["approved"] != OFF:
        what = "cannot tell whether it was approved: approvals are in the ledger of the root that pushed it, so audit it there"
        yield _finding("approved", policy.levels["approved"], Broken(where=served.name, what=what, unknown=True))


def _finding(name: str, level: str, broken: Broken) -> Finding:
    outcome = UNKNOWN if broken.unknown else WARN if level == WARN_LEVEL else FAIL
    return Finding(
        verdict=POLICY,
        link=name,
        where=broken.where,
        what=broken.what,
        wanted=broken.wanted,
        got=broken.got,
        level=outcome,
    )


def _ops(served: Served) -> Iterator[Broken]:
    where = f"{served.name}/{SAVED_MODEL}"
    if served.removed is not None:
        yield Broken(where=where, what="is gone", got=served.removed, unknown=True)
        return
    try:
        forbidden = scan(plain_files.read_plain(served.folder / SAVED_MODEL))
    except (plain_files.NotPlain, NotASavedModel) as err:
        yield Broken(where=where, what=err.what, got=None if err.got is None else str(err.got))
        return
    for op in forbidden:
        yield Broken(where=where, what=f"op {op.op}", wanted="ordinary ops alone", got=f"{op.node} in {op.function}")


def _blessed(subject: Subject) -> Iterator[Broken]:
    maker = subject.maker(subject.pusher, "model_blessing")
    if maker is None:
        yield _cannot_tell(subject, "no record of the evaluation")
        return
    yield from _blessing(subject, *maker, output="blessing")
    for entry in maker[1].outputs.get("evaluation", ()):
        verdict = _json(subject, f"{entry.path}/verdict.json", entry.files.get("verdict.json"))
        try:
            checks = _VERDICT.read(verdict, what="cannot be read", where=entry.path).get("checks", ())
        except BadInput:
            yield Broken(where=f"{entry.path}/verdict.json", what="cannot be read", unknown=True)
            continue
        for missed in (c for c in checks if c.get("passed") is False):
            yield Broken(
                where=f"{entry.path}/verdict.json", what=str(missed.get("name")), got=str(missed.get("reason"))
            )


def _checked(subject: Subject) -> Iterator[Broken]:
    maker = subject.maker(subject.pusher, "infra_blessing")
    if maker is None:
        yield _cannot_tell(subject, "no record of the check")
        return
    yield from _blessing(subject, *maker, output="blessing")


def _blessing(subject: Subject, hash_: str, record: ExecutionRecord, *, output: str) -> Iterator[Broken]:
    where = f"{record_path(hash_)} ({record.node})"
    for entry in record.outputs.get(output, ()):
        if entry.properties.get("blessed") != 1:
            got = str(entry.properties.get("blessed", "none"))
            yield Broken(where=where, what="did not bless the model", wanted="blessed 1", got=got)
    models = [ref.sha256 for ref in record.inputs.get("model", ())]
    if subject.push is not None and models != [subject.push.sha256]:
        yield Broken(
            where=where, what="was asked about another model", wanted=subject.push.sha256, got=", ".join(models)
        )


def _baseline(subject: Subject) -> Iterator[Broken]:
    evaluation = subject.maker(subject.pusher, "model_blessing")
    maker = subject.maker(evaluation[1] if evaluation is not None else None, "baseline_model")
    if maker is None or subject.push is None:
        yield _cannot_tell(subject, "no record of the baseline")
        return
    hash_, record = maker
    where = f"{record_path(hash_)} ({record.node})"
    baseline = next((entry.properties.get(BASELINE_PROPERTY) for entry in record.artifacts), None)
    before = _served_before(subject, hash_, record)
    elsewhere = () if record.in_store else subject.pushed_elsewhere
    if baseline == NO_BASELINE:
        others = [f"version {version}" for version, sha256 in before if sha256 != subject.push.sha256]
        if others:
            yield Broken(where=where, what="was compared with none", wanted=others[-1], got=NO_BASELINE)
        elif elsewhere:
            yield _other_root(where, "was compared with none", elsewhere[-1])
        return
    digests = [sha256 for version, sha256 in before if f"version {version}" == baseline]
    if not digests and (other := next((one for one in elsewhere if str(one.served) == baseline), None)) is not None:
        yield _other_root(where, f"was compared with {baseline}", other)
        digests = [other.served.digest]
    if not digests:
        wanted = f"one of {', '.join(dict.fromkeys(f'version {version}' for version, _ in before)) or 'none'}"
        yield Broken(
            where=where, what="was compared with no version that was pushed before", wanted=wanted, got=str(baseline)
        )
        return
    recorded = [record.parameters[name] for name in ("baseline_digest",) if name in record.parameters]
    read = [*recorded, *(entry.sha256 for entry in record.artifacts)]
    wanted = next((sha256 for sha256 in digests if {*read} == {sha256}), digests[-1])
    for got in read:
        if got != wanted:
            yield Broken(
                where=where, what=f"was compared with other bytes than {baseline}", wanted=wanted, got=str(got)
            )


def _other_root(where: str, what: str, other: PushedElsewhere) -> Broken:
    """Return what can be said of a version that lies beside the audited one, and whose run left nothing here."""
    wanted = f"what lies below the pipeline root of run {other.run_id}, copied here as well"
    got = f"{other.served}, whose push is not recorded here"
    return Broken(where=where, what=what, wanted=wanted, got=got, unknown=True)


def _served_before(subject: Subject, hash_: str, record: ExecutionRecord) -> list[tuple[int, str]]:
    """Return version and digest of every push before an execution.

    The local runner writes the ledger as things happen. Lines about pods are written when somebody gathers them, in
    whatever order the runs were asked for; but the versions of a serving directory only ever grow. So there the numbers
    tell: those below the one that the execution's own run pushed.
    """
    chain = subject.evidence.chain
    lines = chain.of(Event.PUSHED, Event.PROMOTED)
    pushed = [line for line in lines if isinstance(line.details.get("version"), int)]
    own = next((line.details["version"] for line in pushed if line.run_id == record.run_id), None)
    if record.in_store or own is None:
        end = next((line.sequence for line in chain.of(Event.COMMIT) if line.record == hash_), 0)
        earlier = [line for line in pushed if line.sequence < end]
    else:
        earlier = sorted((x for x in pushed if x.details["version"] < own), key=lambda x: x.details["version"])
    return [(line.details["version"], str(line.details.get("sha256"))) for line in earlier]


def _schema(subject: Subject) -> Iterator[Broken]:
    gates = {
        hash_: r for hash_, r in subject.ancestors.records.items() if {"anomalies", "statistics"} <= r.inputs.keys()
    }
    if not gates:
        yield _cannot_tell(subject, "no record of the schema gate")
    for hash_, gate in gates.items():
        for entry in gate.outputs.get("report", ()):
            report = _json(subject, f"{entry.path}/gate.json", entry.files.get("gate.json"))
            if not isinstance(report, dict):
                yield Broken(where=f"{entry.path}/gate.json", what="cannot be read", unknown=True)
            elif report.get("passed") is not True:
                got = str(report.get("passed"))
                yield Broken(where=f"{entry.path}/gate.json", what="did not pass", wanted="true", got=got)
        if "report" not in gate.outputs:
            yield Broken(where=record_path(hash_), what="the gate left no report", unknown=True)
    for hash_, trainer in subject.trainers:
        read = {ref.record for ref in trainer.inputs.get("schema", ())}
        if not read or not read <= gates.keys():
            where = f"{record_path(hash_)} ({trainer.node})"
            yield Broken(where=where, what="trained on a schema that no gate let through")


def _leaks(subject: Subject) -> Iterator[Broken]:
    evaluation = subject.maker(subject.pusher, "model_blessing")
    if evaluation is None or not subject.trainers:
        yield _cannot_tell(subject, "no record of the evaluation or of the training")
        return
    tested = _row_files(subject, evaluation[1], "test")
    # Both trainers of a run read the same rows.
    shared: dict[tuple[Path, ...] | None, set[bytes] | None] = {}
    for hash_, trainer in subject.trainers:
        trained = _row_files(subject, trainer, "train")
        if trained not in shared:
            shared[trained] = _shared_images(tested, trained)
        where, images = f"{record_path(hash_)} ({trainer.node})", shared[trained]
        if images is None:
            yield Broken(where=where, what="its row index cannot be read", unknown=True)
        elif images:
            got = f"{len(images)}, such as the image with pixels digest {min(images).hex()}"
            yield Broken(where=where, what="images of the test split that it was trained on", wanted="0", got=got)


def _shared_images(tested: tuple[Path, ...] | None, trained: tuple[Path, ...] | None) -> set[bytes] | None:
    """Return the pixels digests that both have, by their row indexes; the same image counts whatever its label."""
    if tested is None or trained is None:
        return None
    try:
        passes = 1 + sum(len(RowFile(path)) for path in tested) // MOST_HELD
        shared: set[bytes] = set()
        for number in range(passes):
            rows = itertools.chain.from_iterable(RowFile(path).pixels() for path in tested)
            held = set(rows) if passes == 1 else {pixels for pixels in rows if pixels[0] % passes == number}
            shared.update(*(held.intersection(RowFile(path).pixels()) for path in trained))
    except EnvironmentProblem:
        return None
    return shared


def _row_files(subject: Subject, reader: ExecutionRecord, split: str) -> tuple[Path, ...] | None:
    """Return the row indexes of a split that an execution read; None where one is not on record, or lies behind a link."""
    result = []
    for ref in reader.inputs.get("examples", ()):
        maker = subject.ancestors.records.get(str(ref.record))
        entry = (
            next((entry for entry in maker.artifacts if entry.path == ref.path), None) if maker is not None else None
        )
        name = f"row_index/{split}.npy"
        path = f"{ref.path}/{name}"
        if entry is None or name not in entry.files or plain_files.link_on_the_way(subject.evidence.root, path):
            return None
        result.append(subject.evidence.root / path)
    return tuple(result)


def _clean_tree(subject: Subject) -> Iterator[Broken]:
    yield from _odd_ones(subject, "git tree", CLEAN, {h: r.git.tree for h, r in subject.ancestors.records.items()})


def _same_lock(subject: Subject) -> Iterator[Broken]:
    # Not the push: a rollback pushes again what was made long before.
    pushed = None if subject.push is None else subject.push.record
    locks = {hash_: record.lock_digest for hash_, record in subject.ancestors.records.items() if hash_ != pushed}
    if locks:
        yield from _odd_ones(subject, "requirements.lock", [*locks.values()][-1], locks)


def _odd_ones(subject: Subject, what: str, wanted: str, values: Mapping[str, str]) -> Iterator[Broken]:
    """Yield the first record whose value is another one; the others are named after it."""
    odd = [hash_ for hash_, value in values.items() if value != wanted]
    if odd:
        nodes = ", ".join(subject.ancestors.records[hash_].node for hash_ in odd)
        where = f"{record_path(odd[0])} ({subject.ancestors.records[odd[0]].node})"
        yield Broken(where=where, what=what, wanted=wanted, got=f"{values[odd[0]]} (in {nodes})")


def _anchored(subject: Subject) -> Iterator[Broken]:
    if subject.anchor.kind == NO_ANCHOR:
        yield Broken(where=subject.served.name, what="anchor", wanted="head or signature", got=NO_ANCHOR)


def _approved(subject: Subject) -> Iterator[Broken]:
    digest = subject.served.sha256
    if subject.evidence.ledger_findings or digest is None:
        yield _cannot_tell(subject, "its approval cannot be looked up")
    elif not subject.approvals.is_approved(digest):
        wanted = "an approval signed by a key that was in force"
        got = subject.approvals.in_words(digest)
        yield Broken(where=subject.served.name, what="not approved", wanted=wanted, got=got)


CHECKS: Final[Mapping[str, Callable[[Subject], Iterator[Broken]]]] = {
    "blessed": _blessed,
    "checked": _checked,
    "baseline": _baseline,
    "schema": _schema,
    "leaks": _leaks,
    "clean_tree": _clean_tree,
    "same_lock": _same_lock,
    "ops": lambda subject: _ops(subject.served),
    "anchored": _anchored,
    "approved": _approved,
}


def _cannot_tell(subject: Subject, what: str) -> Broken:
    return Broken(where=subject.served.name, what=what, unknown=True)


def _recorded(subject: Subject, path: str, recorded: Mapping[str, Any] | None) -> bytes | None:
    """Return a file of an artifact, if it is there and no link is on the way to it."""
    if recorded is None or plain_files.link_on_the_way(subject.evidence.root, path):
        return None
    try:
        return plain_files.read_plain(subject.evidence.root / path)
    except EnvironmentProblem:
        return None


def _json(subject: Subject, path: str, recorded: Mapping[str, Any] | None) -> Any:
    data = _recorded(subject, path, recorded)
    try:
        return None if data is None else parse_json(data, where=path)
    except BadInput:
        return None
