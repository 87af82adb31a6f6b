"""The audit of a served directory or version: the checks, in order."""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from components import serving
from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from components.layout import STAGED
from components.serving import ServedVersion
from pipeline.audit import ancestors, foreign, ledger_check, metadata_check, rules
from pipeline.audit import policy as policies
from pipeline.audit.evidence import Evidence, walk
from pipeline.audit.findings import (
    COMPLETENESS,
    HEAD,
    INTEGRITY,
    POLICY,
    SIGNATURE,
    UNKNOWN,
    VERDICTS,
    Anchor,
    Audit,
    Counts,
    Finding,
    Scope,
    completeness,
    integrity,
)
from pipeline.audit.policy import Policy
from pipeline.audit.served import SERVED, Served, check_served, look_at, look_at_removed
from pipeline.audit.still import once_still
from pipeline.metadata.address import Address, parse_address, recorded_address
from pipeline.metadata.reader import StoreReader
from pipeline.provenance.approvals import Approvals, read_approvals
from pipeline.provenance.artifacts import MODEL_FOLDER
from pipeline.provenance.keys import PublicKey
from pipeline.provenance.ledger import Chain, Event, Head, Push, read_ledger
from pipeline.provenance.plain_files import Hasher, kind_of, link_on_the_way
from pipeline.provenance.records import has_autoencoder
from pipeline.provenance.removed_version import rebuilt_statement, removal, removed_folder
from pipeline.provenance.serving_directory import ServingDirectory, named_versions
from pipeline.provenance.staged_directory import StagedDirectory
from pipeline.root import identity
from pipeline.root.paths import RunPaths

READING: Final = "reading records and ledger"
AUDITING: Final = "auditing versions"
HASHING: Final = "hashing files"


@dataclasses.dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """How to audit.

    Attributes:
      policy: which rules are asked.
      head: of the ledger, as it was kept elsewhere.
      key: PEM file of the public key that is to have signed the version.
      approval_keys: PEM files of the public keys that may approve; none takes the ledger's own list at its word.
      metadata: address of the metadata store; by default the one that root.json names, or the file in the root.
      pusher: hash of the record of the push that is to have served the version; None if any may have.
      show: called, by any thread, with the progress: what is being done, how much of it is done, and how much there is.
    """

    policy: Policy = dataclasses.field(default_factory=policies.default)
    head: Head | None = None
    key: Path | None = None
    approval_keys: tuple[Path, ...] = ()
    metadata: Address | None = None
    pusher: str | None = None
    show: Callable[[str, int, int], None] = lambda *_: None

    def __post_init__(self) -> None:
        if self.head is not None and self.head.sequence == 0:
            raise BadInput(
                "the head of an empty ledger is no anchor",
                where="--expect-head",
                wanted="a head that was kept after the version was pushed",
                got=self.head,
                hint="mnist-tfx lineage head prints it",
            )


DEFAULTS = AuditOptions()


def audit_version(
    root: Path,
    version: int | None = None,
    options: AuditOptions = DEFAULTS,
    reader: StoreReader | None = None,
) -> Audit:
    """Audit a version of a root, served or staged; by default the newest that is served.

    Of a version that was pruned the records and the ledger are audited; whether its bytes were those, nobody can tell.

    Args:
      root: its folder.
      version: its number; None for the newest.
      options: how to audit.
      reader: asks the metadata store; by default a new one.

    Raises:
      BadInput: if it is not there, and was not pruned.
    """
    return once_still(RunPaths(root), lambda: (_version_audited(root, version, options, reader),))[0]


def _version_audited(root: Path, version: int | None, options: AuditOptions, reader: StoreReader | None) -> Audit:
    if (linked := _linked(RunPaths(root), version)) is not None:
        return linked
    if version is not None and (removed := _removed(RunPaths(root), version)) is not None:
        return next(_audits(root, [removed], options, reader))
    versions = _versions(RunPaths(root))
    if not versions and (version is None or version not in [one.version for one in _staged(RunPaths(root))]):
        return _foreign_alone(RunPaths(root))
    known = versions if version is None else [*versions, *_staged(RunPaths(root))]
    wanted = versions[-1].version if version is None else version
    chosen = next((served for served in known if served.version == wanted), None)
    if chosen is None:
        numbers = ", ".join(dict.fromkeys(str(served.version) for served in known))
        raise BadInput("no such version", where=root, wanted=f"one of {numbers}", got=version)
    return next(_audits(root, [chosen], options, reader))


def audit_all(root: Path, options: AuditOptions = DEFAULTS, reader: StoreReader | None = None) -> tuple[Audit, ...]:
    """Audit every version, served and staged; what several of them share is read and hashed once.

    The metadata store is compared with all records that the ledger commits, not with those behind the versions alone.

    Args:
      root: its folder.
      options: how to audit.
      reader: asks the metadata store; by default a new one.

    Raises:
      BadInput: if there is none.
    """
    return once_still(RunPaths(root), lambda: _all_audited(root, options, reader))


def _all_audited(root: Path, options: AuditOptions, reader: StoreReader | None) -> tuple[Audit, ...]:
    if (linked := _linked(RunPaths(root))) is not None:
        return (linked,)
    versions = _versions(RunPaths(root))
    if not versions and not _staged(RunPaths(root)):
        return (_foreign_alone(RunPaths(root)),)
    return tuple(_audits(root, versions, options, reader, whole=True))


def audit_path(folder: Path, options: AuditOptions = DEFAULTS) -> Audit:
    """Audit a served directory: with its root if it lies in one, and else by its manifest alone.

    Raises:
      BadInput: if it is no directory.
    """
    paths, number = RunPaths(folder.parent.parent), serving.number_of(folder.name)
    is_version = number is not None and folder.parent in (paths.serving, paths.staged)
    if is_version and (paths.ledger.exists() or paths.records.is_dir()):
        if (linked := _linked(paths, number)) is not None:
            return linked
        for served in serving.candidates(folder.parent):
            if served.path == folder:
                return next(_audits(paths.root, [served], options))
    if folder.is_symlink() or not folder.is_dir():
        raise BadInput("no served directory", where=folder, wanted="a folder with a SavedModel and its provenance")
    return _audit_alone(folder, options)


def _versions(paths: RunPaths) -> list[ServedVersion]:
    """Return whatever TF Serving may take for a version: folders, and links, behind which nothing is read.

    Raises:
      BadInput: if nothing is there that it would look at, and nothing was ever pushed or all of it was pruned.
    """
    versions = serving.candidates(paths.serving)
    others = serving.foreign_entries(paths.serving) or _staged(paths) or _missing_versions(paths)
    if not versions and not others:
        raise ServingDirectory.of(paths).nothing_served()
    return versions


def _staged(paths: RunPaths) -> tuple[ServedVersion, ...]:
    """Return the versions that wait for promotion; what a killed push left there is for `lineage orphans` to name."""
    try:
        return StagedDirectory.of(paths).recorded
    except EnvironmentProblem:
        return tuple(serving.versions(paths.staged))  # their audits say what is wrong with the ledger


def _removed(paths: RunPaths, version: int) -> ServedVersion | None:
    """Return a version that was pruned, by a ledger that can be read, and is not there; None if it is no such one."""
    if os.path.lexists(paths.version(version)):
        return None
    try:
        ledger = read_ledger(paths.ledger)
    except EnvironmentProblem:
        return None
    return None if removal(ledger, version) is None else ServedVersion(version, removed_folder(paths, ledger, version))


def _missing_versions(paths: RunPaths) -> tuple[int, ...]:
    """Return the versions that were pushed and are not there, as far as the ledger can be read."""
    try:
        return ServingDirectory.of(paths).missing
    except EnvironmentProblem:
        return ()  # where something is served, its audit says what is wrong with the ledger


def _foreign_alone(paths: RunPaths) -> Audit:
    """Return the audit of a serving directory that holds nothing, or nothing but what no pipeline put there."""
    findings = foreign.foreign_entries(paths)
    open_verdicts: tuple[str, ...] = (COMPLETENESS, POLICY)
    if not findings:
        lost = f"{named_versions(_missing_versions(paths))} pushed and not pruned, and no version is there"
        name = paths.relative(paths.serving)
        findings, open_verdicts = (completeness("push", name, lost),), VERDICTS
    return foreign.nothing_compared(paths, findings, open_verdicts, "no version is served")


def _linked(paths: RunPaths, version: int | None = None, folder: Path | None = None) -> Audit | None:
    """Return the audit of a version, by default in the serving directory, that lies behind a symlink; None if none.

    Nothing behind a link is read: neither versions nor bytes.
    """
    name = paths.relative(folder or paths.serving)
    place = link_on_the_way(paths.root, name)
    if place is None:
        return None
    what = f"was replaced by a {kind_of(paths.root / place)}"
    unasked = "lies behind a symlink, which is not followed"
    replaced = integrity(SERVED, place, what)
    return Audit(
        version=version,
        path=name,
        sha256=None,
        anchor=Anchor(),
        findings=(replaced, *(_unasked(verdict, place, unasked) for verdict in (COMPLETENESS, POLICY))),
        counts=Counts(),
        scopes=dict.fromkeys(VERDICTS, Scope(compared="nothing", left_out=f"what lies behind the symlink {place}")),
    )


@dataclasses.dataclass(frozen=True, kw_only=True, eq=False)
class _Session:
    """What the audits of several versions share, so that it is read once.

    Attributes:
      evidence: of the root.
      options: how to audit.
      hasher: hashes each file once.
      witness: the metadata store, asked about each record once.
      approvals: what the ledger tells of them.
      others: what the store is compared with beside the records behind a version; None if with nothing.
      beside: findings about what else is in the serving directory, and about what is gone from it,
        and about a damaged root.json.
    """

    evidence: Evidence
    options: AuditOptions
    hasher: Hasher
    witness: metadata_check.Witness
    approvals: Approvals
    others: ancestors.Known | None
    beside: tuple[Finding, ...]

    def beside_others(self, records: ancestors.Known) -> ancestors.Known:
        """Return the records that the store is compared with on behalf of a version that has some behind it."""
        return {**(self.others or {}), **records}


def _audits(
    root: Path,
    versions: list[ServedVersion],
    options: AuditOptions,
    reader: StoreReader | None = None,
    *,
    whole: bool = False,
) -> Iterator[Audit]:
    with StoreReader() as own, Hasher(functools.partial(options.show, HASHING)) as hasher:
        reader = reader or own
        reader.start()
        options.show(READING, 0, 0)
        evidence = Evidence(RunPaths(root))
        session = _Session(
            evidence=evidence,
            options=options,
            hasher=hasher,
            witness=_witness(evidence, options, reader),
            approvals=read_approvals(evidence.chain, _load(options.approval_keys)),
            others=evidence.committed() if whole else None,
            beside=(
                *foreign.foreign_entries(evidence.paths),
                *(foreign.missing_versions(evidence) if whole else ()),
                *_damaged_identity(evidence.paths),
            ),
        )
        audited, counted = foreign.split(evidence, versions) if whole else (versions, [])
        audited = [*audited, *_staged(evidence.paths)] if whole else audited
        for number, version in enumerate(audited):
            options.show(AUDITING, number, len(audited))
            yield _audit(session, version)
        if counted:
            yield foreign.counted_folders(evidence.paths, counted)


def _load(approval_keys: tuple[Path, ...]) -> tuple[PublicKey, ...] | None:
    if not approval_keys:
        return None
    from pipeline.provenance import keys

    return tuple(keys.load_public(path) for path in approval_keys)


def _witness(evidence: Evidence, options: AuditOptions, reader: StoreReader) -> metadata_check.Witness:
    paths = evidence.paths
    return metadata_check.Witness(
        path=paths.metadata,
        elsewhere=options.metadata or _recorded(paths),
        reused=ledger_check.reused(evidence),
        runs=frozenset(run.run_id for _, run in evidence.runs()),
        collected=evidence.chain.collected(),
        places=_places(paths),
        reader=reader,
    )


def _audit(session: _Session, chosen: ServedVersion) -> Audit:
    evidence, options, hasher = session.evidence, session.options, session.hasher
    paths, version = evidence.paths, chosen.version
    if (linked := _linked(paths, version, chosen.path)) is not None:
        return dataclasses.replace(linked, findings=(*linked.findings, *foreign.foreign_entries(paths, chosen.path)))
    files_before, bytes_before = hasher.files, hasher.bytes
    name = paths.relative(chosen.path)
    served = _look_at(evidence, chosen, name, hasher)
    is_staged = chosen.path.parent == paths.staged
    pushes = evidence.chain.stagings(version) if is_staged else evidence.chain.pushes(version)
    push = ledger_check.push_behind(evidence, served, pushes)
    lineage = walk(evidence, dict.fromkeys([*([push.record] if push and push.record else ()), *served.heads]))
    # Data is decompressed, which takes longest, so it comes first.
    inputs = ancestors.look_at_inputs(paths.root, lineage.records, hasher)
    artifacts = ancestors.look_at_artifacts(paths.root, lineage.records, hasher)
    # While the threads hash, and while everything else is looked at, the store is read.
    session.witness.ask_ahead(session.beside_others(lineage.records))
    anchor, anchor_findings = _anchor(evidence, served, push, options)
    findings = [
        *check_served(served),
        *session.beside,
        *ledger_check.check_push(evidence, version, served, pushes, push),
        *(ledger_check.check_run(version, pushes, push, options.pusher) if options.pusher is not None else ()),
        *lineage.findings,
        *ledger_check.check_manifest(served, lineage),
        *(ledger_check.check_pusher(version, served, push, lineage) if push is not None else ()),
        *ancestors.check_records(lineage.records),
        *ancestors.check_attempts(evidence, lineage.records),
        *ancestors.check_artifacts(evidence, lineage.records, artifacts),
        *_check_baselines(evidence, artifacts, hasher),
        *ancestors.check_inputs(evidence, inputs),
        *ledger_check.check_nodes(evidence, version, push, lineage),
        *evidence.ledger_findings,
        *ledger_check.check_approvals(evidence, session.approvals),
        *ledger_check.check_commits(evidence, lineage),
        *ledger_check.check_all_records(evidence, lineage),
        *anchor_findings,
    ]
    subject = rules.Subject(
        evidence=evidence,
        served=served,
        version=version,
        push=push,
        ancestors=lineage,
        anchor=anchor,
        approvals=session.approvals,
        waits=is_staged and session.others is not None,
    )
    policy = tuple(rules.check(subject, options.policy))
    stored, others = _compared_with_store(session, lineage.records)
    hasher.wait()
    counts = Counts(
        files=hasher.files - files_before,
        bytes=hasher.bytes - bytes_before,
        records=len(lineage.records),
        ledger_lines=len(evidence.chain.lines),
        executions=stored.agreeing,
    )
    return Audit(
        version=version,
        path=name,
        sha256=served.sha256,
        anchor=anchor,
        findings=(*dict.fromkeys([*findings, *stored.findings, *others]), *policy),
        counts=counts,
        scopes=_scopes(counts, options.policy, stored.left_out, _promotion(push)),
        autoencoder=has_autoencoder(record.node for record in lineage.records.values()),
        own_code=ancestors.own_code_of(lineage.records),
        approvals=session.approvals.of(served.sha256 or ""),
        records=frozenset(lineage.records),
    )


def _look_at(evidence: Evidence, chosen: ServedVersion, name: str, hasher: Hasher) -> Served:
    """Return what is in a version's folder, or of a version that was pruned what the records say was there."""
    removed, push = removal(evidence.chain, chosen.version), evidence.chain.origin(chosen.version)
    if removed is None or push is None or os.path.lexists(chosen.path):
        return look_at(chosen.path, name, hasher)
    known = walk(evidence, [push.record] if push.record else []).records
    try:
        return look_at_removed(chosen.path, name, removed, rebuilt_statement(known, push))
    except MnistTfxError as err:
        gone = look_at(chosen.path, name, hasher)
        told = Finding.of(err, COMPLETENESS, "push", name)
        return dataclasses.replace(gone, findings=(told,), removed=f"removed, ledger line {removed.sequence}")


def _compared_with_store(
    session: _Session, records: ancestors.Known
) -> tuple[metadata_check.Compared, tuple[Finding, ...]]:
    """Return how the store compares with the records behind a version, and what it says otherwise of all others."""
    if session.others is None:
        stored = session.witness.check(records)
        elsewhere = "other executions in the metadata store"
        return (dataclasses.replace(stored, left_out=elsewhere) if stored.left_out is None else stored), ()
    # All at once, so that a store with a journal is copied once.
    rest = session.witness.check(session.beside_others(records))
    return session.witness.check(records), rest.findings


def _promotion(push: Push | None) -> str:
    """Return that a version was promoted: record and store say for ever where it was pushed to, the ledger where it went."""
    if push is None or push.line.event != Event.PROMOTED:
        return ""
    return f", staged as {STAGED}/{push.version} and promoted by ledger line {push.line.sequence}"


def _scopes(counts: Counts, policy: Policy, left_out: str | None, promotion: str) -> dict[str, Scope]:
    off = [name for name, level in policy.levels.items() if level == policies.OFF]
    megabytes = f"{counts.bytes / 1e6:.1f} MB"
    executions = f", {counts.executions} executions in the metadata store" if counts.executions else ""
    return {
        INTEGRITY: Scope(compared=f"{counts.files} files ({megabytes}), {counts.records} records"),
        COMPLETENESS: Scope(
            compared=f"{counts.records} records, {counts.ledger_lines} ledger lines{executions}{promotion}",
            left_out=left_out,
        ),
        POLICY: Scope(
            compared=f"{len(policy.levels) - len(off)} rules",
            left_out=f"{', '.join(off)}, which the policy turns off" if off else None,
        ),
    }


def _check_baselines(evidence: Evidence, artifacts: tuple[ancestors.Folder, ...], hasher: Hasher) -> Iterator[Finding]:
    """Yield where the manifest that came along with a baseline is not the one it was served with.

    The artifact's record covers the model alone; the manifest follows from records of its own.
    """
    for folder in artifacts:
        if f"{MODEL_FOLDER}{serving.PROVENANCE}" in folder.seen:
            name = f"{folder.path}/{serving.FORMAT_SERVING}"
            baseline = look_at(evidence.root / name, name, hasher)
            yield from baseline.findings
            yield from ledger_check.check_manifest(baseline, walk(evidence, baseline.heads))


def _audit_alone(folder: Path, options: AuditOptions) -> Audit:
    name = str(folder)
    with Hasher() as hasher:
        served = look_at(folder, name, hasher)
        findings = [*check_served(served)]
        anchor, signed = _signature(served, options, None)
        if options.head is not None:
            signed += (_unasked(INTEGRITY, name, "no ledger to compare the head with"),)
        findings += signed
        what = "lies outside a root: records, ledger and metadata store are not at hand"
        findings += [_unasked(COMPLETENESS, name, what), _unasked(POLICY, name, what)]
        findings += rules.check_alone(served, options.policy)
    return Audit(
        version=None,
        path=name,
        sha256=served.sha256,
        anchor=anchor,
        findings=tuple(findings),
        counts=Counts(files=hasher.files, bytes=hasher.bytes),
        scopes={
            INTEGRITY: Scope(compared=f"{hasher.files} files with the manifest beside them", left_out="records"),
            COMPLETENESS: Scope(compared="nothing", left_out="records, ledger and metadata store"),
            POLICY: Scope(compared="1 rule", left_out="the rules that need records"),
        },
    )


def _anchor(
    evidence: Evidence, served: Served, push: Push | None, options: AuditOptions
) -> tuple[Anchor, tuple[Finding, ...]]:
    """Return the strongest anchor that holds, and what is wrong with those that were asked for and do not."""
    anchor, findings = _signature(served, options, evidence.chain)
    if options.head is None:
        return anchor, findings
    rewritten = tuple(ledger_check.check_head(evidence, options.head))
    if not rewritten and not evidence.ledger_findings and anchor.kind != SIGNATURE:
        if _covers(evidence, options.head, push):
            held = f"the ledger holds the head that was kept elsewhere, {options.head}"
            anchor = Anchor(kind=HEAD, detail=f"{held}{_signed_too(served, options)}")
        else:
            late = f"the head {options.head.sequence} was taken before this version was pushed"
            anchor = dataclasses.replace(anchor, detail=f"{late}; {anchor.detail}")
    return anchor, (*rewritten, *findings)


def _covers(evidence: Evidence, head: Head, push: Push | None) -> bool:
    """Whether the push of a version, and the commit of its record, are among the lines up to a head."""
    if push is None or push.record is None:
        return False
    committed = [line.sequence for line in evidence.chain.of(Event.COMMIT) if line.record == push.record]
    return max(push.line.sequence, *committed[:1]) <= head.sequence if committed else False


def _signed_too(served: Served, options: AuditOptions) -> str:
    unasked = options.key is None and serving.SIGNATURE in served.seen
    return "; a signature is there: --key PUBLIC.pem checks it" if unasked else ""


def _signature(served: Served, options: AuditOptions, ledger: Chain | None) -> tuple[Anchor, tuple[Finding, ...]]:
    if served.removed is not None and options.key is not None:
        return Anchor(), (integrity(SIGNATURE, served.name, "is gone", got=served.removed, level=UNKNOWN),)
    if options.key is None:
        return Anchor(detail=f"{Anchor().detail}{_signed_too(served, options)}"), ()
    from pipeline.provenance import signing

    try:
        checked = signing.verify(served.folder, options.key, served.seen, ledger=ledger)
    except EnvironmentProblem as err:
        return Anchor(), (Finding.of(err, INTEGRITY, SIGNATURE, served.name),)
    if checked.ok:
        note = "" if checked.note is None else f", {checked.note}"
        return Anchor(kind=SIGNATURE, detail=f"signed by key {checked.keyid}{note}"), ()
    return Anchor(), tuple(
        integrity(SIGNATURE, f"{served.name}/{fault.path}", fault.what, wanted=fault.wanted, got=fault.found)
        for fault in checked.faults
    )


def _unasked(verdict: str, where: str, what: str) -> Finding:
    return Finding(verdict=verdict, link="root", where=where, what=what, level=UNKNOWN)


def _recorded(paths: RunPaths) -> Address | None:
    recorded = recorded_address(paths)
    try:
        return None if recorded is None else parse_address(recorded)
    except BadInput:
        # Nothing that a run writes: what lies in the root has to speak for itself.
        return None


def _damaged_identity(paths: RunPaths) -> Iterator[Finding]:
    """Yield what is wrong with a `root.json`; a root without one, such as a cluster's volume, is audited all the same."""
    if not os.path.lexists(paths.identity):
        return
    try:
        _ = identity.read(paths.identity)
    except EnvironmentProblem as err:
        yield Finding.of(err, INTEGRITY, "root", paths.identity.name)


def _places(paths: RunPaths) -> tuple[str, ...]:
    """Return where the root lies and, if it was moved since a run last wrote to it, where it lay then."""
    noted = identity.place(paths.identity)
    return tuple(dict.fromkeys(str(place) for place in (paths.root, noted) if place is not None))
