"""Copies of data, schema and the user's own code below the root, each checked against the records of its readers.

Beside the copies of imported data lie the records of the imports, which executions name by their digests.

A copy's folder goes by its content's digest, so it does not matter which task of which run handed it on. Only names
that a record asks for are taken, only plain files, and only what hashes to the name.
"""

from __future__ import annotations

import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from components import schema_files
from components.digest import canonical_json, sha256_file
from components.errors import BadInput, EnvironmentProblem, MnistTfxError
from components.files import replacing
from components.ingest import import_record, source
from components.ingest.payload import payload_digest
from components.untrusted import parse_object, read_bytes
from pipeline.kubeflow.gather import mirror
from pipeline.provenance import own_code, plain_files
from pipeline.provenance.records import ExecutionRecord
from pipeline.root.paths import RunPaths

_COPY: Final = re.compile(r"inputs/(schema-)?([0-9a-f]{64})")
_SCHEMA_PREFIX: Final = "schema-"
_SCHEMA: Final = frozenset({schema_files.SCHEMA_NAME, schema_files.PROFILE_NAME})
HINT: Final = "copy it again; if it stays so, it was changed in the bucket after it was recorded"


def restore_inputs(paths: RunPaths, records: Iterable[ExecutionRecord], lineage: Mapping[str, Path]) -> None:
    """Put what the records' executions read below the root, unless it lies there already and holds.

    A reader that KFP's cache answered for handed its copy on in the run that executed it, so that run's folders are
    looked at as well. What nobody handed on is left to the audit, which says that it is missing.

    Args:
      paths: of the root, which holds the runs' folders.
      records: the records.
      lineage: {task: folder of its lineage artifact} of the run.

    Raises:
      EnvironmentProblem: if what was handed on is not what its name says, or cannot be written.
    """
    for record in records:
        own = lineage.get(record.node)
        earlier = [folder for task, folder in mirror.folders(paths.root, record.run_id) if task == record.node]
        places = [folder for folder in (own, *earlier) if folder is not None]
        for name in _copies_of(record):
            if not _holds(paths.root, name):
                _bring(places, paths, name, _restore)
        kept = _import_record_of(record)
        if kept is not None and not _is_import_record(paths.root / kept):
            _bring(places, paths, kept, _restore_import)


def _bring(places: Iterable[Path], paths: RunPaths, name: str, restore: Callable[[Path, RunPaths, str], bool]) -> None:
    """Put what a record names in place from the first folder that has it as it was recorded; none need have it."""
    handed_on = [folder for folder in places if plain_files.kind_of(folder / name)]
    if handed_on and not any(restore(folder, paths, name) for folder in handed_on):
        raise EnvironmentProblem("the copy is not what was recorded", where=handed_on[0] / name, hint=HINT)


def recorded_copy(record: ExecutionRecord) -> str | None:
    """Return the folder of copies that an execution read, relative to the root; None if it is no reader."""
    places = [record.parameters.get(name) for name in ("input_base", "source")]
    return next((name for name in places if isinstance(name, str) and _COPY.fullmatch(name)), None)


def _copies_of(record: ExecutionRecord) -> Iterator[str]:
    """Yield the folders of copies that an execution read or ran, relative to the root."""
    if (name := recorded_copy(record)) is not None:
        yield name
    if code := own_code.own_digests(record.code.files):
        yield f"{own_code.INPUTS}/{own_code.folder_name(code)}"


def _import_record_of(record: ExecutionRecord) -> str | None:
    """Return the path of the record of the import that an execution read the data of, relative to the root."""
    folder, digest = record.parameters.get("input_base"), record.parameters.get(import_record.PROPERTY)
    name = import_record.kept_name(str(digest))
    if not isinstance(folder, str) or not _COPY.fullmatch(folder) or not import_record.KEPT.fullmatch(name):
        return None
    return f"{folder}/{name}"


def _is_import_record(path: Path) -> bool:
    """Whether a file is a record of an import, of the digest in its name, that wrote the files beside it."""
    if plain_files.kind_of(path) != plain_files.FILE:
        return False
    try:
        found = import_record.read(path, error=EnvironmentProblem)
        payloads = {str(file["payload_digest"]) for file in source.read_contents(path.parent)}
    except (MnistTfxError, OSError, KeyError, TypeError):
        return False
    return import_record.kept_name(found.digest) == path.name and found.payloads == payloads


def _restore_import(origin: Path, paths: RunPaths, name: str) -> bool:
    """Put the record of an import beside the copies of its data, if it is the one that its name says."""
    if plain_files.link_on_the_way(origin, name) is not None or not _is_import_record(origin / name):
        return False
    content = read_bytes(origin / name, limit=import_record.LARGEST)
    try:
        with replacing(paths.root / name) as file:
            file.write(content)
    except OSError as err:
        raise EnvironmentProblem("the data cannot be kept", where=paths.root / name, got=err.strerror) from err
    return _is_import_record(paths.root / name)


def _restore(origin: Path, paths: RunPaths, name: str) -> bool:
    """Put a folder in place as a whole, if it holds; what lay there did not."""
    if not _is_plain(origin, name):
        return False
    stage, target = paths.inputs / f".stage-{uuid.uuid4().hex}", paths.root / name
    try:
        shutil.copytree(origin / name, stage / name, symlinks=True)
        if not _holds(stage, name):
            return False
        if plain_files.kind_of(target) is not None:
            target.rename(stage / "old")
        (stage / name).rename(target)
    except OSError as err:
        raise EnvironmentProblem("the data cannot be kept", where=err.filename or target, got=err.strerror) from err
    finally:
        shutil.rmtree(stage, ignore_errors=True)
    return True


def _is_plain(place: Path, name: str) -> bool:
    kinds = {one.kind for one in plain_files.listing(place / name).values()}
    return plain_files.link_on_the_way(place, name) is None and kinds == {plain_files.FILE}


def _holds(place: Path, name: str) -> bool:
    """Whether a folder of copies has plain files alone, and their digests give its name."""
    if not _is_plain(place, name):
        return False
    folder = place / name
    check = _holds_schema if folder.name.startswith(_SCHEMA_PREFIX) else _holds_data
    check = _holds_code if folder.name.startswith(own_code.PREFIX) else check
    try:
        return check(folder, set(plain_files.listing(folder)))
    except (MnistTfxError, OSError, KeyError, TypeError):
        return False


def _holds_schema(folder: Path, seen: set[str]) -> bool:
    wanted = folder.name.removeprefix(_SCHEMA_PREFIX)
    return seen == _SCHEMA and schema_files.schema_digest(folder / schema_files.SCHEMA_NAME) == wanted


def _holds_code(folder: Path, seen: set[str]) -> bool:
    return own_code.folder_name({name: sha256_file(folder / name) for name in sorted(seen)}) == folder.name


def _holds_data(folder: Path, seen: set[str]) -> bool:
    contents = source.read_contents(folder)
    plain = [{name: file[name] for name in ("name", "payload_digest", "bytes")} for file in contents]
    if (folder / source.CONTENTS).read_bytes() != canonical_json(plain):
        return False
    wanted = {str(file["name"]): file for file in plain}
    imports = {name for name in seen if import_record.KEPT.fullmatch(name)}
    if not all(_is_import_record(folder / name) for name in imports):
        return False
    if seen - imports != {*wanted, source.CONTENTS, source.SOURCES} or not _notes_hold(folder / source.SOURCES):
        return False
    digests = {name: payload_digest(folder / name, limit=file["bytes"]) for name, file in wanted.items()}
    return all(
        (digests[name].payload, digests[name].payload_bytes) == (file["payload_digest"], file["bytes"])
        for name, file in wanted.items()
    )


def _notes_hold(file: Path) -> bool:
    """Whether the note on where the files came from can be read at all; nothing vouches for what it says."""
    try:
        return isinstance(parse_object(plain_files.read_plain(file), where=file).get("sources"), list)
    except BadInput:
        return False
