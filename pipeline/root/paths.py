"""Paths of a pipeline's root folder: the one place that joins their names, and says which folder can be a root."""

from __future__ import annotations

import contextlib
import dataclasses
import os
from pathlib import Path
from typing import Final

from components import layout
from components.errors import BadInput

LONGEST_ROOT: Final = 400
"""Bytes; SQLite opens no path of more than 512, and a node's files lie some 100 deeper."""

PATTERN_CHARACTERS: Final = "*?[\\"
"""TFX and Beam find a split's files by matching a pattern that begins with the root, and escape none of its names."""


@dataclasses.dataclass(frozen=True)
class RunPaths:
    """The files of one pipeline.

    Attributes:
      root: absolute path of the root folder.
    """

    root: Path

    @property
    def identity(self) -> Path:
        """Which pipeline lives here: recipe name and input signature."""
        return self.root / "root.json"

    @property
    def metadata(self) -> Path:
        """ML Metadata's SQLite file."""
        return self.root / "metadata.db"

    @property
    def records(self) -> Path:
        """Immutable records of executions and runs, named by their own SHA-256."""
        return self.root / "records"

    @property
    def ledger(self) -> Path:
        """The hash-chained sequence of record hashes."""
        return self.root / layout.LEDGER

    @property
    def lock(self) -> Path:
        """Held by the one run that may write here."""
        return self.root / ".lock"

    @property
    def inputs(self) -> Path:
        """Copy of data and schema files, in folders named by digest."""
        return self.root / "inputs"

    @property
    def artifacts(self) -> Path:
        """TFX's pipeline root: <node>/<channel>/<execution id>/."""
        return self.root / layout.ARTIFACTS

    @property
    def checkpoints(self) -> Path:
        """Unfinished trainings, in folders named by node key."""
        return self.root / "checkpoints"

    @property
    def serving(self) -> Path:
        """The directory that TF Serving reads."""
        return self.root / "serving"

    @property
    def samples(self) -> Path:
        """What a server keeps of the requests to each version; it may be removed at any time."""
        return self.root / "samples"

    @property
    def staged(self) -> Path:
        """Versions that wait for their promotion; no server reads it."""
        return self.root / layout.STAGED

    def version(self, number: int) -> Path:
        """Return the folder of a version: where it is served, or where it is staged if only that is there."""
        folders = (self.serving / str(number), self.staged / str(number))
        return next((folder for folder in folders if os.path.lexists(folder)), folders[0])

    def log(self, run_id: str) -> Path:
        """Return the file for what the libraries print during a run."""
        return self.root / "logs" / f"{run_id}.log"

    def presence(self, run_id: str) -> Path:
        """What a run at work is doing; held by it, and left behind only if it was killed."""
        return self.root / "logs" / f"{run_id}.running"

    def gate_report(self, run_id: str) -> Path:
        """Return the file for the checks of a schema gate that refused; otherwise they are in its artifact."""
        return self.root / "logs" / f"{run_id}.gate.json"

    def report(self, run_id: str) -> Path:
        """Return the page about a run."""
        return self.root / "reports" / f"{run_id}.html"

    def lineage_page(self, run_id: str) -> Path:
        """Return the page of the lineage of the version that a run ended with, beside the report on it."""
        return self.root / "reports" / f"{run_id}.lineage.html"

    def report_answers(self, key: str) -> Path:
        """Return the cache of what models answered, for the next report on them; it may be removed at any time."""
        return self.root / "reports" / ".answers" / f"{key}.npz"

    def relative(self, path: str | Path) -> str:
        """Return a path below the root as the records hold it: relative, with forward slashes.

        Raises:
          ValueError: if it lies elsewhere.
        """
        return Path(path).relative_to(self.root).as_posix()


def resolved(text: str | Path, where: str | None = "--root") -> Path:
    """Return an absolute path without links and `..`, of something that need not be there.

    Raises:
      BadInput: if no file can have that name.
    """
    try:
        path = os.path.realpath(text)
        # A name that is too long, or a link to itself, ends the resolution without an error.
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            os.stat(path)
    except OSError as err:
        raise BadInput("cannot be looked at", where=where, got=f"{text} ({err.strerror})") from err
    return Path(path)


def holds_pipeline(folder: Path) -> bool:
    """Return whether a pipeline has run in a folder, however little of it is left."""
    paths = RunPaths(folder)
    traces = (paths.identity, paths.ledger, paths.records, paths.metadata, paths.serving, paths.staged)
    return any(os.path.lexists(trace) for trace in traces)


def require_no_pattern(root: Path, where: str | None = "--root") -> None:
    """Refuse a path that TFX, Beam or TensorFlow would match files with.

    Raises:
      BadInput: naming the characters.
    """
    if characters := [character for character in PATTERN_CHARACTERS if character in str(root)]:
        hint = "choose or rename the folder"
        what = "TensorFlow and TFX would read a character of this path as a pattern"
        raise BadInput(what, where=where, wanted=f"a path without any of {' '.join(characters)}", got=root, hint=hint)


def require_usable(root: Path, where: str | None = "--root") -> None:
    """Refuse a folder in which no pipeline could run to its end.

    Args:
      root: absolute path without links.
      where: for the message.

    Raises:
      BadInput: if a name in the path would be read as a pattern, cannot be recorded, or is too long; or if the folder
        is one of those that another root writes and clears.
    """
    text = str(root)
    if not text.isprintable():
        raise BadInput("a root's path holds only printable characters", where=where, got=text)
    require_no_pattern(root, where)
    if len(text.encode()) > LONGEST_ROOT:
        raise BadInput("a root's path is too long", where=where, wanted=f"at most {LONGEST_ROOT} bytes", got=text)
    for outer in root.parents:
        paths = RunPaths(outer)
        own = {paths.records, paths.inputs, paths.artifacts, paths.checkpoints, paths.serving, paths.staged}
        if (paths.identity.exists() or paths.ledger.exists()) and own.intersection((root, *root.parents)):
            raise BadInput("lies among the files of another pipeline", where=where, wanted=f"none in {outer}", got=text)
