"""Removal of the oldest served versions.

Only what the ledger says was pushed is counted or removed, and only while its bytes are those of then. Nothing leaves the
serving directory in part: a version is renamed to what is no number before it is removed.
"""

from __future__ import annotations

import dataclasses
import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

from components.errors import BadInput, EnvironmentProblem
from components.files import sync_folder
from components.serving import STAGE_PREFIX, ServedVersion, locked, raise_floor
from pipeline.maintenance.orphans import size
from pipeline.process.signals import PROCESS
from pipeline.provenance.ledger_writer import Ledger
from pipeline.provenance.runs import new_run_id
from pipeline.provenance.serving_directory import ServingDirectory
from pipeline.provenance.staged_directory import StagedDirectory
from pipeline.root.lock import exclusive_lock
from pipeline.root.paths import RunPaths
from pipeline.root.writable import check_places, check_removable


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pruned:
    """A version that was removed.

    Attributes:
      version: its number.
      path: the directory it had, relative to the root.
      digest: of its model.
      bytes: that its removal freed.
    """

    version: int
    path: str
    digest: str
    bytes: int


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pruning:
    """What pruning came to.

    Attributes:
      pruned: the versions that were removed, lowest number first.
      kept: the numbers of those that were counted and stay, lowest first.
      left: lines about what was neither counted nor removed.
    """

    pruned: tuple[Pruned, ...]
    kept: tuple[int, ...]
    left: tuple[str, ...]


def prune(root: Path, keep: int, *, dry_run: bool = False) -> Pruning:
    """Remove the oldest versions until `keep` are left; the newest always stays.

    Counted and removed are versions that the ledger says were pushed, and that still hold the bytes of then. A folder of
    somebody else's, a link, and a version that was changed may be all that is left of something: they stay.

    Raises:
      BadInput: if `keep` is less than 1, or no pipeline has run here.
      EnvironmentProblem: if a run is under way, or the directory cannot be written.
    """
    if keep < 1:
        raise BadInput("the highest version always stays", where="--keep", wanted="1 or more", got=keep)
    with exclusive_lock(root) as paths:
        directory = ServingDirectory.of(paths)
        whole = [served for served in directory.recorded if directory.is_as_recorded(served)]
        pruning = Pruning(
            pruned=tuple(_describe(paths, served) for served in (*directory.half_pruned, *whole[:-keep])),
            kept=tuple(served.version for served in whole[-keep:]),
            left=tuple(_remarks(directory)),
        )
        if pruning.pruned and not dry_run:
            check_places(paths, paths.ledger, paths.serving)
            for one in pruning.pruned:
                check_removable(paths.root / one.path)
            _remove(directory, pruning.pruned)
    return pruning


def prune_staged(root: Path, keep: int, *, dry_run: bool = False) -> Pruning:
    """Remove the oldest staged versions until `keep` are left, and what a killed push left among them.

    A version whose bytes were changed since goes as well: it cannot be promoted any more. What is gone already is noted.

    Raises:
      BadInput: if no pipeline has run here.
      EnvironmentProblem: if a run is under way, or the folder cannot be written.
    """
    with exclusive_lock(root) as paths:
        directory = StagedDirectory.of(paths)
        old = directory.recorded[: max(0, len(directory.recorded) - keep)]
        pruning = Pruning(
            pruned=tuple(_describe(paths, one) for one in (*directory.unrecorded, *old)),
            kept=tuple(one.version for one in directory.recorded[len(old) :]),
            left=(),
        )
        if not dry_run and (pruning.pruned or directory.missing):
            check_places(paths, paths.ledger, paths.staged)
            for one in pruning.pruned:
                check_removable(paths.root / one.path)
            _remove_staged(directory, pruning.pruned)
    return pruning


def _remove_staged(directory: StagedDirectory, gone: tuple[Pruned, ...]) -> None:
    paths, ledger, run_id = directory.paths, Ledger.open(directory.paths.ledger), new_run_id("prune")
    raise_floor(paths.staged, ledger.chain.highest_version())
    with locked(paths.staged):
        for version in directory.missing:
            ledger.pruned(run_id=run_id, version=version, digest=directory.stagings[version].sha256)
        for one in gone:
            PROCESS.check()
            with PROCESS.held_back():  # what the ledger calls pruned is gone
                if one.version in directory.stagings:
                    ledger.pruned(run_id=run_id, version=one.version, digest=one.digest)
                _take_away(paths.root / one.path)


def _describe(paths: RunPaths, served: ServedVersion) -> Pruned:
    path = paths.relative(served.path)
    return Pruned(version=served.version, path=path, digest=served.digest, bytes=size(served.path))


def _remarks(directory: ServingDirectory) -> Iterator[str]:
    relative = directory.paths.relative
    yield from map(str, directory.foreign)
    for served in directory.unrecorded:
        yield f"{relative(served.path)}: no push of it is recorded: `mnist-tfx lineage repair` attaches it"
    for served in directory.recorded:
        if not directory.is_as_recorded(served):
            audit = f"`mnist-tfx lineage audit {served.version}` says what is wrong with it"
            yield f"{relative(served.path)}: not the bytes that were pushed: {audit}"


def _remove(directory: ServingDirectory, gone: tuple[Pruned, ...]) -> None:
    paths, ledger, run_id = directory.paths, Ledger.open(directory.paths.ledger), new_run_id("prune")
    # Also where the directory of claims was lost: no number on record comes again.
    raise_floor(paths.serving, ledger.chain.highest_version())
    with locked(paths.serving):
        for one in gone:
            PROCESS.check()
            with PROCESS.held_back():  # what the ledger calls pruned is gone
                if one.version not in directory.pruned:
                    ledger.pruned(run_id=run_id, version=one.version, digest=one.digest)
                _take_away(paths.root / one.path)


def _take_away(folder: Path) -> None:
    """Remove a version, all of it at once: under a name that is no number."""
    hidden = folder.parent / f"{STAGE_PREFIX}{uuid.uuid4().hex}"
    try:
        os.rename(folder, hidden)
        sync_folder(folder.parent)
        shutil.rmtree(hidden)
    except OSError as err:
        raise EnvironmentProblem("cannot remove it", where=err.filename or folder, got=err.strerror) from err
