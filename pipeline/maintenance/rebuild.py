"""The metadata store of a root, written again from records and ledger."""

from __future__ import annotations

import contextlib
import dataclasses
import glob
import os
import uuid
from pathlib import Path
from typing import Any

from components.errors import EnvironmentProblem, Refused
from components.files import sync_folder
from pipeline.maintenance.push_record import stored_root
from pipeline.metadata import store
from pipeline.metadata.executions import RecordedExecution, highest_number, in_order_of_numbers, recorded_executions
from pipeline.metadata.sqlite import JOURNALS, StoreLocked, readable
from pipeline.process.signals import PROCESS
from pipeline.provenance.ledger import Chain, read_ledger
from pipeline.provenance.record_store import scan
from pipeline.root.lock import exclusive_lock
from pipeline.root.paths import RunPaths
from pipeline.root.writable import check_places


@dataclasses.dataclass(frozen=True, kw_only=True)
class Rebuilt:
    """What a rebuilt store holds.

    Attributes:
      path: of its file.
      kept: where the unreadable file that was in its place lies now; None if none was.
      runs: number of contexts of type pipeline_run.
      executions: their number.
      artifacts: their number.
      events: their number.
    """

    path: Path
    kept: Path | None
    runs: int
    executions: int
    artifacts: int
    events: int

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        fields = dataclasses.asdict(self)
        return {**fields, "path": str(self.path), "kept": None if self.kept is None else str(self.kept)}


def rebuild(root: Path, target: Path | None = None) -> Rebuilt:
    """Make the store of a root again.

    Args:
      root: of the pipeline.
      target: file to write; the root's own store by default.

    Raises:
      Refused: if a store that opens is there.
      EnvironmentProblem: if a run is under way, or records or ledger are broken.
    """
    with exclusive_lock(root) as paths:
        place = paths.metadata if target is None else target.absolute()
        check_places(paths, place.parent)
        if opens(place):
            raise Refused("a store that opens is here", where=place, hint="--to FILE writes elsewhere")
        ledger = read_ledger(paths.ledger)
        executions = in_order_of_numbers(
            recorded_executions(ledger, scan(paths.records)), highest_number(paths.artifacts)
        )
        _clear(place)
        new = place.with_name(f".{place.name}-{uuid.uuid4().hex}")
        try:
            counts = _write(new, executions, ledger, paths)
            PROCESS.check()
            with PROCESS.held_back():  # the old store goes only where a new one comes
                kept = _set_aside(place)
                new.replace(place)
                sync_folder(place.parent)
        finally:
            new.unlink(missing_ok=True)
    return Rebuilt(path=place, kept=kept, **counts)


def opens(path: Path) -> bool:
    """Whether a file is a metadata store, or becomes one once SQLite has rolled back what a crash left; changes nothing.

    Raises:
      StoreLocked: if another process is writing to it.
    """
    try:
        store.check(path)
        with readable(path) as (place, is_copy):
            raw = store.connect(place, read_only=not is_copy)
            with store.explained(path):
                raw.get_executions()
                raw.get_artifacts()
    except StoreLocked:
        raise  # it is a store, and in use
    except (EnvironmentProblem, OSError):
        return False
    return True


def _clear(place: Path) -> None:
    """Remove what a killed rebuild left beside the store; with the root's lock held it has no owner."""
    for left in place.parent.glob(f".{glob.escape(place.name)}-{'[0-9a-f]' * 32}*"):
        left.unlink(missing_ok=True)


def _set_aside(place: Path) -> Path | None:
    free = (place.with_name(f"{place.name}.unreadable{number or ''}") for number in range(1 << 31))
    kept = next(path for path in free if not path.exists())
    for suffix in JOURNALS:
        # SQLite would roll the old file's journal back into the new file.
        with contextlib.suppress(FileNotFoundError):
            place.with_name(f"{place.name}{suffix}").rename(f"{kept}{suffix}")
    if not place.exists() or place.stat().st_size == 0:
        return None
    place.rename(kept)
    return kept


def _write(path: Path, executions: list[RecordedExecution], ledger: Chain, paths: RunPaths) -> dict[str, int]:
    from pipeline.metadata import writer  # brings ml_metadata's protobufs

    raw = store.connect(path)
    try:
        with store.explained(path):
            # As root.json has it: whatever goes on with the store finds its artifacts by where the root lay then.
            return writer.write(raw, executions, ledger.collected(), stored_root(paths))
    finally:
        del raw  # closes the file
        descriptor = os.open(path, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
