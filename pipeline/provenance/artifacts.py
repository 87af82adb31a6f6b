"""Artifacts as records name them: type, digest, size and files; and how their files differ from that.

An `ArtifactEntry` is written by the execution that made the artifact, an `ArtifactRef` by each execution that read it.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, Final

from typing_extensions import TypedDict

from components.digest import manifest_digest, tree_manifest
from components.errors import BadInput, EnvironmentProblem
from components.serving import FORMAT_SERVING
from components.wording import ReadAs

MODEL_FOLDER: Final = f"{FORMAT_SERVING}/"
"""Where a Model keeps its SavedModel; its digest covers that alone, so that it equals the served version's."""

ROOT_MARK: Final = "{root}"
"""Stands in recorded parameters and properties for the root's absolute path."""

RECORD_PROPERTY: Final = "record"
"""Custom property of every output artifact, in MLMD and in Kubeflow alike: the hash of its maker's record."""

DIGEST_PROPERTY: Final = "sha256"
"""Custom property of every output artifact: its digest."""

NAME_LIMIT: Final = 255
"""Bytes in one path component, as on ext4 and XFS."""


_NAME: Final = r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,254}"
_USUAL: Final = re.compile(f"(?:{_NAME}/)*{_NAME}")
"""Paths as the pipeline itself makes them. There are half a million in 80,000 records, and this is six times as fast."""


def checked_path(path: str) -> str:
    """Return `path` if it is a plain relative POSIX path that stays below the folder it is joined to.

    Raises:
      BadInput: if it is empty or absolute, holds `.`, `..`, a backslash or a control character, or a name too long.
    """
    if _USUAL.fullmatch(path):
        return path
    names = path.split("/")
    plain = path.isprintable() and "\\" not in path and not {"", ".", ".."} & set(names)
    if not plain or any(len(name.encode()) > NAME_LIMIT for name in names):
        raise BadInput("not a plain relative path", where="record", got=repr(path)[:300])
    return path


class FileEntry(TypedDict, total=False):
    """What a manifest says of one file: `sha256` and `bytes`, or `symlink`."""

    sha256: str
    bytes: int
    symlink: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArtifactRef:
    """An artifact as its reader names it.

    Attributes:
      type: TFX type name, such as `Examples`.
      path: of the artifact, relative to the root.
      sha256: the artifact's digest (a Model's: of its SavedModel alone).
      bytes: size of all its files together.
      record: hash of the record of the execution that made it; None if nothing recorded did.
    """

    type: str
    path: str
    sha256: str
    bytes: int
    record: str | None

    def __post_init__(self) -> None:
        checked_path(self.path)

    @property
    def identity(self) -> dict[str, Any]:
        """What a node key holds of it: nothing that changes when the root or the artifact is moved."""
        return {"type": self.type, "sha256": self.sha256, "record": self.record}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArtifactEntry:
    """An artifact as its maker records it.

    Attributes:
      type: TFX type name, such as `Examples`.
      path: of the artifact, relative to the root.
      sha256: the artifact's digest (a Model's: of its SavedModel alone).
      bytes: size of all its files together.
      files: {path relative to the artifact: `sha256` and `bytes`, or `symlink`}, as `digest.tree_manifest` gives it.
      properties: custom properties, such as `blessed` or `baseline`.
    """

    type: str
    path: str
    sha256: str
    bytes: int
    files: Annotated[Mapping[str, Mapping[str, Any]], ReadAs(Mapping[str, FileEntry])]
    properties: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        for path in (self.path, *self.files):
            checked_path(path)

    def ref(self, record: str | None) -> ArtifactRef:
        """Return how a reader names it, `record` being the hash of its maker's record."""
        return ArtifactRef(type=self.type, path=self.path, sha256=self.sha256, bytes=self.bytes, record=record)


def measure(root: Path, path: str, *, type_name: str, properties: Mapping[str, Any] | None = None) -> ArtifactEntry:
    """Return the entry of the artifact at `root`/`path`, reading and hashing every byte of it.

    Raises:
      EnvironmentProblem: if nothing is there.
    """
    files = _manifest(root, path)
    return ArtifactEntry(
        type=type_name,
        path=checked_path(path),
        sha256=artifact_digest(type_name, files),
        bytes=sum(file.get("bytes", 0) for file in files.values()),
        files=files,
        properties=without_root(dict(properties or {}), str(root)),
    )


def without_root(value: Any, root: str) -> Any:
    """Return JSON values with the absolute path `root` written as `ROOT_MARK` wherever a text holds it."""
    if isinstance(value, str):
        # Not where the root's name only begins another one.
        return re.sub(re.escape(root) + r"(?![\w.-])", lambda _: ROOT_MARK, value)
    if isinstance(value, Mapping):
        return {name: without_root(inner, root) for name, inner in value.items()}
    return [without_root(inner, root) for inner in value] if isinstance(value, (list, tuple)) else value


def artifact_digest(type_name: str, files: Mapping[str, Mapping[str, Any]]) -> str:
    """Return an artifact's digest from its manifest; a Model's covers what lies in `MODEL_FOLDER`, if anything does."""
    return manifest_digest((type_name == "Model" and saved_model(files)) or files)


def saved_model(files: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the part of a Model's manifest that is its SavedModel, by paths inside that."""
    return {path.removeprefix(MODEL_FOLDER): file for path, file in files.items() if path.startswith(MODEL_FOLDER)}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Difference:
    """How files differ from what was recorded, as paths relative to the artifact; false if they do not."""

    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.missing or self.extra or self.changed)

    def __str__(self) -> str:
        kinds = dataclasses.asdict(self)
        return "; ".join(f"{kind}: {', '.join(paths)}" for kind, paths in kinds.items() if paths) or "no difference"


def difference(root: Path, entry: ArtifactEntry) -> Difference:
    """Return how the bytes at `root` differ from `entry`; an artifact that is gone misses every file."""
    try:
        present = _manifest(root, entry.path)
    except EnvironmentProblem:
        return Difference(missing=tuple(sorted(entry.files)) or (".",))
    return Difference(
        missing=tuple(sorted(entry.files.keys() - present.keys())),
        extra=tuple(sorted(present.keys() - entry.files.keys())),
        changed=tuple(sorted(path for path, file in entry.files.items() if path in present and present[path] != file)),
    )


def _manifest(root: Path, path: str) -> dict[str, dict[str, Any]]:
    place = root / PurePosixPath(checked_path(path))
    try:
        if place.is_symlink() or not place.exists():
            raise FileNotFoundError(2, "no such file or directory", str(place))
        return tree_manifest(place)
    except OSError as err:
        raise EnvironmentProblem("cannot read the artifact", where=err.filename or place, got=err.strerror) from err
