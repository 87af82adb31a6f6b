"""Inspection of data before any run: what would be read, whether a reviewed schema fits it, and the commands to use.

Every row is read once, in the order of the files and in bounded memory; nothing is written.
"""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from components.errors import BadInput
from components.features import TEST, TRAIN
from components.schema_files import find_reviewed, read_reference
from components.schema_gate.rules import drift_checks
from components.settings import DataSettings, GateSettings
from pipeline.datasets import class_names, next_commands, orientation
from pipeline.datasets.imports import sources
from pipeline.datasets.imports.contents import Options
from pipeline.datasets.imports.opening import opened
from pipeline.datasets.inspection_result import Duplicates, Inspection
from pipeline.datasets.readings import NOTHING_GIVEN, Given, Reading, read_data_files
from pipeline.datasets.tally import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from pipeline.datasets.imports.contents import Contents
    from pipeline.datasets.imports.opening import Tools
    from pipeline.datasets.imports.sources import Source
    from pipeline.datasets.orientation import Orientation

    Show = Callable[[str, int, int], None]

PIXEL_MAXIMA: Final = (1, 16, 255)
"""Ranges that pixels have in the data sets there are: bits, counts in 4x4 blocks, bytes."""

TRANSPOSED: Final = "transposed (columns written as rows)"
FEW_OF_A_CLASS: Final = 10
FEW_ROWS: Final = 50

_EMNIST: Final = "emnist"
_LISTED: Final = 10


def in_silence(doing: str, done: int, total: int) -> None:
    """Show nothing."""


def inspect(
    path: Path,
    given: Given = NOTHING_GIVEN,
    *,
    schema: Path | None = None,
    show: Show = in_silence,
    tools: Tools | None = None,
) -> Inspection:
    """Read all of a data set and return what it is.

    Args:
      path: a folder or a file.
      given: how it is to be read, where its files do not say so.
      schema: folder with the user's reviewed schemas, as `run` takes it.
      show: called with the progress.
      tools: what reads pictures; without it, what has to be imported first is refused.

    Raises:
      BadInput: if it cannot be read as one set of labelled images, or has to be imported first.
      EnvironmentProblem: if a file cannot be opened.
    """
    try:
        reading = read_data_files(path, given)
    except BadInput as err:
        source = sources.instead_of(err, path)
        if source is None:
            raise
        if tools is None or given.of_columns or given.form is not None:  # these are for data files alone
            raise sources.import_first(source) from err
        return _inspect_source(source, given, schema, show, tools)
    return _judged(path, reading, _tallied(reading, show), schema, given)


def _inspect_source(source: Source, given: Given, schema: Path | None, show: Show, tools: Tools) -> Inspection:
    """Inspect what has to be imported first, as the command that is recommended would import it."""
    options = Options(fit=sources.SIZE if source.needs_size else None, skip_unreadable=True)
    with opened(source, options, tools) as contents:
        reading = _reading_of(contents)
        tallies = _tallied(reading, show)
        found = _judged(source.to, reading, tallies, schema, given)
    sizes = (f"the pictures have different sizes: --fit {_size(sources.SIZE)} makes one of them",)
    skipped = (f"{len(contents.skipped)} pictures cannot be taken: {contents.skipped[0]}",) if contents.skipped else ()
    commands = (source.command, *found.commands) if found.commands else ()
    return dataclasses.replace(
        found,
        path=source.path,
        notes=(*(sizes if source.needs_size else ()), *contents.notes, *skipped, *found.notes),
        commands=commands,
    )


def _size(shape: tuple[int, int]) -> str:
    return "x".join(map(str, shape))


def _reading_of(contents: Contents) -> Reading:
    rows = contents.blocks()
    first = next(rows, None)
    if first is None:
        raise BadInput("holds no rows", where=contents.files[0].name if contents.files else None)
    return Reading(
        form=contents.form,
        files=tuple(Path(file.name) for file in contents.files),
        shape=(first.images.shape[1], first.images.shape[2]),
        blocks=lambda: (
            (one.split, one.images.reshape(len(one.images), -1), one.labels) for one in itertools.chain([first], rows)
        ),
        expected=sum(contents.parts.values()),
        class_names=contents.class_names,
        ignored=tuple(map(Path, contents.ignored)),
        importable=True,
    )


def _tallied(reading: Reading, show: Show) -> dict[str, Tally]:
    tallies: dict[str, Tally] = {}
    done = 0
    for split, pixels, labels in reading.blocks():
        tallies.setdefault(split, Tally(reading.shape)).add(pixels, labels)
        done += len(labels)
        show("reading", done, reading.expected)
    if TRAIN not in tallies:
        raise BadInput("holds no rows", where=reading.files[0])
    return tallies


def _judged(
    path: Path, reading: Reading, tallies: Mapping[str, Tally], schema: Path | None, given: Given
) -> Inspection:
    labels = sorted({label for tally in tallies.values() for label in tally.classes})
    offset = _offset(labels) if given.label_offset is None else given.label_offset
    names, names_file = _names(reading, offset, given)
    highest = max(tally.highest for tally in tallies.values())
    data = DataSettings(
        shape=reading.shape,
        pixel_max=next(limit for limit in PIXEL_MAXIMA if highest <= limit),
        label_count=max(2, labels[-1] - offset + 1, len(names)),
    )
    profiles = {split: tally.profile(data, offset=offset) for split, tally in tallies.items()}
    stored = orientation.of(profiles[TRAIN], data) if highest else orientation.Orientation(name=None)
    transpose = _is_transposed(stored, reading) if given.transpose is None else given.transpose
    if transpose:
        data = data.model_copy(update={"shape": (data.shape[1], data.shape[0])})
        profiles = {split: tally.profile(data, offset=offset, transpose=True) for split, tally in tallies.items()}
    reviewed, fits, why_not = _schema(data, profiles, schema)
    counts = {split: tuple(found["classes"]) for split, found in profiles.items()}
    empty = tuple(label for label in range(data.label_count) if not any(found[label] for found in counts.values()))
    found = Inspection(
        path=path,
        form=reading.form,
        importable=reading.importable,
        files=reading.files,
        ignored=reading.ignored,
        rows={split: tally.rows for split, tally in tallies.items()},
        shape=reading.shape,
        highest=highest,
        pixel_max=data.pixel_max,
        label=reading.label,
        label_count=data.label_count,
        label_offset=offset,
        counts=counts,
        empty_classes=empty,
        class_names=names,
        class_names_file=names_file,
        transpose=transpose,
        ignore_columns=given.ignore_columns,
        orientation=stored.name,
        inverted=stored.inverted,
        duplicates=_duplicates(tallies),
        geometry=data.geometry,
        schema=fits,
        reviewed=reviewed is not None,
        given=given,
    )
    problems = (*_problems_of_rows(tallies[TRAIN], reading), *_problems(found, labels[0]))
    problems, notes = (
        problems[:1] if tallies[TRAIN].numbered else problems,
        (*_notes(found, stored, why_not), *reading.says),
    )
    found = dataclasses.replace(found, problems=problems, notes=notes)
    return found if problems else dataclasses.replace(found, commands=next_commands.of(found, schema))


def _offset(labels: list[int]) -> int:
    """Return the label of the first class: 0 where labels begin near it, since a class may only be absent."""
    least = labels[0]
    return least if least == 1 or least >= FEW_OF_A_CLASS else 0


def _names(reading: Reading, offset: int, given: Given) -> tuple[tuple[str, ...], Path | None]:
    """Return the names of classes and the file that says them: the one given, our own list, or EMNIST's mapping."""
    if given.class_names is not None:
        return class_names.read_names(given.class_names), given.class_names
    if reading.class_names:
        return reading.class_names, None
    ours = [path for path in reading.ignored if path.name == class_names.FILE]
    if ours:
        return class_names.read_names(ours[0]), ours[0]
    mapping = class_names.mapping_in(reading.ignored)
    if mapping is None:
        return (), None
    known = class_names.read_mapping(mapping)
    last = max(known, default=-1)
    # A recipe takes the names themselves; `--class-names` reads our own list alone.
    return tuple(known.get(label, str(label)) for label in range(offset, last + 1)), None


def _is_transposed(stored: Orientation, reading: Reading) -> bool:
    # Of letters nobody can tell from the mean image; but all that goes by EMNIST's names is stored so
    # (https://www.nist.gov/itl/products-and-services/emnist-dataset).
    named = all(file.name.lower().startswith(_EMNIST) for file in reading.files)
    return stored.name == TRANSPOSED or (stored.name is None and named)


def _schema(
    data: DataSettings, profiles: Mapping[str, Mapping[str, Any]], folder: Path | None
) -> tuple[Path | None, Path | None, str | None]:
    """Return the reviewed schema of the geometry, the same if its reference fits, and why it does not."""
    try:
        reviewed = find_reviewed(data.geometry, folder)
    except BadInput:
        return None, None, None
    checks = drift_checks(profiles, read_reference(reviewed.profile), GateSettings())
    failed = [check for check in checks if check.stops]
    cause = next((check.cause for check in failed if check.cause), None)
    if not failed:
        return reviewed.schema, reviewed.schema, None
    return reviewed.schema, None, cause or str(failed[0])


def _duplicates(tallies: Mapping[str, Tally]) -> Duplicates:
    within = {split: tally.repeated for split, tally in tallies.items()}
    return Duplicates(within=within, between=tallies[TRAIN].shared_with(tallies[TEST]) if TEST in tallies else 0)


def _notes(found: Inspection, stored: Orientation, why_not: str | None) -> Iterator[str]:
    """Yield what is worth knowing before a run."""
    if stored.known and (stored.inverted or stored.name != orientation.UPRIGHT):
        yield f"the images are stored {stored}"
    elif found.transpose and not found.given.transpose:
        yield "the images are taken for transposed, as EMNIST's files are: look at one before you train on them"
    if found.label_offset:
        yield f"labels go from {found.label_offset} on, not from 0"
    yield from _notes_on_classes(found)
    if found.reviewed and found.schema is None and why_not is not None:
        yield f"it has the geometry of the reviewed schema {found.geometry} and is other data: {why_not}"
    if any(found.duplicates.within.values()):
        yield f"images that come again: {_by_split(found.duplicates.within)}"
    if found.duplicates.between:
        yield f"{found.duplicates.between} images of the test part are in the training part too"


def _problems_of_rows(train: Tally, reading: Reading) -> Iterator[str]:
    """Yield what is wrong with the rows themselves, whatever their classes are."""
    if train.numbered:
        where = "the labels" if reading.label is None else f"the labels in the column {reading.label}"
        way_out = "" if reading.form != "csv" else ": name the label's column with --label"
        yield f"{where} number the rows, {len(train.classes)} different ones of {train.rows}{way_out}"
    if train.blank == train.rows:
        yield "all images are blank"
    elif train.distinct == 1 and train.rows > 1:
        yield "all images are one and the same"


def _problems(found: Inspection, lowest: int) -> Iterator[str]:
    """Yield why nothing can be learnt from it, or nothing measured."""
    if lowest < found.label_offset:
        yield f"labels go from {lowest} on, and --label-offset {found.label_offset} says that none is below it"
    if 0 < len(found.class_names) < found.label_count:
        where = found.class_names_file or "the files"
        yield f"{len(found.class_names)} names for {found.label_count} classes in {where}"
    train = found.counts[TRAIN]
    if sum(map(bool, train)) < 2:
        yield "one class alone: there is nothing to tell apart"
    elif some := [label for label, rows in enumerate(train) if rows == 1]:
        yield f"1 row alone to train on of class {_listed(found, some)}"
    if TEST in found.counts:
        pairs = zip(train, found.counts[TEST], strict=True)
        lacking = [label for label, (here, there) in enumerate(pairs) if bool(here) != bool(there)]
        for split, of in ((TRAIN, train), (TEST, found.counts[TEST])):
            if some := [label for label in lacking if not of[label]]:
                yield f"the {split} part has no rows of class {_listed(found, some)}"


def _notes_on_classes(found: Inspection) -> Iterator[str]:
    if found.empty_classes:
        yield f"no rows of class {_listed(found, found.empty_classes)}"
    train = found.counts[TRAIN]
    few = [label for label, rows in enumerate(train) if 0 < rows < FEW_OF_A_CLASS]
    if few:
        yield f"fewer than {FEW_OF_A_CLASS} rows to train on of class {_listed(found, few)}"
    if found.total < FEW_ROWS:
        yield f"{found.total} rows in all: too few to judge a model by"


def _listed(found: Inspection, labels: tuple[int, ...] | list[int]) -> str:
    more = f" and {len(labels) - _LISTED} more" if len(labels) > _LISTED else ""
    return ", ".join(found.name_of(label) for label in labels[:_LISTED]) + more


def _by_split(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{rows} of {split}" for split, rows in counts.items() if rows)
