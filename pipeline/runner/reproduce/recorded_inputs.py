"""Inputs of a recorded run, put together in a working folder: recipe, data files, schema and the user's own code."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from components.digest import canonical_json
from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from components.ingest import import_record, pairs
from components.ingest.forms import IDX, PAIRS, READERS
from components.ingest.payload import payload_digest
from pipeline.config.request import Request
from pipeline.lineage.versions import RecordedVersion
from pipeline.provenance import own_code, parameters
from pipeline.provenance.artifacts import checked_path
from pipeline.provenance.records import DataSource, ExecutionRecord
from pipeline.stages import CLASSIFIER, INGEST, REVIEWED_SCHEMA

IDX_NAMES: Final = {"train": "train", "test": "t10k"}
"""{part: how the files of an IDX set call it}."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prepared:
    """What to run, without a root.

    Attributes:
      request: the run's request.
      notes: what had to be taken from elsewhere, in words.
    """

    request: Request
    notes: tuple[str, ...]


def prepare(version: RecordedVersion, work: Path, data: tuple[Path, ...] = ()) -> Prepared:
    """Put together what a version was run with.

    Args:
      version: as recorded.
      work: an empty folder for the recipe, the schema, the user's own code and links to the data.
      data: files or a folder to take in place of the root's copies.

    Raises:
      EnvironmentProblem: if a copy of the data is missing or is not what was recorded, or ingest is not recorded.
    """
    missing = {INGEST, REVIEWED_SCHEMA} - version.executions.keys()
    if missing:
        raise EnvironmentProblem("not recorded", where=version.name, wanted=" and ".join(sorted(missing)))
    recipe = work / "recipe.yaml"
    recipe.write_bytes(canonical_json(parameters.recipe_of(version.executions)))  # JSON is YAML
    schema, notes = _schema(version, work / "schema")
    notes += _own_code(version, work)
    files = data or tuple(_linked(version.root, version.executions[INGEST], work / "data"))
    request = Request(recipe=str(recipe), data=files, schema=schema, workers=_workers(version))
    return Prepared(request=request, notes=notes)


def _workers(version: RecordedVersion) -> int | None:
    """Return how many processes trained together, None for one alone; here they will be processes of this machine."""
    training = version.executions[CLASSIFIER].extra.get("training", {}) if CLASSIFIER in version.executions else {}
    workers = training.get("workers")
    return workers if isinstance(workers, int) and workers > 1 else None


def _linked(root: Path, ingest: ExecutionRecord, folder: Path) -> list[Path]:
    """Return links to the root's copies, under names by which they are told apart as they were before."""
    folder.mkdir()
    recorded = {source.name: source for source in ingest.sources}
    links = []
    for number, part in enumerate(parameters.parts(ingest.parameters.get("source"), where="record of ExampleGen")):
        copies = [root / copy for copy in part["files"]]
        names = _names(str(ingest.parameters.get("form")), part["split"], copies)
        for path, name in zip(copies, (f"{number:05d}-{name}" for name in names), strict=True):
            _require(path, recorded[path.name])
            links.append(folder / name)
            links[-1].symlink_to(path)
    if (digest := ingest.parameters.get(import_record.PROPERTY)) is not None:
        # Where it is gone or changed, what is made again is made without it.
        (folder / import_record.FILE).symlink_to(links[0].resolve().with_name(import_record.kept_name(str(digest))))
    return links


def _names(form: str, split: str, copies: Sequence[Path]) -> list[str]:
    """Return names by which files of a form are known for what they are."""
    if form == IDX:
        return [f"{IDX_NAMES[split]}-{role}-ubyte" for role in ("images-idx3", "labels-idx1")]
    if form == PAIRS:
        roles = zip(("images", "labels"), copies, strict=True)
        return [f"{split}-{role}.{'npy' if pairs.is_array(copy) else 'csv'}" for role, copy in roles]
    return [f"{split}{READERS[form].extension}"]


def _require(path: Path, wanted: DataSource) -> None:
    hint = "give the files again with --data"
    try:
        got = payload_digest(path, limit=wanted.bytes).payload
    except MnistTfxError as err:
        raise EnvironmentProblem("a copy of the data cannot be read", where=path, got=err.what, hint=hint) from err
    if got != wanted.payload_digest:
        raise EnvironmentProblem(
            "a copy of the data was changed", where=path, wanted=wanted.payload_digest, got=got, hint=hint
        )


def _own_code(version: RecordedVersion, folder: Path) -> tuple[str, ...]:
    """Put the user's own code beside the recipe, where it is looked for first; return what had to be taken elsewhere."""
    notes = []
    for record in version.executions.values():
        own = own_code.own_digests(record.code.files)
        if not own:
            continue
        copy = version.root / own_code.INPUTS / own_code.folder_name(own)
        if not own_code.holds(copy, own):
            named = ", ".join([*own][:5])
            notes.append(f"own code of {record.node}: the copy is gone or changed, so what is here was taken: {named}")
            continue
        for path in own:
            (folder / checked_path(path)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(copy / path, folder / path)
    return tuple(notes)


def _schema(version: RecordedVersion, folder: Path) -> tuple[Path | None, tuple[str, ...]]:
    """Return a folder with the schema that was read, approved as it was; None where the root's copy is gone."""
    from components import schema_files

    given = version.executions[REVIEWED_SCHEMA].parameters
    geometry, digest = str(given["geometry"]), str(given["schema_sha256"])
    copy = version.root / str(given["source"]) / schema_files.SCHEMA_NAME
    try:
        schema_files.require_digest(copy, digest, where=copy)
    except BadInput as err:
        return None, (f"schema: {err.what}, so the installed one was taken: {copy}",)
    folder.mkdir()
    schema = folder / f"{geometry}.pbtxt"
    shutil.copyfile(copy, schema)
    shutil.copyfile(schema_files.profile_file(copy), schema_files.profile_file(schema))
    approved = {"approved": {geometry: {"digest": digest, "date": version.executions[REVIEWED_SCHEMA].started[:10]}}}
    (folder / schema_files.APPROVED_NAME).write_bytes(canonical_json(approved))
    return folder, ()
