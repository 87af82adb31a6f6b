"""Drafts of schemas and reference profiles from clean data, their comparison with the approved ones, and approval.

The library behind `mnist-tfx schema propose|diff|approve`. What is written holds sums, thresholds and digests, never
a row of the data. Thresholds come from `pipeline.datasets.schema_calibration`.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2

from components import digest, disk
from components.errors import BadInput
from components.features import IMAGE, LABEL, SPLITS
from components.files import folder_made, replace_all
from components.ingest.forms import READERS
from components.profile import ASPECTS, Reference, distance
from components.schema_files import (
    APPROVED_NAME,
    Declared,
    approvals,
    declared,
    profile_file,
    read_reference,
    read_schema,
    schema_digest,
)
from components.schema_gate.cause import TRANSPOSED
from components.settings import DataSettings
from pipeline.datasets import orientation
from pipeline.datasets.schema_calibration import Source, calibrate
from pipeline.process.signals import PROCESS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from components.ingest.chunk import Chunk
    from components.ingest.data_files import DataFiles

ROWS_AT_ONCE: Final = 10_000
NOTHING_DECLARED: Final = Declared()


def read_sources(files: DataFiles, data: DataSettings) -> dict[str, Source]:
    """Read data files into memory as the sources of a proposal: the official parts, `train` before `test`.

    Raises:
      BadInput: when a file cannot be read, or does not fit the geometry.
    """
    reader = READERS[files.form]
    plan = reader.checked_plan([part.files for part in files.parts], data)
    chunks: dict[str, list[Chunk]] = {}
    for part in sorted(files.parts, key=lambda part: SPLITS.index(part.split)):
        read = reader.chunks(part.files, data, rows=ROWS_AT_ONCE, plan=plan)
        chunks.setdefault(part.split, []).extend(read)
    return {split: _joined(found) for split, found in chunks.items() if found}


def _joined(chunks: list[Chunk]) -> Source:
    return Source(
        pixels=np.concatenate([chunk.pixels for chunk in chunks]),
        labels=np.concatenate([chunk.labels for chunk in chunks]),
    )


def propose(sources: Mapping[str, Source], data: DataSettings, to: Path) -> Path:
    """Draft a schema and a reference profile from clean data.

    Args:
      sources: {name: rows}, the reference first; rows of another origin, such as other writers, go by another name.
      data: the geometry.
      to: folder of the draft; files of the same geometry there are replaced.

    Returns:
      The path of the draft schema; the reference profile lies beside it.

    Raises:
      BadInput: when there is no row, or a row does not fit the geometry.
      EnvironmentProblem: when the draft cannot be written; nothing is left of it then.
    """
    _check(sources, data)
    empty = empty_classes(sources, data)
    reference = calibrate(sources, data)
    path = to / f"{data.geometry}.pbtxt"
    text = schema_text(data, Declared(names=data.class_names, empty=empty))
    _write({path: text.encode(), profile_file(path): reference.to_json().encode()}, to)
    return path


def _check(sources: Mapping[str, Source], data: DataSettings) -> None:
    if not sources:
        raise BadInput("no data to propose a schema from", where=data.geometry)
    for name, source in sources.items():
        if not len(source):
            raise BadInput("no rows", where=name, wanted="clean rows of the geometry", got=0)
        wrong = {"pixel": source.pixels.max() > data.pixel_max, "label": _outside(source.labels, data)}
        for what, is_wrong in wrong.items():
            if is_wrong:
                raise BadInput(f"a {what} is out of range", where=name, wanted=data.geometry)


def empty_classes(sources: Mapping[str, Source], data: DataSettings) -> tuple[int, ...]:
    """Return the stored labels of the classes that no source has a row of: what a schema declares to be empty.

    Raises:
      BadInput: if fewer than two classes are left, or a class that the settings declare empty has rows.
    """
    rows = sum(np.bincount(source.labels, minlength=data.label_count) for source in sources.values())
    empty = tuple(int(label) for label in np.flatnonzero(np.asarray(rows) == 0))
    if filled := sorted(data.empty - set(empty)):
        raise BadInput("a class that is declared empty has rows", where=f"class {data.names[filled[0]]}")
    if len(empty) > data.label_count - 2:
        got = f"rows of {data.label_count - len(empty)} class of {data.label_count}"
        raise BadInput("no data to tell classes apart", where=data.geometry, wanted="rows of two classes", got=got)
    return empty


def _outside(labels: NDArray[np.int64], data: DataSettings) -> bool:
    return bool(labels.min() < 0 or labels.max() >= data.label_count)


def schema_text(data: DataSettings, classes: Declared = NOTHING_DECLARED) -> str:
    """Return the TFMD Schema of a geometry as text proto: both features always there, of fixed shape, in range."""
    schema = schema_pb2.Schema()
    schema.dataset_constraints.min_examples_count = 1
    for name, length, largest in ((IMAGE, data.pixels, data.pixel_max), (LABEL, 1, data.label_count - 1)):
        feature = schema.feature.add(name=name, type=schema_pb2.INT)
        feature.presence.min_fraction = 1.0
        feature.presence.min_count = 1
        feature.shape.dim.add(size=length)
        feature.int_domain.min = 0
        feature.int_domain.max = largest
        if name == LABEL:
            feature.int_domain.is_categorical = True
            if tags := classes.tags():  # an annotation without any would be written as well
                feature.annotation.tag.extend(tags)
    return text_format.MessageToString(schema)


def describe(schema: Path, *, offset: int = 0) -> list[str]:
    """Return what a schema and its reference profile say, a sentence to each: for whoever reviews them.

    Args:
      schema: path of the schema; it counts classes from 0, as they are stored.
      offset: the lowest label in the files, by which users know the classes.

    Raises:
      BadInput: when a file cannot be read.
    """
    reference = read_reference(profile_file(schema))
    sources = reference.calibration.get("sources", {})
    classes = declared(read_schema(schema))
    return [
        *_orientation(reference),
        *(f"feature {feature.name}: {_short(feature)}" for feature in read_schema(schema).feature),
        *(
            f"source {name}: {source['rows']} rows, rows_digest {source['rows_digest']}"
            for name, source in sources.items()
        ),
        *(
            f"{aspect} may be {threshold.floor:.4f} + {threshold.scale:.4f} / sqrt(rows) from the reference"
            for aspect, threshold in reference.thresholds.items()
        ),
        *([f"classes are {', '.join(classes.names)}"] if classes.names else []),
        *(f"class {name} has no rows and is declared empty" for name in _names_of_empty(classes, offset)),
        _alarm_rate(reference),
    ]


def _names_of_empty(classes: Declared, offset: int) -> list[str]:
    labels = {label: str(label + offset) for label in classes.empty}
    return [f"{text} ({classes.names[label]})" if classes.names else text for label, text in labels.items()]


def _orientation(reference: Reference) -> Iterator[str]:
    """Yield what a reviewer should know first: upright pictures are misread by a model of images stored otherwise."""
    (height, width), pixel_max = reference.profile["shape"], reference.profile["pixel_max"]
    data = DataSettings(shape=(height, width), pixel_max=pixel_max, label_count=len(reference.profile["classes"]))
    stored = orientation.of(reference.profile, data)
    if not stored.known or stored == orientation.AS_DRAWN:
        return
    mends = "" if stored.name != TRANSPOSED else ": propose again with --transpose, and give it to `run` too"
    yield f"the images look {stored}, and a model of them misreads upright pictures{mends}"


def diff(draft: Path, approved: Path | None) -> list[str]:
    """Return what approving a draft would change, a sentence to each change; nothing where nothing does.

    Args:
      draft: path of the draft schema.
      approved: path of the schema in force; None where the geometry has none.

    Raises:
      BadInput: when a file cannot be read.
    """
    new, new_reference = read_schema(draft), read_reference(profile_file(draft))
    if approved is None:
        return [f"{new_reference.geometry} has no approved schema: this would be the first"]
    old, old_reference = read_schema(approved), read_reference(profile_file(approved))
    return [*_schema_changes(old, new), *_reference_changes(old_reference, new_reference)]


def _schema_changes(old: schema_pb2.Schema, new: schema_pb2.Schema) -> Iterator[str]:
    before, after = ({f.name: f for f in schema.feature} for schema in (old, new))
    for name in sorted(before.keys() | after.keys()):
        if name not in after:
            yield f"feature {name} goes"
        elif name not in before:
            yield f"feature {name} comes: {_short(after[name])}"
        elif before[name] != after[name]:
            yield f"feature {name} changes from {_short(before[name])} to {_short(after[name])}"
    for schema in (before_rest := schema_pb2.Schema(), after_rest := schema_pb2.Schema()):
        schema.CopyFrom(old if schema is before_rest else new)
        schema.ClearField("feature")
    if before_rest != after_rest:
        yield f"the rest of the schema changes from {_short(before_rest)} to {_short(after_rest)}"


def _short(message: Any) -> str:
    return "{" + text_format.MessageToString(message, as_one_line=True).strip() + "}"


def _reference_changes(old: Reference, new: Reference) -> Iterator[str]:
    if old.geometry != new.geometry:
        yield f"the reference profile changes from {old.geometry} to {new.geometry}"
        return
    if old.profile["rows"] != new.profile["rows"]:
        yield f"the reference profile is of {new.profile['rows']} rows, before of {old.profile['rows']}"
    for aspect in ASPECTS:
        apart = distance(new.profile, old.profile, aspect)
        if apart.value:
            yield f"reference {aspect} move by up to {apart.value:.4f} (place {apart.place})"
        before, after = old.thresholds[aspect], new.thresholds[aspect]
        for name in ("floor", "scale"):
            if getattr(before, name) != getattr(after, name):
                yield f"{aspect} threshold, {name}: {getattr(before, name):.4f} becomes {getattr(after, name):.4f}"
    if old.calibration != new.calibration:
        yield f"calibration: {_alarm_rate(old)} becomes {_alarm_rate(new)}"


def _alarm_rate(reference: Reference) -> str:
    held_out = reference.calibration.get("held_out", {})
    return f"{held_out.get('alarms', '?')} false alarms in {held_out.get('runs', '?')} held-out runs"


def approve(draft: Path, folder: Path, beside: Callable[[Path, str], Mapping[Path, bytes]] = lambda *_: {}) -> str:
    """Install a draft into a folder of schemas and pins its digest there.

    The pair is put in place before its digest is: a crash in between leaves a schema that is refused as changed, and
    approving again mends it.

    Args:
      draft: path of the draft schema, its profile beside it; it may lie in `folder` already.
      folder: `schema/` of a clone, or a user's own.
      beside: returns, of the installed schema and its digest, the files that are written with it, such as who approved it.

    Returns:
      The digest that was pinned.

    Raises:
      BadInput: when the draft cannot be read, or its file name is not that of its geometry.
      EnvironmentProblem: when it cannot be written; what was in force stays.
    """
    read_schema(draft)
    geometry = read_reference(profile_file(draft)).geometry
    if draft.name != f"{geometry}.pbtxt":
        raise BadInput("draft is not named by its geometry", where=draft, wanted=f"{geometry}.pbtxt", got=draft.name)
    installed = folder / draft.name
    known = approvals(folder)
    contents = {target: source.read_bytes() for source, target in _pairs(draft, installed)}
    pinned = schema_digest(draft)
    known[geometry] = {"digest": pinned, "date": dt.datetime.now(tz=dt.timezone.utc).date().isoformat()}
    contents |= {folder / APPROVED_NAME: _approvals_text(known).encode(), **beside(installed, pinned)}
    PROCESS.check()
    with PROCESS.held_back():  # a schema is in force with its digest or not at all
        _write(contents, folder)
    return pinned


def _pairs(draft: Path, installed: Path) -> tuple[tuple[Path, Path], tuple[Path, Path]]:
    return (draft, installed), (profile_file(draft), profile_file(installed))


def _approvals_text(known: Mapping[str, Mapping[str, str]]) -> str:
    lines = [f'"{geometry}": {digest.canonical_json(known[geometry]).decode()}' for geometry in sorted(known)]
    return '{"version": 1, "approved": {\n' + ",\n".join(lines) + "\n}}\n"


def _write(contents: Mapping[Path, bytes], folder: Path) -> None:
    """Write files into a folder, which is made if need be: all of them or none."""
    try:
        with folder_made(folder):
            replace_all(contents)
    except OSError as err:
        need = disk.taken(map(len, contents.values()))
        raise disk.problem(err, "cannot be written", where=folder, need=need) from err
