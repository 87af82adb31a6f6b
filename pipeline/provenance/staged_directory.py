"""The folder of staged versions as the ledger knows it: what waits for promotion, and what a crash left half promoted.

Served and staged versions share their numbers: a version keeps its number when it is promoted, so that what was approved
under a number is served under it, and no number is ever given to other bytes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from components.errors import BadInput, EnvironmentProblem
from components.serving import ServedVersion
from pipeline.provenance.ledger import Chain, Event, Push, read_ledger
from pipeline.provenance.serving_directory import version_folders
from pipeline.root.paths import RunPaths
from pipeline.root.writable import require_folder


@dataclass(frozen=True)
class StagedDirectory:
    """What is staged in a root.

    Attributes:
      paths: of the root.
      ledger: its lines.
    """

    paths: RunPaths
    ledger: Chain

    @staticmethod
    def of(paths: RunPaths) -> StagedDirectory:
        """Read the ledger of a root, which may have none.

        Raises:
          EnvironmentProblem: if the ledger is broken or cannot be read, or the folder is a link.
        """
        require_folder(paths)
        return StagedDirectory(paths, read_ledger(paths.ledger))

    @cached_property
    def stagings(self) -> dict[int, Push]:
        """{version: the push that staged it}, of those that were neither promoted nor pruned since."""
        waiting = {}
        for version in self.ledger.staged:
            last = self._last_events.get(version)
            push = self.ledger.stagings(version)[-1]
            if last in (Event.STAGED, Event.PROMOTING):
                waiting[version] = push
        return waiting

    @cached_property
    def recorded(self) -> tuple[ServedVersion, ...]:
        """The versions that wait for promotion and are there, lowest number first."""
        return tuple(one for one in self._folders if one.version in self.stagings)

    @cached_property
    def half_promoted(self) -> tuple[tuple[Push, ServedVersion], ...]:
        """The versions that a promotion moved into service and did not come to record: each with how it was staged."""
        begun = [one for one, event in self._last_events.items() if event == Event.PROMOTING]
        moved = [ServedVersion(one, self.paths.serving / str(one)) for one in begun if self._was_moved(one)]
        return tuple((self.stagings[one.version], one) for one in moved)

    @cached_property
    def missing(self) -> tuple[int, ...]:
        """The numbers of the versions that wait for promotion and are not there, lowest first."""
        there = {one.version for one in self._folders} | {one.version for _, one in self.half_promoted}
        return tuple(sorted(self.stagings.keys() - there))

    @cached_property
    def unrecorded(self) -> tuple[ServedVersion, ...]:
        """The folders that no line of the ledger calls staged: left by a push that was killed, or by somebody."""
        return tuple(one for one in self._folders if one.version not in self.stagings)

    def choose(self, version: int) -> tuple[Push, ServedVersion]:
        """Return a version that waits for promotion, with the push that staged it.

        Raises:
          BadInput: if it does not wait.
          EnvironmentProblem: if it is gone.
        """
        for one in self.recorded:
            if one.version == version:
                return self.stagings[version], one
        if version in self.missing:
            hint = "put the folder back from a copy"
            raise EnvironmentProblem("was staged, and is not there", where=self._folder(version), hint=hint)
        waiting = ", ".join(str(one.version) for one in self.recorded) or "none"
        if self.ledger.push(version) is not None:
            raise BadInput(
                f"version {version} is in service already", where=self.paths.root, wanted=f"one of {waiting}"
            )
        hint = "`mnist-tfx serving list` names them" if self.recorded else "`mnist-tfx run --stage` stages one"
        raise BadInput(
            "no such staged version", where=self.paths.root, wanted=f"one of {waiting}", got=version, hint=hint
        )

    def _folder(self, version: int) -> Path:
        return self.paths.staged / str(version)

    def _was_moved(self, version: int) -> bool:
        if (self._folder(version)).is_dir() or version not in self.stagings:
            return False
        served = ServedVersion(version, self.paths.serving / str(version))
        try:
            return served.path.is_dir() and served.digest == self.stagings[version].sha256
        except (OSError, UnicodeError):
            return False

    @cached_property
    def _last_events(self) -> dict[int, str]:
        lines = self.ledger.of(Event.STAGED, Event.PROMOTING, Event.PROMOTED, Event.PRUNED)
        return {line.details["version"]: line.event for line in lines}

    @cached_property
    def _folders(self) -> tuple[ServedVersion, ...]:
        return version_folders(self.paths, self.paths.staged, "the staged versions")
