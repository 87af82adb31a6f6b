"""The data sheet: counts, classes, duplicates, digests, pictures, and what the schema says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.errors import EnvironmentProblem
from components.features import SPLITS, TEST, TRAIN
from components.profile import means
from components.settings import DataSettings
from pipeline.provenance.row_file import PIXELS, ROW_BYTES, RowFile
from pipeline.report import charts, mosaics
from pipeline.report.choices import SHOWN_CLASSES, of_each_class
from pipeline.report.picture import Picture
from pipeline.report.run_data import NotThereError, RunData
from pipeline.stages import INGEST, REVIEWED_SCHEMA

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from pipeline.report.example_rows import ImageRows

FITTING: Final = 90
"""Characters of all names together that fit below the bars."""

_INDEX_ROW: Final = np.dtype(
    {"names": ["pixels"], "formats": ["<u8"], "offsets": [PIXELS.start], "itemsize": ROW_BYTES}
)
"""An entry of a row index, of which the beginning of one digest is read."""

GALLERY: Final = 12
"""Images of each class."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class SplitFacts:
    """One split, counted.

    Attributes:
      name: of the split.
      rows: in it.
      classes: rows of each class.
      duplicates: rows whose pixels an earlier row of the split has.
      shared: rows whose pixels another split has too.
      digest: Merkle root over its rows.
      mean: its mean image.
      deviation: standard deviation of each pixel in some of its rows.
      away: its mean image less that of train; None for train itself.
    """

    name: str
    rows: int
    classes: tuple[int, ...]
    duplicates: int | None
    shared: int | None
    digest: str
    mean: Picture
    deviation: Picture | None
    away: Picture | None


@dataclasses.dataclass(frozen=True, kw_only=True)
class DataSheet:
    """What the data is."""

    shape: tuple[int, int]
    pixel_max: int
    files: tuple[tuple[str, str, int | None], ...]
    payload_digest: str
    rows_digest: str
    rows: int
    splits: tuple[SplitFacts, ...]
    reference: Picture | None
    """Mean image of the rows that the schema was made from; None where none of this shape is known."""
    classes: Picture
    gallery: Picture | None
    gallery_labels: tuple[str, ...]
    class_names: tuple[str, ...]
    schema: tuple[tuple[str, str], ...]


def data_sheet(evidence: RunData, rows: Mapping[str, ImageRows]) -> DataSheet:
    """Return the sheet.

    Args:
      evidence: of the run.
      rows: {split: some of its rows}.

    Raises:
      NotThereError: if nothing was ingested.
    """
    folder = evidence.artifact(INGEST, "examples")
    facts = evidence.read_json(INGEST, "examples", "data.json")
    profiles = evidence.read_json(INGEST, "examples", "profile.json")["splits"]
    data = evidence.settings.data
    counted = _counted(folder)
    splits = [
        _split(name, facts["splits"][name], profiles, rows.get(name), data, counted)
        for name in SPLITS
        if name in profiles and profiles[name]["rows"]
    ]
    gallery, labels = _gallery(rows, data)
    return DataSheet(
        shape=data.shape,
        pixel_max=data.pixel_max,
        files=tuple((s.name, s.payload_digest, s.bytes) for s in evidence.run.sources),
        payload_digest=facts["payload_digest"],
        rows_digest=facts["rows_digest"],
        rows=facts["rows"],
        splits=tuple(splits),
        reference=_reference(evidence),
        classes=_histogram(splits, data.names),
        gallery=gallery,
        gallery_labels=labels,
        class_names=tuple(data.names),
        schema=_schema(evidence),
    )


def _split(  # noqa: PLR0913  # a split is told from what five places know of it
    name: str,
    facts: Mapping[str, Any],
    profiles: Mapping[str, Any],
    rows: ImageRows | None,
    data: DataSettings,
    counted: Mapping[str, tuple[int, int]],
) -> SplitFacts:
    mean = _mean(profiles[name])
    duplicates, shared = counted.get(name, (None, None))
    return SplitFacts(
        name=name,
        rows=facts["rows"],
        classes=tuple(profiles[name]["classes"]),
        duplicates=duplicates,
        shared=shared,
        digest=facts["rows_digest"],
        mean=_one(mean, f"Mean image of {name}: {_where(mean, data)}.", data),
        deviation=_deviation(name, rows, data),
        away=None if name == TRAIN or TRAIN not in profiles else _away(name, mean, _mean(profiles[TRAIN]), data),
    )


def _reference(evidence: RunData) -> Picture | None:
    try:
        profile = evidence.read_json(REVIEWED_SCHEMA, "reference", "profile.json")["profile"]
        if tuple(profile["shape"]) != tuple(evidence.settings.data.shape):
            return None
        return _one(_mean(profile), "Mean image of the rows that the schema was made from.", evidence.settings.data)
    except (NotThereError, LookupError, TypeError):  # no artifact, or one of another release
        return None


def _mean(profile: Mapping[str, Any]) -> NDArray[np.float64]:
    """Return the mean image [H, W], 0 to 1."""
    image: NDArray[np.float64] = means(profile, "pixels").reshape(profile["shape"])
    return image


def _where(mean: NDArray[np.float64], data: DataSettings) -> str:
    row, column = np.unravel_index(int(mean.argmax()), mean.shape)
    return (
        f"on average {mean.mean() * data.pixel_max:.1f} of {data.pixel_max}, "
        f"at most {mean.max() * data.pixel_max:.1f} at row {row + 1}, column {column + 1}"
    )


def _one(image: NDArray[np.floating[Any]], text: str, data: DataSettings) -> Picture:
    return mosaics.ink(image[None], peak=max(float(image.max()), 1e-9), text=text, columns=1, scale=_scale(data))


def _scale(data: DataSettings) -> float:
    return 112 / max(data.shape)


def _deviation(name: str, rows: ImageRows | None, data: DataSettings) -> Picture | None:
    if rows is None or not len(rows):
        return None
    spread = (rows.images.astype(np.float32) / data.pixel_max).std(axis=0).reshape(data.shape)
    dead = int((spread == 0).sum())
    text = (
        f"Heat map of {name}: standard deviation of each pixel over {len(rows):,} rows, "
        f"at most {spread.max() * data.pixel_max:.1f}; {dead} of {data.pixels} pixels never change."
    )
    return _one(spread, text, data)


def _away(name: str, mean: NDArray[np.float64], train: NDArray[np.float64], data: DataSettings) -> Picture:
    difference = mean - train
    text = (
        f"Mean image of {name} less that of train, between {difference.min() * data.pixel_max:+.1f} "
        f"and {difference.max() * data.pixel_max:+.1f} of {data.pixel_max}; orange is brighter, full colour is a tenth."
    )
    return mosaics.signed(difference[None], text=text, columns=1, scale=_scale(data), peak=0.1)


def _counted(folder: Path) -> dict[str, tuple[int, int]]:
    """Return {split: duplicates in it, rows of it that are in another split too}, by the digests of their pixels.

    The first eight bytes of a digest stand for it: among 16 million images, two share them once in 100,000 data sets.
    """
    try:
        pixels = {name: _first_words(RowFile(folder / "row_index" / f"{name}.npy")) for name in SPLITS}
    except EnvironmentProblem:
        return {}
    unique = {name: np.unique(words) for name, words in pixels.items()}
    counted = {}
    for name, words in pixels.items():
        shared = np.zeros(len(words), bool)
        for other in SPLITS:
            if other != name:
                shared |= np.isin(words, unique[other])
        counted[name] = (len(words) - len(unique[name]), int(shared.sum()))
    return counted


def _first_words(rows: RowFile) -> NDArray[np.uint64]:
    """Return the first 8 bytes of each row's pixels digest [n]."""
    columns = [np.frombuffer(block, _INDEX_ROW)["pixels"] for block in rows.blocks()]
    return np.concatenate([np.zeros(0, np.uint64), *columns])


def _histogram(splits: list[SplitFacts], names: Sequence[str]) -> Picture:
    figure, axes = charts.chart(width=620, height=240, above=34)
    places = np.arange(len(splits[0].classes))
    width = 0.8 / len(splits)
    for number, (split, colour) in enumerate(zip(splits, (charts.FIRST, charts.SECOND, charts.THIRD), strict=False)):
        shares = np.array(split.classes) / max(1, split.rows) * 100
        axes.bar(places + (number - (len(splits) - 1) / 2) * width, shares, width * 0.9, color=colour, label=split.name)
    if len(places) <= SHOWN_CLASSES:
        # Names that would run into one another are those of the table beside it, in its order.
        fits = max(map(len, names)) * len(places) <= FITTING
        axes.set_xticks(places, [charts.plain(name) for name in names] if fits else None)
    axes.grid(visible=False, axis="x")
    axes.set(xlabel="class", ylabel="% of the split")
    axes.legend(ncols=len(splits), loc="upper right", bbox_to_anchor=(1, 1.16), borderaxespad=0)
    ranges = "; ".join(
        f"{s.name} from {min(s.classes) / s.rows:.1%} (class {names[int(np.argmin(s.classes))]}) "
        f"to {max(s.classes) / s.rows:.1%} (class {names[int(np.argmax(s.classes))]})"
        for s in splits
    )
    return charts.drawn(figure, f"Share of each class by split: {ranges}.")


def _gallery(rows: Mapping[str, ImageRows], data: DataSettings) -> tuple[Picture | None, tuple[str, ...]]:
    source = next((name for name in (TRAIN, TEST) if name in rows and len(rows[name])), None)
    if source is None:
        return None, ()
    labels = [k for k in range(min(data.label_count, SHOWN_CLASSES)) if (rows[source].labels == k).sum() >= GALLERY]
    chosen = [of_each_class(np.where(rows[source].labels == k, 0, 1), 1, GALLERY) for k in labels]
    if not chosen:
        return None, ()
    images = rows[source].images[np.concatenate(chosen)].reshape(-1, *data.shape)
    text = f"{GALLERY} rows of {source} of each class, class by class from {data.names[labels[0]]} to {data.names[labels[-1]]}; the first by digest."
    picture = mosaics.ink(images, peak=data.pixel_max, text=text, columns=GALLERY, scale=48 / max(data.shape))
    return picture, tuple(data.names[label] for label in labels)


def _schema(evidence: RunData) -> tuple[tuple[str, str], ...]:
    """Return {feature: what the reviewed schema says of it}, read off the text as it was reviewed."""
    try:
        text = (evidence.artifact(REVIEWED_SCHEMA, "schema") / "schema.pbtxt").read_text(encoding="utf-8")
    except (NotThereError, OSError):
        return ()
    result = []
    for part in text.split("feature {")[1:]:
        words = " ".join(part.split("dataset_constraints")[0].split())
        name = words.partition('name: "')[2].partition('"')[0]
        result.append((name, _said(words)))
    return tuple(result)


def _said(words: str) -> str:
    def value(key: str) -> str:
        return words.partition(f" {key}: ")[2].partition(" ")[0]

    said = [value("type"), f"{value('min') or '0'} to {value('max')}", f"{value('size')} in a row"]
    said += ["categorical"] if value("is_categorical") == "true" else []
    said += ["in every row"] if value("min_fraction") == "1.0" else []
    return ", ".join(said)
