"""The gate's rules: every check with its value and threshold; pure, so that a report can judge again.

Anomalies, presence, shape, range and the number of rows always stop the run. Drift, skew, conflicts, leaks and
duplicates do what `GateSettings` says, and are counted whatever it says.
"""

from __future__ import annotations

import dataclasses
from itertools import combinations
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from components.errors import BadInput
from components.features import IMAGE, LABEL, TEST
from components.profile import ASPECTS, Distance, Reference, distance, means
from components.schema_gate.cause import likely_cause
from components.schema_gate.check import Check

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from tensorflow_metadata.proto.v0 import statistics_pb2

    from components.schema_gate.evidence import Evidence, SplitEvidence
    from components.settings import DataSettings, GateSettings

MISSING_CLASS_ODDS: Final = 14.0
"""A class expected this often is absent by chance with probability e^-14, less than once in a million splits."""

BOTH: Final = f"{IMAGE}+{LABEL}"
PLACES: Final = {"rows": "image row", "columns": "image column", "pixels": "pixel", "classes": "class"}
FEATURES: Final = {"rows": IMAGE, "columns": IMAGE, "pixels": IMAGE, "classes": LABEL}


def judge(evidence: Evidence, gates: GateSettings, data: DataSettings) -> list[Check]:
    """Return every check of every split, the gravest rules first.

    Raises:
      BadInput: when the reference is of another geometry than `data`.
    """
    if evidence.reference.geometry != data.geometry:
        raise BadInput(
            "reviewed for another geometry",
            where="reference profile",
            wanted=data.geometry,
            got=evidence.reference.geometry,
        )
    checks: list[Check] = []
    for split, found in evidence.splits.items():
        checks += anomaly_checks(split, found)
        checks += statistics_checks(split, found, data)
    profiles = {split: found.profile for split, found in evidence.splits.items() if found.profile["rows"]}
    checks += drift_checks(profiles, evidence.reference, gates)
    checks += skew_checks(profiles, evidence.reference, gates)
    checks += row_checks({split: found.index for split, found in evidence.splits.items()}, gates)
    return checks


def anomaly_checks(split: str, found: SplitEvidence) -> Iterator[Check]:
    """Yield one failed check for each anomaly that TFDV found, or one passed check."""
    if found.anomalies is None:
        return
    infos = sorted(found.anomalies.anomaly_info.items())
    if found.anomalies.HasField("dataset_anomaly_info"):
        infos.append(("dataset", found.anomalies.dataset_anomaly_info))
    if not infos:
        yield Check(rule="anomaly", split=split, feature=BOTH, value=0, detail="none against the schema")
    for feature, info in infos:
        detail = f"{info.short_description}: {info.description}"
        yield Check(rule="anomaly", split=split, feature=feature, value=1, detail=detail)


def statistics_checks(split: str, found: SplitEvidence, data: DataSettings) -> Iterator[Check]:
    """Yield checks of presence, shape and range by the statistics, and of the number of rows by all that count them."""
    rows = {
        "statistics": found.statistics.num_examples,
        "profile": found.profile["rows"],
        "row index": len(found.index),
    }
    wrong = len(set(rows.values())) > 1 or not found.profile["rows"]
    seen = ", ".join(f"{count:g} by {name}" for name, count in rows.items())
    yield Check(rule="rows", split=split, feature=BOTH, value=int(wrong), detail=f"rows: {seen}")
    features = {(f.path.step[0] if f.path.step else f.name): f.num_stats for f in found.statistics.features}
    wanted = ((IMAGE, data.pixels, data.pixel_max), (LABEL, 1, data.label_count - 1))
    for name, length, largest in wanted:
        if name in features:
            yield from _feature_checks(split, name, features[name], (length, largest))
        else:
            yield Check(rule="presence", split=split, feature=name, value=1, detail="not in the statistics")


def _feature_checks(
    split: str, name: str, stats: statistics_pb2.NumericStatistics, wanted: tuple[int, int]
) -> Iterator[Check]:
    length, largest = wanted
    common = stats.common_stats
    missing = common.num_missing
    yield Check(rule="presence", split=split, feature=name, value=missing, detail=f"missing in {missing} rows")
    shape = (common.min_num_values, common.max_num_values)
    detail = f"{shape[0]} to {shape[1]} values in a row, wanted {length}"
    yield Check(rule="shape", split=split, feature=name, value=int(shape != (length, length)), detail=detail)
    outside = max(stats.max - largest, 0 - stats.min, 0)
    detail = f"values from {stats.min:g} to {stats.max:g}, allowed 0 to {largest}"
    yield Check(rule="range", split=split, feature=name, value=outside, detail=detail)


def drift_checks(profiles: Mapping[str, Mapping[str, Any]], reference: Reference, gates: GateSettings) -> list[Check]:
    """Return how far each split is from the reviewed reference, and which classes it lacks.

    Args:
      profiles: {split: profile}, each with rows.
      reference: what was reviewed.
      gates: `thresholds` there replace the calibrated ones.
    """
    own = gates.thresholds.model_dump()
    checks = []
    for split, found in profiles.items():
        for aspect in ASPECTS:
            calibrated = reference.thresholds[aspect].drift(found["rows"])
            check = Check(
                rule="drift",
                split=split,
                feature=FEATURES[aspect],
                aspect=aspect,
                threshold=calibrated if own.get(aspect) is None else own[aspect],
                action=gates.drift,
                **_apart(distance(found, reference.profile, aspect), aspect, "the reviewed reference"),
            )
            if not check.passed and check.feature == IMAGE:
                check = dataclasses.replace(check, cause=likely_cause(found, reference.profile))
            checks.append(check)
        checks.append(_missing_classes(split, found, reference, gates))
    return checks


def skew_checks(profiles: Mapping[str, Mapping[str, Any]], reference: Reference, gates: GateSettings) -> list[Check]:
    """Return how far each two splits are from each other, by thresholds tighter than those of drift together."""
    return [
        Check(
            rule="skew",
            split=f"{split}/{other}",
            feature=FEATURES[aspect],
            aspect=aspect,
            threshold=reference.thresholds[aspect].skew(found["rows"], others["rows"]),
            action=gates.skew,
            **_apart(distance(others, found, aspect), aspect, split),
        )
        for (split, found), (other, others) in combinations(profiles.items(), 2)
        for aspect in ASPECTS
    ]


def _apart(apart: Distance, aspect: str, other: str) -> dict[str, Any]:
    """Return the fields `value` and `detail` of a check of a distance."""
    place = f"{PLACES[aspect]} {apart.place}"
    detail = f"{place} has mean {apart.seen:.4f}, {other} {apart.expected:.4f}"
    return {"value": apart.value, "detail": detail}


def _missing_classes(split: str, found: Mapping[str, Any], reference: Reference, gates: GateSettings) -> Check:
    # In a small split the threshold on shares is too wide to see that a whole class is gone.
    expected = means(reference.profile, "classes") * found["rows"]
    missing = [k for k, count in enumerate(found["classes"]) if not count and expected[k] >= MISSING_CLASS_ODDS]
    seen = ", ".join(f"class {k} (about {expected[k]:.0f} expected)" for k in missing)
    detail = f"no rows of {seen}" if missing else "every class expected is there"
    return Check(
        rule="missing class", split=split, feature=LABEL, value=len(missing), action=gates.drift, detail=detail
    )


def row_checks(indexes: Mapping[str, NDArray[np.void]], gates: GateSettings) -> list[Check]:
    """Return counts of duplicates in each split, of images with two labels anywhere, and of test rows seen in training.

    Args:
      indexes: {split: structured array with `row` and `pixels` (32-byte digests) and `label`}.
      gates: what each count leads to.
    """
    checks = [_duplicates(split, index, gates) for split, index in indexes.items()]
    checks.append(_conflicts(indexes, gates))
    if TEST in indexes:
        checks += [_leaks(split, index, indexes[TEST], gates) for split, index in indexes.items() if split != TEST]
    return checks


def _duplicates(split: str, index: NDArray[np.void], gates: GateSettings) -> Check:
    count = len(index) - len(np.unique(index["row"]))
    detail = f"{count} of {len(index)} rows repeat another with the same label"
    return Check(rule="duplicates", split=split, feature=BOTH, value=count, action=gates.duplicates, detail=detail)


def _conflicts(indexes: Mapping[str, NDArray[np.void]], gates: GateSettings) -> Check:
    labelled = np.unique(np.concatenate([index[["pixels", "label"]] for index in indexes.values()]))
    images, first, labels = np.unique(labelled["pixels"], return_index=True, return_counts=True)
    torn = np.flatnonzero(labels > 1)
    detail = f"{len(torn)} images have more than one label"
    for at in torn[:1]:
        given = labelled["label"][first[at] : first[at] + labels[at]].tolist()
        detail += f", such as {_name(images[at])} with labels {', '.join(map(str, given))}"
    where = "+".join(indexes)
    return Check(rule="conflicts", split=where, feature=LABEL, value=len(torn), action=gates.conflicts, detail=detail)


def _leaks(split: str, index: NDArray[np.void], test: NDArray[np.void], gates: GateSettings) -> Check:
    seen = np.isin(test["pixels"], index["pixels"])
    count = int(seen.sum())
    detail = f"{count} of {len(test)} test images are in {split} too"
    for image in test["pixels"][seen][:1]:
        detail += f", such as {_name(image)}"
    return Check(rule="leaks", split=f"{split}/{TEST}", feature=IMAGE, value=count, action=gates.leaks, detail=detail)


def _name(pixels: bytes) -> str:
    # numpy drops trailing zero bytes of a fixed-width string.
    return pixels.ljust(32, b"\0").hex()[:12]
