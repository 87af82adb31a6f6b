"""A consistent copy of a root, made while runs go on, and the way back from it.

No lock is held, so no run waits for a backup. What makes the copy consistent is its order. A run writes an artifact, then
its record, then publishes it in ML Metadata, then commits it in the ledger; a backup copies the other way round: store,
ledger, records, and at last the files that those records name. So whatever store and ledger of the copy speak of is
there, and the copy is what a crash at that moment would have left, which `recovery` settles. Only housekeeping takes
things away, with a line in the ledger first: where the ledger has such a line after the copy, the copy is made again,
and files that are there already stay.

Not copied: unfinished trainings, what a server keeps of requests (pictures of people's own), and the log of a run at work.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import fcntl
import glob
import json
import os
import shutil
import sqlite3
import stat
import uuid
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from components import disk, layout
from components.errors import BadInput, EnvironmentProblem
from components.files import PART_PATTERN, sync_folder
from components.serving import LOCK_FILE, STAGE_PREFIX
from components.untrusted import MIB, kind_of, read_object
from pipeline.maintenance.rebuild import rebuild
from pipeline.maintenance.recovery import Repair
from pipeline.maintenance.repair import repair
from pipeline.metadata import sqlite
from pipeline.process.signals import PROCESS
from pipeline.provenance import record_store
from pipeline.provenance.ledger import Chain, Event, Head, LedgerBroken, read_ledger
from pipeline.provenance.records import ExecutionRecord
from pipeline.root import identity
from pipeline.root.paths import RunPaths

NOTE: Final = "backup.json"
"""Says in a backup what it is of; a root that was restored does not have it."""

MOVED_ON: Final = 3
"""How often a copy is begun again because housekeeping took something away meanwhile."""

COPYING: Final = "copying"

_TAKES_AWAY: Final = frozenset({Event.COLLECTED, Event.PRUNED, Event.PROMOTING, Event.PROMOTED})
_AT_WORK: Final = ".running"

Show = Callable[[str, int, int], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Copied:
    """A root that was copied whole.

    Attributes:
      path: of the copy.
      root: the root that it is a copy of, as an absolute path.
      head: of its ledger.
      files: their number.
      bytes: their sum.
      settled: what the copy's recovery settled: the work of a run that was under way.
      missing: paths that records name and that were not there to be copied, relative to the root.
    """

    path: Path
    root: Path
    head: Head
    files: int
    bytes: int
    settled: tuple[Repair, ...] = ()
    missing: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return {
            "path": str(self.path),
            "root": str(self.root),
            "head": str(self.head),
            "files": self.files,
            "bytes": self.bytes,
            "settled": [dataclasses.asdict(one) for one in self.settled],
            "missing": list(self.missing),
        }


def backup(root: Path, target: Path, show: Show = lambda *_: None) -> Copied:
    """Copy a root, and settle in the copy what a run at work had not finished.

    Args:
      root: of the pipeline.
      target: a folder that is not there yet, or is empty.
      show: called with what is being done, the bytes copied, and how many there are.

    Raises:
      BadInput: if the folder is taken, or lies in the root.
      EnvironmentProblem: if there is no room, a file cannot be read, the ledger is broken, or housekeeping went on all
        the time. Nothing is left of the copy then.
    """
    paths = RunPaths(root.absolute())
    with _new_folder(target, paths.root) as part:
        copy = RunPaths(part)
        head, missing = _consistent(paths, copy, show)
        settled = _settled(copy, paths)
        files, size = _counted(part)
        note = {"root": str(paths.root), "head": str(head), "time": _now(), "files": files, "bytes": size}
        (part / NOTE).write_text(json.dumps(note, indent=2) + "\n")
    return Copied(
        path=target, root=paths.root, head=head, files=files, bytes=size, settled=settled, missing=tuple(missing)
    )


def restore(copy: Path, target: Path, show: Show = lambda *_: None) -> Copied:
    """Copy a backup to where a root is wanted.

    Args:
      copy: a folder that `backup` wrote.
      target: a folder that is not there yet, or is empty.
      show: as for `backup`.

    Raises:
      BadInput: if the folder is no backup, or the other one is taken.
      EnvironmentProblem: if there is no room, or a file cannot be read.
    """
    head, origin = _described(copy)
    held = read_ledger(copy / layout.LEDGER)
    try:
        # A copy that was settled, or ran on, has a longer ledger than the root had: the head has to be in it.
        held.expect(head)
    except LedgerBroken as err:
        raise BadInput(
            "the ledger of the backup is another one than it was made with",
            where=copy,
            wanted=head,
            got=held.head,
            hint="take an older backup; mnist-tfx lineage audit --root says what of this one can be trusted",
        ) from err
    with _new_folder(target, copy) as part:
        work = _Copying(copy, part, show)
        work.copy(_below(copy, leave=lambda path: path.name == NOTE))
        files, size = _counted(part)
    return Copied(path=target, root=origin, head=held.head, files=files, bytes=size, missing=tuple(work.missing))


def _described(copy: Path) -> tuple[Head, Path]:
    """Return the head that a backup's note has, and the root that it is of."""
    if not os.path.lexists(copy / NOTE):
        hint = "a root itself can be copied or moved as it is; a backup is what mnist-tfx root backup writes"
        raise BadInput("is no backup", where=copy, wanted=NOTE, hint=hint)
    fields = read_object(copy / NOTE, limit=MIB, error=BadInput)
    head, origin = fields.get("head"), fields.get("root")
    if not isinstance(head, str) or not isinstance(origin, str):
        raise BadInput("does not say which root it is of", where=copy / NOTE, wanted="head and root")
    return Head.from_str(head), Path(origin)


def _consistent(paths: RunPaths, copy: RunPaths, show: Show) -> tuple[Head, list[str]]:
    for _ in range(MOVED_ON):
        _copy_store(paths, copy)
        ledger = _copy_ledger(paths, copy)
        work = _Copying(paths.root, copy.root, show)
        work.copy(_names(paths))
        work.copy(_made(paths, copy, ledger))
        since = read_ledger(paths.ledger).lines[ledger.head.sequence :]
        if not any(line.event in _TAKES_AWAY for line in since):
            return ledger.head, work.missing
        for folder in (copy.serving, copy.staged):  # their versions move; all else only comes or goes
            shutil.rmtree(folder, ignore_errors=True)
    raise EnvironmentProblem(
        "versions or artifacts were being removed or promoted all the time",
        where=paths.root,
        hint="try again when `lineage gc`, `serving prune` and `serving promote` have ended",
    )


def _copy_store(paths: RunPaths, copy: RunPaths) -> None:
    """Copy the metadata store by SQLite's own means: a file that is being written to has no bytes that fit together."""
    if not paths.metadata.exists():
        return  # it is elsewhere, or lost; see `_settled`
    copy.metadata.unlink(missing_ok=True)
    try:
        with (
            sqlite.readable(paths.metadata) as (place, _),
            contextlib.closing(sqlite3.connect(f"{place.as_uri()}?mode=ro", uri=True)) as source,
            contextlib.closing(sqlite3.connect(copy.metadata)) as target,
        ):
            source.backup(target)
    except sqlite3.Error as err:
        if disk.is_full(str(err)):
            raise disk.no_space(copy.metadata, paths.metadata.stat().st_size) from err
        raise EnvironmentProblem(
            "the metadata store cannot be read",
            where=paths.metadata,
            got=err,
            hint="mnist-tfx lineage rebuild makes a lost one again; move the file away first",
        ) from err


def _copy_ledger(paths: RunPaths, copy: RunPaths) -> Chain:
    """Copy the ledger up to the end of its last whole line: what follows is being written."""
    content = paths.ledger.read_bytes()
    copy.ledger.write_bytes(content[: content.rfind(b"\n") + 1])
    return read_ledger(copy.ledger)


def _names(paths: RunPaths) -> Iterator[Path]:
    """Return everything but artifacts: it is small, or is immutable once it has its name."""
    # Staged versions first: a promotion moves one to where it is copied after that, and not out of sight.
    for folder in (
        paths.records,
        paths.inputs,
        paths.staged,
        paths.serving,
        paths.log("").parent,
        paths.report("").parent,
    ):
        if os.path.isdir(folder):
            yield from _below(folder, leave=_is_unfinished)
    if os.path.lexists(paths.identity):
        yield paths.identity


def _is_unfinished(path: Path) -> bool:
    name = path.name
    unfinished = name.startswith((record_store.NEW, STAGE_PREFIX)) or path.match(PART_PATTERN)
    return unfinished or name.endswith(_AT_WORK) or name in (LOCK_FILE, ".answers")


def _made(paths: RunPaths, copy: RunPaths, ledger: Chain) -> Iterator[Path]:
    """Return the files of the artifacts that the copy's records name, but for those that were collected."""
    collected = ledger.collected()
    for record in record_store.scan(copy.records).values():
        for entry in record.artifacts if isinstance(record, ExecutionRecord) else ():
            if entry.path not in collected:
                # As they are, not as they should be: what an audit finds wrong in the root it finds in the copy.
                yield from _below(paths.root / entry.path, leave=lambda _: False)


def _below(place: Path, leave: Callable[[Path], bool]) -> Iterator[Path]:
    """Return everything below a folder that is no folder, but for what is to be left; a file, or what is not there, itself."""
    if not os.path.isdir(place) or os.path.islink(place):
        yield place
        return
    for entry in sorted(os.scandir(place), key=lambda one: one.name):
        path = Path(entry.path)
        if leave(path):
            continue
        if entry.is_dir(follow_symlinks=False):
            yield from _below(path, leave)
        else:
            yield path


class _Copying:
    """The copying of files from one folder to another, under the same relative names.

    Attributes:
      missing: what was to be copied and is not there, relative to the folder.
    """

    def __init__(self, source: Path, target: Path, show: Show) -> None:
        self._source = source
        self._target = target
        self._show = show
        self.missing: list[str] = []

    def copy(self, paths: Iterable[Path]) -> None:
        """Copy files and links, once there is room for all of them.

        Raises:
          EnvironmentProblem: if there is no room, or something cannot be read or is neither file nor link.
        """
        sizes = {path: size for path in paths if (size := self._size(path)) is not None}
        need = sum(size for path, size in sizes.items() if not self._is_copied(path, size))
        if need > shutil.disk_usage(self._target).free:
            raise disk.no_space(self._target, need, hint="name a folder on another disk")
        done, whole = 0, sum(sizes.values())
        for path, size in sizes.items():
            PROCESS.check()
            if not self._is_copied(path, size):
                self._one(path)
            done += size
            self._show(COPYING, done, whole)

    def _size(self, path: Path) -> int | None:
        try:
            return os.lstat(path).st_size
        except FileNotFoundError:
            self.missing.append(path.relative_to(self._source).as_posix())
            return None

    def _place(self, path: Path) -> Path:
        return self._target / path.relative_to(self._source)

    def _is_copied(self, path: Path, size: int) -> bool:
        place = self._place(path)
        return os.path.lexists(place) and os.lstat(place).st_size == size

    def _one(self, path: Path) -> None:
        place = self._place(path)
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            mode = os.lstat(path).st_mode
            if not (stat.S_ISREG(mode) or stat.S_ISLNK(mode)):
                hint = "move it out of there"
                raise EnvironmentProblem("is neither a file nor a link", where=path, got=kind_of(mode), hint=hint)
            shutil.copy2(path, place, follow_symlinks=False)
        except FileNotFoundError:
            self.missing.append(path.relative_to(self._source).as_posix())
        except OSError as err:
            raise disk.problem(err, "cannot be copied", where=path) from err


@contextlib.contextmanager
def _new_folder(target: Path, source: Path) -> Iterator[Path]:
    """Make a folder that takes its name once everything is in it, and that is gone if that fails.

    Raises:
      BadInput: if the name is taken, or lies below the folder that is to be copied.
    """
    if target == source or source in target.parents:
        raise BadInput("lies in the folder that is to be copied", where=target, wanted=f"a folder outside {source}")
    if os.path.lexists(target) and not (target.is_dir() and not any(target.iterdir())):
        raise BadInput("something is there already", where=target, wanted="a folder that is new or empty")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _remove_left(target)
        part, lock = _locked_part(target)
    except OSError as err:
        raise disk.problem(err, "cannot be written", where=target) from err
    try:
        yield part
        os.sync()  # some ten thousand files: one call for all of them
        with PROCESS.held_back():
            os.replace(part, target)  # an empty folder gives way
            sync_folder(target.parent)
    except OSError as err:
        raise disk.problem(err, "cannot be written", where=target) from err
    finally:
        shutil.rmtree(part, ignore_errors=True)
        os.close(lock)


def _locked_part(target: Path) -> tuple[Path, int]:
    """Make the folder that a copy grows in, and hold it: one that nobody holds was left by a killed copy."""
    while True:
        part = target.with_name(f".{target.name}-{uuid.uuid4().hex}.part")
        part.mkdir()
        lock = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with contextlib.suppress(OSError):  # a file system without locks: there nobody else's is removed
            fcntl.flock(lock, fcntl.LOCK_EX)
        if part.exists():
            return part, lock
        os.close(lock)  # another copy to the same place took it for a dead one, between the two lines above


def _remove_left(target: Path) -> None:
    """Remove what killed copies to the same place left beside it."""
    for left in target.parent.glob(f".{glob.escape(target.name)}-{'[0-9a-f]' * 32}.part"):
        with contextlib.suppress(OSError):
            lock = os.open(left, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left, ignore_errors=True)
            finally:
                os.close(lock)


def _settled(copy: RunPaths, paths: RunPaths) -> tuple[Repair, ...]:
    """Settle in the copy what a run at work had not finished, and give it a store where the root's is elsewhere."""
    fields = identity.read(copy.identity) if os.path.lexists(copy.identity) else {}
    if fields.pop(identity.RECORDED, None) is not None:
        # The copy must not change a store that the root goes on with, nor depend on it.
        copy.identity.write_text(json.dumps(fields, indent=2) + "\n")
        rebuild(copy.root)
    elif not os.path.lexists(copy.metadata):
        raise EnvironmentProblem(
            "the metadata store is missing", where=paths.metadata, hint="mnist-tfx lineage rebuild makes it again"
        )
    return repair(copy.root, lambda _: None)


def _counted(folder: Path) -> tuple[int, int]:
    sizes = [os.lstat(path).st_size for path in _below(folder, leave=lambda path: path.name == NOTE)]
    return len(sizes), sum(sizes)


def _now() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
