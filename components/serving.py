"""A serving directory -> its versions, as TF Serving sees them, and the number the next one gets.

Beside the numbered versions lie `.lock`, held by whoever changes the directory; `.versions`, one line for each number
ever claimed; and `.stage-*`, versions in the making. TF Serving looks at none of them: their names are no numbers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from datetime import datetime, timezone
from functools import cached_property
from pathlib import Path
from typing import Final

from components.digest import tree_digest
from components.errors import BadInput, EnvironmentProblem
from components.files import sync_folder

SAVED_MODEL: Final = "saved_model.pb"
FORMAT_SERVING: Final = "Format-Serving"
"""Folder of a Model artifact that holds its SavedModel."""

PROVENANCE: Final = "assets.extra/provenance.json"
SIGNATURE: Final = "assets.extra/provenance.dsse.json"
"""A DSSE envelope over the provenance, where there is a key to sign with."""

TREE_SHA256: Final = "treeSha256"
"""The algorithm by which a provenance statement names a tree digest."""

STAGE_PREFIX: Final = ".stage-"
BASELINE_PROPERTY: Final = "baseline"
NO_BASELINE: Final = "none"
"""Stands where a served model would: in properties, in verdicts, in metrics."""

LOCK_FILE: Final = ".lock"
CLAIMS_FILE: Final = ".versions"
MAX_VERSION: Final = (1 << 63) - 1
"""A larger number than int64 holds is none to TF Serving."""

_INT64: Final = re.compile(r"[ \t\n\v\f\r]*(?P<sign>[+-]?)(?P<digits>[0-9]+)[ \t\n\v\f\r]*")
"""What absl::SimpleAtoi and safe_strto64 accept."""

LOCK_TIMEOUT: Final = 60.0
"""Seconds; a push takes milliseconds."""


@dataclasses.dataclass(frozen=True)
class ServedVersion:
    """One numbered child of a serving directory.

    Attributes:
      version: its number.
      path: its folder.
    """

    version: int
    path: Path

    @property
    def plainly_named(self) -> bool:
        """Whether its folder goes by the number as the pipeline writes it; TF Serving takes `02` and `+2` as well."""
        return self.path.name == str(self.version)

    @property
    def complete(self) -> bool:
        """Whether it holds a SavedModel; TF Serving would try to load it either way."""
        return (self.path / SAVED_MODEL).is_file()

    @property
    def has_provenance(self) -> bool:
        """Whether it holds its provenance manifest."""
        return (self.path / PROVENANCE).is_file()

    @property
    def pushed_at(self) -> datetime:
        """When its folder was filled, UTC; for people alone, since order comes from version numbers."""
        return datetime.fromtimestamp(self.path.stat().st_mtime, tz=timezone.utc)

    @cached_property
    def digest(self) -> str:
        """The model digest of its bytes, read on first use: 64 hex digits.

        Raises:
          OSError: if a file cannot be read.
        """
        return tree_digest(self.path)

    @property
    def told_digest(self) -> str | None:
        """The model digest that its provenance tells, None where it has none or holds something else."""
        if not self.has_provenance:
            return None
        try:
            subject = json.loads((self.path / PROVENANCE).read_bytes())["subject"]
            return next((str(one["digest"][TREE_SHA256]) for one in subject if TREE_SHA256 in one["digest"]), None)
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            return None

    @property
    def as_pushed(self) -> bool:
        """Whether it holds a SavedModel whose bytes are those that its provenance tells: pushed here, and not changed.

        Half a version, one that somebody else put there, and one that was tampered with or cannot be read are not.
        """
        try:
            return self.complete and self.digest == self.told_digest
        except (OSError, UnicodeError):
            # Unreadable, or a file name that is no UTF-8.
            return False

    def __str__(self) -> str:
        return f"version {self.version}"


def locate(serving_dir: str, artifact_uri: str) -> Path:
    """Finds the serving directory of the pipeline that an artifact belongs to.

    Args:
      serving_dir: absolute, or relative to the root.
      artifact_uri: `<root>/artifacts/<node>/<channel>/<execution id>`.

    Raises:
      BadInput: for a bucket, or a directory below a root in one: nothing renames a directory atomically there.
    """
    place = serving_dir if "://" in serving_dir or os.path.isabs(serving_dir) else artifact_uri
    if "://" in place:
        raise BadInput(
            "cannot serve from a bucket",
            where=place,
            wanted="a directory of a POSIX file system",
            hint="object stores have no atomic rename, so a server could load half a model; mount a volume instead",
        )
    return Path(artifact_uri).parents[3] / serving_dir


def number_of(name: str) -> int | None:
    """Returns the number for which TF Serving may take a child's name, None if it is none.

    Its parser allows white space on both sides, a sign and leading zeros.
    """
    found = _INT64.fullmatch(name)
    if found is None:
        return None
    number = _number(found["digits"]) * (-1 if found["sign"] == "-" else 1)
    return number if -MAX_VERSION - 1 <= number <= MAX_VERSION else None


def versions(serving_dir: str | os.PathLike[str]) -> list[ServedVersion]:
    """Returns every folder that TF Serving may take for a version, complete or not.

    Lowest number first, and of those with the same number the one with the plain name.
    """
    found = [ServedVersion(number, path) for number, path in _numbered(Path(serving_dir)) if number >= 0]
    folders = [one for one in found if one.path.is_dir()]
    return sorted(folders, key=lambda one: (one.version, not one.plainly_named, one.path.name))


def strangers(serving_dir: str | os.PathLike[str]) -> list[Path]:
    """Returns the children that TF Serving may take for versions and that nobody here made, sorted.

    Their names are not the plain number, such as `02`, `+2` or `2 `, or they are no folders.
    """
    found = _numbered(Path(serving_dir))
    return sorted(path for number, path in found if path.name != str(number) or number < 0 or not path.is_dir())


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    names = os.listdir(folder) if folder.is_dir() else []
    return [(number, folder / name) for name in names if (number := number_of(name)) is not None]


def highest_claimed(serving_dir: str | os.PathLike[str]) -> int:
    """Returns the highest number ever claimed there or seen there, 0 if none; a pruned version still counts."""
    folder = Path(serving_dir)
    claims = (folder / CLAIMS_FILE).read_text() if (folder / CLAIMS_FILE).is_file() else ""
    claimed = [_number(line) for line in claims.splitlines() if re.fullmatch("[0-9]+", line)]
    return max([0, *claimed, *(found.version for found in versions(folder))])


def _number(digits: str) -> int:
    # Python refuses to convert thousands of digits, and anything so long is too large all the same.
    return int(digits.lstrip("0")[:20] or "0")


def claim(serving_dir: str | os.PathLike[str], version: int) -> None:
    """Notes, durably, that `version` is taken; the lock must be held.

    A line torn by a crash runs into the next one, and the two read as a larger number: a gap, but no number twice.
    """
    with (Path(serving_dir) / CLAIMS_FILE).open("a") as file:
        file.write(f"{version}\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(serving_dir)


def raise_floor(serving_dir: str | os.PathLike[str], recorded: int) -> None:
    """Makes sure that no number up to `recorded`, the highest in the lineage records, is given out again."""
    if recorded > highest_claimed(serving_dir):
        with locked(serving_dir):
            claim(serving_dir, recorded)


@contextlib.contextmanager
def locked(serving_dir: str | os.PathLike[str], timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Holds the directory's lock, which the kernel releases when its holder dies; makes the directory if need be.

    Args:
      serving_dir: the directory.
      timeout: seconds to wait for another holder.

    Raises:
      EnvironmentProblem: if the directory cannot be written, or somebody else holds the lock for too long.
    """
    try:
        os.makedirs(serving_dir, exist_ok=True)
        descriptor = os.open(Path(serving_dir) / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as err:
        raise EnvironmentProblem("cannot write here", where=serving_dir, got=err.strerror) from err
    try:
        _acquire(descriptor, Path(serving_dir), time.monotonic() + timeout)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, serving_dir: Path, deadline: float) -> None:
    while not _try_lock(descriptor):
        if time.monotonic() > deadline:
            raise EnvironmentProblem(
                "another process is changing this directory",
                where=serving_dir,
                hint=f"it holds {LOCK_FILE}; try again when it is done",
            )
        time.sleep(0.01)


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
