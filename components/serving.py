"""A serving directory: its versions, as TF Serving sees them, and the number that the next one gets.

Beside the numbered versions lie `.lock`, held by whoever changes the directory; `.versions`, one line for each number
ever claimed; and `.stage-*`, versions in the making. TF Serving looks at none of them: their names are no numbers.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import re
import shlex
import shutil
import stat
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

from typing_extensions import TypedDict

from components import locks
from components.digest import tree_digest
from components.errors import BadInput, EnvironmentProblem
from components.files import sync_folder
from components.layout import root_of
from components.shapes import Shape
from components.sharing import share
from components.untrusted import read_object

SAVED_MODEL: Final = "saved_model.pb"
FORMAT_SERVING: Final = "Format-Serving"
"""Folder of a Model artifact that holds its SavedModel."""

PROVENANCE: Final = "assets.extra/provenance.json"
PROVENANCE_LIMIT: Final = 16 << 20
"""Bytes; one of ours has some ten thousand."""

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
CLAIMS_LIMIT: Final = 16 << 20
"""Bytes; a push adds at most twenty."""

OWN_DIRECTORY: Final = (
    "give each pipeline a directory of its own, on the same volume if you like: --serving /serving/NAME, or serving.folder "
    "in a cluster file"
)

MAX_VERSION: Final = (1 << 63) - 1
"""A larger number than int64 holds is none to TF Serving."""

_INT64: Final = re.compile(r"[ \t\n\v\f\r]*(?P<sign>[+-]?)(?P<digits>[0-9]+)[ \t\n\v\f\r]*")
"""What absl::SimpleAtoi and safe_strto64 accept."""

_DIGITS: Final = re.compile("[0-9]+")

LOCK_TIMEOUT: Final = 60.0
"""Seconds; a push takes milliseconds."""


class _Named(TypedDict):
    digest: Mapping[str, str]


class _Provenance(TypedDict):
    subject: list[_Named]


class _ExternalParameters(TypedDict):
    recipe: str


class _BuildDefinition(TypedDict):
    externalParameters: _ExternalParameters


class _Predicate(TypedDict):
    buildDefinition: _BuildDefinition


class _Build(TypedDict):
    predicate: _Predicate


_TOLD: Final = Shape(_Provenance)
"""What is read here of a provenance statement."""

_BUILD: Final = Shape(_Build)


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
        """Return whether its folder goes by the number as the pipeline writes it; TF Serving takes `02` and `+2` as well."""
        return self.path.name == str(self.version)

    @property
    def complete(self) -> bool:
        """Return whether it holds a SavedModel; TF Serving would try to load it either way."""
        return (self.path / SAVED_MODEL).is_file()

    @property
    def has_provenance(self) -> bool:
        """Return whether it holds its provenance manifest."""
        return (self.path / PROVENANCE).is_file()

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
            told = _TOLD.read(
                read_object(self.path / PROVENANCE, limit=PROVENANCE_LIMIT), what="no provenance", where=self.path
            )
        except BadInput:
            return None
        return next((one["digest"][TREE_SHA256] for one in told["subject"] if TREE_SHA256 in one["digest"]), None)

    @property
    def as_pushed(self) -> bool:
        """Return whether it holds a SavedModel whose bytes are those that its provenance tells: pushed here, and not changed.

        Half a version, one that somebody else put there, and one that was tampered with or cannot be read are not.
        """
        told = self.told_digest
        try:
            # What tells nothing is not read: it may be anybody's, and of any size.
            return told is not None and self.complete and self.digest == told
        except (OSError, UnicodeError):
            # Unreadable, or a file name that is no UTF-8.
            return False

    def __str__(self) -> str:
        return f"version {self.version}"


def told_pipeline(provenance: Path) -> str | None:
    """Return the name of the pipeline that a provenance statement tells, None if it tells none."""
    if not provenance.is_file():
        return None
    try:
        told = _BUILD.read(read_object(provenance, limit=PROVENANCE_LIMIT), what="no provenance", where=provenance)
    except BadInput:
        return None
    return told["predicate"]["buildDefinition"]["externalParameters"]["recipe"]


def refuse_other_pipeline(serving_dir: Path, pipeline: str | None) -> None:
    """Refuse to push where another pipeline pushed last: servers and comparisons would go from one model to the other.

    Roots may share a directory, and each version number is given out once all the same. But they have to be roots of one
    pipeline.

    Args:
      serving_dir: the directory.
      pipeline: name of what would push; None if it has none to tell.

    Raises:
      BadInput: naming both.
    """
    newest = next(reversed(versions(serving_dir)), None)
    served = None if newest is None else told_pipeline(newest.path / PROVENANCE)
    if newest is not None and None not in (served, pipeline) and served != pipeline:
        raise BadInput(
            "another pipeline serves from this directory",
            where=newest.path,
            wanted=pipeline,
            got=served,
            hint=OWN_DIRECTORY,
        )


def locate(serving_dir: str, artifact_uri: str) -> Path:
    """Find the serving directory of the pipeline that an artifact belongs to.

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
    # An absolute directory wins over the root it is joined to, which may be in a bucket.
    return root_of(artifact_uri) / serving_dir


def number_of(name: str) -> int | None:
    """Return the number for which TF Serving may take a child's name, None if it is none.

    Its parser allows white space on both sides, a sign and leading zeros.
    """
    found = _INT64.fullmatch(name)
    if found is None:
        return None
    number = _number(found["digits"]) * (-1 if found["sign"] == "-" else 1)
    return number if -MAX_VERSION - 1 <= number <= MAX_VERSION else None


def versions(serving_dir: str | os.PathLike[str]) -> list[ServedVersion]:
    """Return what may have been pushed there, lowest number first: real folders that go by a plain number.

    A link is never followed, whatever it is called. Which of the folders were pushed, the ledger knows, and where there
    is none, their provenance (`ServedVersion.as_pushed`).
    """
    return [one for one in candidates(serving_dir) if one.plainly_named and not one.path.is_symlink()]


def candidates(serving_dir: str | os.PathLike[str]) -> list[ServedVersion]:
    """Return every folder that TF Serving may take for a version, links to folders and odd names among them.

    Lowest number first, and of those with the same number the one with the plain name. This is for the audit: what
    reads, counts or removes versions asks `versions`.
    """
    found = [ServedVersion(number, path) for number, path in _numbered(Path(serving_dir)) if number >= 0]
    folders = [one for one in found if one.path.is_dir()]
    return sorted(folders, key=lambda one: (one.version, not one.plainly_named, one.path.name))


def foreign_entries(serving_dir: str | os.PathLike[str]) -> list[Path]:
    """Return the children that TF Serving may take for versions and that no push can have made, sorted.

    Their names are not the plain number, such as `02`, `+2` or `2 `, or they are no folders: files, and links to
    whatever it may be.
    """
    found = _numbered(Path(serving_dir))
    return sorted(path for number, path in found if path.name != str(number) or number < 0 or not _is_folder(path))


def oddity(path: Path) -> str:
    """Return what is odd about one of the `foreign_entries`, in words."""
    if path.is_symlink():
        return f"a link to {os.readlink(path)}"
    if not _is_folder(path):
        return "not a folder"
    return f"a folder named {path.name!r}"


def refuse_strangers(serving_dir: str | os.PathLike[str], following: int) -> None:
    """Refuse to push where TF Serving would load something else than what is pushed.

    Args:
      serving_dir: the directory.
      following: number of the version that is to be pushed; a stranger with a lower one is left alone.

    Raises:
      EnvironmentProblem: for a link, whatever its number, and for any other stranger whose number is not lower.
    """
    for path in foreign_entries(serving_dir):
        if path.is_symlink() or (number_of(path.name) or 0) >= following:
            raise in_the_way(path, oddity(path))


def in_the_way(path: Path, what: str) -> EnvironmentProblem:
    """Return the refusal that names an entry of a serving directory and says how to clear it."""
    return EnvironmentProblem(
        "TensorFlow Serving may load this instead of what is pushed here",
        where=path,
        wanted="versions that were pushed, and nothing else under a number",
        got=what,
        hint=f"move it out of there: {move_away(path)}",
    )


def move_away(path: Path) -> str:
    """Return a shell command that takes an entry out of its serving directory; of a link, it moves the link itself."""
    target = path.parent.parent / f"not-served-{path.name.strip()}"
    return f"mv -- {shlex.quote(str(path))} {shlex.quote(str(target))}"


def clear_stages(serving_dir: str | os.PathLike[str]) -> list[OSError]:
    """Remove what killed pushes left behind; with the lock held, no stage has an owner.

    Returns:
      Why some could not be removed. They are in nobody's way: TF Serving does not see them.
    """
    return [err for stage in stages(serving_dir) if (err := _removal_error(stage)) is not None]


def stages(serving_dir: str | os.PathLike[str]) -> list[Path]:
    """Return what killed pushes left in a serving directory, sorted: `.stage-*`, of whatever kind."""
    folder = Path(serving_dir)
    names = os.listdir(folder) if folder.is_dir() else []
    return sorted(folder / name for name in names if name.startswith(STAGE_PREFIX))


def _removal_error(stage: Path) -> OSError | None:
    try:
        if _is_folder(stage):
            shutil.rmtree(stage)
        else:
            # A link goes, what it points at stays.
            stage.unlink(missing_ok=True)
    except OSError as err:
        return err
    return None


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(path.lstat().st_mode)
    except OSError:
        return False


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    names = os.listdir(folder) if folder.is_dir() else []
    return [(number, folder / name) for name in names if (number := number_of(name)) is not None]


def highest_claimed(serving_dir: str | os.PathLike[str]) -> int:
    """Return the highest number ever claimed there or seen there, 0 if none; a pruned version still counts.

    A folder of somebody else's counts too, lest its number be given out a second time; its other claims do not.
    """
    return max([_claimed(Path(serving_dir)), *(found.version for found in versions(serving_dir))])


def next_version(serving_dir: str | os.PathLike[str], recorded: int = 0) -> int:
    """Return the number that the next version gets.

    Args:
      serving_dir: the directory.
      recorded: the highest number in the lineage records, which is not given out again either.

    Raises:
      EnvironmentProblem: if there is no number left that TF Serving reads.
    """
    version = max(highest_claimed(serving_dir), recorded) + 1
    if version > MAX_VERSION:
        raise EnvironmentProblem(
            "no version number is left",
            where=serving_dir,
            wanted=f"at most {MAX_VERSION}, the largest that TF Serving reads",
            got=version,
            hint=f"look for a foreign folder or a damaged line in {CLAIMS_FILE}; nothing was pushed",
        )
    return version


def _claimed(folder: Path) -> int:
    from components.untrusted import read_bytes  # yaml and pydantic, 0.1 s

    if not os.path.lexists(folder / CLAIMS_FILE):
        return 0
    claims = read_bytes(folder / CLAIMS_FILE, limit=CLAIMS_LIMIT, error=EnvironmentProblem).decode("utf-8", "replace")
    return max([0, *(_number(line) for line in claims.splitlines() if _DIGITS.fullmatch(line))])


def _number(digits: str) -> int:
    # Python refuses to convert thousands of digits, and anything so long is too large all the same.
    return int(digits.lstrip("0")[:20] or "0")


def claim(serving_dir: str | os.PathLike[str], version: int) -> None:
    """Note, durably, that `version` is taken; the lock must be held.

    A line torn by a crash runs into the next one, and the two read as a larger number: a gap, but no number twice.
    """
    with (Path(serving_dir) / CLAIMS_FILE).open("a") as file:
        share(Path(serving_dir) / CLAIMS_FILE, Path(serving_dir))
        file.write(f"{version}\n")
        file.flush()
        os.fsync(file.fileno())
    sync_folder(serving_dir)


def raise_floor(serving_dir: str | os.PathLike[str], recorded: int) -> None:
    """Make sure that no number up to `recorded`, the highest in the lineage records, is given out again."""
    # What somebody else put there may be gone tomorrow: the claims alone are for ever.
    if recorded > _claimed(Path(serving_dir)):
        with locked(serving_dir):
            claim(serving_dir, recorded)


@contextlib.contextmanager
def locked(serving_dir: str | os.PathLike[str], timeout: float = LOCK_TIMEOUT) -> Iterator[None]:
    """Hold the directory's lock, which the kernel releases when its holder dies; make the directory if need be.

    Args:
      serving_dir: the directory.
      timeout: seconds to wait for another holder.

    Raises:
      EnvironmentProblem: if the directory cannot be written, or somebody else holds the lock for too long.
    """
    with contextlib.ExitStack() as held:
        try:
            _make(Path(serving_dir))
            held.enter_context(locks.locked(Path(serving_dir) / LOCK_FILE, timeout))
            share(Path(serving_dir) / LOCK_FILE, Path(serving_dir))
        except BlockingIOError as err:
            raise EnvironmentProblem(
                "another process is changing this directory",
                where=serving_dir,
                hint=f"it holds {LOCK_FILE}; try again when it is done",
            ) from err
        except OSError as err:
            where = err.filename or serving_dir
            raise EnvironmentProblem("cannot write here", where=where, got=err.strerror) from err
        yield


def _make(serving_dir: Path) -> None:
    if not serving_dir.is_dir():
        os.makedirs(serving_dir, exist_ok=True)
        share(serving_dir, serving_dir.parent)
