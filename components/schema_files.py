"""Reviewed schemas and their reference profiles: found by geometry, read, and checked against the approval.

A reviewed schema is two files in one folder: `<geometry>.pbtxt` (a TFMD Schema) and `<geometry>.profile.json` (the
reference that splits are held against, see `components.profile`). `approved.json` beside them pins the digest of the
pair, so that an edit without a review is refused. The copies inside a run go by the names `schema.pbtxt` and
`profile.json`; the digest is the same.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from typing_extensions import TypedDict

from components import digest
from components.errors import BadInput
from components.features import LABEL
from components.profile import Reference
from components.shapes import Shape
from components.untrusted import MIB, read_bytes, read_object

SCHEMA_NAME: Final = "schema.pbtxt"
PROFILE_NAME: Final = "profile.json"
APPROVED_NAME: Final = "approved.json"

PROPOSE: Final = "`mnist-tfx schema propose` drafts one from your data"
APPROVE: Final = "review it and run `mnist-tfx schema approve`"


LARGEST: Final = 64 * MIB
"""Bytes of a schema or a profile; those of 28x28 images have 10 KB."""


_NAMED_CLASS: Final = re.compile(r"class [0-9]{1,4}: (.+)")
_EMPTY_CLASS: Final = re.compile(r"class ([0-9]{1,4}) is empty")


class _Approval(TypedDict):
    digest: str
    date: str


class _Approvals(TypedDict):
    approved: Mapping[str, _Approval]


_APPROVALS: Final = Shape(_Approvals)


@dataclass(frozen=True, kw_only=True)
class Reviewed:
    """A reviewed schema whose bytes are those that were approved.

    Attributes:
      geometry: such as `28x28-max255-labels10`.
      schema: path of the TFMD Schema.
      profile: path of the reference profile.
      digest: SHA-256 over both, see `schema_digest`.
    """

    geometry: str
    schema: Path
    profile: Path
    digest: str


def schema_folders() -> tuple[Path, ...]:
    """Return where schemas are shipped: beside the packages in a clone, below `share/` in an installed wheel."""
    return Path(__file__).resolve().parents[1] / "schema", Path(sys.prefix) / "share" / "mnist-tfx" / "schema"


def schema_file(geometry: str, folder: Path | None = None) -> Path:
    """Return the path of a geometry's reviewed schema: in the user's `folder`, or without one among those shipped.

    Whoever names a folder means what is in it, so nothing shipped takes the place of a schema that is not there.

    Raises:
      BadInput: when nobody has reviewed that geometry yet.
    """
    folders = schema_folders() if folder is None else (folder,)
    for path in (place / f"{geometry}.pbtxt" for place in folders):
        if path.is_file():
            return path
    shipped = any((place / f"{geometry}.pbtxt").is_file() for place in schema_folders())
    raise BadInput(
        "no reviewed schema for this geometry",
        where=geometry,
        wanted=f"{geometry}.pbtxt in {folders[0]}",
        got=_held(folders[0]),
        hint="one is built in: leave --schema out, or copy it there with `mnist-tfx schema approve`"
        if shipped
        else PROPOSE,
    )


def _held(folder: Path) -> str:
    """Return which schemas a folder holds, in words."""
    if not folder.is_dir():
        return "no such folder"
    return ", ".join(sorted(path.name for path in folder.glob("*.pbtxt"))) or "no schemas"


def profile_file(schema: Path) -> Path:
    """Return the path of the reference profile that lies beside a schema."""
    return schema.with_name(PROFILE_NAME if schema.name == SCHEMA_NAME else f"{schema.stem}.profile.json")


def schema_digest(schema: Path | str) -> str:
    """Return the SHA-256 over a schema and its reference profile, whatever the two files are called.

    Links are followed, as they are when the files are read: some installers link what they install.

    Args:
      schema: path of the schema, or a geometry to look up among those shipped.

    Raises:
      BadInput: when one of the files is missing or cannot be read.
    """
    path = schema_file(schema) if isinstance(schema, str) else schema
    try:
        entries = {SCHEMA_NAME: digest.content_entry(path), PROFILE_NAME: digest.content_entry(profile_file(path))}
    except OSError as err:
        raise BadInput("cannot be read", where=err.filename, got=err.strerror, hint=PROPOSE) from err
    return digest.manifest_digest(entries)


def find_reviewed(geometry: str, folder: Path | None = None) -> Reviewed:
    """Return the approved schema of a geometry.

    Args:
      geometry: `DataSettings.geometry`.
      folder: a user's own schemas, looked through before those shipped.

    Raises:
      BadInput: when there is none, it cannot be read or parsed, or its bytes are not those approved.
    """
    schema = schema_file(geometry, folder)
    approved = approvals(schema.parent).get(geometry)
    if approved is None:
        raise BadInput("schema was never approved", where=schema, wanted=f"its digest in {APPROVED_NAME}", hint=APPROVE)
    require_digest(schema, approved["digest"], where=schema)
    read_schema(schema)
    reference = read_reference(profile_file(schema))
    if reference.geometry != geometry:
        raise BadInput(
            "profile of another geometry", where=profile_file(schema), wanted=geometry, got=reference.geometry
        )
    return Reviewed(geometry=geometry, schema=schema, profile=profile_file(schema), digest=approved["digest"])


def require_digest(schema: Path, wanted: str, *, where: Path) -> None:
    """Compare the digest of a schema and its profile with the one that was approved.

    Raises:
      BadInput: when it is another; the error names `where`, the file to look at.
    """
    got = schema_digest(schema)
    if got != wanted:
        raise BadInput("schema changed after its approval", where=where, wanted=wanted, got=got, hint=APPROVE)


def approvals(folder: Path) -> dict[str, dict[str, str]]:
    """Return {geometry: {"digest", "date"}} of a folder's `approved.json`; no file means no approvals.

    Raises:
      BadInput: when the file is there and is not what `mnist-tfx schema approve` writes.
    """
    path = folder / APPROVED_NAME
    if not os.path.lexists(path):
        return {}
    try:
        found = _APPROVALS.read(read_object(path), what="not a list of approvals", where=path)["approved"]
    except BadInput as err:
        hint = "restore it from version control"
        raise BadInput("not a list of approvals", where=path, got=err.got or err.what, hint=hint) from err
    return {geometry: {"digest": entry["digest"], "date": entry["date"]} for geometry, entry in found.items()}


@dataclass(frozen=True, kw_only=True)
class Declared:
    """What a schema says of classes beyond their number.

    Attributes:
      names: of all classes, by stored label; none where the labels are their names.
      empty: stored labels of the classes that no row may have.
    """

    names: tuple[str, ...] = ()
    empty: tuple[int, ...] = ()

    def tags(self) -> list[str]:
        """Return them as annotations of the label; `declared` reads them back."""
        named = [f"class {label}: {name}" for label, name in enumerate(self.names)]
        return [*named, *(f"class {label} is empty" for label in self.empty)]


def declared(schema: schema_pb2.Schema) -> Declared:
    """Return what a schema says of classes, in the annotation of its label."""
    tags = [tag for feature in schema.feature if feature.name == LABEL for tag in feature.annotation.tag]
    names = [match[1] for tag in tags if (match := _NAMED_CLASS.fullmatch(tag)) is not None]
    empty = [int(match[1]) for tag in tags if (match := _EMPTY_CLASS.fullmatch(tag)) is not None]
    return Declared(names=tuple(names), empty=tuple(empty))


def read_schema(path: Path) -> schema_pb2.Schema:
    """Return the TFMD Schema of a text proto.

    Raises:
      BadInput: when it cannot be read or parsed.
    """
    schema = schema_pb2.Schema()
    content = read_bytes(path, limit=LARGEST)
    try:
        text_format.Parse(content.decode("utf-8"), schema)
    except (UnicodeDecodeError, text_format.ParseError, RecursionError) as err:
        raise _no_schema(path, _in_words(err)) from err
    # An empty text is a message as well, one that says nothing.
    if not schema.feature:
        raise _no_schema(path, "a text without a feature" if content.strip() else "an empty file")
    return schema


def _no_schema(path: Path, got: str) -> BadInput:
    return BadInput("not a schema", where=path, wanted="a TFMD Schema as text proto", got=got, hint=PROPOSE)


def _in_words(error: Exception) -> str:
    """Return why a text cannot be parsed, without the name of protobuf's class and with the line called one."""
    if not isinstance(error, text_format.ParseError):
        return "bytes that are no UTF-8" if isinstance(error, UnicodeDecodeError) else "messages within messages"
    line, what = error.GetLine(), str(error).partition(" : ")[2] or str(error)
    what = re.sub(r'^Message type "(?:\w+\.)*(\w+)"', r"\1", what)
    return f"{what.rstrip('.')} in line {line}" if line else what


def read_reference(path: Path) -> Reference:
    """Return the reference profile of a file.

    Raises:
      BadInput: when it cannot be read or parsed.
    """
    if not os.path.lexists(path):
        what = "no such file: a schema has its reference profile beside it"
        raise BadInput(what, where=path, hint=PROPOSE)
    try:
        return Reference.from_json(read_bytes(path, limit=LARGEST).decode("utf-8"))
    except ValueError as err:
        raise BadInput("not a reference profile", where=path, got=err) from err
