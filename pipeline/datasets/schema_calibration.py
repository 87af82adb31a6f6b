"""Calibration of a geometry's reference profile and thresholds, and their measured false-alarm rate.

The first source is the reference; the others are clean too, and are calibrated to pass. A threshold's floor (see
`components.profile`) is the largest distance from the reference of a source or of either half of one: rows that follow
one another often come from the same writers, and a half is no less clean than the whole. The scale is `MARGIN` times
the largest `QUANTILE` of distance * sqrt(rows) over bootstraps, draws with replacement, of each source at several
sizes. The false-alarm rate is then measured on whole runs, three splits through all of the gate's drift and skew
checks, drawn with another seed.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components import digest
from components.features import SPLITS
from components.profile import ASPECTS, Reference, Threshold, distance, profile
from components.schema_gate.rules import drift_checks, skew_checks
from components.settings import DataSettings, GateSettings

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

MARGIN: Final = 1.25
QUANTILE: Final = 0.999
BOOTSTRAPS: Final = 1000
"""Draws to each source and size."""

RUNS: Final = 1000
"""Held-out runs to each layout of splits."""

SMALLEST: Final = 100
"""Rows in the smallest bootstrap; sizes go up from here by factors of four."""

CALIBRATION_SEED: Final = 1
HELD_OUT_SEED: Final = 2
DRAWS_AT_ONCE: Final = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """Clean rows of one origin, such as an official training part.

    Attributes:
      pixels: uint8 [N, H*W].
      labels: int64 [N].
    """

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True, kw_only=True)
class Layout:
    """Where the splits of a simulated run come from: {split: (source name, rows)}."""

    splits: Mapping[str, tuple[str, int]]


def calibrate(sources: Mapping[str, Source], data: DataSettings) -> Reference:
    """Return the profile of the first source, with thresholds and the false-alarm rate that was measured."""
    profiles = {name: profile(source.pixels, source.labels, data) for name, source in sources.items()}
    reference = next(iter(profiles.values()))
    clean = [*profiles.values(), *_halves(sources, data)]
    scales = _scales(sources, profiles, data)
    thresholds = {
        aspect: Threshold(floor=_floor(clean, reference, aspect), scale=_up(MARGIN * scales[aspect]))
        for aspect in ASPECTS
    }
    drafted = Reference(profile=reference, thresholds=thresholds, calibration={})
    calibration = {
        "sources": {name: {"rows": len(s), "rows_digest": rows_digest(s, data)} for name, s in sources.items()},
        "bootstraps": {"each": BOOTSTRAPS, "seed": CALIBRATION_SEED, "quantile": QUANTILE, "margin": MARGIN},
        "sizes": {name: _sizes(len(source)) for name, source in sources.items()},
        "held_out": false_alarms(sources, data, drafted),
    }
    return dataclasses.replace(drafted, calibration=calibration)


def _halves(sources: Mapping[str, Source], data: DataSettings) -> Iterator[dict[str, Any]]:
    for source in sources.values():
        middle = len(source) // 2
        for part in (slice(None, middle), slice(middle, None)):
            if len(source.labels[part]):
                yield profile(source.pixels[part], source.labels[part], data)


def _floor(clean: Iterable[Mapping[str, Any]], reference: Mapping[str, Any], aspect: str) -> float:
    return _up(max(distance(found, reference, aspect).value for found in clean))


def _up(value: float) -> float:
    """Round up to four places: thresholds are read by people, and rounding must not tighten one."""
    return math.ceil(value * 10_000) / 10_000


def _scales(
    sources: Mapping[str, Source], profiles: Mapping[str, Mapping[str, Any]], data: DataSettings
) -> dict[str, float]:
    """Return {aspect: largest quantile of distance * sqrt(rows)} over sources and sizes."""
    rng = np.random.default_rng(CALIBRATION_SEED)
    largest = dict.fromkeys(ASPECTS, 0.0)
    for name, source in sources.items():
        for rows in _sizes(len(source)):
            drawn = list(bootstraps(source, rows, BOOTSTRAPS, rng, data))
            for aspect in ASPECTS:
                apart = [distance(found, profiles[name], aspect).value for found in drawn]
                largest[aspect] = max(largest[aspect], float(np.quantile(apart, QUANTILE)) * math.sqrt(rows))
    return largest


def _sizes(rows: int) -> list[int]:
    sizes = itertools.takewhile(lambda size: size < rows, (SMALLEST * 4**power for power in itertools.count()))
    return [*sizes, rows]


def bootstraps(
    source: Source, rows: int, count: int, rng: np.random.Generator, data: DataSettings
) -> Iterator[dict[str, Any]]:
    """Yield the profiles of `count` samples of `rows` rows each, drawn from `source` with replacement."""
    # Sums below 2^24 are exact in 32-bit floats, and a product with a matrix of counts is a hundred times faster than
    # copying out the rows of every sample.
    exact: np.dtype[Any] = np.dtype("float32" if rows * data.pixel_max < 1 << 24 else "float64")
    pixels: NDArray[Any] = source.pixels.astype(exact)
    empty = profile(source.pixels[:0], source.labels[:0], data)
    for start in range(0, count, DRAWS_AT_ONCE):
        drawn = [_draw(rng, rows, len(source)) for _ in range(min(DRAWS_AT_ONCE, count - start))]
        counts: NDArray[Any] = np.array(drawn, dtype=exact)
        images = np.rint(counts @ pixels).astype(np.int64)
        for taken, image in zip(drawn, images, strict=True):
            classes = np.bincount(source.labels, weights=taken, minlength=data.label_count).astype(np.int64)
            yield {**empty, "rows": rows, "classes": classes, "image": image}


def _draw(rng: np.random.Generator, rows: int, population: int) -> NDArray[np.int64]:
    """Return int64 [population]: how often each row is in a sample of `rows` rows."""
    return np.bincount(rng.integers(0, population, rows), minlength=population)


def false_alarms(sources: Mapping[str, Source], data: DataSettings, reference: Reference) -> dict[str, Any]:
    """Measure how often clean runs would be refused for drift or skew.

    Returns:
      `runs`, `alarms`, `seed`, and the `layouts` of splits that were tried, each with its own count of alarms.
    """
    rng = np.random.default_rng(HELD_OUT_SEED)
    tried: list[dict[str, Any]] = []
    for layout in layouts(sources):
        drawn = [bootstraps(sources[name], rows, RUNS, rng, data) for name, rows in layout.splits.values()]
        runs = (dict(zip(layout.splits, profiles, strict=True)) for profiles in zip(*drawn, strict=True))
        alarms = sum(1 for run in runs if is_refused(run, reference))
        tried.append({"splits": {k: list(v) for k, v in layout.splits.items()}, "alarms": alarms})
    total = sum(layout["alarms"] for layout in tried)
    return {"runs": RUNS * len(tried), "alarms": total, "seed": HELD_OUT_SEED, "layouts": tried}


def layouts(sources: Mapping[str, Source]) -> list[Layout]:
    """Return the splits that clean data of these sources falls into by default.

    Each source alone cut 70/10/20, all of it and a third of it; and the first cut 90/10 with each other as `test`.
    """
    shares = dict(zip(SPLITS, (0.7, 0.1, 0.2), strict=True))
    found = [
        Layout(splits={split: (name, max(1, round(share * len(source) / part))) for split, share in shares.items()})
        for name, source in sources.items()
        for part in (1, 3)
    ]
    (first, training), *others = sources.items()
    cut = len(training) // 10
    for name, source in others:
        rows = ((first, len(training) - cut), (first, cut), (name, len(source)))
        found.append(Layout(splits=dict(zip(SPLITS, rows, strict=True))))
    return found


def is_refused(profiles: Mapping[str, Mapping[str, Any]], reference: Reference) -> bool:
    """Return whether the gate with its default policies would refuse splits with these profiles."""
    gates = GateSettings()
    checks = itertools.chain(drift_checks(profiles, reference, gates), skew_checks(profiles, reference, gates))
    return any(check.stops for check in checks)


def rows_digest(source: Source, data: DataSettings) -> str:
    """Return the Merkle root over the sorted row digests, the identity that ingest gives the same rows."""
    prefix = digest.row_prefix(*data.shape)
    rows = zip(source.pixels, source.labels.tolist(), strict=True)
    return digest.merkle_root(sorted(digest.row_digest(prefix, pixels.tobytes(), label) for pixels, label in rows))
