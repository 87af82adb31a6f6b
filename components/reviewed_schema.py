"""The ReviewedSchema node: a geometry's approved schema and its reference profile, imported by digest.

The digest over both files is an execution property: stock ImportSchemaGen knows its file by path alone and stays
cached when the file is edited in place. The stock components that read a Schema artifact want exactly one file in it,
so the reference profile is an artifact of its own.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final

from tfx.dsl.components.base import executor_spec
from tfx.types import standard_artifacts
from tfx.types.component_spec import ChannelParameter, ComponentSpec, ExecutionParameter

from components import disk
from components.base import Component, Driver, Executor
from components.declaration import OWN_PARAMETERS
from components.errors import BadInput
from components.layout import root_of
from components.schema_files import (
    PROFILE_NAME,
    PROPOSE,
    SCHEMA_NAME,
    profile_file,
    read_reference,
    read_schema,
    require_digest,
    schema_digest,
    schema_file,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SCHEMA_SHA256: Final = "schema_sha256"
SOURCE: Final = "source"


def input_folder(schema_sha256: str) -> str:
    """Return the path of an imported schema's copy, relative to the root."""
    return f"inputs/schema-{schema_sha256}"


def resolve(exec_properties: Mapping[str, Any], root: Path) -> dict[str, Any]:
    """Copy the schema below the root and return the execution properties that point there.

    What a driver does before the cache is asked: afterwards the key holds the digest and a path relative to the root,
    and the run no longer depends on the folder that the schema came from.

    Args:
      exec_properties: of `ReviewedSchema`; `source` is the folder in which the schema was found.
      root: of the pipeline.

    Raises:
      BadInput: when the files in `source` no longer have the digest that the run was configured with.
      EnvironmentProblem: when the copy cannot be written.
    """
    wanted = exec_properties[SCHEMA_SHA256]
    relative = input_folder(wanted)
    if not _is_intact(root / relative, wanted):
        schema = Path(exec_properties[SOURCE]) / f"{exec_properties['geometry']}.pbtxt"
        _copy_pair(schema, root / relative, wanted)
    return {**exec_properties, SOURCE: relative}


def _is_intact(folder: Path, wanted: str) -> bool:
    if any((folder / name).is_symlink() for name in (SCHEMA_NAME, PROFILE_NAME)):
        # A link may have the right bytes today; a copy is what stays as it was.
        return False
    try:
        return schema_digest(folder / SCHEMA_NAME) == wanted
    except BadInput:
        return False


def _copy_pair(schema: Path, target: Path, wanted: str) -> None:
    """Put a schema and its profile into a new folder `target`, which is complete as soon as it is there."""
    contents = {SCHEMA_NAME: _read(schema), PROFILE_NAME: _read(profile_file(schema))}
    stage = target.with_name(f".stage-{uuid.uuid4().hex}")
    try:
        with _writing(target):
            stage.mkdir(parents=True)
            for name, content in contents.items():
                (stage / name).write_bytes(content)
        require_digest(stage / SCHEMA_NAME, wanted, where=schema)
        with _writing(target):
            if target.exists():
                # Only ever a damaged copy: `resolve` leaves an intact one alone.
                shutil.rmtree(target)
            os.rename(stage, target)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def _read(source: Path) -> bytes:
    try:
        return source.read_bytes()
    except OSError as err:
        raise BadInput("cannot be read", where=source, got=err.strerror, hint=PROPOSE) from err


@contextlib.contextmanager
def _writing(target: Path) -> Iterator[None]:
    """Turn a full disk or a missing permission below the root into one line."""
    try:
        yield
    except OSError as err:
        raise disk.problem(err, "the schema cannot be kept", where=target) from err


class ReviewedSchemaSpec(ComponentSpec):  # type: ignore[misc]  # tfx has no annotations
    """A geometry and a digest in, the schema and its reference profile out."""

    PARAMETERS = {
        "geometry": ExecutionParameter(type=str),
        SCHEMA_SHA256: ExecutionParameter(type=str),
        SOURCE: ExecutionParameter(type=str),
        **OWN_PARAMETERS,
    }
    INPUTS: ClassVar[dict[str, Any]] = {}
    OUTPUTS = {
        "schema": ChannelParameter(type=standard_artifacts.Schema),
        "reference": ChannelParameter(type=standard_artifacts.ExampleStatistics),
    }


class ReviewedSchemaExecutor(Executor):
    """Copies the pair into the two artifacts, if it is still the pair that was approved."""

    def execute(self, inputs: Mapping[str, Any], outputs: Mapping[str, Any], properties: Mapping[str, Any]) -> None:
        """Import the schema.

        Raises:
          BadInput: when it is missing, unreadable, or has another digest than `schema_sha256`.
          EnvironmentProblem: when the artifacts cannot be written.
        """
        del inputs
        schema, reference = outputs["schema"].uri, outputs["reference"].uri
        source = _locate(properties, root_of(schema))
        require_digest(source, properties[SCHEMA_SHA256], where=source)
        read_schema(source)
        read_reference(profile_file(source))
        for origin, folder, name in ((source, schema, SCHEMA_NAME), (profile_file(source), reference, PROFILE_NAME)):
            content = _read(origin)
            with _writing(Path(folder)):
                os.makedirs(folder, exist_ok=True)
                Path(folder, name).write_bytes(content)


def _locate(exec_properties: Mapping[str, Any], root: Path) -> Path:
    copy = root / exec_properties[SOURCE] / SCHEMA_NAME
    # A container without a root has the schemas of its image; the digest decides either way.
    return copy if copy.is_file() else schema_file(exec_properties["geometry"])


class ReviewedSchemaDriver(Driver):
    """Copies the schema below the root before the cache is looked up; see `resolve`."""

    def resolved(self, properties: Mapping[str, Any], inputs: Mapping[str, Any], root: Path) -> Mapping[str, Any]:
        """Return the properties with the copy's path in place of the folder's."""
        del inputs
        return resolve(properties, root)


class ReviewedSchema(Component):
    """Imports the reviewed schema of a geometry: `schema` (schema.pbtxt) and `reference` (profile.json)."""

    SPEC_CLASS = ReviewedSchemaSpec
    DRIVER_CLASS = ReviewedSchemaDriver
    EXECUTOR_SPEC = executor_spec.ExecutorClassSpec(ReviewedSchemaExecutor)
