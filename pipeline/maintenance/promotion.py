"""Promotion of a staged version into service: a rename, with a line of the ledger before it and one after it.

The version keeps its number. It was approved, audited and talked about under it, and served and staged versions share
their numbers, so that TF Serving never meets a number with other bytes. It loads the highest: a version whose number is
lower than what is in service cannot be promoted, and is staged again under a new one instead.

Whoever is killed on the way leaves the version where it was staged, or in service without its second line, which
`recovery` writes.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from components import disk
from components.errors import BadInput, EnvironmentProblem, Refused
from components.files import sync_folder
from components.serving import ServedVersion, claim, locked, refuse_strangers
from pipeline.maintenance.recovery import recover_first
from pipeline.process.signals import PROCESS
from pipeline.provenance import record_store, signing
from pipeline.provenance.approval_writer import Person, approve, require_in_force, withdraw
from pipeline.provenance.approvals import VERSION, Approval, read_approvals
from pipeline.provenance.keys import PrivateKey
from pipeline.provenance.ledger import Push, read_ledger
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.runs import new_run_id, run_record
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.provenance.staged_directory import StagedDirectory
from pipeline.root.lock import exclusive_lock
from pipeline.root.paths import RunPaths
from pipeline.root.writable import check_places

AGAIN: Final = "`mnist-tfx run --stage --force Pusher` stages its bytes under a new number"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Promotion:
    """A staged version that is in service now.

    Attributes:
      version: its number, the highest in service.
      path: its directory, relative to the root.
      digest: of its model.
      run_id: the run that staged it.
      before: the version that was served until now; None if none was.
      approval: that was given with the promotion; None if nobody was named.
    """

    version: int
    path: str
    digest: str
    run_id: str
    before: int | None
    approval: Approval | None


def promote(
    root: Path, version: int, person: Person | None, key: PrivateKey | None, say: Callable[[str], None]
) -> Promotion:
    """Move a staged version into service, and note who approved it before it is there.

    Of a promotion that was killed once the version was in service only the record is missing: with it this one is done.

    Args:
      root: of the pipeline.
      version: number of the version.
      person: who approves it; None notes no approval.
      key: to sign the approval with.
      say: is told what was recovered, and what is doubtful.

    Raises:
      BadInput: if it is not staged.
      Refused: if its bytes were changed since, a higher version is in service, or the key does not count.
      EnvironmentProblem: if a run is under way, or the disk does not take it.
    """
    with exclusive_lock(root) as paths:
        begun = {staging.version: staging for staging, _ in StagedDirectory.of(paths).half_promoted}
        recover_first(paths, say)
        if version in begun:
            return _begun_before(paths, begun[version])
        staging, staged = StagedDirectory.of(paths).choose(version)
        before = _check(paths, staging, staged, key, say)
        ledger = Ledger.open(paths.ledger)
        PROCESS.check()
        with PROCESS.held_back():  # what is in service is recorded, or not in service
            approval = _approve(ledger, staging, person, key)
            _move(paths, ledger, staging, staged)
    return _promotion(paths, staging, before, approval)


def _begun_before(paths: RunPaths, staging: Push) -> Promotion:
    """Return the promotion that recovery has recorded."""
    directory = ServingDirectory.of(paths)
    below = [served.version for served in directory.recorded if served.version < staging.version]
    approvals = read_approvals(directory.ledger).of(staging.sha256)
    return _promotion(paths, staging, max(below, default=None), approvals[-1] if approvals else None)


def _promotion(paths: RunPaths, staging: Push, before: int | None, approval: Approval | None) -> Promotion:
    return Promotion(
        version=staging.version,
        path=paths.relative(paths.serving / str(staging.version)),
        digest=staging.sha256,
        run_id=staging.run_id,
        before=before,
        approval=approval,
    )


def approve_version(root: RunPaths, version: int, person: Person, key: PrivateKey | None) -> Approval:
    """Note that somebody approves a version, served or staged, whose bytes are those that were pushed.

    A run may be at work meanwhile.

    Raises:
      BadInput: if it is not there.
      Refused: if its bytes were changed, or the key does not count.
    """
    served = ServingDirectory.of(root)
    push, folder = served.pushes.get(version), root.serving / str(version)
    if push is None or version not in [one.version for one in served.recorded]:
        push, staged = StagedDirectory(root, served.ledger).choose(version)
        folder = staged.path
    signing.require_as_pushed(folder, push.sha256, "not approved")
    with PROCESS.held_back():
        approval = _approve(Ledger.open(root.ledger), push, person, key)
    if approval is None:
        raise ValueError("nobody approves")
    return approval


def withdraw_approval(
    root: RunPaths, version: int, person: Person, key: PrivateKey | None, of: str | None = None
) -> tuple[Approval, ...]:
    """Note that the approvals of a version do not hold any more, and return them as they are now.

    Its bytes are not looked at: an approval can be withdrawn of a version that was changed or pruned. A run may be at
    work meanwhile.

    Args:
      root: of the pipeline.
      version: its number.
      person: who withdraws them.
      key: to sign with.
      of: withdraws the approvals that this person gave, and no others.

    Raises:
      BadInput: if no line tells of the version, or no approval of it stands.
      Refused: if the key does not count.
    """
    ledger = Ledger.open(root.ledger)
    push = ledger.chain.origin(version)
    if push is None:
        numbers = sorted({*ledger.chain.versions, *ledger.chain.staged})
        known = ", ".join(map(str, numbers)) or "none"
        raise BadInput("no such version", where=root.root, wanted=f"one of {known}", got=version)
    with PROCESS.held_back():
        line = withdraw(ledger, VERSION, f"version {version}", push.sha256, person, key, of)
    found = read_approvals(ledger.chain).of(push.sha256)
    return tuple(one for one in found if one.withdrawn is not None and one.withdrawn.line == line.sequence)


def _check(
    paths: RunPaths, staging: Push, staged: ServedVersion, key: PrivateKey | None, say: Callable[[str], None]
) -> int | None:
    """Check all that can be wrong before anything is written; return the version that is in service."""
    served = ServingDirectory.of(paths)
    served.require_ours(say)
    newest = served.newest
    if newest is not None and newest.version > staging.version:
        raise Refused(
            "a higher version is in service, and TensorFlow Serving loads the highest",
            where=paths.relative(staged.path),
            wanted=f"a number above {newest.version}",
            got=staging.version,
            hint=AGAIN,
        )
    check_places(paths, paths.ledger, paths.serving, paths.staged, staged.path)
    signing.require_as_pushed(staged.path, staging.sha256, "not promoted")
    if key is not None:
        require_in_force(Ledger.open(paths.ledger), key.public)
    for line in _doubts(paths, staging, newest):
        say(f"warning: {line}")
    return None if newest is None else newest.version


def _doubts(paths: RunPaths, staging: Push, newest: ServedVersion | None) -> Iterator[str]:
    """Yield that a version was compared with another one than it replaces."""
    run = run_record(read_ledger(paths.ledger), record_store.scan(paths.records), staging.run_id)
    now = "none" if newest is None else f"version {newest.version}"
    if run is not None and run.baseline is not None and run.baseline != now:
        yield f"version {staging.version} was compared with {run.baseline}, and {now} is in service now"


def _approve(ledger: Ledger, push: Push, person: Person | None, key: PrivateKey | None) -> Approval | None:
    if person is None:
        return None
    approve(ledger, VERSION, f"version {push.version}", push.sha256, person, key)
    return read_approvals(ledger.chain).approvals[-1]


def _move(paths: RunPaths, ledger: Ledger, staging: Push, staged: ServedVersion) -> None:
    target = paths.serving / str(staging.version)
    with locked(paths.staged), locked(paths.serving):
        refuse_strangers(paths.serving, staging.version)
        begun = ledger.promoting(run_id=new_run_id("promote"), version=staging.version, digest=staging.sha256)
        try:
            claim(paths.serving, staging.version)
            # A directory is never renamed over anything but an empty directory: nothing can be replaced.
            os.rename(staged.path, target)
        except OSError as err:
            raise _problem(err, target) from err
        try:
            sync_folder(paths.serving)
            sync_folder(paths.staged)
            ledger.promoted(staging, promoting=begun.sequence)
        except BaseException as err:
            os.rename(target, staged.path)  # what no line calls promoted is not in service
            if isinstance(err, OSError):
                raise _problem(err, target) from err
            raise


def _problem(err: OSError, target: Path) -> EnvironmentProblem:
    return disk.problem(err, "cannot promote it, it is still staged", where=err.filename or target)
