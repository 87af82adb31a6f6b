"""A root's `root.json`: which pipeline lives there, where the root lay when it was last written, and its store's address.

The file moves along with the root and anybody may have edited it, so it is read here alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from typing_extensions import TypedDict

from components.errors import EnvironmentProblem
from components.shapes import Shape
from components.untrusted import MIB, read_object

PLACE: Final = "path"
RECORDED: Final = "metadata"
"""Key of the address, without a password, of a metadata store that is not the file in the root."""


class _Fields(TypedDict, total=False):
    path: str
    metadata: str


_SHAPE: Final = Shape(_Fields)


def read(path: Path) -> dict[str, Any]:
    """Returns what a `root.json` says.

    Raises:
      EnvironmentProblem: if it is no such file.
    """
    what = "does not say which pipeline lives here"
    try:
        found = read_object(path, limit=MIB, error=EnvironmentProblem)
    except EnvironmentProblem as err:
        raise EnvironmentProblem(
            what, where=path, wanted=err.wanted, got=f"{err.what}: {err.got}" if err.got else err.what
        ) from err
    _SHAPE.read(found, what=what, where=path, error=EnvironmentProblem)
    if "\0" in found.get(PLACE, ""):
        raise EnvironmentProblem(what, where=path, wanted="the path of a folder", got=found[PLACE])
    return found


def place(path: Path) -> str | None:
    """Returns where the root lay when it was last written; None where a `root.json` does not tell, or is a link."""
    try:
        told: str | None = None if path.is_symlink() else read(path).get(PLACE)
    except EnvironmentProblem:
        return None
    return told or None
