"""The serving directory as the ledger knows it: the versions that were pushed, and entries that nobody here pushed.

TF Serving takes every child with a number for a name for a version, and loads the highest, whatever it holds. So what is
ours is decided by the records and never by the listing: a folder that somebody made, unpacked or linked there is named,
and neither followed nor counted nor removed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from components import serving
from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from components.serving import ServedVersion
from pipeline.process import remarks
from pipeline.provenance import record_store
from pipeline.provenance.ledger import Chain, Event, Push, read_ledger
from pipeline.provenance.records import ExecutionRecord
from pipeline.provenance.statement import heads_of, read_statement
from pipeline.root.paths import RunPaths
from pipeline.root.writable import require_folder


@dataclasses.dataclass(frozen=True, kw_only=True)
class ForeignEntry:
    """A child of the serving directory that TF Serving may take for a version, and that no push made.

    Attributes:
      path: relative to the root.
      number: for which TF Serving takes its name.
      what: what it is, in words.
      preferred: whether TF Serving would load it, or what it links to, instead of what was pushed.
      remedy: a shell command that takes it out of there.
    """

    path: str
    number: int
    what: str
    preferred: bool
    remedy: str

    def __str__(self) -> str:
        loads = f"TensorFlow Serving may load it as version {self.number}" if self.preferred else "left alone"
        return f"{self.path}: {self.what}: {loads}: move it out of there: {self.remedy}"


@dataclasses.dataclass(frozen=True, kw_only=True)
class PushedElsewhere:
    """A version as it was pushed, by a run that the root knows nothing of: on a cluster roots may share a volume.

    Attributes:
      served: the version.
      run_id: of the run that trained it, as its provenance tells.
    """

    served: ServedVersion
    run_id: str

    def __str__(self) -> str:
        return (
            f"{self.served} was pushed from another pipeline root (run {self.run_id} trained it): "
            "copy what lies below that root here as well, and it is known"
        )


@dataclasses.dataclass(frozen=True)
class ServingDirectory:
    """What the serving directory of a root holds.

    Attributes:
      paths: of the root.
      ledger: its lines.
    """

    paths: RunPaths
    ledger: Chain

    @staticmethod
    def of(paths: RunPaths) -> ServingDirectory:
        """Read the ledger of a root, which may have none.

        Raises:
          EnvironmentProblem: if the ledger is broken or cannot be read, or the directory itself is a link.
        """
        require_folder(paths)
        return ServingDirectory(paths, read_ledger(paths.ledger))

    @cached_property
    def pushes(self) -> Mapping[int, Push]:
        """{version: the push that made it}."""
        return {version: push for version in self.ledger.versions if (push := self.ledger.push(version)) is not None}

    @cached_property
    def pruned(self) -> frozenset[int]:
        """The numbers of versions that were pushed and then removed by `serving prune`, or were about to be."""
        lines = self.ledger.of(Event.PUSHED, Event.PROMOTED, Event.PRUNED)
        last = {line.details.get("version"): line.event for line in lines}
        return frozenset(version for version in self.pushes if last.get(version) == Event.PRUNED)

    @cached_property
    def recorded(self) -> tuple[ServedVersion, ...]:
        """The versions that were pushed, not pruned since, and are there, lowest number first."""
        return tuple(one for one in self._folders if one.version in self.pushes and one.version not in self.pruned)

    @cached_property
    def half_pruned(self) -> tuple[ServedVersion, ...]:
        """The versions that a `serving prune` noted and then did not come to remove."""
        return tuple(one for one in self._folders if one.version in self.pruned and self.is_as_recorded(one))

    @cached_property
    def unrecorded(self) -> tuple[ServedVersion, ...]:
        """The versions with bytes of a model that was trained here, and no line about a push: one was killed."""
        unknown = (one for one in self._folders if one.version not in self.pushes)
        return tuple(one for one in unknown if one.as_pushed and self._was_trained_here(one.digest))

    @cached_property
    def ours(self) -> tuple[ServedVersion, ...]:
        """The recorded versions and the unrecorded ones, lowest number first."""
        return tuple(sorted((*self.recorded, *self.unrecorded), key=lambda one: one.version))

    @property
    def newest(self) -> ServedVersion | None:
        """What is served, as far as it was made here: the highest of `ours`."""
        return self.ours[-1] if self.ours else None

    @cached_property
    def foreign(self) -> tuple[ForeignEntry, ...]:
        """Everything else that TF Serving may take for a version."""
        ours = {one.path for one in (*self.ours, *self.half_pruned)}
        folders = [(one.path, one.version, self._why_foreign(one)) for one in self._folders if one.path not in ours]
        others = [
            (path, number, serving.oddity(path))
            for path in serving.foreign_entries(self.paths.serving)
            if (number := serving.number_of(path.name)) is not None
        ]
        return tuple(
            ForeignEntry(
                path=self.paths.relative(path),
                number=number,
                what=what,
                preferred=self._is_preferred(number),
                remedy=serving.move_away(path),
            )
            for path, number, what in sorted(folders + others)
        )

    @cached_property
    def pushed_elsewhere(self) -> tuple[PushedElsewhere, ...]:
        """The versions with bytes that their provenance vouches for, and no record of it here, lowest number first."""
        unknown = (one for one in self._folders if one.version not in self.pushes and one.as_pushed)
        found = ((one, _statement(one)) for one in unknown)
        return tuple(
            PushedElsewhere(served=one, run_id=str(told["predicate"]["runDetails"]["metadata"]["invocationId"]))
            for one, told in found
            if told is not None and not any((self.paths.records / f"{head}.json").exists() for head in heads_of(told))
        )

    @cached_property
    def missing(self) -> tuple[int, ...]:
        """The numbers of the versions that were pushed, not pruned since, and are not there, lowest first."""
        there = {one.version for one in self._folders}
        return tuple(sorted(self.pushes.keys() - self.pruned - there))

    def nothing_served(self) -> MnistTfxError:
        """Return the error for a question about what is served where nothing is: never pushed, pruned, or lost."""
        if self.missing:
            return EnvironmentProblem(
                f"{named_versions(self.missing)} pushed, and no version is there",
                where=self.paths.serving,
                hint="put the folder back from a copy; until then nothing is served",
            )
        waits = bool(self.ledger.staged) and self.paths.staged.is_dir()
        hint = "`mnist-tfx serving promote` serves one that is staged" if waits else "mnist-tfx run makes one"
        return BadInput("no version is served yet", where=self.paths.root, hint=hint)

    def is_as_recorded(self, served: ServedVersion) -> bool:
        """Whether the bytes of a version are those that the ledger says were pushed under its number."""
        push = self.pushes.get(served.version)
        try:
            return push is not None and served.digest == push.sha256
        except (OSError, UnicodeError):
            # Unreadable, or a file name that is not UTF-8.
            return False

    def require_ours(self, say: Callable[[str], None]) -> None:
        """Refuse to work towards a push that TF Serving would not load, before the work is done.

        Args:
          say: called with a warning for each entry that does no harm.

        Raises:
          EnvironmentProblem: naming the entry: a link under a number, which may become anything at any time, or
            something that TF Serving may load instead of what is pushed; or the directory, if it has no number left.
        """
        blocking = [one for one in self.foreign if one.preferred or (self.paths.root / one.path).is_symlink()]
        if blocking:
            others = f", and {len(blocking) - 1} more that `serving list` names" if len(blocking) > 1 else ""
            raise serving.in_the_way(self.paths.root / blocking[0].path, f"{blocking[0].what}{others}")
        # A damaged claim or the copy of a version under the last number is met by every push, after its training.
        serving.next_version(self.paths.serving, self.ledger.highest_version())
        for line in self.warnings(self.foreign):
            say(line)

    @staticmethod
    def warnings(entries: Sequence[ForeignEntry]) -> Iterator[str]:
        """Yield a line of warning for each of the first entries, and one that counts the others."""
        rest = "`mnist-tfx serving list --json` lists them"
        return (f"warning: {line}" for line in remarks.shorten([str(entry) for entry in entries], rest))

    @cached_property
    def _folders(self) -> tuple[ServedVersion, ...]:
        return version_folders(self.paths, self.paths.serving, "the serving directory")

    def _is_preferred(self, number: int) -> bool:
        newest = self.newest
        return number >= 0 and (newest is None or number >= newest.version)

    def _why_foreign(self, one: ServedVersion) -> str:
        if one.version in self.pruned:
            return "a folder with the number of a version that was pruned, and other bytes"
        if any(one == other.served for other in self.pushed_elsewhere):
            return "a version that was pushed from another root"
        return "a folder that no push made" if one.complete else "a folder that no push made, without a SavedModel"

    def _was_trained_here(self, digest: str) -> bool:
        if not self.ledger.order:
            return True  # no ledger, as on the volume of a cluster: provenance alone tells
        return digest in self._trained

    @cached_property
    def _trained(self) -> frozenset[str]:
        records = record_store.scan(self.paths.records)
        read = (_read(records, hash_) for hash_ in self.ledger.order)
        entries = (entry for record in read if record is not None for entry in record.artifacts)
        return frozenset(entry.sha256 for entry in entries if entry.type == "Model")


def version_folders(paths: RunPaths, folder: Path, name: str) -> tuple[ServedVersion, ...]:
    """Return the folders of versions in the serving directory of a root, or in that of staged ones.

    Raises:
      EnvironmentProblem: if it cannot be read, or is a link.
    """
    require_folder(paths)
    try:
        return tuple(serving.versions(folder))
    except OSError as err:
        raise EnvironmentProblem(f"cannot read {name}", where=err.filename or folder, got=err.strerror) from err


def named_versions(numbers: Sequence[int]) -> str:
    """Return `version 3 was` or `versions 1, 2 and 3 were`."""
    if len(numbers) == 1:
        return f"version {numbers[0]} was"
    return f"versions {', '.join(map(str, numbers[:-1]))} and {numbers[-1]} were"


def _read(records: record_store.Records, hash_: str) -> ExecutionRecord | None:
    try:
        record = records[hash_]
    except MnistTfxError:
        return None  # for the audit to report
    return record if isinstance(record, ExecutionRecord) else None


def _statement(served: ServedVersion) -> dict[str, Any] | None:
    try:
        return read_statement(served.path / serving.PROVENANCE)
    except MnistTfxError:
        return None  # its own audit says why
