"""A provenance statement and a folder -> every way in which the folder's files are not those that it names.

Nothing of our records is needed, and nothing in the folder is trusted: links are named and never followed, names out of
the statement are compared and never opened, and what is no ordinary file is not read.
"""

from __future__ import annotations

import dataclasses
import os
import stat
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from components.digest import file_entry, is_provenance, manifest_digest
from components.errors import BadInput, EnvironmentProblem
from components.serving import PROVENANCE, SIGNATURE
from pipeline.provenance.artifacts import checked_path
from pipeline.provenance.statement import digest_of, manifest_of

ENVELOPE: Final = SIGNATURE
"""The signed statement; like the statement itself it is no part of the model's digest."""

BESIDE: Final = (PROVENANCE, ENVELOPE)
"""What may lie in a served version beside the files that its statement names."""

MISSING, EXTRA, CHANGED, LINK, SPECIAL = "missing", "extra", "changed", "symlink", "not a file"
NAME, STATEMENT = "unsafe name", "statement"

Files = Mapping[str, Mapping[str, Any]]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Fault:
    """One way in which a folder is not what its statement says.

    Attributes:
      what: such as `missing` or `changed`.
      path: the file, relative to the folder.
      wanted: what the statement says, such as a digest.
      found: what is there.
    """

    what: str
    path: str
    wanted: str | None = None
    found: str | None = None

    def __str__(self) -> str:
        compared = (f"{word} {value}" for word, value in (("wanted", self.wanted), ("got", self.found)) if value)
        return ": ".join(filter(None, (f"{self.path}: {self.what}", ", ".join(compared))))


def compare(statement: Mapping[str, Any], folder: Path) -> tuple[Fault, ...]:
    """Returns the faults of a folder, by path; none if it holds the statement's files and nothing else.

    Args:
      statement: as `manifest.from_bytes` gives it.
      folder: a served version, or a copy of one.

    Raises:
      EnvironmentProblem: if something in the folder cannot be read.
    """
    faults = list(_of_statement(statement))
    wanted = manifest_of(statement)
    found = _listed(folder)
    faults += [Fault(what=MISSING, path=path, wanted=_told(wanted[path])) for path in wanted if path not in found]
    faults += [Fault(what=EXTRA, path=path) for path in found if path not in wanted and path not in BESIDE]
    for path in found:
        if path in wanted or path in BESIDE:
            faults += _of_file(folder / path, path, wanted.get(path))
    return tuple(sorted(faults, key=lambda fault: (fault.path, fault.what)))


def _of_statement(statement: Mapping[str, Any]) -> Iterable[Fault]:
    """Yields what is wrong with the statement's own list of files."""
    names = [item["name"] for item in statement["subject"]]
    for name, times in Counter(names).items():
        if times > 1:
            yield Fault(what=STATEMENT, path=name, wanted="each file once", found=f"{times} times")
    files = manifest_of(statement)
    for name in files:
        try:
            safe = not is_provenance(checked_path(name))
        except BadInput:
            safe = False
        if not safe:
            yield Fault(what=NAME, path=name)
    if (found := manifest_digest(files)) != (told := digest_of(statement)):
        yield Fault(what=STATEMENT, path=".", wanted=f"tree digest {told}", found=found)


def _of_file(path: Path, name: str, wanted: Mapping[str, Any] | None) -> list[Fault]:
    """Returns the fault of one file, if any; with `wanted` None its bytes do not matter."""
    told = None if wanted is None else _told(wanted)
    try:
        mode = os.lstat(path).st_mode
        if stat.S_ISLNK(mode):
            return [Fault(what=LINK, path=name, wanted=told, found=f"a link to {os.readlink(path)}")]
        if not stat.S_ISREG(mode):
            return [Fault(what=SPECIAL, path=name, wanted=told)]
        found = wanted if wanted is None else file_entry(path)
    except OSError as err:
        raise EnvironmentProblem("cannot read", where=path, got=err.strerror) from err
    return [] if found == wanted else [Fault(what=CHANGED, path=name, wanted=told, found=_told(found or {}))]


def _told(file: Mapping[str, Any]) -> str:
    return f"SHA-256 {file['sha256']} of {file.get('bytes')} bytes"


def _listed(folder: Path) -> list[str]:
    """Returns everything below `folder` that is not a folder, as relative paths; a folder that cannot be read raises."""

    def fail(err: OSError) -> None:
        raise EnvironmentProblem("cannot read", where=err.filename, got=err.strerror) from err

    found = []
    for inside, folders, files in os.walk(folder, onerror=fail):
        links = [name for name in folders if os.path.islink(os.path.join(inside, name))]
        found += [Path(inside, name).relative_to(folder).as_posix() for name in (*files, *links)]
    return found
