"""A root's `root.json`: which pipeline lives there, where the root lay when it was last written, and its store's address.

The file moves along with the root and anybody may have edited it, so it is read here alone.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from typing_extensions import TypedDict

from components.errors import BadInput, EnvironmentProblem
from components.files import remove_parts, replacing
from components.shapes import Shape
from components.untrusted import MIB, is_file, read_object
from pipeline.root.paths import RunPaths

PLACE: Final = "path"
RECORDED: Final = "metadata"
"""Key of the address, without a password, of a metadata store that is not the file in the root."""


class _Fields(TypedDict, total=False):
    path: str
    metadata: str


_SHAPE: Final = Shape(_Fields)


def read(path: Path) -> dict[str, Any]:
    """Return what a `root.json` says.

    Raises:
      EnvironmentProblem: if it is no such file.
    """
    what = "does not say which pipeline lives here"
    try:
        fields = read_object(path, limit=MIB, error=EnvironmentProblem)
    except EnvironmentProblem as err:
        raise EnvironmentProblem(
            what, where=path, wanted=err.wanted, got=f"{err.what}: {err.got}" if err.got else err.what
        ) from err
    _SHAPE.read(fields, what=what, where=path, error=EnvironmentProblem)
    if "\0" in fields.get(PLACE, ""):
        raise EnvironmentProblem(what, where=path, wanted="the path of a folder", got=fields[PLACE])
    return fields


def place(path: Path) -> str | None:
    """Return where the root lay when it was last written; None where a `root.json` does not tell, or is a link."""
    try:
        recorded: str | None = None if path.is_symlink() else read(path).get(PLACE)
    except EnvironmentProblem:
        return None
    return recorded or None


def check_identity(paths: RunPaths, identity: Mapping[str, Any]) -> Path | None:
    """Check that the root is free or this pipeline's, and return where it lay when it was last written.

    Raises:
      BadInput: if another pipeline lives here, or one with another input signature.
    """
    if not paths.identity.exists():
        return None
    fields = read(paths.identity)
    place = fields.pop(PLACE, None)
    fields.pop(RECORDED, None)
    wanted = json.loads(json.dumps(identity))  # tuples become lists, as they were when written
    if fields != wanted:
        raise BadInput(
            "another pipeline lives in this root",
            where=paths.root,
            wanted=json.dumps(wanted),
            got=json.dumps(fields),
            hint="use another --root",
        )
    return Path(place) if place else None


def claim(paths: RunPaths, identity: Mapping[str, Any], metadata: str | None = None) -> None:
    """Note which pipeline lives in the root, where the root lies, and its metadata store's address if that is elsewhere.

    Args:
      paths: of the root.
      identity: of the pipeline.
      metadata: address without a password; None for the file in the root.
    """
    elsewhere = {} if metadata in (None, str(paths.metadata)) else {RECORDED: metadata}
    text = json.dumps({**identity, PLACE: str(paths.root), **elsewhere}, indent=2) + "\n"
    if is_file(paths.identity) and paths.identity.read_bytes() == text.encode():
        return
    remove_parts(paths.root)
    with replacing(paths.identity) as file:
        file.write(text.encode())
